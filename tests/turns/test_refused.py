"""A question LlamaCloud refuses, and which of its refusals a 409 is."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User

from dashboard.chats.models import ChatSession, LockState
from dashboard.turns import conflict, run
from dashboard.turns.ask import stop as stop_turn
from dashboard.turns.models import TurnState
from dashboard.web import running
from tests.faulty import FaultyServer, event_stream, failing, rate_limited
from tests.turns.conftest import (
    ORIGIN,
    call,
    delta,
    ended,
    put,
    question,
    result,
    script,
    sse,
    stop,
    stream_path,
    text,
    until,
)

pytestmark = pytest.mark.postgres

WHOLE = [question(), call(), result(), delta("Because "), delta("**so**."), text("Because **so**."), stop()]


@pytest.mark.parametrize(
    "answer", [failing(401), failing(403), failing(404), failing(422), rate_limited(), failing(400)]
)
def test_refused_before_the_answer_began_nothing_is_locked(
    faulty: FaultyServer, session: ChatSession, ada: User, answer: Any
) -> None:
    script(faulty, session, answer)

    turn = ended(put(session, ada))

    assert turn.state == TurnState.FAILED
    assert turn.error
    assert turn.error_code
    session.refresh_from_db()
    assert (session.lock_state, session.questions, session.is_running) == (LockState.OPEN, 0, False)
    assert len(faulty.received("POST", stream_path(session))) == 1


def test_refused_twice_still_locks_nothing(faulty: FaultyServer, session: ChatSession, ada: User) -> None:
    script(faulty, session, rate_limited(), rate_limited())

    ended(put(session, ada))
    ended(put(session, ada))

    session.refresh_from_db()
    assert session.lock_state == LockState.OPEN


def test_refused_after_an_answer_the_lock_stays(faulty: FaultyServer, session: ChatSession, ada: User) -> None:
    script(faulty, session, sse(*WHOLE), rate_limited())

    ended(put(session, ada))
    ended(put(session, ada))

    session.refresh_from_db()
    assert (session.lock_state, session.questions) == (LockState.LOCKED, 1)
    assert session.first_asked_at


def conflict_over(faulty: FaultyServer, session: ChatSession, *history: dict[str, Any], **changes: Any) -> None:
    faulty.events[session.session_id] = list(history)
    faulty.chats[session.session_id].update(changes)
    script(faulty, session, failing(409, "Conflict"), repeat=True)


def stopped_in_the_middle(faulty: FaultyServer, session: ChatSession, person: User) -> None:
    """Ask, and stop the answer after its first word."""
    script(faulty, session, event_stream(sse(question("First"), delta("begun")), (30.0, b"")))
    first = put(session, person, "First")
    until(lambda: first.log.filter(type="text_delta").exists())
    stop_turn(running.RUNNERS, first, actor=person, origin=ORIGIN)
    ended(first)


def test_a_conflict_over_a_question_asked_elsewhere_says_so(
    faulty: FaultyServer, session: ChatSession, ada: User
) -> None:
    conflict_over(faulty, session, question("Asked elsewhere"))

    assert ended(put(session, ada)).error == conflict.RUNNING_ELSEWHERE


def test_a_conflict_over_the_sources_says_so(faulty: FaultyServer, session: ChatSession, ada: User) -> None:
    conflict_over(faulty, session, question("Before"), text("x"), stop(), index_ids=["idx-policies"])

    assert ended(put(session, ada)).error == conflict.SOURCES_FIXED


def test_a_conflict_that_the_history_does_not_show_is_not_blamed_on_the_sources(
    faulty: FaultyServer, session: ChatSession, ada: User
) -> None:
    conflict_over(faulty, session)

    assert ended(put(session, ada)).error == conflict.RUNNING_ELSEWHERE


@pytest.mark.parametrize("shown", [True, False])
def test_a_conflict_with_our_own_stopped_answer_says_so(
    faulty: FaultyServer, session: ChatSession, ada: User, shown: bool
) -> None:
    stopped_in_the_middle(faulty, session, ada)
    conflict_over(faulty, session, *([question("First")] if shown else []))

    assert ended(put(session, ada)).error == conflict.BUSY_WITH_STOPPED


def test_a_question_waits_until_llamacloud_is_done_with_what_was_stopped(
    faulty: FaultyServer, session: ChatSession, ada: User
) -> None:
    stopped_in_the_middle(faulty, session, ada)
    faulty.events[session.session_id] = [question("First")]
    script(faulty, session, failing(409, "Conflict"), failing(409, "Conflict"), sse(*WHOLE))

    turn = ended(put(session, ada))

    assert turn.state == TurnState.ANSWERED
    assert (turn.number, turn.error, turn.error_code) == (2, "", "")
    assert len(faulty.received("POST", stream_path(session))) == 4
    session.refresh_from_db()
    assert session.questions == 2


def test_a_question_that_waits_for_that_can_be_stopped_and_was_never_asked(
    faulty: FaultyServer, session: ChatSession, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "BUSY_FOR", 60.0)
    monkeypatch.setattr(run, "ASK_AGAIN_EVERY", 60.0)
    stopped_in_the_middle(faulty, session, ada)
    conflict_over(faulty, session, question("First"))
    turn = put(session, ada)
    until(lambda: len(faulty.received("POST", stream_path(session))) == 2)

    stop_turn(running.RUNNERS, turn, actor=ada, origin=ORIGIN)

    assert (ended(turn).state, ended(turn).error_code) == (TurnState.STOPPED, "never_sent")
    assert len(faulty.received("POST", stream_path(session))) == 2


def test_a_conflict_with_our_own_cut_answer_says_so(faulty: FaultyServer, session: ChatSession, ada: User) -> None:
    script(faulty, session, sse(question("First"), delta("begun")))
    faulty.events[session.session_id] = [question("First")]
    assert ended(put(session, ada, "First")).state == TurnState.INTERRUPTED
    conflict_over(faulty, session, question("First"))

    assert ended(put(session, ada)).error == conflict.BUSY_WITH_CUT


def test_a_conflict_nothing_more_can_be_learned_of_is_told_as_it_is(
    faulty: FaultyServer, session: ChatSession, ada: User
) -> None:
    conflict_over(faulty, session)
    faulty.script("GET", f"/api/v1/chat/{session.session_id}", [failing(500)], repeat=True)

    assert "409" not in ended(put(session, ada)).error
