"""What becomes of a question, for everything LlamaCloud may answer."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import pytest
from django.contrib.auth.models import User

from dashboard.audit.models import AuditEntry
from dashboard.chats.models import ChatSession, LockState
from dashboard.turns import answer, recover, run
from dashboard.turns.ask import stop as stop_turn
from dashboard.turns.entries import read_entries
from dashboard.turns.eventlog import EVENT_LOG
from dashboard.turns.models import Turn, TurnState
from dashboard.turns.reading import Citation
from dashboard.web import running
from tests.faulty import FaultyServer, event_stream
from tests.turns.conftest import (
    ORIGIN,
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
    stream_path,
    text,
    until,
)
from tests.web.conftest import make_session

pytestmark = pytest.mark.postgres

WHOLE = [question(), call(), result(), delta("Because "), delta("**so**."), text("Because **so**."), stop()]


def test_an_answer_is_kept_with_its_steps_places_and_figures(
    faulty: FaultyServer, session: ChatSession, ada: User
) -> None:
    script(faulty, session, sse(*WHOLE))

    turn = ended(put(session, ada))

    assert turn.state == TurnState.ANSWERED
    assert answer_of(turn) == "<p>Because <strong>so</strong>.</p>\n"
    assert logged(turn) == ["user_input", "tool_call", "tool_result", "text_delta", "text_delta", "text", "stop"] or (
        logged(turn) == ["user_input", "tool_call", "tool_result", "text_delta", "text", "stop"]
    )
    assert (turn.duration_ms, turn.input_tokens, turn.output_tokens, turn.upstream_turns) == (123.5, 10, 5, 2)
    assert (turn.tool_calls, turn.passages) == (1, 1)
    assert turn.citations == [Citation("Document 1", "page 1").as_json()]
    assert turn.started_at
    assert turn.first_token_at
    assert turn.finished_at
    assert turn.asked_at <= turn.started_at <= turn.first_token_at <= turn.finished_at
    assert (turn.lease_until, turn.lease_holder) == (None, "")


def test_the_sessions_last_run_is_this_turn(faulty: FaultyServer, session: ChatSession, ada: User) -> None:
    script(faulty, session, sse(*WHOLE))
    ChatSession.objects.update(job_export_config_ids=["of the run before"])

    ended(put(session, ada))

    session.refresh_from_db()
    assert session.job_export_config_ids is None
    assert (session.job_turns, session.job_duration_ms, session.job_is_error) == (2, 123.5, False)
    assert (session.job_input_tokens, session.job_output_tokens) == (10, 5)
    assert (session.is_running, session.questions) == (False, 1)
    assert session.lock_state == LockState.LOCKED


def test_the_bound_set_is_sent_exactly_in_its_order(catalog: FaultyServer, ada: User) -> None:
    session = make_session(catalog, index_ids=["idx-policies", "idx-reports"])
    script(catalog, session, sse(*WHOLE))

    ended(put(session, ada, index_ids=("idx-other",), require_all_indexes=True))

    (sent,) = catalog.received("POST", stream_path(session))
    assert json.loads(sent.body) == {
        "index_ids": ["idx-policies", "idx-reports"],
        "prompt": "Why?",
        "require_all_indexes": True,
    }


@pytest.mark.parametrize(
    ("events", "html"),
    [
        ([delta("a"), delta("b"), stop()], "<p>ab</p>\n"),
        ([text("whole"), stop()], "<p>whole</p>\n"),
        ([delta("drafted"), text("# Said"), stop()], "<h3>Said</h3>\n"),
        ([delta("one"), text("one"), call(), delta("two"), text("two"), stop()], "<p>one</p>\n<p>two</p>\n"),
        ([delta("one"), text("one"), delta("two"), text("2"), stop()], "<p>one</p>\n<p>2</p>\n"),
        ([{"type": "thinking_delta", "content": "hm"}, {"type": "thinking", "content": "hm"}, text("x"), stop()],
         "<p>x</p>\n"),
        ([text("x"), stop(), text("after the end")], "<p>x</p>\n"),
        ([{"type": "surprise", "n": 1}, text("x"), stop()], "<p>x</p>\n"),
        ([text("x"), stop(error="a warning only")], "<p>x</p>\n"),
        ([delta("x"), stop(error="a warning only")], "<p>x</p>\n"),
    ],
)  # fmt: skip
def test_every_order_of_blocks_makes_one_answer(
    faulty: FaultyServer, session: ChatSession, ada: User, events: list[dict[str, Any]], html: str
) -> None:
    script(faulty, session, sse(question(), *events))

    turn = ended(put(session, ada))

    assert (turn.state, answer_of(turn)) == (TurnState.ANSWERED, html)


def test_an_unknown_event_is_kept_as_it_came(faulty: FaultyServer, session: ChatSession, ada: User) -> None:
    surprise = {"type": "surprise", "inner": {"deep": ["<b>", None]}}
    script(faulty, session, sse(question(), surprise, text("x"), stop()))

    turn = ended(put(session, ada))

    (kept,) = [entry for entry in read_entries(turn.pk) if entry.type == "surprise"]
    assert json.loads(kept.data) == surprise


def test_sources_that_could_not_be_read_are_named(faulty: FaultyServer, session: ChatSession, ada: User) -> None:
    script(faulty, session, sse(question(), text("x"), stop(skipped_index_ids=["idx-policies"])))

    assert ended(put(session, ada)).skipped_index_ids == ["idx-policies"]


def test_a_stop_with_an_error_fails_the_turn_and_says_why(
    faulty: FaultyServer, session: ChatSession, ada: User
) -> None:
    script(faulty, session, sse(question(), delta("half"), stop(is_error=True, error="The model gave up.")))

    turn = ended(put(session, ada))

    assert (turn.state, turn.error, turn.error_code) == (TurnState.FAILED, "The model gave up.", "")
    assert answer_of(turn) == "<p>half</p>\n"
    session.refresh_from_db()
    assert (session.job_is_error, session.job_error) == (True, "The model gave up.")


def test_the_first_token_is_forwarded_at_once_even_right_after_a_step(
    faulty: FaultyServer, session: ChatSession, ada: User
) -> None:
    """By the thread that reads it: nothing that looks every now and then is needed."""
    script(faulty, session, event_stream(sse(question(), call(), result(), delta("1")), (3.0, sse(delta("2"), stop()))))
    turn = put_without_running(session, ada)
    one = run.Run(
        turn, running.RUNNERS._client(), EVENT_LOG, running.RUNNERS._pulse, running.RUNNERS.holder, lambda _: False
    )
    thread = threading.Thread(target=one)
    thread.start()

    until(lambda: turn.log.filter(type="tool_result").exists())
    until(lambda: turn.log.filter(type="text_delta").exists(), 1.0)
    thread.join(20)


def test_the_question_itself_is_stored_with_what_comes_next(
    faulty: FaultyServer, session: ChatSession, ada: User
) -> None:
    """Nobody is shown it, so it is not worth a transaction of its own."""
    script(faulty, session, event_stream(sse(question()), (1.0, sse(delta("so"))), (0.5, sse(stop()))))
    turn = put(session, ada)
    until(lambda: faulty.received("POST", stream_path(session)))
    time.sleep(0.4)
    assert logged(turn) == []

    ended(turn)

    assert logged(turn) == ["user_input", "text_delta", "stop", "text"]
    assert list(turn.log.order_by("number").values_list("number", flat=True)) == [1, 2, 3, 4]


def test_words_that_come_before_the_echo_of_the_question_do_not_wait_with_it(
    faulty: FaultyServer, session: ChatSession, ada: User
) -> None:
    script(faulty, session, event_stream(sse(delta("so"), question()), (60.0, sse(stop()))))
    turn = put(session, ada)
    until(lambda: logged(turn) == ["text_delta"], 10.0)
    stop_turn(running.RUNNERS, turn, actor=ada, origin=ORIGIN)
    assert logged(ended(turn)) == ["text_delta", "user_input", "text"]


@pytest.mark.parametrize("last", [stop(is_error=True, error="no"), None])
def test_a_question_that_got_no_answer_is_in_the_log_too(
    faulty: FaultyServer, session: ChatSession, ada: User, last: dict[str, Any] | None
) -> None:
    script(faulty, session, sse(question(), *([last] if last else [])))
    assert logged(ended(put(session, ada)))[0] == "user_input"


def test_who_sends_faster_than_this_reads_is_shown_meanwhile(
    faulty: FaultyServer, session: ChatSession, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "LATE", 0.0)
    # As if there were always more to read, however quick this reader is.
    monkeypatch.setattr(run.Run, "_caught_up", lambda _: False)
    script(faulty, session, event_stream(sse(*[delta(f"w{number} ") for number in range(20_000)]), sse(stop())))

    turn = ended(put(session, ada))

    assert logged(turn).count("text_delta") > 5
    assert answer_of(turn).count("w") == 20_000


def test_only_a_first_token_is_written_at_once(
    faulty: FaultyServer, session: ChatSession, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once: list[tuple[list[str], bool]] = []
    append = EVENT_LOG.append

    def noted(turn_id: int, entries: Any, *rest: Any, **options: Any) -> Any:
        at_once.append(([entry.type for entry in entries], options["at_once"]))
        return append(turn_id, entries, *rest, **options)

    monkeypatch.setattr(EVENT_LOG, "append", noted)
    parts = [(0.0, sse(question(), call())), (0.3, sse(delta("a "))), (0.5, sse(delta("b"))), (0.5, sse(stop()))]
    script(faulty, session, event_stream(*parts))
    ended(put(session, ada))

    assert at_once == [
        (["user_input", "tool_call"], False),
        (["text_delta"], True),
        (["text_delta"], False),
        (["stop"], False),
    ]


def test_later_deltas_are_joined_to_frames(faulty: FaultyServer, session: ChatSession, ada: User) -> None:
    parts = [(0.01, sse(delta(f"w{number} "))) for number in range(100)]
    script(faulty, session, event_stream(*parts, sse(stop())))

    turn = ended(put(session, ada))

    frames = logged(turn).count("text_delta")
    assert 2 <= frames <= 40
    assert answer_of(turn).count("w") == 100


def begun(faulty: FaultyServer, session: ChatSession, ada: User) -> Turn:
    script(faulty, session, event_stream(sse(question(), delta("Half an ")), (60.0, sse(stop()))))
    turn = put(session, ada)
    until(lambda: turn.log.filter(type="text_delta").exists())
    return turn


def test_stopped_at_once_with_what_there_is(faulty: FaultyServer, session: ChatSession, ada: User) -> None:
    turn = begun(faulty, session, ada)

    began = time.monotonic()
    stop_turn(running.RUNNERS, turn, actor=ada, origin=ORIGIN)
    turn = ended(turn)

    assert time.monotonic() - began < 30
    assert (turn.state, answer_of(turn)) == (TurnState.STOPPED, "<p>Half an </p>\n".replace(" </p>", "</p>"))
    assert AuditEntry.objects.filter(action="turn.stopped").count() == 1


def test_a_request_to_stop_made_in_another_process_is_heeded(
    faulty: FaultyServer, session: ChatSession, ada: User
) -> None:
    from dashboard.turns.eventlog import EventLog
    from dashboard.turns.runners import Runners

    turn = begun(faulty, session, ada)
    elsewhere = Runners(lambda: pytest.fail("asks nothing"), EventLog())

    stop_turn(elsewhere, turn, actor=ada, origin=ORIGIN)

    assert ended(turn, 3).state == TurnState.STOPPED


def test_stopping_what_has_ended_changes_nothing(faulty: FaultyServer, session: ChatSession, ada: User) -> None:
    script(faulty, session, sse(*WHOLE))
    turn = ended(put(session, ada))

    stop_turn(running.RUNNERS, turn, actor=ada, origin=ORIGIN)

    assert ended(turn).state == TurnState.ANSWERED
    assert not AuditEntry.objects.filter(action="turn.stopped").exists()


def test_stopping_twice_is_recorded_once(faulty: FaultyServer, session: ChatSession, ada: User) -> None:
    turn = begun(faulty, session, ada)

    stop_turn(running.RUNNERS, turn, actor=ada, origin=ORIGIN)
    stop_turn(running.RUNNERS, turn, actor=ada, origin=ORIGIN)
    ended(turn)

    assert AuditEntry.objects.filter(action="turn.stopped").count() == 1


def test_stopped_before_the_question_left_it_is_not_sent(faulty: FaultyServer, session: ChatSession, ada: User) -> None:
    script(faulty, session, sse(*WHOLE))
    turn = put_without_running(session, ada)
    one = run.Run(
        turn, running.RUNNERS._client(), EVENT_LOG, running.RUNNERS._pulse, running.RUNNERS.holder, lambda _: False
    )
    one.stop()

    one()

    turn.refresh_from_db()
    session.refresh_from_db()
    assert (turn.state, session.lock_state) == (TurnState.STOPPED, LockState.OPEN)
    assert not faulty.received("POST", stream_path(session))


def put_without_running(session: ChatSession, person: User) -> Turn:
    """A turn this process has the lease of, but no thread yet."""
    from dashboard.turns.lease import claim

    running.RUNNERS.closing = True
    turn = put(session, person)
    assert claim(turn, running.RUNNERS.holder)
    running.RUNNERS.closing = False
    return Turn.objects.select_related("session").get(pk=turn.pk)


def test_stopped_while_it_is_being_read_back(
    faulty: FaultyServer, session: ChatSession, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recover, "READ_BACK_AFTER", (0.2,) * 50)
    script(faulty, session, sse(question(), delta("x")))
    turn = put(session, ada)
    until(lambda: faulty.received("GET", f"/api/v1/chat/{session.session_id}"))

    stop_turn(running.RUNNERS, turn, actor=ada, origin=ORIGIN)

    assert ended(turn, 5).state == TurnState.STOPPED


def test_a_turn_whose_session_is_deleted_meanwhile_ends_quietly(
    faulty: FaultyServer, session: ChatSession, ada: User, catalog: FaultyServer
) -> None:
    turn = begun(faulty, session, ada)
    other = make_session(catalog)
    script(catalog, other, sse(*WHOLE))

    ChatSession.objects.filter(pk=session.pk).delete()
    running.RUNNERS.stop(turn.pk)

    assert ended(put(other, ada)).state == TurnState.ANSWERED
    until(lambda: turn.pk not in running.RUNNERS._runs)


def test_a_turn_outlives_the_person_who_asked(faulty: FaultyServer, session: ChatSession, ada: User) -> None:
    turn = begun(faulty, session, ada)

    User.objects.filter(pk=ada.pk).delete()
    running.RUNNERS.stop(turn.pk)

    turn = ended(turn)
    assert (turn.state, turn.asked_by) == (TurnState.STOPPED, None)


def test_figures_no_run_has_are_left_out_and_the_answer_is_kept(
    faulty: FaultyServer, session: ChatSession, ada: User
) -> None:
    usage = {"total_input_tokens": 2**63 - 1, "total_output_tokens": 10**13, "turns": 2**40, "duration_ms": 1.7e308}
    skipped = [f"idx-{number}" for number in range(5_000)]
    script(faulty, session, sse(question(), text("So."), stop(usage=usage, skipped_index_ids=[*skipped, "i" * 300])))

    turn = ended(put(session, ada))

    assert turn.state == TurnState.ANSWERED
    assert answer_of(turn) == "<p>So.</p>\n"
    assert (turn.input_tokens, turn.output_tokens, turn.upstream_turns, turn.duration_ms) == (None, None, None, None)
    assert turn.skipped_index_ids == skipped[:10]


def test_blocks_that_make_no_entries_of_their_own_any_more_keep_the_beat(
    faulty: FaultyServer, session: ChatSession, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answer, "MAX_BLOCKS", 1)
    blocks = [(0.02, sse(text(f"Block {number}."))) for number in range(60)]
    script(faulty, session, event_stream(sse(question()), *blocks, sse(stop())))

    turn = ended(put(session, ada))

    assert all(f"Block {number}." in answer_of(turn) for number in range(60))
    assert len(logged(turn)) < 40
