"""What /v1/embed gave comes back as the same values; anything else is refused."""

from __future__ import annotations

import base64
import json
import struct

import numpy as np
import pytest

from phototriage.common.errors import ForeignEmbedding, MalformedRequest
from phototriage.triage.embedding import decode, encode
from phototriage.triage.schemas import EmbedResponse, ModelName

MODEL = ModelName(name="tiny", version="abc")
VECTOR = np.array([0.6, 0, -0.8], np.float32)


def text(**changes: object) -> bytes:
    return json.dumps(encode(VECTOR, MODEL).model_dump() | changes).encode()


def values(*numbers: float) -> str:
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()


def test_the_values_are_little_endian_float32() -> None:
    given = encode(np.array([1, -2], np.float32), MODEL)
    # 1.0 is 0x3f800000, −2.0 is 0xc0000000.
    assert base64.b64decode(given.values) == bytes.fromhex("0000803f000000c0")
    assert (given.model, given.version, given.dimension) == ("tiny", "abc", 2)


def test_what_was_encoded_is_decoded_bit_by_bit() -> None:
    found = decode(text(), MODEL, (3,)).vector
    assert found.dtype == np.float32
    assert np.array_equal(found, VECTOR)


def test_the_whole_answer_is_taken_as_it_was_saved() -> None:
    answer = EmbedResponse(model=MODEL, embedding=encode(VECTOR, MODEL))
    assert np.array_equal(decode(answer.model_dump_json().encode(), MODEL, (3,)).vector, VECTOR)
    foreign = EmbedResponse(model=MODEL, embedding=encode(VECTOR, ModelName(name="tiny", version="abd")))
    with pytest.raises(ForeignEmbedding, match="version 'abd'"):
        decode(foreign.model_dump_json().encode(), MODEL, (3,))


def test_rounding_of_the_length_is_let_through() -> None:
    assert decode(text(values=values(0.6005, 0, -0.8005)), MODEL, (3,)).vector[0] == np.float32(0.6005)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"model": "other"}, "model 'other', version 'abc'; it is compared by 'tiny', version 'abc'"),
        ({"version": "abd"}, "version 'abd'"),
        ({"dimension": 4}, "says 4 dimensions; tiny has 3"),
        ({"values": values(0.6, -0.8)}, "8 bytes; 3 float32 values have 12"),
        ({"values": ""}, "0 bytes"),
        ({"values": "####"}, "not base64"),
        ({"values": values(0.6, 0, -0.8)[:-1]}, "not base64"),
        ({"values": values(0.6, 0, -0.8)[:8] + " \n" + values(0.6, 0, -0.8)[8:]}, "not base64"),
        ({"values": "äöü="}, "not base64"),
        ({"values": values(float("nan"), 0, 1)}, "1 of the embedding's 3 values"),
        ({"values": values(float("inf"), float("-inf"), 1)}, "2 of the embedding's 3 values"),
        ({"values": values(0.6, 0, -0.81)}, r"length 1\.008, and it has to be 1 within 0\.001"),
        ({"values": values(0, 0, 0)}, "length 0,"),
        ({"values": values(3e38, 3e38, 3e38)}, r"length 5\.196e\+38"),
    ],
)
def test_foreign_embeddings_are_refused(changes: dict[str, object], told: str) -> None:
    with pytest.raises(ForeignEmbedding, match=told):
        decode(text(**changes), MODEL, (3,))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "the text"),
        (b"http://localhost/", "the text"),
        (b"\xff\xfe", "the text"),
        (b"[" * 10_000, "the text"),
        (b"null", "the text"),
        (b"{}", "model"),
        (text(dimension="3"), "dimension"),
        (text(dimension=0), "dimension"),
        (text(dimension=3.5), "dimension"),
        (text(values=[0.6, 0, -0.8]), "values"),
        (text(note="x"), "note"),
    ],
)
def test_other_texts_are_malformed(content: bytes, told: str) -> None:
    with pytest.raises(MalformedRequest, match=f"not the JSON object that /v1/embed gives: {told}"):
        decode(content, MODEL, (3,))


def of_parts(*numbers: float) -> bytes:
    return json.dumps(encode(np.array(numbers, np.float32), MODEL).model_dump()).encode()


@pytest.mark.parametrize("last", [(0, -1), (0, 0)])  # a plain surface has no layout
def test_an_embedding_of_two_parts(last: tuple[float, float]) -> None:
    assert decode(of_parts(0.6, 0.8, *last), MODEL, (2, 2)).vector == pytest.approx([0.6, 0.8, *last])


@pytest.mark.parametrize(
    ("numbers", "told"),
    [
        ((0, 0, 0, 1), "part of values 1 to 2 has length 0,"),
        ((1, 0, 0, 0.5), "part of values 3 to 4 has length 0.5,"),
        ((0.6, 0, 0.8, 0), "part of values 1 to 2 has length 0.6,"),
        ((1, 0, 0), "3 dimensions; tiny has 4"),
    ],
)
def test_each_part_has_its_own_length(numbers: tuple[float, ...], told: str) -> None:
    with pytest.raises(ForeignEmbedding, match=told):
        decode(of_parts(*numbers), MODEL, (2, 2))
