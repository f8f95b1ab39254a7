"""What the ways to class and embedding cost: stages in common, and CPU time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import onnx
from PIL import Image

from phototriage.images.pixels import resize
from phototriage.runtime.shared_stages import part
from phototriage.settings import Settings
from training.statistics.tables import table
from training.statistics.turns import measure
from training.studies.backbone_graphs import Stage, entry, fed_with, opened, shared_pass, with_features
from training.studies.backbone_models import Models


def stage_table(stages: Sequence[Stage]) -> str:
    rows = [
        [str(one.number), f"{one.weights:,}", f"{one.differ:,}", f"{one.largest:.3g}", f"{one.greatest:.3g}"]
        for one in stages
    ]
    return table(["stage", "weights", "that differ", "largest difference", "greatest weight"], rows)


def cost_table(models: Models, count: int, settings: Settings, rounds: int) -> str:
    """Markdown: one image on one thread; C and E are the two models as they are."""
    rules = models.classifier.input, models.embedder.input
    one, two = (rule.height for rule in rules)
    rng = np.random.default_rng(0)
    fed = {rule.height: rng.integers(0, 256, (1, rule.height, rule.width, 3), np.uint8) for rule in rules}
    photo = Image.fromarray(rng.integers(0, 256, (375, 500, 3), np.uint8))

    def call(graph: onnx.ModelProto, side: int) -> Callable[[], object]:
        return partial(opened(fed_with(graph, side), settings), fed[side])

    calls: dict[str, Callable[[], object]] = {
        f"C: the classifier, {one} px": call(models.logits, one),
        f"E: the embedder, {two} px": call(models.embedding, two),
        f"the classifier, {two} px": call(models.logits, two),
        f"the embedder, {one} px": call(models.embedding, one),
        f"E1: the embedder with both heads, {two} px": call(with_features(models.embedding), two),
        f"E2: the classifier with both heads, {one} px": call(with_features(models.backbone("classifier")), one),
        f"a photo of 500×375 resized to {two} px": partial(resize, photo, rules[1]),
    }
    for side in (one, two) if count else ():
        first = part(models.embedding, [entry(models.embedding, count)])
        calls[f"the first {count} stages, {side} px"] = call(first, side)
        calls[f"E3: both models, these computed once, {side} px"] = partial(
            shared_pass(models.logits, models.embedding, side, count, settings), fed[side]
        )
    # Of this thread: what waiting for a busy machine doesn't lengthen.
    seconds = measure(calls, rounds, time.thread_time)
    c, e = (seconds[name] for name in list(seconds)[:2])
    rows = []
    for name, own in seconds.items():
        low, middle, high = np.percentile(own * 1e3, (10, 50, 90))
        ratios = [f"{np.median(own / below):.2f}" for below in (c, e, c + e)]
        saved = f"{np.median(c + e - own) * 1e3:.1f}" if name.startswith(("E1", "E2", "E3")) else ""
        rows.append([name, f"{middle:.1f} ({low:.1f} to {high:.1f})", *ratios, saved])
    return table(["", "ms", "/ C", "/ E", "/ (C + E)", "saves of C + E, ms"], rows)
