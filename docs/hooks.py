"""Pages of the site that are made when it is built, so that they can't be out of date: those of the packages' names,
of HTTP from clients/openapi.json, and documents that stand elsewhere in the repository.

MkDocs calls `on_config`, then `on_files`, then `on_page_markdown` for each page.
"""

from __future__ import annotations

import ast
import json
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
# Documents that have their place elsewhere, and their pages.
INCLUDED = {
    "README.md": "index.md",
    "RESULTS.md": "results/index.md",
    "DESIGN.md": "design/index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "deploy/README.md": "how_to/cluster.md",
    "clients/python/README.md": "how_to/python_client.md",
    "clients/typescript/README.md": "how_to/typescript_client.md",
}
OWN_PAGE = {"RESULTS.md"}  # links to it go to a page that docs/ has itself
FIELDED = {"BaseModel", "NamedTuple", "_Answer", "_Part", "_Mask"}  # classes, the bases of classes with fields
PACKAGES_NAV = "Python packages"
LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)\s]+)\)")
PICTURE = re.compile(r"!\[([^\]]*)\]\(([^)\s]+)\)")

Schema = Mapping[str, Any]


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Puts the packages' pages into the navigation."""
    pages = [{"Overview": "reference/python/index.md"}, *({name: page_of(name)} for name in packages())]
    _fill(config.nav, pages)
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages that are made."""
    made = {page: included(document) for document, page in INCLUDED.items() if document not in OWN_PAGE}
    made["reference/http.md"] = http_page(json.loads((ROOT / "clients/openapi.json").read_text(encoding="utf-8")))
    made["reference/openapi.json"] = (ROOT / "clients/openapi.json").read_text(encoding="utf-8")
    made["reference/python/index.md"] = packages_page()
    made |= {page_of(name): package_page(name) for name in packages()}
    for page, text in made.items():
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Pages of figures have no list of sections beside them, so that their tables have its room."""
    if page.file.src_uri.startswith("results/"):
        page.meta["hide"] = ["toc"]
    if page.file.src_uri == "index.md":
        page.meta["hide"] = ["navigation"]
    return markdown


def _fill(nav: Any, pages: list[Any]) -> None:
    for entry in nav if isinstance(nav, list) else []:
        for title, below in entry.items() if isinstance(entry, dict) else ():
            if title == PACKAGES_NAV:
                entry[title] = pages
            else:
                _fill(below, pages)


def included(document: str) -> str:
    """The document with its links leading to pages of the site. What the site doesn't have is named, not linked."""
    folder, page = posixpath.dirname(document), INCLUDED[document]

    def target(link: str) -> str | None:
        path, mark, anchor = link.partition("#")
        place = posixpath.normpath(posixpath.join(folder, path)) if path else document
        if place in INCLUDED:
            place = INCLUDED[place]
        elif place.startswith("docs/"):
            place = place.removeprefix("docs/")
        else:
            return None
        return posixpath.relpath(place, posixpath.dirname(page)) + mark + anchor

    def link(found: re.Match[str]) -> str:
        if "://" in found[2]:
            return found[0]
        to = target(found[2])
        if to is None and posixpath.normpath(posixpath.join(folder, found[2])) == "clients/openapi.json":
            to = posixpath.relpath("reference/openapi.json", posixpath.dirname(page))
        return f"[{found[1]}]({to})" if to else found[1]

    def picture(found: re.Match[str]) -> str:
        return f"![{found[1]}]({target(found[2])})"

    text = (ROOT / document).read_text(encoding="utf-8")
    return PICTURE.sub(picture, LINK.sub(link, text))


# Packages


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


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    for cells in (head, ["---"] * len(head), *rows):
        yield "| " + " | ".join(cell.replace("\n", " ").replace("|", "\\|") for cell in cells) + " |"


# HTTP


def http_page(document: Schema) -> str:
    """All routes and schemas of an OpenAPI document."""
    lines = [
        "# HTTP",
        "",
        "The same as [OpenAPI](openapi.json), which the server gives at `/docs.json`.",
        "",
        "## Routes",
        "",
    ]
    routes = [
        (path, method, operation)
        for path, operations in sorted(document["paths"].items(), key=lambda route: (route[0][:4] != "/v1/", route[0]))
        for method, operation in operations.items()
    ]
    for path, method, operation in routes:
        lines += route_section(path, method, operation)
    lines += ["## Schemas", ""]
    for name, schema in sorted(document["components"]["schemas"].items()):
        lines += schema_section(name, schema)
    return "\n".join(lines) + "\n"


def route_section(path: str, method: str, operation: Schema) -> Iterator[str]:
    yield from (f"### {method.upper()} {path}", "", str(operation.get("summary", "")), "")
    yield from (str(operation.get("description", "")), "")
    parameters = [
        (f"`{each['name']}`", each["in"], type_of(each["schema"]), str(each.get("description", "")))
        for each in operation.get("parameters", ())
    ]
    if parameters:
        yield from (*table(("parameter", "in", "type", "what"), parameters), "")
    bodies = [
        f"`{kind}`" + "".join(f" `{part}`" for part in content.get("schema", {}).get("properties", ()))
        for kind, content in operation.get("requestBody", {}).get("content", {}).items()
    ]
    if bodies:
        yield from (f"Body, with its parts: {' · '.join(bodies)}", "")
    rows = []
    for status, response in operation["responses"].items():
        kinds = [
            f"`{kind}` {type_of(content['schema'])}" if content.get("schema") else f"`{kind}`"
            for kind, content in response.get("content", {}).items()
        ]
        rows.append((f"`{status}`", ", ".join(kinds), str(response["description"])))
    yield from (*table(("status", "body", "what"), rows), "")


def schema_section(name: str, schema: Schema) -> Iterator[str]:
    yield from (f"### {name}", "", str(schema.get("description", "")), "")
    required = schema.get("required", ())
    rows = [
        (f"`{field}`", type_of(of), "always" if field in required else "", str(of.get("description", "")))
        for field, of in schema.get("properties", {}).items()
    ]
    if rows:
        yield from (*table(("field", "type", "there", "what"), rows), "")


def type_of(schema: Schema) -> str:
    """A schema in a few words, with links to those that have a name."""
    if "$ref" in schema:
        name = str(schema["$ref"]).rsplit("/", 1)[1]
        return f"[{name}](#{name.lower()})"
    for choice in ("oneOf", "anyOf", "allOf"):
        if choice in schema:
            return " or ".join(type_of(each) for each in schema[choice])
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if schema.get("type") == "array":
        return f"list of {type_of(schema.get('items', {}))}"
    if isinstance(schema.get("additionalProperties"), Mapping):
        return f"object of {type_of(schema['additionalProperties'])}"
    bounds = [f"{sign} {schema[key]:g}" for key, sign in BOUNDS.items() if key in schema]
    return ", ".join([str(schema.get("type", "any")), *bounds])


BOUNDS = {"minimum": "≥", "maximum": "≤", "exclusiveMinimum": ">", "exclusiveMaximum": "<"}
