"""A collection in PostgreSQL beside the same one in a folder, over HTTP: how long a query takes, and what each finds.

    python -m benchmarks.collection_engines --data caltech101.tar house_photos.tar --photos 200000

The photos are those of `benchmarks.collection_search`. Both servers get the same files and take turns, over one
connection each. PostgreSQL runs on this machine, with `--memory` for its buffers and as much for making graphs.
"""

from __future__ import annotations

import argparse
import io
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import psycopg
import torch
from PIL import Image

from benchmarks import postgres_server
from benchmarks.collection_search import (
    NAME,
    QUERY,
    READY,
    Asked,
    Connection,
    command,
    embed,
    files,
    fill,
    find_all,
    photos_of,
    told,
)
from benchmarks.server_process import ServerProcess
from phototriage.collection_stores.folder_store import FolderStore
from phototriage.collection_stores.found_rows import FoundRows
from phototriage.collection_stores.opening import open_catalogue
from phototriage.collections.store import Store
from phototriage.index.search import Queries, SearchCriteria, search
from phototriage.models.embedder import Embedder
from phototriage.models.loading import load_embedder
from phototriage.settings import Settings
from training.loop.compute import hardware
from training.statistics.turns import WARM_UP, Seconds, ratios

RECALL, TIMES, NEAREST, AT_ONCE = 0.98, 2.0, 10, 10_000


def nearest_found(store: Store, model: Embedder, asked: Sequence[Asked], planted: Sequence[object]) -> tuple[int, int]:
    """Of the NEAREST of each repost by an exact comparison with all photos, how many the store names, of how many."""
    rows, vectors, after = [], [], -1
    while photos := store.photos_after(after, AT_ONCE):
        after = photos[-1].row
        rows += [photo.row for photo in photos]
        vectors += [photo.vector for photo in photos]
    everything = FoundRows(np.stack(vectors))
    found = wanted = 0
    for each in asked[: len(planted)]:
        vector = embed(model, Image.open(io.BytesIO(each.content)).convert("RGB")).vector
        queries = Queries(vector[np.newaxis], np.array([len(rows)]), np.array([-1]))
        (exact,) = search(everything, queries, SearchCriteria(NEAREST), model.manifest.layout_rescoring)
        best = {rows[place] for place in exact.best(NEAREST).rows.tolist()}
        named = store.find(vector, NEAREST, None, ()).nearest.best(NEAREST)
        found, wanted = found + len(best & set(named.rows.tolist())), wanted + len(best)
    return found, wanted


@contextmanager
def serving(place: str, models: Path, logs: Path) -> Iterator[Connection]:
    environment = {"PHOTOTRIAGE_COLLECTIONS": place, "PHOTOTRIAGE_MODELS_DIRECTORY": str(models.resolve())}
    environment |= {"PHOTOTRIAGE_WORKERS": "1", "PHOTOTRIAGE_THREADS": "2"}
    server = ServerProcess("phototriage", command, logs, environment)
    try:
        server.wait_until_ready(READY)
        yield Connection(server.address)
    finally:
        server.end()


def in_turns(connections: dict[str, Connection], contents: Sequence[bytes], rounds: int) -> Seconds:
    """Seconds (rounds,) of a query of each engine."""
    seconds = {name: np.empty(rounds) for name in connections}
    for turn in range(-WARM_UP, rounds):
        for name in list(connections)[:: 1 if turn % 2 else -1]:
            began = time.perf_counter()
            connections[name].post(QUERY, contents[turn % len(contents)])
            if turn >= 0:
                seconds[name][turn] = time.perf_counter() - began
    return seconds


def report(given: argparse.Namespace, scratch: Path) -> tuple[str, bool]:
    """The figures, and whether they are as they should be."""
    settings = Settings(provider="cpu", threads=2)
    model = load_embedder(given.models / "near_duplicates", settings)
    images = list(photos_of(given.data, given.planted + given.absent + given.others))
    planted, absent = images[: given.planted], images[given.planted : given.planted + given.absent]
    asked, lines, is_good = files(planted, absent), [], True
    memory = (f"shared_buffers={given.memory}", f"maintenance_work_mem={given.memory}", "max_wal_size=8GB")
    with postgres_server.started(memory) as database, ExitStack() as stack:
        with psycopg.connect(database.address) as connection:
            (version,) = connection.execute("SHOW server_version").fetchone() or ("",)
        places = {"folder": str(scratch / "collections"), "postgres": database.new_database()}
        for name, place in places.items():
            catalogue = open_catalogue(place, settings)
            store = catalogue.create(NAME, model).collection.store
            began = time.perf_counter()
            with store.loading():
                fill(store, model, planted, images[given.planted + given.absent :], given.photos)
            if isinstance(store, FolderStore):
                while not store.wait(10):
                    pass
            minutes, counts = (time.perf_counter() - began) / 60, store.counts()
            found, wanted = nearest_found(store, model, asked, planted)
            lines.append(
                f"- {name}: {counts.photos:,} photos, filled in {minutes:.1f} min, "
                f"{counts.bytes / counts.photos / 1000:.1f} KB a photo; of the {NEAREST} nearest of {len(planted)} "
                f"reposts by exact comparison it names {told(found, wanted)}"
            )
            print(lines[-1], file=sys.stderr, flush=True)
            is_good = is_good and found / wanted >= RECALL
            catalogue.close()
        connections = {}
        for name, place in places.items():
            logs = scratch / f"logs-{name}"
            logs.mkdir()
            connections[name] = stack.enter_context(serving(place, given.models, logs))
        for name, connected in connections.items():
            found_of, false = find_all(connected, asked)
            is_good = is_good and sum(found_of) / len(found_of) >= RECALL
            recall = told(sum(found_of), len(found_of))
            lines.append(
                f"- {name}: reposts found, by the right photo: {recall}; photos that aren't in it, called duplicates: "
                f"{told(false, len(absent))}"
            )
        for kind, contents in {
            "reposts": [each.content for each in asked if each.of is not None],
            "other photos": [each.content for each in asked if each.of is None],
        }.items():
            seconds = in_turns(connections, contents, given.rounds)
            times, low, high = ratios(seconds, {"postgres": ("postgres", "folder")})["postgres"]
            medians = {name: 1000 * float(np.median(values)) for name, values in seconds.items()}
            lines.append(
                f"- {kind}: PostgreSQL takes {times:.2f} times as long as the folder (10th to 90th percentile "
                f"{low:.2f} to {high:.2f}); {medians['postgres']:.1f} and {medians['folder']:.1f} ms"
            )
            is_good = is_good and times <= TIMES
    lines.append(f"- PostgreSQL {version}, {given.memory} of memory; {hardware(torch.device('cpu'))}")
    return "\n".join(lines), is_good


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.collection_engines", description=__doc__.split("\n\n")[0]
    )
    add = parser.add_argument
    add("--data", type=Path, nargs="+", required=True, metavar="SET", help="tars or folders of photos")
    add("--photos", type=int, default=200_000)
    add("--planted", type=int, default=300, help="photos whose reposts are looked for")
    add("--absent", type=int, default=150, help="photos that aren't in it")
    add("--others", type=int, default=3000, help="photos whose embeddings are mixed")
    add("--rounds", type=int, default=200)
    add("--memory", default="1GB", help="of PostgreSQL, as its settings have it")
    add("--models", type=Path, default=Path("exported_models"))
    given = parser.parse_args(arguments)
    reason = postgres_server.why_not()
    if reason is not None:
        print(reason, file=sys.stderr)
        return 2
    with TemporaryDirectory() as scratch:
        text, is_good = report(given, Path(scratch))
    print(text)
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
