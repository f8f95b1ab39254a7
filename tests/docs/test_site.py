"""The site as `make docs` builds it."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ELSEWHERE = re.compile(
    r"""<(?:script|img|iframe|source)\b[^>]*\ssrc=["']?(?:https?:)?//[^>]*"""
    r"""|<link\b(?![^>]*rel=["']?canonical)[^>]*\shref=["']?(?:https?:)?//[^>]*"""
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built with nothing to reach: any proxy that is asked is a port where nobody listens."""
    folder = tmp_path_factory.mktemp("site")
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(folder)]
    environment = os.environ | nowhere | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return folder


def test_pages_ask_no_other_host(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 60
    assert [(page.name, found) for page in pages for found in ELSEWHERE.findall(page.read_text("utf-8"))] == []
    for sheet in site.rglob("*.css"):
        assert re.findall(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//[^)]*", sheet.read_text("utf-8")) == []


def test_a_page_that_asks_another_host_would_be_found() -> None:
    assert ELSEWHERE.search('<link rel="stylesheet" href="https://fonts.example/css">')
    assert ELSEWHERE.search("<script async src=//example.org/x.js></script>")
    assert not ELSEWHERE.search('<a href="https://example.org">')


def test_every_route_and_schema_is_on_the_page_of_http(site: Path) -> None:
    document = json.loads((ROOT / "clients/openapi.json").read_text(encoding="utf-8"))
    page = (site / "reference/http.html").read_text(encoding="utf-8")
    headings = re.findall(r"<h3 [^>]*>(.*?)<a ", page)
    for path, operations in document["paths"].items():
        assert [method for method in operations if f"{method.upper()} {path}" not in headings] == []
    for name, schema in document["components"]["schemas"].items():
        assert name in headings
        assert [field for field in schema.get("properties", {}) if f"<code>{field}</code>" not in page] == []


def test_every_package_has_a_page_with_its_public_names(site: Path) -> None:
    packages = [path.parent for path in ROOT.glob("phototriage/*/__init__.py")]
    packages += [path.parent for path in ROOT.glob("training/*/__init__.py")]
    assert len(packages) > 20
    for package in packages:
        name = ".".join(package.relative_to(ROOT).parts)
        page = (site / f"reference/python/{name}.html").read_text(encoding="utf-8")
        for module in package.glob("*.py"):
            assert (
                module.stem.startswith("__") or f"<code>{module.stem}</code>" in page or f'id="{module.stem}"' in page
            )
        for exported in classes_and_functions(package):
            assert f'id="{name}.{exported}"' in page, exported


def classes_and_functions(package: Path) -> set[str]:
    """Of those that the package's `__all__` lists."""
    listed = re.search(r"^__all__ = (\[.*?\])", (package / "__init__.py").read_text(encoding="utf-8"), re.M | re.S)
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in package.glob("*.py")]
    defined = {node.name for tree in trees for node in tree.body if isinstance(node, (ast.ClassDef, ast.FunctionDef))}
    return defined & set(ast.literal_eval(listed[1]) if listed else ())
