"""What drawn pages say: sentences of ordinary words, names, numbers, dates, lines of code."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_TEXT = """
time year people way day man thing woman life child world school state family student group country problem
hand part place case week company system program question work government number night point home water room
mother area money story fact month lot right study book eye job word business issue side kind head house
service friend father power hour game line end member law car city community name president team minute idea
body information back parent face level office door health person art war history party result change morning
reason research girl guy moment air teacher force education garden river window letter market paper station
summer table winter bridge signal engine forest island journey library mountain network object pattern quarter
record season
"""
WORDS: Sequence[str] = tuple(_TEXT.split())
NAMES = ("count", "total", "index", "value", "items", "rows", "limit", "result", "cache", "queue", "state", "user")
CALLS = ("load", "merge", "parse", "sort", "update", "filter", "append", "remove", "encode", "split", "fetch", "reset")


def word(rng: np.random.Generator) -> str:
    return WORDS[int(rng.integers(len(WORDS)))]


def words(rng: np.random.Generator, count: int) -> str:
    return " ".join(word(rng) for _ in range(count))


def sentence(rng: np.random.Generator, count: int) -> str:
    """So many words, with a capital at the beginning and a full stop."""
    return words(rng, count).capitalize() + "."


def title(rng: np.random.Generator) -> str:
    return words(rng, int(rng.integers(2, 5))).title()


def date(rng: np.random.Generator) -> str:
    return f"{int(rng.integers(1, 29)):02}.{int(rng.integers(1, 13)):02}.{int(rng.integers(2015, 2027))}"


def amount(rng: np.random.Generator) -> str:
    return f"{rng.uniform(0.5, 250):.2f}"


def code_line(rng: np.random.Generator) -> str:
    """A line that looks like a program's, without its indentation."""
    left, right, call = (str(rng.choice(each)) for each in (NAMES, NAMES, CALLS))
    number = int(rng.integers(2, 999))
    forms = (
        f"{left} = {call}({right}, {number})",
        f"if {left} > {number}:",
        f"for {left} in {right}.{call}():",
        f"return {left} + {number}",
        f"def {call}_{left}({right}):",
        f'{left}["{word(rng)}"] = {number}',
        f"# {words(rng, 4)}",
    )
    return forms[int(rng.integers(len(forms)))]
