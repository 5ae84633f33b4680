"""Conversations held elsewhere, answers LlamaCloud finished later: read into the same conversation, once."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client

from dashboard.chats.models import ChatSession
from dashboard.config import upstream_client
from dashboard.turns import history, past
from dashboard.turns.answer import Answer
from dashboard.turns.ask import stop as stop_turn
from dashboard.turns.history import NEVER_FINISHED, import_history, is_unread
from dashboard.turns.models import AnswerPiece, LogEntry, Turn, TurnState
from dashboard.turns.past import PastTurn
from dashboard.upstream import ChatDetail
from dashboard.web import running
from tests.faulty import FaultyServer, event_stream, rate_limited, reset
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
    text,
    until,
)
from tests.web.conftest import let_time_pass

pytestmark = pytest.mark.postgres


def detail(faulty: FaultyServer, session: ChatSession, *events: dict[str, Any]) -> ChatDetail:
    """What LlamaCloud has of a session."""
    faulty.events[session.session_id] = list(events)
    return upstream_client().chat(session.session_id)


def turn_of(prompt: str, answer: str) -> list[dict[str, Any]]:
    return [question(prompt), call(), result(), text(answer), stop()]


def shown(session: ChatSession) -> list[tuple[int, str, str, str]]:
    turns = Turn.objects.filter(session=session).order_by("number")
    return [(turn.number, turn.prompt, str(turn.state), answer_of(turn)) for turn in turns]


def test_when_a_question_was_asked_elsewhere_is_not_made_up(
    faulty: FaultyServer, session: ChatSession, browser: Client
) -> None:
    import_history(session, detail(faulty, session, *turn_of("One?", "1")))

    page = browser.get(f"/sessions/{session.session_id}/turns/1/").content.decode()

    assert "Asked outside Corral" in page
    assert "<time" not in page.partition("<article")[2].partition("</article")[0]


def test_a_conversation_held_elsewhere_is_read_in(faulty: FaultyServer, session: ChatSession) -> None:
    known = detail(faulty, session, *turn_of("One?", "*1*"), *turn_of("Two?", "2"))

    assert import_history(session, known)

    assert shown(session) == [(1, "One?", "answered", "<p><em>1</em></p>\n"), (2, "Two?", "answered", "<p>2</p>\n")]
    first = Turn.objects.get(number=1)
    assert (first.position, first.asked_by, first.nonce, first.tool_calls, first.input_tokens) == (0, None, None, 1, 10)
    assert list(first.log.values_list("type", flat=True)) == ["tool_call", "tool_result"]


def test_reading_it_again_changes_nothing(faulty: FaultyServer, session: ChatSession) -> None:
    known = detail(faulty, session, *turn_of("One?", "1"), *turn_of("One?", "1"))
    import_history(session, known)
    before = shown(session)

    assert import_history(session, known)
    assert shown(session) == before


def test_several_processes_reading_it_at_once_import_it_once(faulty: FaultyServer, session: ChatSession) -> None:
    known = detail(faulty, session, *(event for n in range(120) for event in turn_of(f"{n}?", str(n))))
    barrier = threading.Barrier(4)

    def one() -> None:
        barrier.wait()
        import_history(session, known)
        connection.close()

    threads = [threading.Thread(target=one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert [prompt for _, prompt, _, _ in shown(session)] == [f"{n}?" for n in range(120)]
    assert AnswerPiece.objects.count() == 120


def test_five_thousand_events_are_imported_in_seconds(faulty: FaultyServer, session: ChatSession) -> None:
    known = detail(faulty, session, *(event for n in range(1000) for event in turn_of(f"{n}?", f"Answer **{n}**.")))
    began = time.thread_time()

    while not import_history(session, known):
        pass
    assert time.thread_time() - began < 20
    assert LogEntry.objects.count() == 2000


def test_an_answer_that_is_slow_to_render_ends_a_look_before_the_batch_is_full(
    faulty: FaultyServer, session: ChatSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = detail(faulty, session, *(event for n in range(10) for event in turn_of(f"{n}?", str(n))))

    def slow(one: PastTurn) -> Answer:
        time.sleep(0.2)
        return past.answer_of(one)

    monkeypatch.setattr(history, "answer_of", slow)
    monkeypatch.setattr(history, "BUDGET", 0.5)

    assert not import_history(session, known)
    assert 1 <= Turn.objects.filter(state="answered").count() <= 3
    while not import_history(session, known):
        pass
    assert [prompt for _, prompt, _, _ in shown(session)] == [f"{n}?" for n in range(10)]


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([question("Open?")], []),
        ([question("Open?"), delta("ha")], []),
        ([question("Left?"), delta("ha"), *turn_of("Next?", "x")], [("Left?", "interrupted"), ("Next?", "answered")]),
        ([text("no question"), stop(), *turn_of("First?", "x")], [("First?", "answered")]),
        ([question("Bad?"), stop(is_error=True, error="no")], [("Bad?", "failed")]),
        ([question("A?"), delta("a"), delta("b"), stop()], [("A?", "answered")]),
    ],
)
def test_odd_histories(
    faulty: FaultyServer, session: ChatSession, events: list[dict[str, Any]], expected: list[tuple[str, str]]
) -> None:
    import_history(session, detail(faulty, session, *events))

    assert [(prompt, state) for _, prompt, state, _ in shown(session)] == expected
    if expected and expected[0][1] == "interrupted":
        assert Turn.objects.get(number=1).error == NEVER_FINISHED


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([question("A?"), delta("a"), delta("b"), stop()], [("A?", "answered", "<p>ab</p>\n")]),
        (
            [question("Left?"), delta("ha"), *turn_of("Next?", "x")],
            [("Left?", "interrupted", "<p>ha</p>\n"), ("Next?", "answered", "<p>x</p>\n")],
        ),
        (
            [question("Lost?"), *turn_of("Next?", "x")],
            [("Lost?", "interrupted", ""), ("Next?", "answered", "<p>x</p>\n")],
        ),
        (
            [*turn_of("A?", "a"), text("stray"), *turn_of("B?", "b"), text("stray")],
            [("A?", "answered", "<p>a</p>\n"), ("B?", "answered", "<p>b</p>\n")],
        ),
    ],
    ids=["pieces only", "pieces without an end", "two questions in a row", "words behind an end"],
)
def test_a_question_gets_all_that_follows_it_up_to_its_end_or_the_next(
    faulty: FaultyServer, session: ChatSession, events: list[dict[str, Any]], expected: list[tuple[str, str, str]]
) -> None:
    import_history(session, detail(faulty, session, *events))

    assert [row[1:] for row in shown(session)] == expected


def test_what_was_asked_here_is_recognised_and_keeps_what_it_has(
    faulty: FaultyServer, session: ChatSession, ada: User
) -> None:
    script(faulty, session, sse(*turn_of("Mine?", "mine")))
    mine = ended(put(session, ada, "Mine?"))
    known = detail(faulty, session, *turn_of("Mine?", "mine"), *turn_of("Elsewhere?", "theirs"))

    assert import_history(session, known)

    mine.refresh_from_db()
    assert (mine.position, mine.asked_by) == (0, ada)
    assert [prompt for _, prompt, _, _ in shown(session)] == ["Mine?", "Elsewhere?"]


def test_a_live_turn_is_left_alone(faulty: FaultyServer, session: ChatSession, ada: User) -> None:
    script(faulty, session, event_stream(sse(question(), delta("x")), (60.0, b"")))
    turn = put(session, ada)
    until(lambda: turn.log.exists())

    assert import_history(session, detail(faulty, session, *turn_of("Why?", "done")))

    turn.refresh_from_db()
    assert (turn.state, turn.position) == (TurnState.RUNNING, None)
    assert Turn.objects.count() == 1


def test_an_interrupted_turn_is_completed_when_llamacloud_has_the_answer(
    faulty: FaultyServer, session: ChatSession, ada: User
) -> None:
    script(faulty, session, sse(question(), call(), delta("Ha")))
    turn = ended(put(session, ada))
    assert turn.state == TurnState.INTERRUPTED

    assert import_history(session, detail(faulty, session, *turn_of("Why?", "Half and half")))

    turn.refresh_from_db()
    assert (turn.state, turn.error, turn.position) == (TurnState.RECOVERED, "", 0)
    assert answer_of(turn) == "<p>Half and half</p>\n"
    assert [kind for kind in logged(turn) if kind.startswith("tool")] == ["tool_call", "tool_result"]


def test_an_interrupted_turn_that_failed_later_keeps_what_came_of_it(
    faulty: FaultyServer, session: ChatSession, ada: User
) -> None:
    script(faulty, session, sse(question(), delta("Ha")))
    turn = ended(put(session, ada))

    import_history(session, detail(faulty, session, question(), stop(is_error=True, error="Too long.")))

    turn.refresh_from_db()
    assert (turn.state, turn.error, answer_of(turn)) == (TurnState.FAILED, "Too long.", "<p>Ha</p>\n")


def test_a_stopped_turn_gets_its_answer_and_stays_stopped(
    faulty: FaultyServer, session: ChatSession, ada: User
) -> None:
    script(faulty, session, event_stream(sse(question(), delta("Ha")), (60.0, b"")))
    turn = put(session, ada)
    until(lambda: turn.log.filter(type="text_delta").exists())
    stop_turn(running.RUNNERS, turn, actor=ada, origin=ORIGIN)
    ended(turn)

    import_history(session, detail(faulty, session, *turn_of("Why?", "Half and half")))

    turn.refresh_from_db()
    assert (turn.state, answer_of(turn), turn.input_tokens) == (TurnState.STOPPED, "<p>Half and half</p>\n", 10)


def test_a_retry_s_answer_is_not_given_to_the_turn_that_never_arrived(
    faulty: FaultyServer, session: ChatSession, ada: User
) -> None:
    script(faulty, session, rate_limited(), reset(), sse(*turn_of("Why?", "so")))
    refused, lost, answered = (ended(put(session, ada)) for _ in range(3))

    import_history(session, detail(faulty, session, *turn_of("Why?", "so")))

    for turn, state, position in (
        (refused, "failed", None),
        (lost, "interrupted", None),
        (answered, "answered", 0),
    ):
        turn.refresh_from_db()
        assert (turn.state, turn.position) == (state, position)
    assert Turn.objects.count() == 3


def test_two_interrupted_turns_in_the_same_words_get_their_own_answers(
    faulty: FaultyServer, session: ChatSession, ada: User
) -> None:
    script(faulty, session, sse(question(), delta("a")), sse(question(), delta("b")))
    faulty.events[session.session_id] = [question()]
    first = ended(put(session, ada))
    faulty.events[session.session_id] = [question(), question()]
    second = ended(put(session, ada))

    import_history(session, detail(faulty, session, *turn_of("Why?", "a one"), *turn_of("Why?", "b two")))

    first.refresh_from_db()
    second.refresh_from_db()
    assert (answer_of(first), answer_of(second)) == ("<p>a one</p>\n", "<p>b two</p>\n")


def test_opening_a_session_imports_a_history_that_was_counted_but_never_read(
    faulty: FaultyServer, session: ChatSession, browser: Client
) -> None:
    """As after an upgrade, or a background pass that only counts."""
    from dashboard.chats.sync import refresh_one

    faulty.events[session.session_id] = turn_of("One?", "1")
    ChatSession.objects.filter(pk=session.pk).update(questions=None)
    session.refresh_from_db()
    refresh_one(upstream_client(), session)
    session.refresh_from_db()
    assert (session.questions, is_unread(session)) == (1, True)
    let_time_pass()

    browser.get(f"/sessions/{session.session_id}/job/")

    session.refresh_from_db()
    assert len(shown(session)) == 1
    assert not is_unread(session)


def test_opening_a_session_completes_what_was_interrupted(
    faulty: FaultyServer, session: ChatSession, ada: User, browser: Client
) -> None:
    """Also when the summary tells of no change, which it need not."""
    script(faulty, session, sse(question(), delta("Ha")))
    turn = ended(put(session, ada))
    faulty.events[session.session_id] = turn_of("Why?", "Half")
    let_time_pass()

    browser.get(f"/sessions/{session.session_id}/job/")

    turn.refresh_from_db()
    assert turn.state == TurnState.RECOVERED
