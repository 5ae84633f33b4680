"""Rows that somebody holds, perhaps asleep: who waits for them, and who must not. PostgreSQL alone locks rows."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.utils import timezone

from dashboard.turns import lease
from dashboard.turns.answer import Entry
from dashboard.turns.entries import Item, LeaseLost, read_entries, store
from dashboard.turns.eventlog import EVENT_LOG
from dashboard.turns.models import Turn, TurnState
from dashboard.web import running
from tests.faulty import FaultyServer
from tests.turns.conftest import in_another_transaction, until
from tests.web.conftest import make_session

pytestmark = pytest.mark.postgres
ENTRY = Entry(1, "surprise", "{}")


@pytest.fixture(autouse=True)
def locks_rows(process: None) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite locks no rows")


def mine(catalog: FaultyServer, person: User) -> Turn:
    """A turn this process runs, whose lease ends in a second."""
    now = timezone.now()
    return Turn.objects.create(
        session=make_session(catalog), number=1, state=TurnState.RUNNING, asked_by=person, prompt="Why?", asked_at=now,
        lease_holder=running.RUNNERS.holder, lease_until=now + timedelta(seconds=1),
    )  # fmt: skip


def write(turn: Turn) -> None:
    EVENT_LOG.append(turn.pk, [ENTRY], holder=running.RUNNERS.holder).result(10)


def until_when(turn: Turn) -> object:
    return Turn.objects.get(pk=turn.pk).lease_until


def test_nobody_waits_to_take_over_a_turn_that_a_sleeping_process_holds(catalog: FaultyServer, ada: User) -> None:
    """It is taken over when the database has taken it back; till then, whoever reaps goes on renewing its own."""
    turn = mine(catalog, ada)
    assert turn.lease_until is not None

    with in_another_transaction(lambda: Turn.objects.select_for_update().get(pk=turn.pk)):
        assert not lease.take_over(turn.pk, turn.lease_until, "another")

    assert lease.take_over(turn.pk, turn.lease_until, "another")


def test_a_turn_that_is_being_ended_holds_up_no_renewal(catalog: FaultyServer, ada: User) -> None:
    """The log's writer ends several turns one after the other; waiting for one while holding another is a deadlock."""
    ending, going_on = mine(catalog, ada), mine(catalog, ada)
    running.RUNNERS._reaping.update({turn.pk: threading.Event() for turn in (ending, going_on)})

    with in_another_transaction(lambda: Turn.objects.filter(pk=ending.pk).update(error="being ended")):
        running.RUNNERS._renew()
    running.RUNNERS._reaping.clear()

    assert until_when(ending) == ending.lease_until
    assert until_when(going_on) != going_on.lease_until


def test_a_turn_that_somebody_holds_keeps_no_frame_waiting(catalog: FaultyServer, ada: User) -> None:
    held, other = mine(catalog, ada), mine(catalog, ada)

    with in_another_transaction(lambda: Turn.objects.filter(pk=held.pk).update(stop_asked_at=timezone.now())):
        write(held)
        write(other)


def test_a_frame_on_its_way_holds_up_no_renewal_and_who_takes_over_makes_way(catalog: FaultyServer, ada: User) -> None:
    turn = mine(catalog, ada)
    assert turn.lease_until is not None

    with in_another_transaction(lambda: store([Item(turn.pk, [ENTRY], None, False, running.RUNNERS.holder)])):
        assert not lease.take_over(turn.pk, turn.lease_until, "another")
        assert lease.renew([turn.pk], running.RUNNERS.holder) == {turn.pk}

    assert until_when(turn) != turn.lease_until


def test_a_frame_that_is_late_is_not_stored_when_its_turn_was_taken_over(catalog: FaultyServer, ada: User) -> None:
    """However late a statement reaches the database: it looks at the lease itself, and not somebody before it."""
    turn = mine(catalog, ada)

    def lock() -> None:
        with connection.cursor() as cursor:
            cursor.execute("LOCK TABLE dashboard_logentry IN EXCLUSIVE MODE")

    def somebody_waits() -> bool:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
            return bool(cursor.fetchone()[0])

    with in_another_transaction(lock):
        late = EVENT_LOG.append(turn.pk, [ENTRY], holder=running.RUNNERS.holder)
        until(somebody_waits)
        Turn.objects.update(state=TurnState.INTERRUPTED, lease_holder="")

    assert isinstance(late.exception(10), LeaseLost)
    assert read_entries(turn.pk) == []
