"""Collections by the Python client, of threads and of an event loop, against the shipped embedder over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import numpy as np
import pytest
import uvicorn
from phototriage_client import (
    AsyncClient,
    Client,
    Embedding,
    ForeignEmbedding,
    MalformedRequest,
    Problem,
    TooLarge,
    UndecodableImage,
    UnknownCollection,
    UnknownModel,
    UnknownPhoto,
    UnreadableImage,
    UnsendableId,
    UnsupportedImage,
)

from phototriage.models.model_set import load_models
from phototriage.server.connections import Connection
from phototriage.server.http_api import HttpApi
from phototriage.settings import Settings
from tests.clients.in_loop import InLoop
from tests.http_clients import wait_until
from tests.running_server import SECONDS
from tests.tiny_models import png_of
from tests.verification.photos import drawn_photo

ROOT = Path(__file__).parents[2]
PHOTOS = [png_of(drawn_photo(number)) for number in range(3)]
COPY = png_of(np.ascontiguousarray(drawn_photo(1)[20:220, 30:300]))
NAME = "listings"
# Each a way to be misread on the way.
IDS = [
    "house 1/front.jpg",
    "/",
    "a/",
    "a/../b",
    "100%",
    "%2F",
    "a?b#c",
    "a&b=c+d",
    "Größe €",
    "a;b",
    ": \\ \"'",
    "%2e%2e",
]
MOST = len(IDS) + 1


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of a server in a thread, which keeps collections."""
    models = tmp_path_factory.mktemp("models")
    (models / "near_duplicates").symlink_to(ROOT / "exported_models/near_duplicates")
    settings = Settings(
        models_directory=models,
        threads=1,
        provider="cpu",
        log_requests=False,
        collections=tmp_path_factory.mktemp("kept"),
        max_collections=2,
        max_collection_photos=MOST,
    )
    api = HttpApi()
    api.start(settings, load_models(settings))
    server = uvicorn.Server(uvicorn.Config(api, http=Connection, port=0, lifespan="off", log_config=None))
    thread = Thread(target=server.run, daemon=True)
    thread.start()
    wait_until(lambda: server.started)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(SECONDS)
    api.stop()


@pytest.fixture(scope="module", params=["threads", "loop"])
def client(request: pytest.FixtureRequest, address: str) -> Iterator[Any]:
    """Both clients by the same calls."""
    if request.param == "threads":
        with Client(address) as client:
            yield client
        return
    with asyncio.Runner() as runner:
        inner = AsyncClient(address)
        yield InLoop(runner, inner)
        runner.run(inner.close())


@pytest.fixture
def kept(client: Any) -> Iterator[Any]:
    """An empty collection."""
    collection = client.collection(NAME)
    collection.create()
    yield collection
    for each in client.collections().collections:
        client.collection(each.name).delete()


def test_a_photo_is_added_found_told_and_deleted(kept: Any, tmp_path: Path) -> None:
    for number, photo in enumerate(PHOTOS):
        told = kept.add(photo, f"house {number}/front.jpg", tags=["berlin", "sale"])
        assert (told.outcome, told.added, told.duplicates) == ("added", True, [])
    (tmp_path / "copy.png").write_bytes(COPY)
    told = kept.add(tmp_path / "copy.png", "again", if_new=True)
    assert (told.outcome, told.added, told.group) == ("duplicate", False, None)
    assert [(same.id, same.tags, same.decision) for same in told.duplicates] == [
        ("house 1/front.jpg", ["berlin", "sale"], "duplicate")
    ]
    found = kept.query(COPY, top_k=2, tags=["sale", "berlin"])
    assert found.is_duplicate
    assert [match.is_duplicate for match in found.matches] == [True, False]
    assert found.matches[0].evidence.words
    assert kept.query(COPY, tags="hamburg").matches == []
    assert not kept.query(PHOTOS[1], id="house 1/front.jpg").is_duplicate
    assert kept.photo("house 1/front.jpg").embedding is None
    assert kept.delete_photo("house 1/front.jpg").changed
    with pytest.raises(UnknownPhoto, match="house 1/front"):
        kept.photo("house 1/front.jpg")
    assert kept.add(COPY, "again", if_new=True).outcome == "added"


def test_what_decides_may_be_chosen(kept: Any) -> None:
    kept.add(PHOTOS[0], "a")
    assert kept.add(PHOTOS[1], "b", if_new=True, threshold=-1).outcome == "duplicate"
    assert kept.query(PHOTOS[0], min_probability=1, top_k=1).matches[0].is_duplicate is False
    assert kept.add(PHOTOS[0], "a").outcome == "unchanged"
    assert kept.add(PHOTOS[2], "a").outcome == "replaced"


def test_an_embedding_takes_a_photos_place(client: Any, kept: Any) -> None:
    embedding = client.embed(PHOTOS[0]).embedding
    assert kept.add(embedding, "a").outcome == "added"
    assert kept.query(embedding).matches[0].id == "a"
    assert kept.photo("a", embedding=True).embedding == embedding
    (item,) = kept.add_many({"b": embedding})
    assert (item.source, item.get().outcome) == (embedding, "added")
    with pytest.raises(ForeignEmbedding):
        kept.query(embedding.model_copy(update={"version": "0" * 16}))


def unsigned(client: Any) -> Embedding:
    """An embedding whose similarity alone decides, which is soon done."""
    embedding: Embedding = client.embed(PHOTOS[0]).embedding
    return embedding.model_copy(update={"signature": None})


def test_ids_arrive_as_they_are(client: Any, kept: Any) -> None:
    embedding = unsigned(client)
    items = list(kept.add_many([(id, embedding) for id in IDS], tags=["ä b", "c%d"], concurrency=1))
    assert [item.get().id for item in items] == IDS
    assert list(kept.photos(tags=["ä b", "c%d"])) == IDS
    for id in IDS:
        assert kept.photo(id).id == id
    assert {match.id for match in kept.query(embedding, id="%2F", top_k=100).matches} == set(IDS) - {"%2F"}
    assert kept.mark_not_duplicates(IDS[0], IDS[-2]).changed
    assert [{pair.a, pair.b} for pair in kept.not_duplicates()] == [{IDS[0], IDS[-2]}]
    assert kept.unmark_not_duplicates(IDS[-2], IDS[0]).changed
    for id in IDS:
        kept.delete_photo(id)
    assert list(kept.photos()) == []


def test_a_batch_with_a_broken_image(kept: Any) -> None:
    answer = kept.add_batch({"one/1": PHOTOS[0], "50%25": COPY[:100], "drei ö": PHOTOS[2]}, if_new=True, tags=["x"])
    assert [(each.index, each.id) for each in answer.results] == [(0, "one/1"), (1, "50%25"), (2, "drei ö")]
    assert [each.result and each.result.outcome for each in answer.results] == ["added", None, "added"]
    assert isinstance(Problem.of(answer.results[1].error), UndecodableImage)
    assert set(kept.photos(tags="x")) == {"one/1", "drei ö"}


def test_a_batch_of_embeddings(client: Any, kept: Any) -> None:
    first, second = (client.embed(photo).embedding for photo in (PHOTOS[0], COPY))
    foreign = first.model_copy(update={"version": "0" * 16})
    answer = kept.add_batch({"/": first, "b": foreign, 'c"': second}, tags=["x"], tags_of={"/": ["y"], 'c"': "z"})
    assert [(each.id, each.result and each.result.outcome) for each in answer.results] == [
        ("/", "added"),
        ("b", None),
        ('c"', "added"),
    ]
    assert isinstance(Problem.of(answer.results[1].error), ForeignEmbedding)
    assert (kept.photo("/").tags, kept.photo('c"').tags) == (["x", "y"], ["x", "z"])
    asked = kept.query_batch([second, foreign], top_k=1).results
    assert (asked[0].result.matches[0].id, asked[1].error.code) == ('c"', "foreign_embedding")
    (own,) = kept.query_batch({'c"': second}).results
    assert [match.id for match in own.result.matches] == ["/"]
    (image,) = kept.query_batch([PHOTOS[1]], tags=["z"]).results
    assert image.result.is_duplicate


def test_a_triage_asks_and_adds(client: Any, kept: Any) -> None:
    assert client.triage(PHOTOS[1], collection=NAME).collection.outcome is None
    told = client.triage(PHOTOS[1], include=["embed"], collection=NAME, id="house/1", tags=["x"]).collection
    assert (told.outcome, told.added, told.duplicates) == ("added", True, [])
    told = client.triage(COPY, collection=NAME, id="copy", if_new=True).collection
    assert (told.outcome, [match.id for match in told.duplicates]) == ("duplicate", ["house/1"])
    (asked,) = client.triage_batch([COPY], collection=NAME).results
    assert asked.collection.is_duplicate
    added = client.triage_batch({"a": PHOTOS[0], "b": b"bad"}, collection=NAME, add=True, tags=["x"]).results
    assert [each.collection and each.collection.outcome for each in added] == ["added", None]
    assert list(kept.photos(tags="x")) == ["house/1", "a"]
    with pytest.raises(UnknownCollection):
        client.triage(COPY, collection="none")
    with pytest.raises(ValueError, match="need ids"):
        client.triage_batch([COPY], collection=NAME, add=True)


def test_many_are_added_and_one_bad_one_stops_none(kept: Any, tmp_path: Path) -> None:
    missing = tmp_path / "missing.png"
    given = [("a", PHOTOS[0]), ("b", b"bad"), ("c", missing), ("\udcff", COPY), ("..", COPY), ("d", COPY)]
    items = list(kept.add_many(iter(given), tags=["x"]))
    assert [(item.index, item.id, item.source) for item in items] == [
        (index, id, source) for index, (id, source) in enumerate(given)
    ]
    kinds = [type(item.error) for item in items]
    nothing = type(None)
    assert kinds == [nothing, UnsupportedImage, UnreadableImage, UnsendableId, UnsendableId, nothing]
    assert sorted(kept.photos(tags=["x"])) == ["a", "d"]


def test_lists_come_page_by_page(client: Any, kept: Any) -> None:
    embedding = unsigned(client)
    names = [str(number) for number in range(5)]
    for name in names:
        kept.add(embedding, name)
    for size in (1, 2, 5, 1000, None):
        assert list(kept.photos(page_size=size)) == names
        (group,) = kept.groups(page_size=size)
        assert group.ids == names
        assert list(kept.group(group.group, page_size=size)) == names
    (group,) = kept.groups(limit_ids=2)
    assert (group.photos, group.ids) == (5, names[:2])
    for name in names[1:4]:
        kept.mark_not_duplicates("4", name)
    assert [(pair.a, pair.b) for pair in kept.not_duplicates(page_size=2)] == [("1", "4"), ("2", "4"), ("3", "4")]
    told = kept.info()
    assert (told.photos, told.groups, told.not_duplicates) == (5, 1, 3)
    with pytest.raises(MalformedRequest, match="limit"):
        list(kept.photos(page_size=0))


def test_collections_are_made_listed_and_deleted(client: Any, kept: Any) -> None:
    kept.add(PHOTOS[0], "a")
    assert kept.create(model="near_duplicates").photos == 1  # it is there, and stays
    other = client.collection("b-2")
    other.create()
    listed = client.collections().collections
    assert [(each.name, each.served, each.verifies) for each in listed] == [("b-2", True, True), (NAME, True, True)]
    assert other.delete().changed
    for ask in (other.info, other.delete, lambda: other.query(COPY), lambda: list(other.photos())):
        with pytest.raises(UnknownCollection, match="b-2") as caught:
            ask()
        assert caught.value.attempts == 1


def test_refusals_have_their_class(client: Any, kept: Any) -> None:
    with pytest.raises(UnknownModel):
        client.collection("new").create(model="other")
    with pytest.raises(MalformedRequest, match="can't be called"):
        client.collection("Not this").create()
    with pytest.raises(MalformedRequest, match="id"):
        kept.add(COPY, "a\nb")
    with pytest.raises(MalformedRequest, match="top_k"):
        kept.query(COPY, top_k=101)
    for ask in (kept.photo, kept.delete_photo, lambda id: kept.mark_not_duplicates(id, "b")):
        with pytest.raises(UnknownPhoto):
            ask("a")
    embedding = unsigned(client)
    items = list(kept.add_many(((str(number), embedding) for number in range(MOST + 1)), concurrency=1))
    (refused,) = [item.error for item in items if item.error]
    assert isinstance(refused, TooLarge)


def test_photos_may_come_by_and_by_in_an_event_loop(address: str) -> None:
    async def coming() -> AsyncIterator[tuple[str, bytes]]:
        yield "a", PHOTOS[0]
        yield "b", PHOTOS[1]

    async def run() -> list[str | None]:
        async with AsyncClient(address) as client:
            collection = client.collection("async")
            await collection.create()
            added = [item.id async for item in collection.add_many(coming())]
            await collection.delete()
            return added

    assert asyncio.run(run()) == ["a", "b"]


def refuse_all(request: httpx.Request) -> httpx.Response:
    raise AssertionError(f"{request.url} was asked")


@pytest.fixture
def silent() -> Iterator[Client]:
    """A client that may send nothing."""
    with Client(transport=httpx.MockTransport(refuse_all)) as client:
        yield client


@pytest.mark.parametrize("name", ["", ".", "..", "a/photos/b", "/"])
def test_no_name_leads_to_another_route(silent: Client, name: str) -> None:
    with pytest.raises(ValueError, match="can't be called"):
        silent.collection(name)


@pytest.mark.parametrize("id", ["", ".", "..", "\udc80", 7, Path("a")])
def test_no_id_becomes_another(silent: Client, id: Any) -> None:
    kept = silent.collection("c")
    for ask in (kept.photo, kept.delete_photo, lambda id: kept.mark_not_duplicates("a", id)):
        with pytest.raises(UnsendableId):
            ask(id)
    for add in (kept.add, lambda photo, id: kept.query(photo, id=id), lambda photo, id: kept.add_batch({id: photo})):
        with pytest.raises(UnsendableId):
            add(COPY, id)


@pytest.mark.parametrize("id", ['a"b', "C:\\a.jpg", "a\nb", "\x7f", "a" * 256])
def test_a_batch_takes_no_id_that_a_files_name_would_change(silent: Client, id: str) -> None:
    with pytest.raises(UnsendableId, match="A batch can't hold"):
        silent.collection("c").add_batch([("a", COPY), (id, COPY)])


@pytest.mark.parametrize("tag", ["", "a,b", ","])
def test_no_tag_becomes_another(silent: Client, tag: str) -> None:
    kept = silent.collection("c")
    for ask in (
        lambda: kept.add(COPY, "a", tags=["x", tag]),
        lambda: kept.add_many([], tags=[tag]),
        lambda: kept.query(COPY, tags=[tag]),
        lambda: list(kept.photos(tags=[tag])),
    ):
        with pytest.raises(ValueError, match="a tag can't be"):
            ask()


def test_an_image_that_can_not_be_read_here_sends_no_batch(silent: Client) -> None:
    with pytest.raises(UnreadableImage):
        silent.collection("c").add_batch([("a", COPY), ("b", "missing.png")])


def test_a_batch_is_of_one_kind(silent: Client) -> None:
    kept = silent.collection("c")
    embedding = Embedding(model="m", version="v", dimension=1, values="AACAPw==")
    mixed: dict[str, bytes | Embedding] = {"a": COPY, "b": embedding}
    for ask in (lambda: kept.add_batch(mixed), lambda: kept.query_batch([*mixed.values()])):
        with pytest.raises(ValueError, match="send two"):
            ask()
    with pytest.raises(ValueError, match="no place for tags"):
        kept.add_batch({"a": COPY}, tags_of={"a": ["x"]})
    with pytest.raises(ValueError, match="a tag can't be"):
        kept.add_batch({"a": embedding}, tags_of={"a": ["x,y"]})
    for group in ("", "..", "0/photos"):
        with pytest.raises(ValueError, match="a group can't be"):
            list(kept.group(group))
