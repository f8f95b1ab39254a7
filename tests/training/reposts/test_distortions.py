"""Distortions: seeded, within their stated ranges, valid for any size; overlays alike on different photos."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from tests.drawings import drawing
from training.reposts import distortions, edits
from training.reposts.distortions import DISTORTIONS, OVERLAYS, chain, distort, draw_chain

SIZE = (300, 225)
DRAWN_OVER = ("text_watermark", "logo_watermark", "tiled_watermark", "logo", "badge")
SEEDS = range(12)


def photo(seed: int = 1, size: tuple[int, int] = SIZE) -> Image.Image:
    """A drawing with some grain: softly blurred patches alone would hide what blur and compression do."""
    grain = np.random.default_rng(seed).normal(0, 12, (size[1], size[0], 1))
    pixels = np.asarray(drawing(seed, size)).astype(np.float64) + grain
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def flat(level: int, size: tuple[int, int] = SIZE) -> Image.Image:
    return Image.new("RGB", size, (level, level, level))


def view(source: Image.Image, name: str, severity: float, seed: int) -> Image.Image:
    return distort(source, name, severity, np.random.default_rng(seed))


def array(image: Image.Image) -> NDArray[np.int64]:
    return np.asarray(image).astype(np.int64)


def change(name: str, severity: float) -> float:
    """Mean absolute difference in grey levels over several draws; other sizes are scaled to the photo's."""
    source = photo()
    views = [view(source, name, severity, seed).resize(source.size) for seed in SEEDS]
    return float(np.mean([np.abs(array(other) - array(source)).mean() for other in views]))


@pytest.mark.parametrize("name", DISTORTIONS)
def test_the_seed_decides_and_the_photo_stays(name: str) -> None:
    source, before = photo(), photo().tobytes()
    views = [view(source, name, 0.6, seed) for seed in (1, 1, 2, 3)]
    assert views[0].size == views[1].size
    assert views[0].tobytes() == views[1].tobytes()
    assert source.tobytes() == before
    assert (len({other.tobytes() for other in views}) > 1) == (name != "mirror")


@pytest.mark.parametrize("name", DISTORTIONS)
def test_numpys_and_pythons_own_randomness_play_no_part(name: str) -> None:
    source = photo(size=(80, 60))
    before = view(source, name, 0.8, 4)
    for other in OVERLAYS:
        view(source, other, 0.3, 9)  # what was drawn before must not matter either
    assert before.tobytes() == view(source, name, 0.8, 4).tobytes()


@pytest.mark.parametrize("size", [(1, 1), (20, 3), (3, 20), (900, 4), (448, 300)])
@pytest.mark.parametrize("name", DISTORTIONS)
def test_any_size_gives_rgb_of_at_least_16_pixels(name: str, size: tuple[int, int]) -> None:
    for source in (photo(size=size), drawing(2, size).convert("L").convert("RGB")):
        for severity in (0, 1):
            result = view(source, name, severity, 5)
            assert result.mode == "RGB"
            assert min(result.size) >= 16
            assert np.asarray(result).shape == (result.height, result.width, 3)


@pytest.mark.parametrize("name", [name for name in DISTORTIONS if name != "mirror"])
def test_the_mild_end_changes_the_photo_and_the_strong_end_more(name: str) -> None:
    assert 0.1 < change(name, 0) < change(name, 1)


@pytest.mark.parametrize("severity", [-0.01, 1.01, float("nan")])
def test_a_severity_outside_0_to_1_is_refused(severity: float) -> None:
    with pytest.raises(ValueError, match="severity"):
        view(photo(), "jpeg", severity, 0)


def test_unknown_names_are_refused_with_what_there_is() -> None:
    with pytest.raises(ValueError, match=r"'melt'.*crop.*jpeg"):
        view(photo(), "melt", 0.5, 0)
    with pytest.raises(ValueError, match=r"melt.*crop.*jpeg"):
        draw_chain(np.random.default_rng(0), 1, ["crop", "melt"])


def test_another_mode_is_refused() -> None:
    with pytest.raises(ValueError, match="mode L"):
        view(Image.new("L", SIZE), "jpeg", 0.5, 0)


def test_the_names_are_read_only() -> None:
    with pytest.raises(TypeError):
        DISTORTIONS["crop"] = DISTORTIONS["jpeg"]  # type: ignore[index]


def test_mirror_is_pillows() -> None:
    assert view(photo(), "mirror", 0.5, 0).tobytes() == ImageOps.mirror(photo()).tobytes()


@pytest.mark.parametrize(("severity", "low", "high"), [(0, 0.90, 0.96), (1, 0.29, 0.34)])
def test_crops_keep_their_share_and_are_a_part_of_the_photo(severity: float, low: float, high: float) -> None:
    columns, rows = np.meshgrid(np.arange(300) % 256, np.arange(225))
    source = Image.fromarray(np.stack([columns, rows, columns // 256], -1).astype(np.uint8))
    for seed in range(40):
        part = view(source, "crop", severity, seed)
        assert low <= part.width * part.height / (300 * 225) <= high
        assert 1 / 1.16 <= (part.width / part.height) / (300 / 225) <= 1.16
        left, top = array(part)[0, 0, 0], array(part)[0, 0, 1]
        assert part.tobytes() == source.crop((left, top, left + part.width, top + part.height)).tobytes()


@pytest.mark.parametrize("size", [(300, 225), (225, 300), (60, 40), (448, 448)])
@pytest.mark.parametrize("severity", [0, 0.5, 1])
def test_thumbnails_have_50_to_80_pixels(size: tuple[int, int], severity: float) -> None:
    sides = [max(view(photo(size=size), "thumbnail", severity, seed).size) for seed in SEEDS]
    assert 50 <= min(sides) <= max(sides) <= 80
    assert np.mean(sides) == pytest.approx(80 - 30 * severity, abs=2)


@pytest.mark.parametrize("severity", [0, 1])
def test_proportions_change_within_their_range_both_ways(severity: float) -> None:
    results = [view(photo(), "aspect", severity, seed) for seed in range(30)]
    factors = np.array([(other.width / other.height) / (300 / 225) for other in results])
    assert 0.7 <= factors.min() < 1 < factors.max() <= 1.41
    assert np.abs(np.log(factors)).min() > np.log(1.08)
    assert all(abs(other.width * other.height / (300 * 225) - 1) < 0.01 for other in results)


def test_downscaling_leaves_the_photo_small_or_scales_it_back() -> None:
    mild, strong = ({view(photo(), "downscale", severity, seed).size for seed in range(30)} for severity in (0, 1))
    assert SIZE in mild
    assert min(mild)[0] == pytest.approx(0.6 * 300, abs=8)
    assert SIZE in strong
    assert min(strong)[0] == 45  # .15 · 300


@pytest.mark.parametrize("name", ["jpeg", "webp"])
def test_compression_errs_more_with_every_step(name: str) -> None:
    errors = [change(name, severity) for severity in (0, 0.25, 0.5, 0.75, 1)]
    assert errors == sorted(errors)
    assert errors[-1] > 1.3 * errors[0]


def test_noise_has_the_stated_deviation() -> None:
    for severity, sigma in ((0, 6), (1, 36)):
        spreads = [array(view(flat(128), "noise", severity, seed)).std() for seed in SEEDS]
        assert min(spreads) == pytest.approx(sigma, abs=1.8)
        assert max(spreads) == pytest.approx(sigma, abs=1.8)


def test_salt_touches_the_stated_share_with_black_or_white() -> None:
    for severity, share in ((0, 0.01), (1, 0.08)):
        for seed in SEEDS:
            pixels = array(view(flat(128), "salt", severity, seed))
            touched = pixels != 128
            assert set(np.unique(pixels)) <= {0, 128, 255}
            assert touched.mean() == pytest.approx(share, abs=0.006)


def test_rotation_fills_corners_or_keeps_the_inside() -> None:
    sizes = set()
    for seed in range(30):
        result = view(flat(200), "rotation", 1, seed)
        sizes.add(np.sign(result.width - 300))
        # Fewer pixels than the photo's: the inside, where nothing may be filled.
        assert result.width >= 300 or (array(result) == 200).all()
    assert sizes == {-1, 0, 1}


def test_perspective_shows_no_filled_corner() -> None:
    assert all((array(view(flat(200), "perspective", 1, seed)) == 200).all() for seed in range(30))


def test_perspective_takes_corners_to_corners() -> None:
    corners = np.array([[0.1, 0.05], [0.9, 0], [1, 0.8], [0.02, 0.97]])
    a, b, c, d, e, f, g, h = edits._to_quadrilateral(corners, (200, 100))
    for (x, y), expected in zip([(0, 0), (200, 0), (200, 100), (0, 100)], corners * [200, 100], strict=True):
        scale = g * x + h * y + 1
        np.testing.assert_allclose([(a * x + b * y + c) / scale, (d * x + e * y + f) / scale], expected, atol=1e-9)


def test_greyscale_has_equal_channels() -> None:
    for severity in (0, 1):
        pixels = array(view(photo(), "greyscale", severity, 3))
        assert (pixels == pixels[..., :1]).all()


def test_hue_leaves_grey_as_it_is_and_keeps_luma() -> None:
    assert view(flat(90), "hue", 1, 1).tobytes() == flat(90).tobytes()
    source = Image.new("RGB", (32, 32), (140, 110, 100))
    luma = np.array([0.213, 0.715, 0.072])
    for seed in SEEDS:
        assert array(view(source, "hue", 1, seed))[0, 0] @ luma == pytest.approx([140, 110, 100] @ luma, abs=1)


@pytest.mark.parametrize(("severity", "share"), [(0, 0.03), (1, 0.15)])
def test_frames_have_their_width_at_every_side_and_hold_the_photo(severity: float, share: float) -> None:
    for seed in SEEDS:
        result = view(photo(), "frame", severity, seed)
        border = (result.width - 300) // 2
        assert border == (result.height - 225) // 2
        assert border / 225 == pytest.approx(share, abs=0.02)
        assert result.crop((border, border, border + 300, border + 225)).tobytes() == photo().tobytes()


@pytest.mark.parametrize(("name", "mild", "strong"), [("card", 0.75, 0.35), ("screenshot", 0.8, 0.4)])
def test_pages_give_the_photo_its_share(name: str, mild: float, strong: float) -> None:
    """A photo of one colour that no page has: its pixels are counted."""
    source = Image.new("RGB", SIZE, (7, 201, 113))
    for severity, share in ((0, mild), (1, strong)):
        for seed in SEEDS:
            pixels = array(view(source, name, severity, seed))
            assert (pixels == (7, 201, 113)).all(-1).mean() == pytest.approx(share, abs=0.045)


@pytest.mark.parametrize(("name", "low", "high"), [("logo", 0.05, 0.21), ("badge", 0.05, 0.17)])
def test_opaque_overlays_cover_what_they_may(name: str, low: float, high: float) -> None:
    for seed in SEEDS:
        covered = (array(view(flat(100), name, 1, seed)) != 100).any(-1).mean()
        assert low <= covered <= high


@pytest.mark.parametrize("severity", [0.2, 1])
@pytest.mark.parametrize("family", DRAWN_OVER)
def test_an_overlay_is_one_blend_on_all_photos(family: str, severity: float) -> None:
    """result = photo · (1 - alpha) + ink · alpha, so three flat photos give one alpha and one ink."""
    for seed in SEEDS:
        dark, middle, light = (array(view(flat(level), family, severity, seed)) for level in (0, 100, 200))
        assert np.abs((light - middle) - (middle - dark)).max() <= 2
        kept = (light - dark) / 200
        assert kept.min() >= -0.01
        assert kept.max() <= 1.01
        expected = dark + array(photo()) * kept
        assert np.abs(array(view(photo(), family, severity, seed)) - expected).max() <= 3


@pytest.mark.parametrize("family", ["logo", "badge"])
def test_opaque_overlays_put_equal_pixels_on_two_photos(family: str) -> None:
    for seed in SEEDS:
        first, second = (array(view(flat(level), family, 0.8, seed)) for level in (0, 255))
        opaque = (first == second).all(-1)
        assert opaque.mean() > 0.015
        np.testing.assert_array_equal(array(view(photo(), family, 0.8, seed))[opaque], first[opaque])


@pytest.mark.parametrize("family", ["frame", "letterbox", "card", "screenshot"])
def test_what_is_around_two_photos_is_equal(family: str) -> None:
    for seed in SEEDS:
        first, second = (array(view(flat(level), family, 0.7, seed)) for level in (99, 161))
        assert first.shape == second.shape
        held = (first == 99).all(-1) & (second == 161).all(-1)
        rows, columns = np.flatnonzero(held.any(1)), np.flatnonzero(held.any(0))
        assert held.sum() == (rows[-1] - rows[0] + 1) * (columns[-1] - columns[0] + 1)
        np.testing.assert_array_equal(first[~held], second[~held])


@pytest.mark.parametrize("family", OVERLAYS)
def test_overlays_keep_their_look_at_another_size(family: str) -> None:
    """The randomness that is used up is the same for all sizes: it would otherwise be another overlay."""
    states = []
    for size in ((40, 30), SIZE, (448, 200)):
        rng = np.random.default_rng(11)
        distort(flat(80, size), family, 0.7, rng)
        states.append(rng.bit_generator.state)
    assert states[0] == states[1] == states[2]


def test_a_chain_applies_its_names_in_order() -> None:
    rng = np.random.default_rng(8)
    expected = distort(distort(photo(), "crop", 0.5, rng), "jpeg", 0.5, rng)
    assert chain(photo(), ("crop", "jpeg"), 0.5, np.random.default_rng(8)).tobytes() == expected.tobytes()


def test_drawn_chains_have_distinct_kinds_in_a_plausible_order() -> None:
    ranks = {
        **dict.fromkeys(("crop", "rotation", "perspective", "mirror", "aspect"), 0),
        **dict.fromkeys(("brightness", "contrast", "gamma", "tone", "saturation", "hue", "greyscale"), 1),
        **dict.fromkeys(("sepia", "tint", "colour"), 1),
        **dict.fromkeys(("blur", "sharpen", "noise", "salt"), 2),
        **dict.fromkeys(OVERLAYS, 3),
        **dict.fromkeys(("downscale", "thumbnail"), 4),
        **dict.fromkeys(("jpeg", "webp"), 5),
    }
    assert set(ranks) == set(DISTORTIONS) - {"strong"}
    rivals = [{"jpeg", "webp"}, {"downscale", "thumbnail"}, {"card", "screenshot"}, {"brightness", "tone", "gamma"}]
    seen: set[str] = set()
    for seed in range(200):
        names = draw_chain(np.random.default_rng(seed), 1 + seed % 6, DISTORTIONS)
        assert len(set(names)) == 1 + seed % 6
        assert [ranks[name] for name in names] == sorted(ranks[name] for name in names)
        assert all(len(group & set(names)) <= 1 for group in rivals)
        seen.update(names)
    assert seen == set(ranks)


def test_chains_are_drawn_from_the_names_given_only() -> None:
    among = ("jpeg", "webp", "crop")
    assert {draw_chain(np.random.default_rng(seed), 2, among) for seed in range(40)} == {
        ("crop", "jpeg"),
        ("crop", "webp"),
    }
    with pytest.raises(ValueError, match="2 kinds"):
        draw_chain(np.random.default_rng(0), 3, among)


def test_strong_takes_two_at_the_mild_end_and_up_to_five(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths: list[int] = []

    def count(source: Image.Image, names: tuple[str, ...], severity: float, rng: np.random.Generator) -> Image.Image:
        lengths.append(len(names))
        return source

    monkeypatch.setattr(distortions, "chain", count)
    for seed in range(40):
        view(photo(), "strong", 0, seed)
    assert set(lengths) == {2}
    for seed in range(80):
        view(photo(), "strong", 1, seed)
    assert set(lengths) == {2, 3, 4, 5}
