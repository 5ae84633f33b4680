"""Where in LlamaCloud's history a question asked here stands: by its words and its order, whatever came of it."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from dashboard.chats.models import ChatSession
from dashboard.turns.ask import retry
from dashboard.turns.ask import stop as stop_turn
from dashboard.turns.history import import_history
from dashboard.turns.models import LogEntry, Turn, TurnState
from dashboard.turns.past import NOT_ASKED, STILL_OPEN, places, split
from dashboard.upstream import Stop, Text, UserInput
from dashboard.web import running
from tests.faulty import FaultyServer, event_stream, reset
from tests.turns.conftest import ORIGIN, answer_of, delta, ended, put, question, script, sse, stop, text, until
from tests.turns.test_history import detail, shown, turn_of
from tests.web.conftest import let_time_pass

pytestmark = pytest.mark.postgres

BOTH = [*turn_of("Why?", "first"), *turn_of("Why?", "second")]
UNHEARD = ("interrupted", "", False)
DENIED = ("interrupted", NOT_ASKED, False)
OPEN = ("interrupted", STILL_OPEN, False)
STOPPED = ("stopped", "", False)
RUNNING = ("running", "", True)
ANSWERED = ("answered", "", True)
PRUNED = ("answered", "", False)
QUEUED = ("queued", "", False)


@pytest.mark.parametrize(
    ("asked", "there", "expected"),
    [
        ([ANSWERED], 1, [0]),
        ([UNHEARD], 1, [0]),
        ([DENIED], 1, [0]),
        ([UNHEARD, ANSWERED], 1, [None, 0]),
        ([UNHEARD, ANSWERED], 2, [0, 1]),
        ([STOPPED, PRUNED], 1, [None, 0]),
        ([STOPPED, PRUNED], 2, [0, 1]),
        ([DENIED, ANSWERED], 2, [None, 0]),
        ([OPEN, RUNNING], 1, [0, None]),
        ([UNHEARD, RUNNING], 1, [None, 0]),
        ([ANSWERED, UNHEARD, ANSWERED], 2, [0, None, 1]),
        ([ANSWERED, DENIED, ANSWERED], 2, [0, None, 1]),
        ([UNHEARD, UNHEARD, RUNNING], 2, [0, None, 1]),
        ([ANSWERED, QUEUED], 2, [0, None]),
        ([DENIED, UNHEARD], 1, [None, 0]),
    ],
)
def test_questions_in_the_same_words_stand_in_the_order_they_were_asked_in(
    session: ChatSession, asked: list[tuple[str, str, bool]], there: int, expected: list[int | None]
) -> None:
    turns = []
    for number, (state, error, is_logged) in enumerate(asked, start=1):
        turn = Turn.objects.create(
            session=session, number=number, nonce=str(number), prompt="Why?", state=state, error=error,
            asked_at=timezone.now(),
        )  # fmt: skip
        if is_logged:
            LogEntry.objects.create(turn=turn, number=1, type="text_delta", data="{}")
        turns.append(turn)
    history = list(split([UserInput(content="Why?"), Text(content="So."), Stop()] * there))

    found = places(session.pk, history)

    assert [found[turn.pk].position if turn.pk in found else None for turn in turns] == expected


@pytest.mark.parametrize(
    ("others", "before", "expected"),
    [
        ([], 0, 0),
        ([], 1, 2),
        ([(4, 1, True)], 0, 2),
        ([(4, 1, True), (6, 3, True)], 0, 2),
        ([(6, 1, True)], 2, None),
        ([(6, 1, False)], 2, 2),
        ([(4, 0, False)], 0, 2),
    ],
    ids=[
        "from the beginning", "behind what was known", "behind what was asked before", "between two", "before the next",
        "what was asked elsewhere has no order", "nor a place to give away",
    ],
)  # fmt: skip
def test_a_place_is_behind_what_was_known_and_between_the_questions_asked_here(
    session: ChatSession, others: list[tuple[int, int, bool]], before: int, expected: int | None
) -> None:
    """The same words stand at 0, 2 and 4, other ones between them."""
    common = {"session": session, "asked_at": timezone.now()}
    for number, position, asked_here in others:
        nonce = str(number) if asked_here else None
        Turn.objects.create(number=number, position=position, nonce=nonce, state="answered", prompt="?", **common)
    turn = Turn.objects.create(number=5, nonce="5", prompt="Why?", state="interrupted", history_before=before, **common)
    history = list(split([UserInput(content="Why?"), Stop(), UserInput(content="How?"), Stop()] * 3))

    found = places(session.pk, history).get(turn.pk)

    assert (found and found.position) == expected


def test_a_question_remembers_how_much_of_the_history_was_known(session: ChatSession, ada: User) -> None:
    Turn.objects.create(session=session, number=1, position=7, prompt="?", state="answered", asked_at=timezone.now())

    assert put(session, ada).history_before == 8


def test_a_question_lost_before_its_first_word_and_asked_again_keeps_its_own_answer(
    faulty: FaultyServer, session: ChatSession, ada: User
) -> None:
    faulty.events[session.session_id] = [question()]
    script(faulty, session, reset(), sse(question(), text("second"), stop()))
    ended(retry(running.RUNNERS, ended(put(session, ada)), actor=ada, origin=ORIGIN))

    import_history(session, detail(faulty, session, *BOTH))

    assert [row[3] for row in shown(session)] == ["<p>first</p>\n", "<p>second</p>\n"]


def test_a_question_stopped_before_its_first_word_and_asked_again_keeps_its_own_answer(
    faulty: FaultyServer, session: ChatSession, ada: User, browser: Client
) -> None:
    script(faulty, session, event_stream((60.0, b"")), sse(text("second"), stop()))
    turn = put(session, ada)
    until(lambda: faulty.requests and faulty.requests[-1].method == "POST")
    stop_turn(running.RUNNERS, turn, actor=ada, origin=ORIGIN)
    ended(retry(running.RUNNERS, ended(turn), actor=ada, origin=ORIGIN))
    faulty.events[session.session_id] = BOTH
    let_time_pass()

    browser.get(f"/sessions/{session.session_id}/job/")

    assert [row[3] for row in shown(session)] == ["<p>first</p>\n", "<p>second</p>\n"]


def test_the_answer_to_the_same_question_before_is_not_read_back(
    faulty: FaultyServer, session: ChatSession, ada: User
) -> None:
    faulty.events[session.session_id] = [question()]
    script(faulty, session, reset(), event_stream(sse(delta("sec"))))
    first = ended(put(session, ada))
    faulty.events[session.session_id] = [*turn_of("Why?", "first"), question()]

    second = ended(retry(running.RUNNERS, first, actor=ada, origin=ORIGIN))

    assert (second.state, answer_of(second)) == (TurnState.INTERRUPTED, "<p>sec</p>\n")


@pytest.mark.parametrize(
    ("asked", "stored"), [("Why so?", "Why so?\n"), ("Why\n\nso?", "Why so?"), ("Caf\u00e9?", "Cafe\u0301?")]
)
def test_words_that_llamacloud_stores_a_little_differently_are_the_same_question(
    faulty: FaultyServer, session: ChatSession, ada: User, asked: str, stored: str
) -> None:
    faulty.events[session.session_id] = turn_of(stored, "Because.")
    script(faulty, session, event_stream(sse(question(asked), delta("Bec"))))

    turn = ended(put(session, ada, asked))
    import_history(session, detail(faulty, session, *turn_of(stored, "Because.")))

    assert (turn.state, len(shown(session))) == (TurnState.RECOVERED, 1)
