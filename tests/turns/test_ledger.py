"""What turns come to: a session's totals and last run, what is kept of their logs, which question is whose."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from dashboard.chats.models import ChatSession
from dashboard.config import upstream_client
from dashboard.turns import recover as recover_module
from dashboard.turns.history import import_history, is_unread
from dashboard.turns.ledger import Ledger, ledger
from dashboard.turns.models import AnswerPiece, LogEntry, Turn
from dashboard.turns.prune import KEEP, prune_logs
from tests.faulty import FaultyServer, event_stream, rate_limited
from tests.turns.conftest import (
    delta,
    ended,
    put,
    question,
    script,
    sse,
    stop,
    until,
)
from tests.turns.test_history import turn_of

pytestmark = pytest.mark.postgres


def test_a_session_s_totals_are_the_sum_of_its_turns(faulty: FaultyServer, session: ChatSession, ada: User) -> None:
    script(faulty, session, sse(*turn_of("A", "a")), sse(*turn_of("B", "b")), rate_limited())
    for prompt in "ABC":
        ended(put(session, ada, prompt))

    assert ledger(session.pk) == Ledger(3, 0, "failed", duration_ms=247.0, input_tokens=20, output_tokens=10)
    assert ledger(0) == Ledger(0, 0, "", None, None, None)


def test_the_last_run_agrees_with_llamaclouds_own_figures(
    faulty: FaultyServer, session: ChatSession, ada: User
) -> None:
    from dashboard.chats.sync import refresh_one

    script(faulty, session, sse(*turn_of("A", "a")))
    ended(put(session, ada, "A"))
    session.refresh_from_db()
    mine = (session.job_turns, session.job_duration_ms, session.job_input_tokens, session.job_output_tokens)
    usage = {"turns": 2, "duration_ms": 123.5, "total_input_tokens": 10, "total_output_tokens": 5}
    faulty.chats[session.session_id]["job_metadata"] = {**usage, "is_error": False, "error": None}
    faulty.events[session.session_id] = turn_of("A", "a")

    session = refresh_one(upstream_client(), session, on_history=import_history)

    theirs = (session.job_turns, session.job_duration_ms, session.job_input_tokens, session.job_output_tokens)
    assert mine == theirs == (2, 123.5, 10, 5)
    assert session.questions == 1


def test_frames_are_pruned_a_while_after_the_end_and_steps_stay(
    faulty: FaultyServer, session: ChatSession, ada: User
) -> None:
    thought = {"type": "thinking_delta", "content": "hm"}
    script(
        faulty,
        session,
        sse(thought, *turn_of("A", "a"), stop()),
        event_stream(sse(question("B"), delta("b")), (60.0, b"")),
    )
    done = ended(put(session, ada, "A"))
    live = put(session, ada, "B")
    until(lambda: live.log.filter(type="text_delta").exists())

    assert not prune_logs()
    assert done.log.filter(type="text").exists()
    Turn.objects.filter(pk=done.pk).update(finished_at=timezone.now() - KEEP - timedelta(seconds=1))
    assert not prune_logs()

    kinds = set(done.log.values_list("type", flat=True))
    assert kinds == {"user_input", "tool_call", "tool_result", "stop"}
    assert live.log.filter(type="text_delta").exists()
    done.refresh_from_db()
    assert done.log_pruned


def test_pruning_many_takes_several_steps(session: ChatSession, monkeypatch: pytest.MonkeyPatch) -> None:
    from dashboard.turns import prune

    monkeypatch.setattr(prune, "BATCH", 2)
    old = timezone.now() - timedelta(hours=1)
    for number in range(1, 4):
        turn = Turn.objects.create(
            session=session, number=number, state="answered", prompt="x", asked_at=old, finished_at=old
        )
        LogEntry.objects.create(turn=turn, number=1, type="text", data="{}")

    assert prune_logs()
    assert not prune_logs()
    assert not LogEntry.objects.exists()


def test_a_turn_says_which_question_it_is(session: ChatSession) -> None:
    turn = Turn.objects.create(session=session, number=7, state="answered", prompt="x", asked_at=timezone.now())

    assert str(turn) == "Question 7"
    assert str(LogEntry(turn=turn, number=3, type="text")) == "3 text"
    assert str(AnswerPiece(turn=turn, position=2)) == "2"
    assert recover_module.CUT


def test_a_question_llamacloud_refused_does_not_stand_for_one_it_has(session: ChatSession, ada: User) -> None:
    ChatSession.objects.filter(pk=session.pk).update(questions=1)
    session.refresh_from_db()
    Turn.objects.create(
        session=session,
        number=1,
        prompt="?",
        asked_at=timezone.now(),
        state="failed",
        index_ids=[],
        error_code="upstream",
    )

    assert is_unread(session)
