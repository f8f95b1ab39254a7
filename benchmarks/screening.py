"""What the first look at a pair costs in copies: those that verification finds and the first look refuses.

    python -m benchmarks.screening --data caltech101.tar house_photos.tar --embedder near_duplicates …

Takes the arguments of `python -m training.verification`, and its validation pairs. Rows are by kind of pair; columns
are the parts of the rule that ships: points alone, or the whole besides, or one slid over the other.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np
import torch

from phototriage.common.errors import PhototriageError
from phototriage.common.progress import Progress
from phototriage.models.loading import load_embedder
from phototriage.settings import Settings
from phototriage.verification import screening
from phototriage.verification.signature import Signature
from phototriage.verification.signature_cache import SignatureCache
from training.data.photos import load_photos
from training.loop.compute import hardware
from training.statistics.tables import table
from training.verification.job import labelled, parse

PARTS = ("points", "or the whole", "or a part (ships)")


def passed(a: Signature, b: Signature) -> list[bool]:
    """By each of PARTS."""
    points = screening.has_points(a, b)
    whole = points or screening.correlates(a, b, screening.WHOLE)
    return [points, whole, whole or screening.correlates(a, b, screening.PART)]


def main(arguments: Sequence[str] | None = None) -> int:
    given = parse(arguments)
    try:
        model = load_embedder(given.models / given.embedder, Settings(provider="cpu"))
        photos = load_photos(given.data, group_by=given.group_by, val_keys=given.val_keys, leave_out=given.leave_out)
    except PhototriageError as error:
        print(f"error: {error.detail}", file=sys.stderr)
        return 1
    if model.verifier is None:
        print(f"error: {given.embedder} doesn't verify; fit it: python -m training.verification", file=sys.stderr)
        return 1
    pairs, decoded = labelled(photos, "val", given, model), SignatureCache()
    progress, rows = Progress(len(pairs), title="looking at pairs: "), []
    for pair in pairs:
        a, b = sorted((decoded(pair.left), decoded(pair.right)), key=lambda side: side.encoded)
        # Copies that verification doesn't find can't be lost.
        counts = not pair.same or model.verifier.verify(a, b).decision == "duplicate"
        rows.append([counts, *passed(a, b)])
        progress.step(1)
    looked = np.array(rows)
    kinds = np.array([pair.kind.split(",")[0] for pair in pairs])
    same = np.array([pair.same for pair in pairs])
    lines = []
    for kind in ["all", *dict.fromkeys(kinds.tolist())]:
        of_kind = (kinds == kind) | (kind == "all")
        found, others = of_kind & same & looked[:, 0], of_kind & ~same
        refused = [str(int((~looked[found, 1 + part]).sum())) for part in range(len(PARTS))]
        shares = [f"{looked[others, 1 + part].mean():.2f}" if others.any() else "–" for part in range(len(PARTS))]
        lines.append([kind, str(int(found.sum())), *refused, str(int(others.sum())), *shares])
    head = ["pairs", "copies found", *(f"refused: {part}" for part in PARTS)]
    print(table([*head, "others", *(f"looked at closely: {part}" for part in PARTS)], lines))
    print(f"\n{model.name} {model.manifest.version}; {hardware(torch.device('cpu'))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
