"""Two things measured side by side: A B A B …, medians, and how much the machine itself wavered."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

BLOCKS = 5
"""Parts of a run whose ratios are compared with each other: their range is what the machine's noise does."""


def interleaved(
    first: Callable[[], float], second: Callable[[], float], *, rounds: int, warm_up: int = 3
) -> tuple[list[float], list[float]]:
    """Call both in turns and collect what each answers.

    Args:
        first, second: measure once.
        rounds: how often each is called.
        warm_up: calls before, which do not count. Who goes first changes every round.
    """
    for _ in range(warm_up):
        first()
        second()
    ours: list[float] = []
    theirs: list[float] = []
    for number in range(rounds):
        if number % 2:
            theirs.append(second())
            ours.append(first())
        else:
            ours.append(first())
            theirs.append(second())
    return ours, theirs


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The ratio of the medians."""
    return statistics.median(ours) / statistics.median(theirs)


def spread(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, float]:
    """The lowest and highest ratio over consecutive parts of the run."""
    size = max(1, len(ours) // BLOCKS)
    parts = [ratio(ours[at : at + size], theirs[at : at + size]) for at in range(0, len(ours) - size + 1, size)]
    return min(parts), max(parts)


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which ``share`` (0 to 1) of the values lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def report(
    name: str, ours: Sequence[float], theirs: Sequence[float], *, unit: str, at_most: float = 0, at_least: float = 0
) -> None:
    """Print one line: the ratio, its spread, both medians with their 90th percentile, and the verdict on the target.

    Args:
        name: what was measured.
        ours, theirs: values in the order measured.
        unit: of the values.
        at_most, at_least: the target for the ratio; none when both are 0.
    """
    value = ratio(ours, theirs)
    low, high = spread(ours, theirs)
    verdict = ""
    if at_most:
        verdict = f"  {'within' if value <= at_most else 'over'} the target of at most {at_most:g}"
    elif at_least:
        verdict = f"  {'within' if value >= at_least else 'short of'} the target of at least {at_least:g}"
    sides = " : ".join(f"{statistics.median(side):.1f} (p90 {percentile(side, 0.9):.1f})" for side in (ours, theirs))
    print(f"{name:<28} {value:5.2f}x  [{low:.2f}–{high:.2f}]  {sides} {unit}{verdict}", flush=True)
