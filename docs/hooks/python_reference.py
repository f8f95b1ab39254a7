"""The pages of the Python packages: what lives in each, its modules and its public names, read from the code."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

from markdown_table import table
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
PACKAGES_NAV = "Python packages"  # the entry of the navigation that the pages are put under
FIELDED = {"BaseModel", "NamedTuple", "_Answer", "_Part", "_Mask"}  # bases of classes with fields


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Puts the pages into the navigation."""
    pages = [{"Overview": "reference/python/index.md"}, *({name: page_of(name)} for name in packages())]
    _fill(config.nav, pages)
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages."""
    made = {"reference/python/index.md": packages_page()} | {page_of(name): package_page(name) for name in packages()}
    for page, text in made.items():
        files.append(File.generated(config, page, content=text))
    return files


def _fill(nav: Any, pages: list[Any]) -> None:
    for entry in nav if isinstance(nav, list) else []:
        for title, below in entry.items() if isinstance(entry, dict) else ():
            if title == PACKAGES_NAV:
                entry[title] = pages
            else:
                _fill(below, pages)


def packages() -> list[str]:
    """Rooms of both packages, the modules beside them, and the Python client."""
    names = ["phototriage_client"]
    for root in ("phototriage", "training"):
        for path in sorted((ROOT / root).iterdir()):
            if path.suffix == ".py" and not path.name.startswith("__"):
                names.append(f"{root}.{path.stem}")
            elif (path / "__init__.py").is_file():
                names.append(f"{root}.{path.name}")
    return names


def page_of(name: str) -> str:
    return f"reference/python/{name}.md"


def source_of(name: str) -> Path:
    """The package's folder or the module's file."""
    base = ROOT / "clients/python/src" if name == "phototriage_client" else ROOT
    path = base.joinpath(*name.split("."))
    return path if path.is_dir() else path.with_suffix(".py")


def packages_page() -> str:
    rows = [(f"[`{name}`]({name}.md)", summary(source_of(name))) for name in packages()]
    return "\n".join(["# Python packages", "", *table(("package", "what lives there"), rows)])


def package_page(name: str) -> str:
    """The package's docstring, its modules, and its public names; without `__all__`, those of every module."""
    source = source_of(name)
    if source.is_file():
        return f"# {name}\n\n::: {name}\n    options: {{show_root_heading: false, heading_level: 2}}\n"
    modules = [path for path in sorted(source.glob("*.py")) if path.stem != "__init__" and path.stem != "__main__"]
    defined = {each: node for path in modules for each, node in definitions_of(path).items()}
    exported = [each for each in names_of(source / "__init__.py") if each in defined]
    lines = [f"# {name}", "", document_of(source / "__init__.py"), "", "## Modules", ""]
    lines += table(("module", "what"), [(f"`{path.stem}`", summary(path)) for path in modules])
    if exported:
        lines += ["", "## Public names", ""]
        for each in exported:
            options = "{show_if_no_docstring: true, separate_signature: false}" if has_fields(defined[each]) else "{}"
            lines += [f"::: {name}.{each}", f"    options: {options}", ""]
    else:
        for path in modules:
            lines += [
                "",
                f"## {path.stem}",
                "",
                f"::: {name}.{path.stem}",
                "    options: {show_root_heading: false, show_root_toc_entry: false}",
            ]
    return "\n".join(lines) + "\n"


def document_of(source: Path) -> str:
    return ast.get_docstring(ast.parse(source.read_text(encoding="utf-8"))) or ""


def summary(source: Path) -> str:
    """The first sentence of a module's or package's docstring."""
    text = document_of(source / "__init__.py" if source.is_dir() else source)
    return re.split(r"(?<=[.?!])\s+(?=[A-Z`])", " ".join(text.split("\n\n")[0].split()))[0]


def names_of(source: Path) -> list[str]:
    """What `__all__` lists."""
    for node in ast.parse(source.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return [str(name) for name in ast.literal_eval(node.value)]
    return []


def definitions_of(source: Path) -> dict[str, ast.stmt]:
    """Classes and functions; constants and types have no docstring to show."""
    kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    tree = ast.parse(source.read_text(encoding="utf-8"))
    return {node.name: node for node in tree.body if isinstance(node, kinds)}


def has_fields(node: ast.stmt) -> bool:
    """Whether it is a class whose fields no signature tells of, as that of a dataclass does."""
    return isinstance(node, ast.ClassDef) and any(ast.unparse(base) in FIELDED for base in node.bases)
