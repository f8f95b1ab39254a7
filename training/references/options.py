"""Options of reference networks, which two commands share: given alike, the second trains none."""

from __future__ import annotations

import argparse
from pathlib import Path

from training.data.dataset import Dataset
from training.loop.options import compute_of
from training.references.cross_fit import References, ReferenceSettings

FOLDER = "references"  # below runs/: networks are kept under what they learned, whoever asked for them
QUICK_EPOCHS, QUICK_SEEDS = 3, 2


def add_reference_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--seeds", type=int, default=3, help="of reference networks, two networks each")
    add("--reference-epochs", type=int, default=12)
    add("--reference-size", type=int, default=64, help="input side of reference networks in pixels")


def check_reference_options(given: argparse.Namespace) -> None:
    """Take up --quick. Raises ValueError."""
    if given.quick:
        given.seeds, given.reference_epochs = QUICK_SEEDS, QUICK_EPOCHS
    if given.seeds < 1:
        raise ValueError(f"--seeds {given.seeds}: one at least")
    if given.reference_epochs < 1 or given.reference_size < 8 or given.reference_size % 8:
        raise ValueError("--reference-epochs is 1 or more, --reference-size a multiple of 8")


def references_of(given: argparse.Namespace, data: Dataset) -> References:
    """As the command line has them: also --runs, --device, --workers and --precision."""
    compute = compute_of(given)
    settings = ReferenceSettings(size=given.reference_size, epochs=given.reference_epochs, bf16=compute.bf16)
    folder: Path = given.runs / FOLDER
    return References(data, settings, folder, compute)
