"""The entries of answers in the database: written while their turn's lease stands, read by whoever watches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from django.db import Error, connection, transaction
from django.utils import timezone

from dashboard.rows import fetch
from dashboard.turns.answer import Entry
from dashboard.turns.channel import Channel
from dashboard.turns.models import LogEntry, Turn
from dashboard.turns.standing import IS_LIVE, places_in_queue
from dashboard.turns.states import TurnState

ROWS = 100
"""Entries of one statement; SQLite may be built to take 999 values."""
_INSERT = f"""
    INSERT INTO {LogEntry._meta.db_table} (turn_id, number, type, data, html, tail)
    SELECT column1, column2, column3, column4, column5, column6 FROM (VALUES {{places}}) AS made
    JOIN {Turn._meta.db_table} ON id = column1 AND state = 'running' AND lease_holder = column7 {{locks}}
    RETURNING turn_id
"""  # noqa: S608  # our own names
"""The one statement that runs for every frame of every answer: the ORM takes longer to put it together than a database
to do it."""
_LIVE = f"SELECT id, state, state = 'running' AND lease_until < %s FROM {Turn._meta.db_table} WHERE {IS_LIVE}"  # noqa: S608
_ENTRIES = f"SELECT turn_id, number, type, data, html, tail FROM {LogEntry._meta.db_table}"  # noqa: S608


class LeaseLost(Exception):
    """The turn is not this process's any more: nothing of it was stored."""


@dataclass(eq=False)
class Item:
    """What somebody wants stored of one turn; the arguments of ``EventLog.append``.

    Args:
        ends: whether ``work`` ends the turn.
        done: gets what came of it.
    """

    turn_id: int
    entries: Sequence[Entry]
    work: Callable[[], Any] | None
    ends: bool
    holder: str
    done: Future[Any] = field(default_factory=Future)


def parts_of(items: list[Item]) -> list[list[Item]]:
    """What goes into one transaction each: all that only grows, then every end by itself.

    An end changes its session's row. Two of them in one transaction would wait for each other with whoever changes many
    sessions at once, in another order.
    """
    growing = [item for item in items if not item.ends]
    return [part for part in (growing, *([item] for item in items if item.ends)) if part]


def store(batch: list[Item]) -> list[Any]:
    """Store entries of turns whose lease stands, then do the work that belongs to them.

    Returns:
        what each item's work returned, or :class:`LeaseLost`.
    """
    rows = [
        (item.turn_id, entry.number, entry.type, entry.data, entry.html, entry.tail, item.holder)
        for item in batch
        for entry in item.entries
    ]
    parts = [rows[start : start + ROWS] for start in range(0, len(rows), ROWS)]
    is_one_statement = len(parts) == 1 and not any(item.work for item in batch)
    try:
        # One statement is a transaction by itself, and what is written at every beat needs no more.
        with nullcontext() if is_one_statement else transaction.atomic():
            held = {turn_id for part in parts for turn_id in _insert(part)}
            return [_done(item, held) for item in batch]
    except LeaseLost as lost:
        return [lost]


def _insert(rows: list[tuple[Any, ...]]) -> list[int]:
    """Insert entries whose turn's lease stands at this moment; answer the keys of these turns.

    In one statement, which a process cannot fall asleep in, and on PostgreSQL with the turn's key held meanwhile, which
    nobody waits for but who takes the turn over (``lease.take_over``): they find all of it or add to it alone.
    """
    locks = f"FOR KEY SHARE OF {Turn._meta.db_table}" if connection.features.has_select_for_update else ""
    places = ", ".join(["(%s, %s, %s, %s, %s, %s, %s)"] * len(rows))
    found = fetch(_INSERT.format(places=places, locks=locks), *chain.from_iterable(rows))
    return [turn_id for (turn_id,) in found]


def _done(item: Item, held: set[int]) -> Any:
    """Do what belongs to entries that were stored.

    Raises:
        LeaseLost: the end of a turn that is somebody else's by now, so that its entries must not be stored either.
    """
    is_mine = not item.entries or item.turn_id in held
    result = item.work() if is_mine and item.work else None
    if item.ends and not result:
        raise LeaseLost
    return result if is_mine else LeaseLost()


def is_stored(item: Item) -> bool:
    """Whether an earlier try was committed after all."""
    try:
        stored = {entry.number: entry.data for entry in read_entries(item.turn_id)}
    except Error:
        return False
    return bool(item.entries) and all(stored.get(entry.number) == entry.data for entry in item.entries)


def read_entries(turn_id: int, after: int = 0) -> list[Entry]:
    """The stored entries of a turn after a number, in order."""
    rows = LogEntry.objects.filter(turn_id=turn_id, number__gt=after).order_by("number")
    return [Entry(*row) for row in rows.values_list("number", "type", "data", "html", "tail")]


def look(channels: list[Channel]) -> list[int]:
    """One look for many turns: which have ended, then what is new. In this order, so that an end is never early.

    Those that wait are told their place in the queue, and all whether their process is gone, which is no news: who
    watches them looks now and then.

    Returns:
        the keys of those with news.
    """
    places = ", ".join(["%s"] * len(channels))
    rows = fetch(f"{_LIVE} AND id IN ({places})", timezone.now(), *[one.turn_id for one in channels])
    live, orphaned = {key for key, *_ in rows}, {key for key, _, is_orphaned in rows if is_orphaned}
    queue = places_in_queue() if any(state == TurnState.QUEUED for _, state, _ in rows) else {}
    for channel in channels:
        channel.place, channel.orphaned = queue.get(channel.turn_id, 0), channel.turn_id in orphaned
    news = " OR ".join(["(turn_id = %s AND number > %s)"] * len(channels))
    seen = [(one.turn_id, one.entries[-1].number if one.entries else 0) for one in channels]
    found: dict[int, list[Entry]] = {}
    for turn_id, *entry in fetch(f"{_ENTRIES} WHERE {news} ORDER BY turn_id, number", *chain.from_iterable(seen)):
        found.setdefault(turn_id, []).append(Entry(*entry))
    told = []
    for channel in channels:
        entries, ended = found.get(channel.turn_id, []), channel.turn_id not in live
        if entries or ended:
            channel.publish(entries, ended=ended)
            told.append(channel.turn_id)
    return told
