"""Figures and Markdown tables as results are printed."""

from __future__ import annotations

from collections.abc import Sequence

from training.statistics.intervals import Figure


def with_interval(figure: Figure) -> str:
    """.968 (.955–.979): three decimals, no leading zero."""
    return f"{short(figure.value)} ({short(figure.low)}–{short(figure.high)})"


def signed(figure: Figure) -> str:
    """+.012 (−.003 to +.027)."""
    value, low, high = (("−" if part.startswith("-") else "+") + part.lstrip("-") for part in map(short, figure[:3]))
    return f"{value} ({low} to {high})"


def short(value: float) -> str:
    """Three decimals, no leading zero."""
    text = f"{value:.3f}"
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
