"""The nearest of many embeddings by the index: what it finds of what an exact search finds, time, memory, size.

    python -m benchmarks.index_search --data caltech101.tar house_photos.tar --model exported_models/near_duplicates

Vectors are embeddings of photos and, to make more, of mixtures of two reposts' embeddings, each part of length 1 as a
real one's. Queries are real embeddings of other reposts of photos that are in the index (planted), and mixtures that
are not. A photo has a part in 2 · vectors / photos mixtures, which are all near one another: with few photos the search
is harder than among real ones. Embeddings are kept in runs/. Times include the exact re-scoring; where others use the
machine, too, those of the CPU count. Exit status 1: less than .99 of what the exact search finds, or more than 2 ms a
query on two threads, where many are asked at once.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.duplicate_peers import exported
from phototriage.index import segment as index_segment
from phototriage.index.folder import Description
from phototriage.index.graph import Graph, GraphPart, parts_of
from phototriage.index.image_index import STEP, ImageIndex, IndexedModel
from phototriage.index.lance_index import LanceIndex
from phototriage.index.rows import Rows
from phototriage.index.search import Neighbour, Queries, SearchCriteria, search
from phototriage.index.store import Store
from phototriage.model_folder.manifest import read
from training.data.dataset import Dataset
from training.data.loading import load
from training.loop.compute import hardware
from training.loop.run_folder import RUNS
from training.reposts.chains import draw_everyday, draw_hard, repost
from training.statistics.intervals import share

RECALL, MILLISECONDS = 0.99, 2.0
TIE = 1e-12  # by which two float64 similarities may differ and be of equally near images
AT_ONCE = 50_000

threadpool_limits = import_module("threadpoolctl").threadpool_limits

Floats = NDArray[np.float32]


class ModelInputs(NamedTuple):
    """Embeddings (N, D) of photos and of two reposts of each, the second one every other time a hard one."""

    original: Floats
    first: Floats
    second: Floats


class Measured(NamedTuple):
    """What was found, float64 (Q), −∞ where nothing was; seconds of each query asked alone (Q), of the CPU for each of
    them, and of each where all are asked at once."""

    similarity: NDArray[np.float64]
    seconds: NDArray[np.float64]
    cpu: float
    at_once: float


def embed(folder: Path, sources: Sequence[Path]) -> ModelInputs:
    model = exported(folder)

    def three(data: Dataset, place: int, photo: int) -> Floats:
        image, rng = data.image(photo).convert("RGB"), np.random.default_rng((0, place, photo))
        second = (draw_everyday if photo % 2 else draw_hard)(rng)
        return model.describe([image, repost(image, draw_everyday(rng)), repost(image, second)])

    found: list[Floats] = []
    for place, source in enumerate(sources):
        data = load(source, labelled=False)
        with ThreadPoolExecutor() as pool:
            found += pool.map(partial(three, data, place), range(len(data)))
    return ModelInputs(*np.stack(found, axis=1))


def views_of(folder: Path, sources: Sequence[Path], cache: Path) -> ModelInputs:
    """Those in `cache`, if they are of the same model and photos; else embedded, and kept there."""
    made_of = f"{read(folder).version} {' '.join(source.name for source in sources)}"
    if cache.is_file():
        with np.load(cache) as kept:
            if str(kept["made_of"]) == made_of:
                return ModelInputs(kept["original"], kept["first"], kept["second"])
    found = embed(folder, sources)
    cache.parent.mkdir(parents=True, exist_ok=True)
    with cache.with_suffix(".part").open("wb") as file:
        np.savez(file, made_of=made_of, original=found.original, first=found.first, second=found.second)
    cache.with_suffix(".part").replace(cache)
    return found


def mixtures(views: Floats, parts: Sequence[int], count: int, rng: np.random.Generator) -> Iterator[Floats]:
    """(n, D) at a time, `count` in all."""
    for start in range(0, count, AT_ONCE):
        size = min(AT_ONCE, count - start)
        first, second = rng.integers(0, len(views), (2, size))
        weight = rng.uniform(0.3, 0.7, (size, 1)).astype(np.float32)
        mixed = weight * views[first] + (1 - weight) * views[second]
        for end, width in zip(np.cumsum(parts), parts, strict=True):
            part = mixed[:, end - width : end]
            part /= np.maximum(np.linalg.norm(part, axis=1, keepdims=True), np.finfo(np.float32).tiny)
        yield mixed


def vectors_of(model: IndexedModel, views: ModelInputs, count: int) -> Floats:
    """(count, D): the photos' embeddings, and mixtures."""
    rest = mixtures(views.first, model.parts, max(0, count - len(views.original)), np.random.default_rng(1))
    return np.concatenate([views.original[:count], *rest])


def fill(folder: Path, model: IndexedModel, views: ModelInputs, count: int) -> None:
    """A new index of `count` images, as one batch, each a group of its own; without a graph as yet."""
    with ImageIndex.open(folder, model):
        pass
    content = index_segment.Content(
        first_row=0,
        dimension=model.dimension,
        names=[str(row) for row in range(count)],
        blocks=[vectors_of(model, views, count)],
        groups=np.arange(count),
        group_labels=range(count),
        replaced=np.empty(0, np.int64),
        batches=(index_segment.BatchRecord(id="all", start=0, stop=0),),
        answers=(),
    )
    index_segment.write(next(folder.glob("generation-*")), (1, 1), content)


def measure(queries: Floats, ask: Callable[[Floats], list[list[Neighbour]]]) -> Measured:
    found, seconds = [], []
    ask(queries[:1])
    cpu = time.process_time()
    for place in range(len(queries)):
        start = time.perf_counter()
        nearest = ask(queries[place : place + 1])[0]
        seconds.append(time.perf_counter() - start)
        found.append(nearest[0].similarity if nearest else -np.inf)
    cpu = time.process_time() - cpu
    start = time.perf_counter()
    ask(queries)
    at_once = time.perf_counter() - start
    return Measured(np.array(found), np.array(seconds), cpu / len(queries), at_once / len(queries))


def exact_of(rows: Rows, queries: Floats, model: IndexedModel) -> Measured:
    """The truth, all queries at once, by one thread."""
    asked = Queries(queries, np.full(len(queries), len(rows)), np.full(len(queries), -1))
    start, cpu = time.perf_counter(), time.process_time()
    with threadpool_limits(1):
        found = [near.similarity.max() for near in search(rows, asked, SearchCriteria(1), model.layout_rescoring)]
    seconds, cpu = (time.perf_counter() - start) / len(queries), (time.process_time() - cpu) / len(queries)
    return Measured(np.array(found), np.full(len(queries), np.nan), cpu, seconds)


def same(found: Measured, exact: Measured) -> NDArray[np.bool_]:
    return found.similarity >= exact.similarity - TIE


def row_of(name: str, found: Measured, exact: Measured, planted: int, rest: str = "") -> str:
    """A line of the table."""
    right = same(found, exact)
    shares = [share(int(each.sum()), len(each)) for each in (right[:planted], right[planted:], right)]
    told = [f"{each.value:.4f} ({each.low:.4f}–{each.high:.4f})" for each in shares]
    times = [*np.quantile(found.seconds, [0.5, 0.95]), found.cpu, found.at_once]
    cells = [name, *told, *(f"{1000 * seconds:.2f}" for seconds in times), rest]
    return f"| {' | '.join(cells)} |"


def megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def resident() -> str:
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    anonymous, mapped = (int(fields[name].split()[0]) / 1e3 for name in ("RssAnon", "RssFile"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    return f"{anonymous:,.0f} MB of its own, {mapped:,.0f} MB mapped; most {peak:,.0f} MB"


def variants(parts: tuple[GraphPart, ...]) -> Iterator[tuple[str, tuple[GraphPart, ...]]]:
    """Other settings of the graphs beside those that are chosen."""
    yield "chosen", parts
    for dtype in ("bf16", "f16", "f32"):
        yield dtype, tuple(replace(part, dtype=dtype) for part in parts)
    for connectivity in (8, 32):
        yield f"connectivity {connectivity}", tuple(replace(part, connectivity=connectivity) for part in parts)
    for size in (64, 256):
        yield f"expansion of adding {size}", tuple(replace(part, expansion_add=size) for part in parts)
    for factor in (0.25, 0.5, 2):
        searched = [max(part.count, int(part.expansion_search * factor)) for part in parts]
        yield (
            f"expansion of search {', '.join(map(str, searched))}",
            tuple(replace(part, expansion_search=size) for part, size in zip(parts, searched, strict=True)),
        )
    yield "without the layout's graph", parts[:1]


HEAD = (
    "| | recall@1, planted (95 %) | recall@1, mixtures | recall@1, all | ms a query, median | 95th percentile "
    "| CPU ms a query | all at once, ms each | MB |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
)


def gate(given: argparse.Namespace, model: IndexedModel, views: ModelInputs, queries: Floats) -> bool:
    """The index as it is used, half a step behind its graph. Whether it passes."""
    count = given.vectors + STEP // 2
    folder = given.folder / f"{model.version}-{count}"
    if not folder.exists():
        fill(folder, model, views, count)
    start = time.perf_counter()
    with ImageIndex.open(folder, model) as index:
        index.begin("none")
        print(f"opened, or graph built where it wasn't there, in {time.perf_counter() - start:,.0f} s; {resident()}")
    store = Store(folder, Description(model=model, exact=0, step=1), read_only=True, threads=1, report=print)
    exact = exact_of(store.rows, queries, model)
    print(HEAD, row_of("exact", exact, exact, given.queries), sep="\n", flush=True)
    passed = True
    for threads in (1, 2):
        start = time.perf_counter()
        with ImageIndex.open(folder, model, read_only=True, threads=threads) as index, threadpool_limits(threads):
            opened = time.perf_counter() - start
            found = measure(queries, index.query)
            name = f"{count:,} images, threads: {threads}"
            print(row_of(name, found, exact, given.queries, f"{megabytes(folder):,.0f}"))
            print(f"opened in {opened:.1f} s; {resident()}; load {os.getloadavg()[0]:.1f}", flush=True)
        recall = float(same(found, exact).mean())
        passed = passed and recall >= RECALL and (threads == 1 or found.at_once * 1000 <= MILLISECONDS)
    return passed


def in_memory(
    model: IndexedModel, views: ModelInputs, count: int, queries: Floats, title: str
) -> tuple[Rows, Measured]:
    """So many vectors and the truth about them, which begins a table."""
    rows = Rows(model.dimension)
    rows.append_segment([str(row) for row in range(count)], vectors_of(model, views, count), np.empty(0, np.int64))
    exact = exact_of(rows, queries, model)
    print(f"\n{count:,} images, {title}\n{HEAD}\n{row_of('exact', exact, exact, len(queries) // 2)}", flush=True)
    return rows, exact


def settings(given: argparse.Namespace, model: IndexedModel, views: ModelInputs, queries: Floats) -> None:
    """Other settings, on fewer vectors."""
    rows, exact = in_memory(model, views, given.settings, queries, "search by one thread")
    vectors = rows.gather(np.arange(len(rows)))
    for name, parts in variants(parts_of(model.parts)):
        graph = Graph(parts, len(vectors), threads=1)
        start = time.process_time()
        graph.extend(len(vectors), lambda low, high: vectors[low:high])
        built = time.process_time() - start

        def ask(part: Floats, graph: Graph = graph) -> list[list[Neighbour]]:
            limits, own = np.full(len(part), len(rows)), np.full(len(part), -1)
            near = search(rows, Queries(part, limits, own), SearchCriteria(1), model.layout_rescoring, graph)
            return [[Neighbour("", each) for each in found.best(1).similarity.tolist()] for found in near]

        with threadpool_limits(1):
            found = measure(queries, ask)
        rest = f"{graph.memory / 1e6:,.0f} in memory, built in {built:,.0f} s of CPU"
        print(row_of(name, found, exact, given.queries, rest), flush=True)


def lance(given: argparse.Namespace, model: IndexedModel, views: ModelInputs, queries: Floats) -> None:
    """The engine for more than one machine: it has no setting for threads, and takes all cores."""
    rows, exact = in_memory(model, views, given.lance, queries, f"LanceDB {version('lancedb')}, all cores")
    with TemporaryDirectory(dir=given.folder) as folder:
        index = LanceIndex.open(folder, model)
        times = [time.process_time()]
        for start in range(0, len(rows), AT_ONCE):
            part = np.arange(start, min(start + AT_ONCE, len(rows)))
            index.add([rows.names[row] for row in part], rows.gather(part))
        times.append(time.process_time())
        index.build()
        times.append(time.process_time())
        added, built = np.diff(times).tolist()
        rest = f"{megabytes(Path(folder)):,.0f}; added in {added:,.0f}, built in {built:,.0f} s of CPU"
        print(row_of("LanceDB", measure(queries, index.query), exact, given.queries, rest), flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.index_search", description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="folders or tars of photos")
    parser.add_argument("--model", type=Path, required=True, help="folder of an exported embedder")
    parser.add_argument("--vectors", type=int, default=1_000_000, help="in the index that has to pass; 0: none")
    parser.add_argument("--settings", type=int, default=100_000, help="vectors to try other settings on; 0: none")
    parser.add_argument("--lance", type=int, default=100_000, help="vectors to try LanceDB on; 0: none")
    parser.add_argument("--queries", type=int, default=1000, help="of each kind")
    parser.add_argument("--folder", type=Path, default=RUNS / "index_search", help="of indexes and embeddings")
    given = parser.parse_args(arguments)
    model = IndexedModel.of(read(given.model)).unverified()
    views = views_of(given.model, given.data, given.folder / "views.npz")
    rng = np.random.default_rng(3)
    planted = views.second[rng.permutation(len(views.second))[: given.queries]]
    queries = np.concatenate([planted, *mixtures(views.first, model.parts, len(planted), rng)])
    given.queries = len(planted)
    print(
        f"{hardware(torch.device('cpu'))}; NumPy {np.__version__}, usearch {version('usearch')}; {len(views.first):,} "
        f"photos of {', '.join(source.name for source in given.data)}; {len(planted):,} queries of each kind"
    )
    passed = not given.vectors or gate(given, model, views, queries)
    if given.settings:
        settings(given, model, views, queries)
    if given.lance:
        lance(given, model, views, queries)
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
