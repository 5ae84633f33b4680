"""A long history, read in several looks: all its questions at once, then their answers, the newest first."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from dashboard.chats.models import ChatSession
from dashboard.turns import history
from dashboard.turns.ask import BadQuestion, retry
from dashboard.turns.history import NEVER_FINISHED, NOT_FETCHED, import_history, is_unread
from dashboard.turns.models import Turn
from dashboard.web import running
from tests.faulty import FaultyServer
from tests.turns.conftest import ORIGIN, delta, ended, put, question, script, sse, stop, text
from tests.turns.test_history import detail, shown, turn_of
from tests.web.conftest import let_time_pass
from tests.web.pages import Element, read

pytestmark = pytest.mark.postgres


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A look has time for one answer; ``undo`` gives it time for all."""
    monkeypatch.setattr(history, "BUDGET", 0.0)
    return monkeypatch


def test_a_history_that_takes_too_long_is_read_on_at_the_next_look(
    faulty: FaultyServer, session: ChatSession, browser: Client, hurried: pytest.MonkeyPatch
) -> None:
    faulty.events[session.session_id] = [event for n in range(4) for event in turn_of(f"{n}?", str(n))]

    def look() -> list[str]:
        let_time_pass()
        assert browser.get(f"/sessions/{session.session_id}/job/").status_code == 200
        session.refresh_from_db()
        assert [prompt for _, prompt, _, _ in shown(session)] == ["0?", "1?", "2?", "3?"]
        return [prompt for _, prompt, state, _ in shown(session) if state == "answered"]

    assert look() == ["3?"], "a look is worth one answer at least, and the newest is wanted first"
    assert (session.questions, session.history_of) == (4, "")
    assert [look() for _ in range(2)] == [["2?", "3?"], ["1?", "2?", "3?"]]
    hurried.undo()
    assert look() == ["0?", "1?", "2?", "3?"]
    assert session.history_of, "and is not read again"


def test_who_asks_while_a_history_is_read_stands_behind_it(
    faulty: FaultyServer, session: ChatSession, ada: User, hurried: pytest.MonkeyPatch
) -> None:
    before = [event for prompt in ("One?", "Same?", "Three?") for event in turn_of(prompt, f"{prompt} Theirs")]
    assert not import_history(session, detail(faulty, session, *before))
    script(faulty, session, sse(question("Same?"), text("Mine"), stop()))
    mine = ended(put(session, ada, "Same?"))
    hurried.undo()

    assert import_history(session, detail(faulty, session, *before, *turn_of("Same?", "Mine")))

    mine.refresh_from_db()
    assert (mine.number, mine.position, mine.history_before) == (4, 3, 3)
    assert [prompt for _, prompt, _, _ in shown(session)] == ["One?", "Same?", "Three?", "Same?"]
    assert "Theirs" in shown(session)[1][3]
    assert "Mine" in shown(session)[3][3]


def test_an_answer_that_is_still_to_be_read_says_so_and_comes_into_the_open_page(
    faulty: FaultyServer, session: ChatSession, browser: Client, hurried: pytest.MonkeyPatch
) -> None:
    known = detail(faulty, session, *turn_of("One?", "First of all."), *turn_of("Two?", "Then."))
    assert not import_history(session, known)

    first = read(browser.get(f"/sessions/{session.session_id}/")).one(id="turn-1")
    assert "This answer is being fetched from LlamaCloud." in first.text
    assert "Ask again" not in first.text
    late = first.one("footer")["data-late"]

    assert import_history(session, known)
    page = browser.get(f"/sessions/{session.session_id}/turns/newer/?after=2&late={late}").content.decode()
    assert "First of all." in page


def test_what_came_in_great_number_leaves_no_hole_in_an_open_page(
    faulty: FaultyServer, session: ChatSession, browser: Client
) -> None:
    import_history(session, detail(faulty, session, *(event for n in range(55) for event in turn_of(f"{n}?", "x"))))
    had = 8

    def numbers(page: Element) -> list[int]:
        return [int(turn["data-turn"]) for turn in page.all("article")]

    page = read(browser.get(f"/sessions/{session.session_id}/turns/newer/?after={had}"))
    seen = numbers(page)
    while older := [link for link in page.all("a") if "before=" in link["href"]]:
        page = read(browser.get(older[0]["href"], headers={"HX-Request": "true"}))
        seen = numbers(page) + seen
    assert seen == list(range(had + 1, 56))


@pytest.mark.usefixtures("hurried")
def test_what_another_process_knows_more_of_is_left_to_it(faulty: FaultyServer, session: ChatSession) -> None:
    older = detail(faulty, session, *turn_of("One?", "First."), question("Two?"), delta("Half"))
    newer = detail(faulty, session, *turn_of("One?", "First."), *turn_of("Two?", "Half and half"), *turn_of("3?", "3"))
    assert not import_history(session, newer)

    for known in (older, older, newer, newer):
        import_history(session, known)

    states = [(prompt, state) for _, prompt, state, _ in shown(session)]
    assert states == [("One?", "answered"), ("Two?", "answered"), ("3?", "answered")]
    assert "Half and half" in shown(session)[1][3]


def test_an_answer_that_never_ended_comes_into_the_open_page_as_that(
    faulty: FaultyServer, session: ChatSession, browser: Client, hurried: pytest.MonkeyPatch
) -> None:
    left = [event for number in range(25) for event in (question(f"Left {number}?"), delta("ha"))]
    known = detail(faulty, session, *left, *turn_of("Next?", "x"))
    assert not import_history(session, known)
    hurried.undo()
    assert import_history(session, known)

    late = "&".join(f"late={number}" for number in range(1, 26))
    page = browser.get(f"/sessions/{session.session_id}/turns/newer/?after=26&{late}").content.decode()
    assert page.count(NEVER_FINISHED) == 20
    # Also behind many newer ones that still lack theirs.
    Turn.objects.filter(number__range=(6, 25)).update(error_code="not_read")
    page = browser.get(f"/sessions/{session.session_id}/turns/newer/?after=26&{late}").content.decode()
    assert page.count(NEVER_FINISHED) == 5
    assert "data-late" not in page


@pytest.mark.usefixtures("hurried")
def test_nothing_is_promised_of_a_session_that_is_gone(
    faulty: FaultyServer, session: ChatSession, browser: Client
) -> None:
    assert not import_history(session, detail(faulty, session, *turn_of("One?", "1"), *turn_of("Two?", "2")))
    ChatSession.objects.update(gone_at=timezone.now())

    first = read(browser.get(f"/sessions/{session.session_id}/")).one(id="turn-1").text
    assert "being fetched" not in first
    assert NOT_FETCHED in first


@pytest.mark.usefixtures("hurried")
def test_a_history_that_has_become_another_gives_no_question_the_answer_of_another(
    faulty: FaultyServer, session: ChatSession
) -> None:
    assert not import_history(session, detail(faulty, session, *turn_of("One?", "1"), *turn_of("Two?", "2")))

    assert import_history(session, detail(faulty, session, *turn_of("Two?", "2")))

    assert shown(session)[0][1:3] == ("One?", "interrupted")
    assert Turn.objects.get(number=1).error_code == ""
    assert not is_unread(session)


@pytest.mark.usefixtures("hurried")
def test_what_is_missing_for_long_is_given_up(faulty: FaultyServer, session: ChatSession) -> None:
    events = [*turn_of("One?", "1"), *turn_of("Two?", "2"), *turn_of("Three?", "3")]
    assert not import_history(session, detail(faulty, session, *events))
    Turn.objects.filter(number=3).update(error_code="not_read")
    shorter = detail(faulty, session, *events[:5])
    import_history(session, shorter)
    assert is_unread(session)

    Turn.objects.update(asked_at=timezone.now() - timedelta(hours=1))
    import_history(session, shorter)

    assert not is_unread(session)


def test_an_answer_that_is_still_to_be_read_is_not_asked_for_again(
    faulty: FaultyServer, session: ChatSession, ada: User, hurried: pytest.MonkeyPatch
) -> None:
    assert not import_history(session, detail(faulty, session, *turn_of("One?", "1"), *turn_of("Two?", "2")))

    with pytest.raises(BadQuestion):
        retry(running.RUNNERS, Turn.objects.get(number=1), actor=ada, origin=ORIGIN)
