"""Options of the commands that tell duplicates."""

from __future__ import annotations

import argparse
import math


def add_model_options(command: argparse.ArgumentParser) -> None:
    """By which model, and from where on, two images are duplicates."""
    command.add_argument("--model", help="an embedder; the default one without it")
    command.add_argument(
        "--threshold", type=_similarity, help="of the similarity, from -1 to 1, which then decides alone"
    )
    command.add_argument(
        "--min-probability", type=_probability, help="of verified pairs, from 0 to 1; the tuned one without it"
    )


def _similarity(text: str) -> float:
    value = float(text)
    if not math.isfinite(value) or not -1 <= value <= 1:
        raise argparse.ArgumentTypeError(f"it is {text}, and similarities go from -1 to 1")
    return value


def _probability(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"it is {text}, and probabilities go from 0 to 1")
    return value
