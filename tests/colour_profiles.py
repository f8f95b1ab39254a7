"""ICC profiles made by code (ICC.1:2022), and what they say in closed form."""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

# Red, green and blue in CIE XYZ, adapted to D50; the columns of a matrix. Of the profiles that Apple, Adobe and the ICC
# publish.
SRGB = np.array([[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]])
DISPLAY_P3 = np.array([[0.51512, 0.29198, 0.15710], [0.24120, 0.69225, 0.06657], [-0.00105, 0.04189, 0.78407]])
ADOBE_RGB = np.array([[0.60974, 0.20528, 0.14919], [0.31111, 0.62567, 0.06322], [0.01947, 0.06087, 0.74457]])
ADOBE_GAMMA = 2 + 51 / 256


def rgb_profile(primaries: NDArray[np.float64], gamma: float | None = None) -> bytes:
    """Of these primaries, with sRGB's curve or a gamma."""
    curve = _srgb_curve() if gamma is None else _gamma_curve(gamma)
    colours = {f"{name}XYZ".encode(): _xyz(primaries[:, i]) for i, name in enumerate("rgb")}
    return _profile(b"mntr", b"RGB ", b"XYZ ", colours | {f"{name}TRC".encode(): curve for name in "rgb"})


def grey_profile(gamma: float) -> bytes:
    return _profile(b"mntr", b"GRAY", b"XYZ ", {b"kTRC": _gamma_curve(gamma)})


def cmyk_profile(cyan_lightness: float) -> bytes:
    """Paper is white, black ink black, and cyan at its fullest a grey of that lightness, 0 to 100; other inks, and all
    together, are black."""
    identity = bytes(range(256))
    corners = bytearray()
    for corner in range(16):  # of the cube of inks, cyan first, which changes slowest
        lightness = {0b0000: 100.0, 0b1000: cyan_lightness}.get(corner, 0.0)
        corners += bytes([round(lightness * 255 / 100), 128, 128])
    matrix = b"".join(struct.pack(">i", 65536 if i % 4 == 0 else 0) for i in range(9))
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + matrix + identity * 4 + bytes(corners) + identity * 3
    return _profile(b"prtr", b"CMYK", b"Lab ", {b"A2B0": table, b"A2B1": table})


def srgb_of(pixels: NDArray[np.uint8], primaries: NDArray[np.float64], gamma: float | None = None) -> NDArray[np.uint8]:
    """Pixels (..., 3) of such a profile in sRGB, by IEC 61966-2-1."""
    coded = pixels / 255.0
    linear = (
        np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4) if gamma is None else coded**gamma
    )
    shown = np.clip(linear @ primaries.T @ np.linalg.inv(SRGB).T, 0, 1)
    return (encode_srgb(shown) * 255).round().astype(np.uint8)


def encode_srgb(linear: NDArray[np.float64]) -> NDArray[np.float64]:
    curved: NDArray[np.float64] = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return curved


def _xyz(values: NDArray[np.float64]) -> bytes:
    return b"XYZ " + bytes(4) + b"".join(struct.pack(">i", round(float(value) * 65536)) for value in values)


def _srgb_curve() -> bytes:
    numbers = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
    return (
        b"para" + bytes(4) + struct.pack(">HH", 3, 0) + b"".join(struct.pack(">i", round(n * 65536)) for n in numbers)
    )


def _gamma_curve(gamma: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)


def _profile(kind: bytes, space: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    tags = {b"wtpt": _xyz(np.array([0.9642, 1.0, 0.8249])), **tags}
    table, content = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, value in tags.items():
        table += name + struct.pack(">II", start + len(content), len(value))
        content += value + bytes(-len(value) % 4)
    version, white = b"\x04\x20\0\0", struct.pack(">iii", 63190, 65536, 54061)
    head = bytes(4) + b"none" + version + kind + space + connection + bytes(12) + b"acsp"
    head = (head.ljust(68, b"\0") + white).ljust(128, b"\0")
    whole = head + table + content
    return struct.pack(">I", len(whole)) + whole[4:]
