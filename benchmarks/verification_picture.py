"""The picture of a verification in the documents: python -m benchmarks.verification_picture

scikit-image's `coffee` (CC0), and the same turned, cropped, recoloured and watermarked, on a page.
"""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image
from skimage import data  # type: ignore[import-not-found, import-untyped, unused-ignore]

from phototriage.models.model_set import load_models
from phototriage.settings import Settings
from phototriage.triage.comparison import Side, drawn
from training.reposts.chains import Step, repost

STEPS = (
    Step("crop", 0.4, 3),
    Step("hue", 0.2, 5),
    Step("text_watermark", 0.3, 4),
    Step("rotation", 0.2, 6),
)
WIDTH, QUALITY = 1080, 85


def encoded(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=QUALITY)
    return file.getvalue()


def main(to: Path = Path("docs/verification.jpg")) -> None:
    photo = Image.fromarray(data.coffee())  # type: ignore[no-untyped-call, unused-ignore]
    page = Image.new("RGB", (520, 720), (246, 244, 238))
    copy = repost(photo, STEPS).transpose(Image.Transpose.ROTATE_270)
    page.paste(copy.resize((360, round(360 * copy.height / copy.width))), (90, 110))
    sides = Side("image_a", "image", encoded(photo)), Side("image_b", "image", encoded(page))
    shown = Image.open(io.BytesIO(drawn(load_models(Settings(provider="cpu")), *sides).png))
    shown.convert("RGB").resize((WIDTH, round(shown.height * WIDTH / shown.width))).save(
        to, quality=QUALITY, optimize=True
    )


if __name__ == "__main__":
    main()
