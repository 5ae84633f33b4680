"""Reading a list through all its pages, and saying honestly whether it was all (contract.md §3, §14.3–4)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from dashboard.upstream.contract import Wire
from dashboard.upstream.errors import UnreadableAnswer, UpstreamError

T = TypeVar("T")
W = TypeVar("W", bound=Wire)

EMPTY_PAGES = 5
"""Pages in a row with nothing to show that are followed when they name a next one."""
MAX_ITEMS = 200_000
LISTING_SECONDS = 30.0
"""Time for a whole listing unless the caller says otherwise."""


@dataclass(frozen=True)
class Page(Generic[T]):
    """One page: its items, the token of the next page or ``None``, and how many rows could not be read."""

    items: tuple[T, ...]
    next_page_token: str | None = None
    skipped: int = 0


@dataclass(frozen=True)
class Listing(Generic[T]):
    """A list read through its pages.

    Args:
        items: each once, in the order received.
        complete: whether this is certainly all; only then may absence mean deletion.
        why: in plain words, why it is not complete; ``""`` when it is.
        skipped: rows that could not be read.
        failure: the error that ended it early, if one did.
    """

    items: tuple[T, ...]
    complete: bool = True
    why: str = ""
    skipped: int = 0
    failure: UpstreamError | None = None


def read_page(answer: Any, model: type[W], *, mended: Callable[[Any], Any] = lambda row: row) -> Page[W]:
    """Read a cursor envelope, or the bare array that v1 projects answer.

    Args:
        answer: the JSON.
        model: what its rows are.
        mended: changes a row before it is read.

    Raises:
        UnreadableAnswer: neither of the two.
    """
    rows, token = answer, None
    if isinstance(answer, Mapping):
        rows, token = answer.get("items"), answer.get("next_page_token")
    if not isinstance(rows, list):
        raise UnreadableAnswer("LlamaCloud answered a list without its items")
    if not (token is None or isinstance(token, str)):
        raise UnreadableAnswer("LlamaCloud answered a page token that is not text")
    items: list[W] = []
    for row in rows:
        try:
            items.append(model.model_validate(mended(row)))
        except (ValidationError, RecursionError):
            continue
    # Null, absent and "" all mean the last page (contract.md §3).
    return Page(tuple(items), token or None, len(rows) - len(items))


@dataclass
class _Reading(Generic[T]):
    """What has been read so far."""

    key: Callable[[T], str]
    items: dict[str, T] = field(default_factory=dict)
    skipped: int = 0
    tokens: set[str] = field(default_factory=set)
    empty_in_a_row: int = 0

    def take(self, page: Page[T]) -> str:
        """Add a page and say in words why reading must end here; ``""`` when nothing speaks against going on."""
        before = len(self.items)
        for item in page.items:
            self.items.setdefault(self.key(item), item)
        self.skipped += page.skipped
        token = page.next_page_token
        if token is None:
            return ""
        if token in self.tokens:
            return "LlamaCloud named the same next page twice."
        self.tokens.add(token)
        if page.items and len(self.items) == before:
            return "LlamaCloud sent a page with nothing new on it."
        self.empty_in_a_row = 0 if page.items else self.empty_in_a_row + 1
        if self.empty_in_a_row > EMPTY_PAGES:
            return "LlamaCloud sent one empty page after another."
        return ""

    def ended(self, why: str = "", failure: UpstreamError | None = None) -> Listing[T]:
        """The listing, incomplete if there is a reason or a row that could not be read."""
        if not why and self.skipped:
            why = "Some entries could not be read."
        return Listing(tuple(self.items.values()), not why, why, self.skipped, failure)


def read_all(
    fetch: Callable[[str | None, float], Page[T]],
    key: Callable[[T], str],
    *,
    deadline: float | None = None,
    max_items: int = MAX_ITEMS,
) -> Listing[T]:
    """Read every page.

    Args:
        fetch: answers the page of a token (``None`` for the first) within the seconds given.
        key: an item's identity; a list that changes between two pages may show one twice.
        deadline: seconds for the whole listing, :data:`LISTING_SECONDS` unless given.
        max_items: items after which reading ends.

    Raises:
        UpstreamError: the first page failed. A later failure ends the listing as incomplete.
    """
    ends = time.monotonic() + (LISTING_SECONDS if deadline is None else deadline)
    reading = _Reading(key)
    page = fetch(None, ends - time.monotonic())
    while True:
        why = reading.take(page)
        if why or page.next_page_token is None:
            return reading.ended(why)
        if len(reading.items) >= max_items:
            return reading.ended(f"There are more than {max_items:,} entries.")
        left = ends - time.monotonic()
        if left <= 0:
            return reading.ended("Reading the whole list took too long.")
        try:
            page = fetch(page.next_page_token, left)
        except UpstreamError as failure:
            late = time.monotonic() >= ends
            return reading.ended("Reading the whole list took too long." if late else failure.sentence, failure)
