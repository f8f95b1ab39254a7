"""What became of every image at every epoch, as Parquet: a file an epoch, a row an image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from phototriage.common.atomic_writes import atomic_file
from phototriage.common.file_names import printable
from training.autoencoder.fit import Examples
from training.data.dataset import Dataset

FOLDER = "examples"


def path_of(folder: Path, epoch: int) -> Path:
    """The file of an epoch, counted from 0, in the folder of a run."""
    return folder / FOLDER / f"epoch_{epoch + 1:04}.parquet"


def write_examples(path: Path, data: Dataset, rows: Sequence[int], examples: Examples) -> None:
    """Columns key, split, l1, ssim, latent (a list of float32); by a temporary name and a rename. `rows`: the records
    that are written; `examples` is of all records."""
    chosen = np.asarray(rows, np.int64)
    records = [data.records[int(row)] for row in chosen]
    latent = examples.latent[chosen]
    table = pa.table(
        {
            "key": [printable(record.key) for record in records],
            "split": [record.split for record in records],
            "l1": examples.l1[chosen],
            "ssim": examples.ssim[chosen],
            "latent": pa.FixedSizeListArray.from_arrays(pa.array(latent.ravel()), latent.shape[1]),
        }
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as part:
        pq.write_table(table, part)
