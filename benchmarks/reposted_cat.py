"""The repost that README compares with its cat: python -m benchmarks.reposted_cat"""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from training.reposts.chains import Step, repost

STEPS = (
    Step("crop", 0.2, 3),
    Step("mirror", 0.0, 0),
    Step("hue", 0.2, 5),
    Step("text_watermark", 0.2, 4),
    Step("jpeg", 0.4, 2),
)


def main(docs: Path = Path("docs")) -> None:
    with Image.open(docs / "cat.jpg") as photo:
        repost(photo.convert("RGB"), STEPS).save(docs / "cat_reposted.jpg", quality=85)


if __name__ == "__main__":
    main()
