"""A page of thumbnails with what is said of each: one HTML file that needs nothing beside it."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from phototriage.common.file_names import printable
from phototriage.common.tables import TableError

THUMBNAIL = 200  # pixels of the longer side; shown at 160, so that it is sharp on finer screens
QUALITY = 80

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
  :root {{ color-scheme: light dark; font: 14px/1.4 system-ui, sans-serif; }}
  body {{ margin: 1.5rem; }}
  h1 {{ font-size: 1.3rem; }} h2 {{ font-size: 1.05rem; margin: 2rem 0 .7rem; }}
  ul {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(170px, 1fr)); gap: 1rem; padding: 0; }}
  li {{ list-style: none; min-width: 0; }}
  img {{ width: 100%; height: 160px; object-fit: contain; background: #8882; border-radius: 4px; }}
  .marked img {{ outline: 2px solid #d33; outline-offset: 1px; }}
  p {{ margin: .3rem 0 0; overflow-wrap: anywhere; }}
  .name {{ font-weight: 600; }} .told {{ opacity: .8; font-size: .85rem; }}
</style>
<h1>{title}</h1>
<p>A red outline: to review.</p>
{sections}
</html>
"""


@dataclass(frozen=True)
class Tile:
    """A thumbnail as a data URL, the name of the image, lines about it, and whether it is marked."""

    image: str
    name: str
    lines: Sequence[str]
    marked: bool


@dataclass(frozen=True)
class Section:
    title: str
    tiles: Sequence[Tile]


def write(path: Path, title: str, sections: Sequence[Section]) -> None:
    """Write the page under a temporary name, and rename it when all is there. Raises TableError."""
    text = _PAGE.format(title=html.escape(title), sections="\n".join(_section(section) for section in sections))
    part = path.with_name(path.name + ".part")
    try:
        part.write_text(printable(text), encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise TableError(f"{path} can't be written: {error.strerror}") from error


def _section(section: Section) -> str:
    tiles = "\n".join(_tile(tile) for tile in section.tiles)
    return f"<h2>{html.escape(section.title)}</h2>\n<ul>\n{tiles}\n</ul>"


def _tile(tile: Tile) -> str:
    lines = "".join(f'<p class="told">{html.escape(line)}</p>' for line in tile.lines)
    marked = ' class="marked"' if tile.marked else ""
    name = html.escape(tile.name)
    return f'<li{marked}><img src="{tile.image}" alt="{name}"><p class="name">{name}</p>{lines}</li>'


def thumbnail(image: Image.Image) -> str:
    """A small JPEG of an image of mode RGB or L, as a data URL."""
    small = image.copy()
    small.thumbnail((THUMBNAIL, THUMBNAIL))
    file = io.BytesIO()
    small.save(file, "JPEG", quality=QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii")
