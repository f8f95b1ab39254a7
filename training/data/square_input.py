"""Inputs that are squares: what all trainings feed their networks with."""

from __future__ import annotations

from phototriage.images.input_config import Aspect, Colour, InputConfig, Resize


def square_input(
    side: int, *, colour: Colour = "rgb", resize: Resize = "bicubic", aspect: Aspect = "stretch"
) -> InputConfig:
    """`side` × `side` pixels."""
    return InputConfig(height=side, width=side, colour=colour, resize=resize, antialias=True, aspect=aspect)
