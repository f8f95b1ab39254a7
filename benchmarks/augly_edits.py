"""Photos under AugLy's image augmentations (Papakipos & Bitton 2022): edits that someone else wrote.

    python -m benchmarks.augly_edits FOLDER [--picture FILE]

FOLDER is what `benchmarks.augly_photos` wrote. Each photo gets every edit in a mild and a strong setting, as JPEG below
`edited/`, and `pairs.csv` (path_a, path_b, is_same, kind) has each photo with its own edited copies, and with those of
the photo that it is most easily mistaken for. Nothing that is trained or tuned ever sees them.

AugLy needs older versions of Pillow and numpy than this project: run it by `make bench-augly`, which sets up an
environment of its own. What AugLy brings may be used here, but not all of it published: its code and the two fonts that
are used are free (MIT, OFL 1.1), its emojis are Twemoji (CC BY 4.0), and where the stock photos in its templates of
screenshots are from isn't said. No picture of an edit belongs into the repository.
"""

from __future__ import annotations

import argparse
import csv
import sys
import zlib
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont, ImageOps

QUALITY = 95
FIELDS = ("path_a", "path_b", "is_same", "kind")
CELL, LABEL, GAP, COLUMNS = (270, 150), 16, 4, 6  # of the contact sheet, in pixels

Options = Mapping[str, Any]


class Photo(NamedTuple):
    path: str
    kind: str
    alike: str  # the path of the photo it is most easily mistaken for


def settings(photo: Image.Image, ground: Image.Image, augly: Any, seed: int) -> dict[str, tuple[Options, Options]]:
    """By AugLy's name of an edit, a mild and a strong setting of it for that photo; where there is nothing to set,
    both are empty.

    The mild one is AugLy's default, or ours where its default changes nothing (or everything, as of shuffle_pixels).
    The strong one is the far end of AugLy's own random transform (blur, brightness, pixelization), or ours. `ground` is
    another photo, to be laid over or under it.
    """
    width, height = photo.size
    right, middle = Image.new("L", photo.size), Image.new("L", photo.size)
    right.paste(255, (width // 2, 0, width, height))
    middle.paste(255, (width // 7, height // 7, width * 6 // 7, height * 6 // 7))
    words = [int(word) for word in np.random.default_rng(seed).integers(1, 1000, 10)]
    oblique = {"sigma": min(width, height) / 4, "seed": seed}
    return {
        "apply_pil_filter": ({}, {"filter_type": ImageFilter.EMBOSS}),
        "blur": ({}, {"radius": 10.0}),
        "brightness": ({"factor": 0.5}, {"factor": 2.0}),
        "change_aspect_ratio": ({}, {"ratio": 0.5 if width > height else 2.0}),
        "clip_image_size": ({"max_resolution": 30_000}, {"max_resolution": 10_000}),
        "color_jitter": (
            {"brightness_factor": 1.2, "contrast_factor": 0.8, "saturation_factor": 1.5},
            {"brightness_factor": 0.5, "contrast_factor": 2.0, "saturation_factor": 3.0},
        ),
        "contrast": ({"factor": 1.5}, {"factor": 0.3}),
        "convert_color": ({"mode": "P", "palette": 1, "colors": 16}, {"mode": "1"}),
        "crop": ({}, {"x1": 0.05, "y1": 0.55, "x2": 0.45, "y2": 0.95}),
        "encoding_quality": ({}, {"quality": 10}),
        "grayscale": ({}, {"mode": "average"}),
        "hflip": ({}, {}),
        "masked_composite": (
            {"mask": right, "transform_function": augly.Grayscale()},
            {"mask": middle, "transform_function": augly.Blur(radius=10.0)},
        ),
        "meme_format": ({}, {"text": "when nobody is looking,\nthis is what it\nlooks like", "caption_height": 400}),
        "opacity": ({"level": 0.6}, {"level": 0.25}),
        "overlay_emoji": ({}, {"emoji_size": 0.6, "x_pos": 0.3, "y_pos": 0.2}),
        "overlay_image": ({"overlay": ground}, {"overlay": ground, "x_pos": 0.25, "y_pos": 0.25}),
        "overlay_onto_background_image": (
            {"background_image": ground},
            {"background_image": ground, "overlay_size": 0.45, "x_pos": 0.3, "y_pos": 0.3},
        ),
        "overlay_onto_screenshot": ({}, {"template_filepath": str(template(augly, "mobile.png"))}),
        "overlay_stripes": ({}, {"line_width": 0.7, "line_angle": 45, "line_color": (0, 0, 0)}),
        "overlay_text": (
            {"text": words[:5]},
            {"text": [words[:5], words[5:]], "font_size": 0.3, "x_pos": 0.1, "y_pos": 0.2},
        ),
        "pad": ({}, {"w_factor": 0.75, "h_factor": 0.75, "color": (255, 255, 255)}),
        "pad_square": ({}, {}),
        "perspective_transform": ({"seed": seed}, oblique),
        "pixelization": ({"ratio": 0.5}, {"ratio": 0.1}),
        "random_noise": ({"seed": seed}, {"seed": seed, "var": 0.1}),
        "resize": ({"width": width // 2, "height": height * 3 // 4}, {"width": 96, "height": 96}),
        "rotate": ({}, {"degrees": 120.0}),
        "saturation": ({"factor": 2.0}, {"factor": 5.0}),
        "scale": ({}, {"factor": 0.2}),
        "sharpen": ({"factor": 5.0}, {"factor": 25.0}),
        "shuffle_pixels": ({"factor": 0.1, "seed": seed}, {"factor": 0.4, "seed": seed}),
        "skew": ({}, {"skew_factor": 1.0, "axis": 1}),
        "vflip": ({}, {}),
    }


def template(augly: Any, name: str) -> Path:
    """The path of a template of screenshots, below the folder of the installed package."""
    return Path(augly.__file__).parents[1] / "assets" / "screenshot_templates" / name


def edited(photo: Image.Image, ground: Image.Image, augly: Any, seed: int) -> Iterator[tuple[str, Image.Image]]:
    """All edits of an RGB photo, RGB, by their name and strength. `augly` is the module `augly.image`."""
    for name, (mild, strong) in settings(photo, ground, augly, seed).items():
        strengths = {"mild": mild, "strong": strong} if strong else {"": mild}
        for strength, options in strengths.items():
            result = getattr(augly, name)(photo.copy(), **options)
            yield f"{name}, {strength}".removesuffix(", "), result.convert("RGB")


def pairs(photos: Sequence[Photo], copies: Mapping[str, Mapping[str, str]]) -> Iterator[tuple[str, str, int, str]]:
    """Rows of the table: each photo with its own copies, and with those of its look-alike. copies: the path by edit, by
    path of the photo."""
    for photo in photos:
        for edit, path in copies[photo.path].items():
            yield photo.path, path, 1, f"{photo.kind}, {edit}"
            yield photo.path, copies[photo.alike][edit], 0, f"{photo.kind}, {edit}"


def write(folder: Path, augly: Any) -> list[Path]:
    """Edit all photos of a folder, and write the table. Returns for each edit one copy, to look at."""
    with (folder / "photos.csv").open(encoding="utf-8", newline="") as file:
        photos = [Photo(row["path"], row["kind"], row["alike"]) for row in csv.DictReader(file)]
    grounds = [_rgb(path) for path in sorted(folder.glob("ground_*.png"))]
    (folder / "edited").mkdir(exist_ok=True)
    copies: dict[str, dict[str, str]] = {}
    for number, photo in enumerate(photos):
        seed = zlib.crc32(photo.path.encode())
        copies[photo.path] = {}
        for edit, image in edited(_rgb(folder / photo.path), grounds[number % len(grounds)], augly, seed):
            name = f"edited/{Path(photo.path).stem}_{edit.replace(', ', '_')}.jpg"
            image.save(folder / name, quality=QUALITY, subsampling=0)
            copies[photo.path][edit] = name
        print(f"{number + 1} of {len(photos)}", end="\r", file=sys.stderr)
    with (folder / "pairs.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(FIELDS)
        rows.writerows(pairs(photos, copies))
    edits = list(copies[photos[0].path])
    return [folder / copies[photos[place * 5 % len(photos)].path][edit] for place, edit in enumerate(edits)]


def _rgb(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGB")


def sheet(copies: Sequence[Path]) -> Image.Image:
    """The copies, each under its file's name."""
    step_x, step_y = CELL[0] + GAP, CELL[1] + LABEL + GAP
    result = Image.new("RGB", (COLUMNS * step_x, -(-len(copies) // COLUMNS) * step_y), (250, 250, 250))
    draw, font = ImageDraw.Draw(result), ImageFont.load_default()
    for place, path in enumerate(copies):
        left, top = place % COLUMNS * step_x, place // COLUMNS * step_y
        draw.text((left + 2, top + 2), path.stem[5:], "black", font)
        view = ImageOps.contain(_rgb(path), CELL)
        result.paste(view, (left + (CELL[0] - view.width) // 2, top + LABEL + (CELL[1] - view.height) // 2))
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.augly_edits", description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, help="what benchmarks.augly_photos wrote")
    parser.add_argument("--picture", type=Path, help="also write one sample of each edit, to look at")
    given = parser.parse_args(arguments)
    try:
        augly = import_module("augly.image")
    except ImportError as error:
        print(f"error: {error}. Run it by `make bench-augly`, which installs AugLy.", file=sys.stderr)
        return 1
    samples = write(given.folder, augly)
    if given.picture:
        sheet(samples).save(given.picture)
    return 0


if __name__ == "__main__":
    sys.exit(main())
