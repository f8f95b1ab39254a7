"""Pages of documents that have their place elsewhere in the repository, such as README.md."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
INCLUDED = {
    "README.md": "index.md",
    "DESIGN.md": "design/index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "deploy/README.md": "how_to/cluster.md",
    "clients/python/README.md": "how_to/python_client.md",
    "clients/typescript/README.md": "how_to/typescript_client.md",
}
# Where links to other files lead.
PLACES = INCLUDED | {"RESULTS.md": "results/index.md", "clients/openapi.json": "reference/openapi.json"}
LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)\s]+)\)")
PICTURE = re.compile(r"!\[([^\]]*)\]\(([^)\s]+)\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages."""
    for document, page in INCLUDED.items():
        files.append(File.generated(config, page, content=included(document)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Pages of figures have no list of sections beside them, so that their tables have its room."""
    if page.file.src_uri.startswith("results/"):
        page.meta["hide"] = ["toc"]
    if page.file.src_uri == "index.md":
        page.meta["hide"] = ["navigation"]
    source = f"docs/{page.file.src_uri}"
    return with_links(markdown, source, page.file.src_uri) if (ROOT / source).is_file() else markdown


def included(document: str) -> str:
    """The document with its links leading to pages of the site."""
    return with_links((ROOT / document).read_text(encoding="utf-8"), document, INCLUDED[document])


def with_links(text: str, document: str, page: str) -> str:
    """The text of a document of the repository, as that page of the site: its links to files lead to pages.

    What the site doesn't have is named, not linked.
    """
    folder = posixpath.dirname(document)

    def target(link: str) -> str | None:
        path, mark, anchor = link.partition("#")
        place = posixpath.normpath(posixpath.join(folder, path)) if path else document
        if place in PLACES:
            place = PLACES[place]
        elif place.startswith("docs/"):
            place = place.removeprefix("docs/")
        else:
            return None
        return posixpath.relpath(place, posixpath.dirname(page)) + mark + anchor

    def link(found: re.Match[str]) -> str:
        if "://" in found[2]:
            return found[0]
        to = target(found[2])
        return f"[{found[1]}]({to})" if to else found[1]

    def picture(found: re.Match[str]) -> str:
        return f"![{found[1]}]({target(found[2])})"

    return PICTURE.sub(picture, LINK.sub(link, text))
