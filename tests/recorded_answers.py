"""Every route's answer to the tests' photos, byte by byte, as files: recorded before a change that should change none,
and after it, and compared with `diff -r`.

    python -m tests.recorded_answers http://localhost:3000 before/
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.drawings import picture
from tests.hostile_files import bad_files, good_files

DOCS = Path(__file__).parents[1] / "docs"
LEFT_OUT = {"date", "x-request-id", "traceparent"}  # headers that differ from one answer to the next
SECONDS = 60

Parts = list[tuple[str, tuple[str, bytes]]]


@dataclass(frozen=True)
class Call:
    """A request to be sent, under a name that is its file's."""

    name: str
    path: str
    parts: Parts = field(default_factory=list)
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    method: str = "POST"


def photos() -> dict[str, bytes]:
    """Image files by name: photos, drawings, one of every format and oddity, and files that are broken."""
    shown = {name: (DOCS / name).read_bytes() for name in ("cat.jpg", "cat_reposted.jpg", "distortions.jpg")}
    drawn = {f"drawing_{seed}": picture(seed) for seed in range(4)}
    broken = {f"bad_{name}": content for name, (content, _, _) in bad_files().items()}
    return shown | drawn | good_files() | broken


def calls() -> Iterator[Call]:
    """What is asked: each route about each photo, comparisons of each photo with the first, batches, errors."""
    all_photos = photos()
    first = all_photos["cat.jpg"]
    for name, content in all_photos.items():
        image: Parts = [("image", (name, content))]
        yield Call(f"classify {name}", "/v1/classify", image)
        yield Call(f"classify raw {name}", "/v1/classify?top_k=1", body=content, headers={"Content-Type": "image/png"})
        yield Call(f"difficulty {name}", "/v1/difficulty?label=cat", image)
        yield Call(f"embed {name}", "/v1/embed", image)
        yield Call(f"saliency {name}", "/v1/saliency", image)
        yield Call(f"featout {name}", "/v1/saliency?method=featout&target=dog", image)
        yield Call(f"mask {name}", "/v1/saliency", image, headers={"Accept": "image/png"})
        yield Call(f"triage {name}", "/v1/triage", image)
        yield Call(f"triage all {name}", "/v1/triage?include=classify,difficulty,saliency,embed", image)
        pair: Parts = [("image_a", ("a", first)), ("image_b", ("b", content))]
        yield Call(f"duplicates {name}", "/v1/duplicates", pair)
        yield Call(f"explained {name}", "/v1/duplicates?explain=true&threshold=0.5", pair)
    batch: Parts = [("images", (name, content)) for name, content in all_photos.items()][:40]
    yield Call("batch", "/v1/triage/batch", batch)
    yield Call("batch of parts", "/v1/triage/batch?include=saliency,classify&top_k=1", batch)
    cat: Parts = [("image", ("cat.jpg", first))]
    for name, query in {
        "unknown model": "model=none",
        "unknown label": "label=horse",
        "top_k of 0": "top_k=0",
        "top_k of 99": "top_k=99",
        "unknown query": "colour=red",
        "repeated query": "model=cats_dogs&model=cats_dogs",
    }.items():
        for route in ("classify", "difficulty", "saliency", "embed", "triage"):
            yield Call(f"{route} {name}", f"/v1/{route}?{query}", cat)
    for path in ("/v1/models", "/docs.json", "/livez", "/readyz", "/healthz", "/", "/v1/nothing"):
        yield Call(f"get {path}".replace("/", "_"), path, method="GET")
    yield Call("get classify", "/v1/classify", method="GET")
    yield Call("reload", "/v1/models/reload")
    yield Call("no body", "/v1/classify")
    yield Call("wrong part", "/v1/classify", [("photo", ("cat.jpg", first))])


def ask(client: httpx.Client, call: Call) -> bytes:
    """Status line, headers by name, an empty line, body."""
    answer = client.request(
        call.method, call.path, files=call.parts or None, content=call.body, headers=dict(call.headers)
    )
    headers = sorted((name, value) for name, value in answer.headers.items() if name not in LEFT_OUT)
    head = "\n".join([str(answer.status_code), *(f"{name}: {value}" for name, value in headers)])
    return head.encode() + b"\n\n" + answer.content


def record(address: str, folder: Path) -> int:
    """Write all answers, and beside them those to embeddings that were given. Returns how many."""
    folder.mkdir(parents=True)
    count = 0
    with httpx.Client(base_url=address, timeout=SECONDS) as client:
        kept: dict[str, bytes] = {}
        for call in calls():
            written = ask(client, call)
            (folder / re.sub(r"[^\w .-]", "_", call.name)).write_bytes(written)
            count += 1
            if call.name in ("embed cat.jpg", "embed cat_reposted.jpg"):
                kept[call.name] = json.dumps(json.loads(written.partition(b"\n\n")[2])["embedding"]).encode()
        sides = [("embedding_a", ("a", kept["embed cat.jpg"])), ("embedding_b", ("b", kept["embed cat_reposted.jpg"]))]
        (folder / "kept").write_bytes(ask(client, Call("kept", "/v1/duplicates?explain=true", sides)))
    return count + 1


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.recorded_answers", description=__doc__)
    parser.add_argument("address", help="of a server that runs, such as http://localhost:3000")
    parser.add_argument("folder", type=Path, help="to be made")
    options = parser.parse_args()
    print(f"{record(options.address, options.folder)} answers in {options.folder}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
