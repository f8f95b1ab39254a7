"""One photo against a collection of very many over HTTP: how long it takes over the bare embedding call, and what it
finds.

    python -m benchmarks.collection_search --data caltech101.tar house_photos.tar --photos 1000000 --kept FOLDER

The collection holds `--planted` photos and, to be many, mixtures of the embeddings of two others, each with the
signature of a photo. Queries are everyday reposts of the planted photos, and photos that aren't in it. Both calls get
the same file and take turns, over one connection. FOLDER keeps the collection for the next run.
"""

from __future__ import annotations

import argparse
import http.client
import io
import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image

from benchmarks.index_search import mixtures
from benchmarks.server_process import ServerProcess
from phototriage.collection_stores.folder_catalogue import FolderCatalogue
from phototriage.collection_stores.folder_store import FolderStore
from phototriage.collections.photos import KeptPhoto
from phototriage.collections.store import Store
from phototriage.common.progress import Progress
from phototriage.images.pixels import resize
from phototriage.images.upright import whole
from phototriage.models.embedder import Embedder
from phototriage.models.loading import load_embedder
from phototriage.settings import Settings
from phototriage.triage.comparison import embedded_image
from phototriage.triage.embedding import EmbeddedImage
from training.data.loading import load
from training.loop.compute import hardware
from training.reposts.chains import draw_everyday, repost
from training.statistics.intervals import share
from training.statistics.turns import WARM_UP, Seconds, ratios

NAME, AT_ONCE, SEED = "many", 1000, 8
QUERY = f"/v1/collections/{NAME}/query"
RECALL, TIMES = 0.98, 1.6
READY = b"GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n"


class Asked(NamedTuple):
    """A file, and the id of the photo that it is a repost of; None where it is of none."""

    content: bytes
    of: str | None


def embed(model: Embedder, image: Image.Image) -> EmbeddedImage:
    upright = whole(image)
    return embedded_image(model, model.embed(resize(upright, model.manifest.input).pixels[None])[0], upright)


def jpeg(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.convert("RGB").save(file, "JPEG", quality=85)
    return file.getvalue()


def photos_of(sources: Sequence[Path], wanted: int) -> Iterator[Image.Image]:
    """So many photos of all sets, drawn."""
    sets = [load(source, labelled=False) for source in sources]
    places = [(which, row) for which, data in enumerate(sets) for row in range(len(data))]
    for place in np.random.default_rng(SEED).permutation(len(places))[:wanted]:
        which, row = places[place]
        yield sets[which].image(row).convert("RGB")


def fill(store: Store, model: Embedder, planted: Sequence[Image.Image], others: Sequence[Image.Image], n: int) -> None:
    """The planted photos under their numbers, and mixtures of the others up to `n` photos."""
    progress = Progress(n, title="filling: ", unit="photos")
    known = [embed(model, image) for image in others]
    signatures = [image.signature.encoded if image.signature else None for image in known]

    def kept(name: str, image: EmbeddedImage) -> KeptPhoto:
        signature = None if image.signature is None else image.signature.encoded
        return KeptPhoto(name, image.vector, signature, (), row=-1, group=-1, added_at=time.time())

    groups: dict[str, int] = {}
    store.load([(kept(str(place), embed(model, image)), None) for place, image in enumerate(planted)], groups)
    views, rng = np.stack([image.vector for image in known]), np.random.default_rng(SEED)
    number = len(planted)
    for block in mixtures(views, model.manifest.embedding_parts, n - len(planted), rng):
        for start in range(0, len(block), AT_ONCE):
            part = [
                (KeptPhoto(f"m{number + i}", vector, signatures[(number + i) % len(signatures)], (), -1, -1, 0.0), None)
                for i, vector in enumerate(block[start : start + AT_ONCE])
            ]
            store.load(part, groups)
            number += len(part)
            progress.step(len(part))


def files(planted: Sequence[Image.Image], absent: Sequence[Image.Image]) -> list[Asked]:
    """Everyday reposts of the one, and the others as they are."""
    rng = np.random.default_rng((SEED, 1))
    asked = [Asked(jpeg(repost(image, draw_everyday(rng))), str(place)) for place, image in enumerate(planted)]
    return asked + [Asked(jpeg(image), None) for image in absent]


def command(port: int) -> list[str]:
    """Of a server on that port."""
    return [sys.executable, "-m", "phototriage.cli", "serve", "--host", "127.0.0.1", "--port", str(port)]


def told(count: int, n: int) -> str:
    """A share with its 95 % interval."""
    value, low, high, _ = share(count, n)
    return f"{value:.3f} ({low:.3f}-{high:.3f}, n {n})"


class Connection:
    """One connection to the server."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._http = http.client.HTTPConnection(*address, timeout=60)

    def post(self, path: str, content: bytes) -> dict[str, Any]:
        try:
            self._http.request("POST", path, content, {"Content-Type": "image/jpeg"})
            answer = self._http.getresponse()
        except (BrokenPipeError, http.client.RemoteDisconnected):  # it was idle for too long
            self._http.close()
            self._http.request("POST", path, content, {"Content-Type": "image/jpeg"})
            answer = self._http.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status} {body[:300]!r}")
        found: dict[str, Any] = json.loads(body)
        return found


def report(given: argparse.Namespace, folder: Path) -> tuple[str, bool]:
    """The figures, and whether they are as they should be."""
    settings = Settings(provider="cpu", threads=1)
    model = load_embedder(given.models / "near_duplicates", settings)
    images = list(photos_of(given.data, given.planted + given.absent + given.others))
    planted, absent = images[: given.planted], images[given.planted : given.planted + given.absent]
    catalogue = FolderCatalogue(folder, 10)
    collection, is_new = catalogue.create(NAME, model)
    store = collection.store
    assert isinstance(store, FolderStore)
    if is_new:
        fill(store, model, planted, images[given.planted + given.absent :], given.photos)
    count, size = store.counts().photos, store.counts().bytes
    began = time.perf_counter()
    while not store.wait(10):
        print(f"graph: {store.graph_rows:,} of {count:,} rows", file=sys.stderr, flush=True)
    waited = time.perf_counter() - began
    catalogue.close()
    asked = files(planted, absent)
    environment = {"PHOTOTRIAGE_COLLECTIONS": str(folder), "PHOTOTRIAGE_MODELS_DIRECTORY": str(given.models.resolve())}
    with TemporaryDirectory() as logs:
        server = ServerProcess("phototriage", command, Path(logs), environment)
        try:
            server.wait_until_ready(READY)
            found = ask_all(Connection(server.address), asked, given.rounds)
        finally:
            server.end()
    found_of, false, taken = found
    recall = share(sum(found_of), len(found_of))
    lines = [
        f"- {count:,} photos, of which {len(planted)} are planted; filled in this run: {is_new}, then "
        f"{waited / 60:.0f} min for the graph; {size / count / 1000:.1f} KB a photo on disk",
        f"- reposts found, by the right photo: {told(sum(found_of), len(found_of))}",
        f"- photos that aren't in it, called duplicates: {told(false, len(absent))}",
    ]
    times = {}
    for kind, seconds in taken.items():
        times[kind], low, high = ratios(seconds, {"query": ("query", "embed")})["query"]
        medians = {name: 1000 * float(np.median(values)) for name, values in seconds.items()}
        lines.append(
            f"- {kind}: a query takes {times[kind]:.2f} times the bare embedding call (10th to 90th percentile "
            f"{low:.2f} to {high:.2f}); {medians['query']:.1f} and {medians['embed']:.1f} ms"
        )
    lines.append(f"- {hardware(torch.device('cpu'))}")
    return "\n".join(lines), recall.value >= RECALL and times["other photos"] <= TIMES


def find_all(connection: Connection, asked: Sequence[Asked]) -> tuple[list[bool], int]:
    """Whether each repost is found, and how many others are called duplicates."""
    found, false = [], 0
    for each in asked:
        answer = connection.post(QUERY, each.content)
        if each.of is None:
            false += bool(answer["is_duplicate"])
        else:
            found.append(any(match["is_duplicate"] and match["id"] == each.of for match in answer["matches"]))
    return found, false


def ask_all(connection: Connection, asked: Sequence[Asked], rounds: int) -> tuple[list[bool], int, dict[str, Seconds]]:
    """As `find_all`, and seconds (rounds,) of both calls about each kind of file, reposts and others."""
    found, false = find_all(connection, asked)
    paths = {"query": QUERY, "embed": "/v1/embed"}
    kinds = {
        "reposts": [each.content for each in asked if each.of is not None],
        "other photos": [each.content for each in asked if each.of is None],
    }
    taken: dict[str, Seconds] = {}
    for kind, files in kinds.items():
        seconds = {name: np.empty(rounds) for name in paths}
        for turn in range(-WARM_UP, rounds):
            for name in list(paths)[:: 1 if turn % 2 else -1]:
                began = time.perf_counter()
                connection.post(paths[name], files[turn % len(files)])
                if turn >= 0:
                    seconds[name][turn] = time.perf_counter() - began
        taken[kind] = seconds
    return found, false, taken


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.collection_search", description=__doc__.split("\n\n")[0]
    )
    add = parser.add_argument
    add("--data", type=Path, nargs="+", required=True, metavar="SET", help="tars or folders of photos")
    add("--photos", type=int, default=1_000_000)
    add("--planted", type=int, default=300, help="photos whose reposts are looked for")
    add("--absent", type=int, default=150, help="photos that aren't in it")
    add("--others", type=int, default=3000, help="photos whose embeddings are mixed")
    add("--rounds", type=int, default=300)
    add("--models", type=Path, default=Path("exported_models"))
    add("--kept", type=Path, metavar="FOLDER", help="keep the collection there; without it in a folder that is removed")
    given = parser.parse_args(arguments)
    with TemporaryDirectory() as folder:
        text, is_good = report(given, given.kept or Path(folder))
    print(text)
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
