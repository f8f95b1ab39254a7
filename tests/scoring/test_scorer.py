from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import pytest
from PIL import Image

from phototriage.images.pixels import ImageLimits
from phototriage.scoring.image_references import BytesInMemory, Item, Unreadable
from phototriage.scoring.schema import body_of
from phototriage.scoring.scorer import FILES_AT_ONCE, READ_AHEAD, Scorer, Shard
from phototriage.settings import Settings
from phototriage.triage import pipeline
from phototriage.triage.pipeline import TriageRequest
from phototriage.triage.schemas import TriageResponse
from tests.hostile_files import encode
from tests.tiny_models import solid

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}


def item(colour: str) -> Item:
    content = solid(COLOURS[colour])
    return Item(colour, BytesInMemory(content, len(content)))


@dataclass(frozen=True)
class Faulty:
    """Fails as nothing should."""

    def read(self, limits: ImageLimits) -> bytes:
        raise RuntimeError("a bug")


@pytest.mark.parametrize("threads", [1, 3])
def test_rows_keep_the_order_of_images(settings: Settings, threads: int) -> None:
    scorer = Scorer(settings, TriageRequest(("classify",)), threads)
    colours = ["red", "blue", "green"] * 10
    table = scorer.score(Shard(0, [item(colour) for colour in colours])).to_pylist()
    assert [row["name"] for row in table] == colours
    assert [row["classify"]["label"] for row in table] == colours


def test_rows_tell_which_picture_of_an_animation_was_used(settings: Settings) -> None:
    animated = encode(Image.new("RGB", (8, 8), "red"), "GIF", save_all=True, append_images=[Image.new("RGB", (8, 8))])
    scorer = Scorer(settings, TriageRequest(("classify", "embed")))
    shard = Shard(0, [Item("moving", BytesInMemory(animated, len(animated))), item("red")])
    moving, still = scorer.score(shard).to_pylist()
    assert [moving[part]["frame"] for part in ("classify", "embed")] == ["first", "first"]
    assert body_of(moving)["classify"]["frame"] == "first"
    assert still["classify"]["frame"] is None
    assert "frame" not in body_of(still)["classify"]


def test_faults_cost_one_image_its_answer(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    scorer = Scorer(settings, TriageRequest(("classify",)))
    shard = Shard(0, [item("red"), Item("faulty", Faulty()), Item("lost", Unreadable("It is lost.")), item("blue")])
    table = scorer.score(shard).to_pylist()
    assert [row["error"] and row["error"]["code"] for row in table] == [None, "internal_error", "unreadable_file", None]
    assert "faulty can't be scored" in caplog.text


def test_it_says_what_it_answers_by_which_versions(settings: Settings) -> None:
    assert Scorer(settings, TriageRequest(("classify",))).parts == ("classify",)
    scorer = Scorer(settings, TriageRequest())
    assert scorer.parts == ("classify", "embed")
    assert set(scorer.versions) == {"tiny", "tiny_embedder"}


@dataclass(frozen=True)
class Counted:
    """Tells when it is read."""

    place: int
    begun: list[int]

    def read(self, limits: ImageLimits) -> bytes:
        self.begun.append(self.place)
        return solid((255, 0, 0))


def test_files_are_read_ahead_but_not_all(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[int] = []
    ahead: list[int] = []

    def counted(*arguments: Any) -> TriageResponse:
        time.sleep(0.002)  # in which the readers have time for all that they may read
        ahead.append(len(begun) - len(ahead))
        return original(*arguments)

    original = pipeline.respond
    monkeypatch.setattr(pipeline, "respond", counted)
    Scorer(settings, TriageRequest(("classify",))).score(Shard(0, [Item(str(n), Counted(n, begun)) for n in range(50)]))
    assert sorted(begun) == list(range(50))
    assert 1 < max(ahead) <= FILES_AT_ONCE * (READ_AHEAD + 1)


def test_images_one_by_one_are_read_when_their_place_is_told(settings: Settings) -> None:
    begun: list[int] = []
    reported: list[tuple[int, int]] = []
    shard = Shard(0, [Item(str(n), Counted(n, begun)) for n in range(5)])
    table = Scorer(settings, TriageRequest(("classify",))).score(
        shard, {2}, lambda place: reported.append((place, len(begun)))
    )
    assert reported == [(0, 0), (1, 1), (2, 2), (3, 2), (4, 3)]
    assert [row["error"] is None for row in table.to_pylist()] == [True, True, False, True, True]


def test_a_digest_is_of_names_in_their_order() -> None:
    one, other = [item("red"), item("blue")], [item("blue"), item("red")]
    assert Shard(0, one).digest == Shard(5, one).digest
    assert Shard(0, one).digest != Shard(0, other).digest
