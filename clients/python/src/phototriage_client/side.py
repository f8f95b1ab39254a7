"""What is compared: an image, or the embedding that takes its place."""

from __future__ import annotations

import asyncio
from typing import TypeAlias

from phototriage_client.embedding import Embedding
from phototriage_client.picture import ImageSource, Picture, is_at_hand, read_picture

Side: TypeAlias = Picture | Embedding
SideSource: TypeAlias = ImageSource | Embedding


def read_side(source: SideSource) -> Side:
    """Raises UnreadableImage."""
    return source if isinstance(source, Embedding) else read_picture(source)


async def read_picture_aside(source: ImageSource) -> Picture:
    """As `read_picture`; what takes reading or encoding is done in a thread."""
    return read_picture(source) if is_at_hand(source) else await asyncio.to_thread(read_picture, source)


async def read_side_aside(source: SideSource) -> Side:
    """As `read_side`; what takes reading or encoding is done in a thread."""
    return source if isinstance(source, Embedding) else await read_picture_aside(source)
