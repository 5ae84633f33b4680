"""What stands between a question and its answer is found without reading every turn there is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.utils import timezone

from dashboard.chats.models import ChatSession
from dashboard.turns.conflict import which_conflict
from dashboard.turns.history import import_history, is_unread
from dashboard.turns.lease import claim
from dashboard.turns.ledger import Ledger, ledger
from dashboard.turns.models import Turn, TurnState
from dashboard.turns.prune import prune_logs
from dashboard.turns.standing import Standing, place_in_queue, running_by_person, standing, to_see_to
from dashboard.turns.states import LIVE, NOT_READ
from dashboard.web import running
from tests.faulty import FaultyServer
from tests.turns.conftest import ended, put, question, script, sse, stop, text
from tests.web.conftest import make_session

Said = list[tuple[str, Any]]


@contextmanager
def said_to_the_database() -> Iterator[Said]:
    """Every statement of this thread with its values, as it is sent."""
    said: Said = []

    def listen(execute: Any, sql: str, values: Any, many: bool, context: Any) -> Any:
        said.append((sql, values))
        return execute(sql, values, many, context)

    with connection.execute_wrapper(listen):
        yield said


def plans(said: Said) -> list[str]:
    """How SQLite goes about each statement that reads or changes turns."""
    found = []
    with connection.cursor() as cursor:
        for sql, values in said:
            if '"dashboard_turn"' in sql and not sql.lstrip().startswith("INSERT"):
                cursor.execute(f"EXPLAIN QUERY PLAN {sql}", values)
                found += [f"{step} — {sql}" for *_, step in cursor.fetchall()]
    return found


@pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL chooses by how many rows there are")
def test_no_turn_that_ended_long_ago_is_read_to_ask_to_wait_or_to_look_after(
    faulty: FaultyServer, session: ChatSession, ada: User
) -> None:
    script(faulty, session, sse(question(), text("So."), stop()))
    waiting = make_session(faulty)
    script(faulty, waiting, sse(question(), text("So."), stop()))
    queued = Turn.objects.create(
        session=waiting, number=1, prompt="And?", asked_at=waiting.synced_at, asked_by=ada, index_ids=["idx-reports"]
    )

    with said_to_the_database() as said:
        ended(put(session, ada))
        running.RUNNERS._look()
        place_in_queue(queued)
        ledger(session.pk)
        claim(queued, "another")
        prune_logs()
        is_unread(session)
        import_history(session, running.RUNNERS._client().chat(session.session_id))
        which_conflict(running.RUNNERS._client(), Turn.objects.select_related("session").get(session=session))

    steps = plans(said)
    assert len(steps) > 10
    # A table is named by its alias where it has one; what was found already may be gone through.
    assert [step for step in steps if re.match("SCAN (?!subquery|CONSTANT)", step)] == []


@pytest.mark.postgres
def test_how_things_stand_is_told_of_the_session_the_person_and_everybody(
    faulty: FaultyServer, session: ChatSession, ada: User, ben: User
) -> None:
    assert standing(session.pk, ada.pk, "new") == Standing(0, 0, 0, 0, None)
    other = make_session(faulty)
    at = session.synced_at
    common: dict[str, Any] = {"prompt": "Why?", "asked_at": at}
    Turn.objects.create(session=session, number=1, position=4, state=TurnState.ANSWERED, nonce="old", **common)
    Turn.objects.create(session=session, number=2, state=TurnState.INTERRUPTED, **common)
    assert standing(session.pk, ada.pk, "new") == Standing(0, 0, 0, 2, 4)
    assert (ledger(session.pk).newest, ledger(session.pk).late) == (2, 1)

    Turn.objects.create(session=session, number=3, state=TurnState.QUEUED, asked_by=ada, **common)
    Turn.objects.create(session=other, number=1, state=TurnState.RUNNING, asked_by=ben, **common)

    assert standing(session.pk, ada.pk, "new") == Standing(1, 2, 1, 3, 4)
    assert standing(session.pk, ben.pk, "old") == Standing(2, 2, 1, 3, 4)
    assert standing(other.pk, ben.pk, "old") == Standing(2, 2, 1, 1, None)
    assert (ledger(other.pk).newest, ledger(other.pk).late) == (1, 0)

    Turn.objects.filter(session=session, number=2).update(state=TurnState.STOPPED, position=5)
    assert ledger(session.pk).late == 0, "LlamaCloud finished it all the same"
    Turn.objects.filter(session=session, number=2).update(position=None)
    assert ledger(session.pk).late == 1
    assert ledger(session.pk).explanation == "The question waits for its turn", "another was asked since"
    Turn.objects.filter(session=session, number=3).delete()
    assert "was stopped" in ledger(session.pk).explanation
    Turn.objects.filter(session=session).update(state=TurnState.INTERRUPTED)
    assert "broke off" in ledger(session.pk).explanation
    Turn.objects.filter(session=session).update(state=TurnState.ANSWERED)
    assert ledger(session.pk).explanation == ledger(0).explanation == ""


@pytest.mark.postgres
def test_what_is_late_is_told_alike_of_a_turn_and_of_all(session: ChatSession) -> None:
    number = 0
    for state in TurnState:
        for position in (None, 7) if state not in LIVE else (None,):
            for error_code in ("", "never_sent", NOT_READ):
                number += 1
                turn = Turn(session=session, number=number, state=state, position=position, error_code=error_code)
                turn.prompt, turn.asked_at = "Why?", timezone.now()
                turn.save()
                assert ledger(session.pk).late == turn.is_late, (state, position, error_code)
                turn.delete()


@pytest.mark.postgres
def test_only_turns_that_wait_are_stopped_or_have_no_keeper_are_seen_to(
    catalog: FaultyServer, ada: User, ben: User
) -> None:
    now = timezone.now()
    later, over = now + timedelta(seconds=5), now - timedelta(seconds=5)

    def turn(state: TurnState, person: User = ada, **columns: Any) -> int:
        asked: dict[str, Any] = {"session": make_session(catalog), "number": 1, "prompt": "?", "asked_at": now}
        return Turn.objects.create(**asked, state=state, asked_by=person, **columns).pk

    turn(TurnState.RUNNING, lease_until=later)
    turn(TurnState.RUNNING)
    turn(TurnState.ANSWERED, lease_until=over, stop_asked_at=now)
    wanted = [
        turn(TurnState.RUNNING, lease_until=later, stop_asked_at=now),
        turn(TurnState.RUNNING, lease_until=over),
        turn(TurnState.QUEUED, ben),
    ]

    assert sorted(to_see_to(now)) == sorted(wanted)
    assert running_by_person() == {ada.pk: 4}


@pytest.mark.postgres
def test_figures_beyond_belief_do_not_break_the_sum(session: ChatSession) -> None:
    common: dict[str, Any] = {"prompt": "?", "asked_at": session.synced_at, "state": TurnState.ANSWERED}
    huge: dict[str, Any] = {"duration_ms": 1.7e308, "input_tokens": 2**63 - 1, "output_tokens": 2**63 - 1}
    for number in (1, 2):
        Turn.objects.create(session=session, number=number, **common, **huge)
    Turn.objects.create(session=session, number=3, **common, duration_ms=5.0, input_tokens=7, output_tokens=9)

    assert ledger(session.pk) == Ledger(3, 0, "answered", 5.0, 7, 9)
