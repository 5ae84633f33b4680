"""The lease of a turn: which process runs it, and until when others believe so.

A lease is taken, prolonged and handed on by single statements, which a process cannot fall asleep in; and nobody waits
for a turn whose row somebody holds, because whoever holds it may be asleep.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from datetime import datetime, timedelta

from django.contrib.auth.models import User
from django.db import connection, transaction
from django.utils import timezone

from dashboard.rows import execute, fetch, hold
from dashboard.turns.models import Turn
from dashboard.turns.standing import has_room
from dashboard.turns.states import TurnState

LEASE = timedelta(seconds=9)
HEARTBEAT = 3.0
"""Seconds between two renewals of all leases of a process."""


def lock_person(person_id: int | None) -> None:
    """Within a transaction, let nobody else start a turn of this person: limits are counted, then used up."""
    if person_id is not None:
        hold(User, person_id)


def claim(turn: Turn, holder: str) -> bool:
    """Take a queued turn if its person may have another one running; of several processes one gets it."""
    with transaction.atomic():
        lock_person(turn.asked_by_id)
        now = timezone.now()
        return has_room(turn.asked_by_id) and bool(
            Turn.objects.filter(pk=turn.pk, state=TurnState.QUEUED).update(
                state=TurnState.RUNNING, started_at=now, lease_until=now + LEASE, lease_holder=holder
            )
        )


def renew(turn_ids: Collection[int], holder: str) -> set[int]:
    """Prolong the leases of these turns; one that is being ended at this moment needs no longer one.

    Returns:
        those of them that are still the holder's.
    """
    if not turn_ids:
        return set()
    mine = f"id IN ({', '.join(['%s'] * len(turn_ids))}) AND state = 'running' AND lease_holder = %s"
    execute(_prolong(mine, "NO KEY UPDATE"), timezone.now() + LEASE, holder, *turn_ids, holder)
    return {turn_id for (turn_id,) in fetch(f"SELECT id FROM {_TURNS} WHERE {mine}", *turn_ids, holder)}  # noqa: S608


def take_over(turn_id: int, lease_until: datetime, holder: str) -> bool:
    """Take the lease of a turn whose lease still ends at this moment; of several processes one gets it.

    Nobody does while an entry of it is being stored.
    """
    rule = "id = %s AND state = 'running' AND lease_until = %s"
    return bool(execute(_prolong(rule, "UPDATE"), timezone.now() + LEASE, holder, turn_id, lease_until))


def wait_to_write() -> float:
    """Write nothing, as soon as one may; answer the seconds that took. On SQLite all wait for whoever writes."""
    began = time.monotonic()
    execute(f"UPDATE {_TURNS} SET lease_until = NULL WHERE id < 0")  # noqa: S608
    return time.monotonic() - began


def release(turn: Turn, holder: str, *, unsent: bool = False) -> None:
    """Let a lease go at once, so that a reaper need not wait for it to run out.

    Args:
        turn: the turn.
        holder: whose lease it was.
        unsent: its question certainly never left, so that another process may ask it.
    """
    mine = Turn.objects.running().filter(pk=turn.pk, lease_holder=holder)
    if unsent:
        mine.update(state=TurnState.QUEUED, lease_until=None, lease_holder="")
    else:
        mine.update(lease_until=timezone.now(), lease_holder="")


_TURNS = f'"{Turn._meta.db_table}"'


def _prolong(rule: str, lock: str) -> str:
    free = f"FOR {lock} SKIP LOCKED" if connection.features.has_select_for_update else ""
    found = f"SELECT id FROM {_TURNS} WHERE {rule} {free}"  # noqa: S608  # our own words
    return f"UPDATE {_TURNS} SET lease_until = %s, lease_holder = %s WHERE id IN ({found})"  # noqa: S608
