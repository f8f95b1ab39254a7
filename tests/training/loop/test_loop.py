"""The loop of all trainings: its order of events, its schedule, and checkpoints, on a network of one weight."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import cos, pi
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.training.silent import Silent
from training.loop.compute import Compute
from training.loop.loop import EpochResult, Loop, LoopSettings, Schedule


@dataclass(frozen=True)
class Weight(EpochResult):
    drawn = ("value",)
    value: float

    def summary(self) -> str:
        return f"weight {self.value}"


class Descent(Loop[Weight, float, float]):
    """Each step moves the weight down by its learning rate. The best epoch is the one whose weight is the largest, so
    the first. Files that are there at each event are kept in `events`."""

    result_type = Weight
    network: nn.Linear

    def __init__(self, folder: Path | None = None, epochs: int = 2, ema_decay: float | None = None) -> None:
        network = nn.Linear(1, 1, bias=False)
        nn.init.constant_(network.weight, 1.0)
        settings = LoopSettings(epochs=epochs)
        self.events: list[tuple[str, set[str]]] = []
        watcher = Reporting(self)
        super().__init__(network, settings, Compute(), watcher, folder, ema_decay)
        self.optimiser = torch.optim.SGD(network.parameters(), lr=0.01)

    def happened(self, event: str) -> None:
        self.events.append((event, {path.name for path in self.folder.iterdir()} if self.folder else set()))

    def plan(self, epoch: int) -> list[float]:
        return [1.0] * 4

    def batches(self, epoch: int, plan: Sequence[float]) -> Sequence[float]:
        return plan

    def step(self, batch: float, epoch: int, step: int) -> Mapping[str, float]:
        self.descend(self.network(torch.tensor([batch])).sum())
        return {"seen": 1}

    def means(self) -> Mapping[str, float]:
        return {"seen": self.sums["seen"]}

    def validate(self, epoch: int) -> Weight:
        self.happened("validated")
        candidate = self.candidate
        assert isinstance(candidate, nn.Linear)
        return Weight(epoch=epoch, seconds=self.sums["seconds"], best=False, value=candidate.weight.item())

    def is_best(self, result: Weight) -> bool:
        return all(result.value > earlier.value for earlier in self.results())


class Reporting(Silent):
    def __init__(self, training: Descent) -> None:
        super().__init__()
        self.training = training

    def epoch(self, result: EpochResult) -> None:
        self.training.happened("reported")


def test_an_epoch_is_validated_then_saved_then_reported(tmp_path: Path) -> None:
    training = Descent(tmp_path, epochs=1)
    training.run()
    assert training.events == [("validated", set()), ("reported", {"best.pt", "checkpoint.pt"})]


def test_what_is_killed_before_its_checkpoint_is_done_again_to_the_same_end(tmp_path: Path) -> None:
    expected = Descent().run()
    training = Descent(tmp_path)

    def killed() -> None:
        raise KeyboardInterrupt

    training._save = killed  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        training.run()
    assert (tmp_path / "best.pt").exists()
    assert [epoch.value for epoch in Descent(tmp_path).run()] == [epoch.value for epoch in expected]


def test_the_best_epoch_s_weights_are_left(tmp_path: Path) -> None:
    training = Descent(tmp_path)
    first, second = training.run()
    assert (first.best, second.best) == (True, False)
    assert training.network.weight.item() == first.value > second.value
    # A finished training that is started again takes no step.
    again = Descent(tmp_path)
    assert again.run() == [first, second]
    assert again.events == []
    assert again.network.weight.item() == first.value


def test_steps_follow_the_schedule() -> None:
    (epoch,) = Descent(epochs=1).run()
    # A warm-up of a fortieth is over before the second of four steps; the first takes its fiftieth.
    shares = [0.02, *(0.5 * (1 + cos(pi * done)) for done in (0.25, 0.5, 0.75))]
    assert epoch.value == pytest.approx(1 - 0.01 * sum(shares), abs=1e-6)


def test_the_moving_average_is_what_is_validated() -> None:
    (epoch,) = Descent(epochs=1, ema_decay=0.5).run()
    weight, average = 1.0, None
    for share in (0.02, *(0.5 * (1 + cos(pi * done)) for done in (0.25, 0.5, 0.75))):
        weight -= 0.01 * share
        average = weight if average is None else 0.5 * average + 0.5 * weight
    assert epoch.value == pytest.approx(average, abs=1e-6)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        # Of 3 epochs of 20 steps: a twentieth is 3 steps; the first takes one step's share of an epoch.
        (Schedule(warm_up_parts=20, start=None), [1 / 20, 1 / 20 + 1 / 3, 1 / 20 + 2 / 3, 1]),
        (Schedule(), [0.02, 0.02 + 2 / 3, 1, 1]),
    ],
)
def test_warm_up(schedule: Schedule, expected: list[float]) -> None:
    found = [schedule.learning_rate(2.0, 0, step, 20, 3) for step in range(4)]
    cosine = [0.5 * (1 + cos(pi * step / 60)) for step in range(4)]
    assert found == pytest.approx([2 * share * half for share, half in zip(expected, cosine, strict=True)])
    assert schedule.learning_rate(2.0, 1, 10, 20, 3) == pytest.approx(1)  # half-way
    assert schedule.learning_rate(2.0, 3, 0, 20, 3) == pytest.approx(0)
