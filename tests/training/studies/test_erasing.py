"""The parts of the study that decide its figures."""

from __future__ import annotations

import pytest
import torch

from training.studies.erasing import occlusion, strongest, table, to_mean


def test_the_strongest_fifth() -> None:
    maps = torch.arange(100.0).view(1, 10, 10)
    mask = strongest(maps)
    assert int(mask.sum()) == 20
    assert mask[0, 8:].all()


def test_occlusion_covers_thirty_per_cent_and_repeats() -> None:
    mask = occlusion(7, 128)
    assert mask.float().mean().item() == pytest.approx(19 / 64)
    assert torch.equal(mask, occlusion(7, 128))
    assert not torch.equal(mask, occlusion(8, 128))


def test_masked_pixels_take_the_mean_colour() -> None:
    pixels = torch.tensor([[[[0.0, 1.0], [0.5, 0.5]]]])
    mask = torch.tensor([[[True, False], [False, False]]])
    assert to_mean(pixels, mask).flatten().tolist() == [0.5, 1.0, 0.5, 0.5]


def test_the_table_prints_paired_differences() -> None:
    def fold(share: float) -> dict[str, object]:
        right = {
            name: [1] * round(100 * share) + [0] * round(100 * (1 - share))
            for name in (
                "clean",
                "own salient fifth removed",
                "reference salient fifth removed",
                "random 30 % occluded",
            )
        }
        return {"right": right, "entropy": share, "gini": share}

    text = table({"none": [fold(0.5), fold(0.6)], "random": [fold(0.6), fold(0.7)], "featout": [fold(0.7), fold(0.8)]})
    assert "| clean | 55.00 | 65.00 | 75.00 | +20.00 ± 0.00 | +10.00 ± 0.00 |" in text
