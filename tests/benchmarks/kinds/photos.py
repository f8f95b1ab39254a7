"""Folders of drawn photos that are called as those of both sources are."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from tests.drawings import encoded, write_folder
from tests.verification.photos import drawn_photo

HOUSES = {"train": ("001",), "val": ("101", "102", "150"), "test": ("151", "199", "200")}
ROOMS = ("bathroom", "kitchen")
CLASSES = ("Motorbikes", "watch", "car_side", "Leopards", "bass", "chair", "rhino", "cannon")
OF_A_CLASS = 4


def write_sources(root: Path) -> tuple[Path, Path]:
    """Houses, and Caltech-101; half of a class is on white."""
    rooms = [f"{house}_{room}.png" for houses in HOUSES.values() for house in houses for room in ROOMS]
    houses = {name: _photo(seed) for seed, name in enumerate(rooms)}
    things = {
        f"{name}/image_{number:04}.png": _photo(100 * place + number, on_white=number < OF_A_CLASS // 2)
        for place, name in enumerate(CLASSES, start=1)
        for number in range(OF_A_CLASS)
    }
    return write_folder(root / "house_photos", houses), write_folder(root / "caltech101", things)


def _photo(seed: int, *, on_white: bool = False) -> bytes:
    photo = Image.fromarray(drawn_photo(seed, 72, 96))
    if not on_white:
        return encoded(photo)
    page = Image.new("RGB", (120, 96), "white")
    page.paste(photo, (12, 12))
    return encoded(page)
