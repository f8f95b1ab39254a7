from __future__ import annotations

from starlette.responses import Response

from phototriage.server.answer_cache import OVERHEAD_BYTES, AnswerCache

KEYS = [AnswerCache.key([bytes([n])]) for n in range(9)]


def test_keys_differ_wherever_a_part_does() -> None:
    keys = {AnswerCache.key(parts) for parts in ([b"ab", b"c"], [b"a", b"bc"], [b"abc"], [b"", b"abc"], [b"abc", b""])}
    assert len(keys) == 5


def test_what_was_kept_comes_back_and_the_longest_unused_goes_first() -> None:
    cache = AnswerCache(3 * (OVERHEAD_BYTES + 10))
    answers = [Response(bytes(10)) for _ in range(4)]
    for key, answer in zip(KEYS, answers[:3], strict=False):
        cache.keep(key, answer)
    assert cache.get(KEYS[0]) is answers[0]
    cache.keep(KEYS[3], answers[3])
    assert cache.get(KEYS[1]) is None
    assert [cache.get(KEYS[place]) for place in (0, 2, 3)] == [answers[0], answers[2], answers[3]]
    cache.clear()
    assert cache.get(KEYS[0]) is None


def test_what_is_larger_than_the_cache_is_not_kept_and_takes_no_other_ones_place() -> None:
    cache = AnswerCache(OVERHEAD_BYTES + 10)
    small = Response(bytes(10))
    cache.keep(KEYS[0], small)
    cache.keep(KEYS[1], Response(bytes(11)))
    assert cache.get(KEYS[0]) is small
    assert cache.get(KEYS[1]) is None


def test_keeping_twice_counts_once() -> None:
    cache = AnswerCache(2 * (OVERHEAD_BYTES + 10))
    for key in (KEYS[0], KEYS[0], KEYS[1]):
        cache.keep(key, Response(bytes(10)))
    assert cache.get(KEYS[0]) is not None
    assert cache.get(KEYS[1]) is not None
