from __future__ import annotations

import pytest

from phototriage.common.progress import Progress


def test_lines_come_every_two_seconds_and_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    times = iter([0.0, 1.0, 2.0, 3.0, 4.0, 5.0])
    progress = Progress(1000, lambda: next(times))
    for images in (10, 10, 20, 40, 920):
        progress.step(images)
    # 20 images in 2 s leave 980 at 10 a second; 80 in 4 s leave 920 at 20 a second.
    assert capsys.readouterr().err.splitlines() == [
        "20 of 1000 images, 10.0 images/s, 1:38 min left",
        "80 of 1000 images, 20.0 images/s, 0:46 min left",
        "1000 of 1000 images, 200.0 images/s, 0:00 min left",
    ]


def test_hours_are_told_as_hours(capsys: pytest.CaptureFixture[str]) -> None:
    times = iter([0.0, 2.0])
    Progress(7501, lambda: next(times)).step(1)
    assert capsys.readouterr().err == "1 of 7501 images, 0.5 images/s, 4 h 10 min left\n"


def test_what_was_done_before_does_not_count_as_speed(capsys: pytest.CaptureFixture[str]) -> None:
    times = iter([0.0, 2.0])
    progress = Progress(100, lambda: next(times))
    progress.skip(50)
    progress.step(10, errors=3)
    assert capsys.readouterr().err == "60 of 100 images, 5.0 images/s, 3 errors, 0:08 min left\n"


def test_without_a_total_nothing_is_said_to_be_left(capsys: pytest.CaptureFixture[str]) -> None:
    times = iter([0.0, 2.0])
    Progress(None, lambda: next(times)).step(10)
    assert capsys.readouterr().err == "10 images, 5.0 images/s\n"
