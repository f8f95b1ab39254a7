"""The command `phototriage saliency`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from phototriage.cli.exit_status import DONE, FILE_FAILED, tell
from phototriage.cli.triage_options import tell_default
from phototriage.common.errors import PhototriageError
from phototriage.images.pixels import decode
from phototriage.models.model_set import load_models
from phototriage.scoring.image_files import reason
from phototriage.settings import Settings
from phototriage.triage import pipeline
from phototriage.triage.schemas import Method

OVERLAY_OPACITY = 0.6
OVERLAY_COLOUR = (255, 0, 0)


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Its options, among those of the other commands."""
    saliency = commands.add_parser("saliency", help="write what the model looked at, as a picture")
    saliency.add_argument("file", type=Path, metavar="FILE")
    saliency.add_argument("-o", "--output", type=Path, required=True, metavar="PNG")
    saliency.add_argument("--method", choices=get_args(Method), default="gradient")
    saliency.add_argument("--target", help="label to explain; the predicted one without it")
    saliency.add_argument("--overlay", action="store_true", help="lay the mask in red over the photo")
    saliency.add_argument("--model", help="a classifier; the default one without it")
    saliency.set_defaults(run=run)


def run(options: argparse.Namespace, settings: Settings) -> int:
    models, limits = load_models(settings), settings.image_limits
    tell_default(models, options.model)
    try:
        data = options.file.read_bytes()
        saliency = pipeline.saliency(models, data, options.method, options.target, options.model, limits)
        if options.overlay:
            photo = np.asarray(decode(data, limits).convert("RGB"))
            Image.fromarray(overlay(photo, saliency.mask)).save(options.output, "PNG")
        else:
            options.output.write_bytes(saliency.png())
    except (PhototriageError, OSError) as error:
        tell(f"{options.file}: {reason(error)}")
        return FILE_FAILED
    print(f"{options.output}: what {models.classifier(options.model).name} looked at")
    return DONE


def overlay(photo: NDArray[np.uint8], mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Photo uint8 (H, W, 3) RGB with the mask uint8 (H, W) laid over it in red."""
    share = mask[..., np.newaxis] * np.float32(OVERLAY_OPACITY / 255)
    mixed: NDArray[np.float32] = photo * (1 - share) + np.array(OVERLAY_COLOUR, np.float32) * share
    return np.rint(mixed).astype(np.uint8)
