"""An answer whose stream was lost is read back, or it is said plainly that it is not there."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User

from dashboard.chats.models import ChatSession
from dashboard.turns import past, recover
from dashboard.turns.models import TurnState
from tests.faulty import FaultyServer, failing, held, page, rate_limited, reset
from tests.turns.conftest import (
    answer_of,
    call,
    delta,
    ended,
    logged,
    put,
    question,
    result,
    script,
    sse,
    stop,
    text,
)

pytestmark = pytest.mark.postgres

WHOLE = [question(), call(), result(), delta("Because "), delta("**so**."), text("Because **so**."), stop()]


@pytest.mark.parametrize("kept", [0, 1, 3, 4, 5])
def test_a_cut_answer_that_llamacloud_stored_is_read_back_whole(
    faulty: FaultyServer, session: ChatSession, ada: User, kept: int
) -> None:
    stored = [question(), call(), result(), text("Because **so**."), stop()]
    faulty.events[session.session_id] = stored
    script(faulty, session, sse(*WHOLE[:kept]))

    turn = ended(put(session, ada))

    assert (turn.state, turn.position, turn.error) == (TurnState.RECOVERED, 0, "")
    assert answer_of(turn) == "<p>Because <strong>so</strong>.</p>\n"
    kinds = [kind for kind in logged(turn) if kind in ("tool_call", "tool_result")]
    assert kinds == ["tool_call", "tool_result"]
    assert (turn.input_tokens, turn.tool_calls, turn.passages) == (10, 1, 1)


@pytest.mark.parametrize("answer", [reset(), page(200), held(0.1, page(200))])
def test_an_answer_that_is_no_stream_is_read_back(
    faulty: FaultyServer, session: ChatSession, ada: User, answer: Any
) -> None:
    faulty.events[session.session_id] = [question(), text("x"), stop()]
    script(faulty, session, answer)

    assert ended(put(session, ada)).state == TurnState.RECOVERED


def test_a_cut_answer_is_asked_for_several_times(faulty: FaultyServer, session: ChatSession, ada: User) -> None:
    where = f"/api/v1/chat/{session.session_id}"
    faulty.script("GET", where, [failing(404), failing(404)])
    faulty.events[session.session_id] = [question(), text("x"), stop()]
    script(faulty, session, sse(question()))

    assert ended(put(session, ada)).state == TurnState.RECOVERED
    assert len(faulty.received("GET", where)) == 3


def test_production_reads_back_two_to_five_times_within_half_a_minute() -> None:
    import importlib.util

    spec = importlib.util.find_spec("dashboard.turns.recover")
    assert spec is not None
    assert spec.loader is not None
    fresh = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fresh)

    assert 2 <= len(fresh.READ_BACK_AFTER) <= 5
    assert sum(fresh.READ_BACK_AFTER) <= 30


def test_a_cut_answer_that_nobody_has_is_plainly_interrupted(
    faulty: FaultyServer, session: ChatSession, ada: User
) -> None:
    script(faulty, session, sse(question(), delta("Because")))

    turn = ended(put(session, ada))

    assert (turn.state, turn.error) == (TurnState.INTERRUPTED, recover.CUT)
    assert answer_of(turn) == "<p>Because</p>\n"
    assert len(faulty.received("GET", f"/api/v1/chat/{session.session_id}")) == 5


def test_a_question_that_got_lost_says_so(faulty: FaultyServer, session: ChatSession, ada: User) -> None:
    script(faulty, session, reset())

    turn = ended(put(session, ada))

    assert (turn.state, turn.error) == (TurnState.INTERRUPTED, past.NOT_ASKED)


def test_an_answer_that_is_still_being_written_may_come_later(
    faulty: FaultyServer, session: ChatSession, ada: User
) -> None:
    faulty.events[session.session_id] = [question()]
    script(faulty, session, sse(question()))

    assert ended(put(session, ada)).error == past.STILL_OPEN


def test_nothing_is_claimed_of_a_llamacloud_that_cannot_be_asked(
    faulty: FaultyServer, session: ChatSession, ada: User
) -> None:
    faulty.script("GET", f"/api/v1/chat/{session.session_id}", [failing(401)], repeat=True)
    script(faulty, session, sse(question()))

    assert ended(put(session, ada)).error == recover.UNREACHABLE


def test_an_answer_read_back_that_failed_is_a_failure(faulty: FaultyServer, session: ChatSession, ada: User) -> None:
    faulty.events[session.session_id] = [question(), stop(is_error=True, error="Too long.")]
    script(faulty, session, sse(question(), delta("What came")))

    turn = ended(put(session, ada))

    assert (turn.state, turn.error, turn.position) == (TurnState.FAILED, "Too long.", 0)
    assert answer_of(turn) == "<p>What came</p>\n", "LlamaCloud has nothing that is better"


def test_a_retry_in_the_same_words_is_not_given_the_first_ones_answer(
    faulty: FaultyServer, session: ChatSession, ada: User
) -> None:
    script(faulty, session, sse(question(), text("first"), stop()), reset())
    ended(put(session, ada))
    faulty.events[session.session_id] = [question(), text("first"), stop()]

    turn = ended(put(session, ada))

    assert (turn.state, answer_of(turn)) == (TurnState.INTERRUPTED, "")


def test_after_a_refusal_a_cut_answer_is_still_found(faulty: FaultyServer, session: ChatSession, ada: User) -> None:
    script(faulty, session, rate_limited(), sse(question()))
    ended(put(session, ada))
    faulty.events[session.session_id] = [question(), text("x"), stop()]

    assert ended(put(session, ada)).state == TurnState.RECOVERED
