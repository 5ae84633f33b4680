"""What people are shown of a question: whom it was asked of, what was read for it, how it ended in plain words."""

from __future__ import annotations

import re
import threading
from datetime import timedelta
from typing import Any, cast

import pytest
from django.contrib.auth.models import User
from django.db import connection, models
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from dashboard.chats.models import ChatSession
from dashboard.turns.models import AnswerPiece, Turn, TurnState
from dashboard.web import running
from dashboard.web.answers import PIECES_AT_ONCE
from dashboard.web.reader import Reader
from tests.faulty import FaultyServer, event_stream, failing
from tests.turns.conftest import delta, ended, put, question, result, script, sse, stop, text, until
from tests.web.conftest import make_session
from tests.web.pages import Element, read

pytestmark = pytest.mark.postgres
HTMX = {"HX-Request": "true"}


def shown(browser: Client, turn: Turn) -> Element:
    """The turn as its own page has it."""
    return read(browser.get(f"/sessions/{turn.session.session_id}/turns/{turn.number}/")).one("article")


def make_turn(session: ChatSession, state: TurnState, **columns: Any) -> Turn:
    asked: dict[str, Any] = {"session": session, "number": 1, "prompt": "Why?", "asked_at": timezone.now()}
    return Turn.objects.create(**asked, state=state, **columns)


# --- sources --------------------------------------------------------------------------------------------------------


def call_of(index_id: str, number: int) -> dict[str, Any]:
    return {"type": "tool_call", "call_id": f"c{number}", "name": "find", "arguments": {"index_id": index_id}}


def test_documents_of_one_name_in_two_sources_are_two_and_say_whose_they_are(
    catalog: FaultyServer, ada: User, browser: Client
) -> None:
    session = make_session(catalog, ada, index_ids=["idx-reports", "idx-policies"])
    calls = [call_of("exc-idx-reports", 1), call_of("idx-policies", 2)]
    results = [{**result(), "call_id": f"c{number}"} for number in (1, 2)]
    script(catalog, session, sse(question(), *calls, *results, text("So."), stop()))

    cited = shown(browser, ended(put(session, ada))).one("ul", class_="cited")

    places = [item.text for item in cited.all("li")]
    assert places == ["Document 1, page 1 in Reports", "Document 1, page 1 in Policies"]


def test_so_are_those_of_an_answer_that_was_asked_for_elsewhere(session: ChatSession, browser: Client) -> None:
    places = [{"document": "Text.md", "index_id": index_id} for index_id in ("exc-idx-reports", "idx-policies")]
    turn = make_turn(session, TurnState.ANSWERED, citations=places)

    cited = shown(browser, turn).one("ul", class_="cited")
    assert [item.text for item in cited.all("li")] == ["Text.md in Reports", "Text.md in Policies"]


def test_a_place_in_the_only_source_does_not_name_it(
    faulty: FaultyServer, session: ChatSession, ada: User, browser: Client
) -> None:
    script(faulty, session, sse(question(), call_of("exc-idx-reports", 1), result(), text("So."), stop()))

    assert shown(browser, ended(put(session, ada))).one("ul", class_="cited").text == "Document 1, page 1"


@pytest.mark.parametrize(
    ("index_ids", "words"),
    [
        (["idx-reports"], "Asked of Reports"),
        (["idx-reports", "idx-policies", "idx-none"], "Asked of Reports and 2 more"),
    ],
)
def test_a_question_says_which_sources_were_chosen_for_it(
    catalog: FaultyServer, ada: User, browser: Client, index_ids: list[str], words: str
) -> None:
    session = make_session(catalog, ada, index_ids=None)
    turn = make_turn(session, TurnState.ANSWERED, index_ids=index_ids)

    (asked_of,) = shown(browser, turn).all(class_="asked-of")

    assert asked_of.text.startswith(words)
    assert len(asked_of.all("li")) == (len(index_ids) if len(index_ids) > 1 else 0)


def test_in_a_bound_session_the_rail_names_the_sources_once(session: ChatSession, browser: Client) -> None:
    turn = make_turn(session, TurnState.ANSWERED, index_ids=["idx-reports"])

    assert not shown(browser, turn).all(class_="asked-of")


def test_files_of_one_name_in_one_source_are_two_places(
    faulty: FaultyServer, session: ChatSession, ada: User, browser: Client
) -> None:
    rows = [{"content": "x", "document": "Text.md", "file_id": file_id} for file_id in ("f1", "f2", "f1")]
    script(faulty, session, sse(question(), call_of("x", 1), {**result(), "result": rows}, text("So."), stop()))

    assert len(shown(browser, ended(put(session, ada))).one("ul", class_="cited").all("li")) == 2


def test_a_source_that_could_not_be_read_is_named(session: ChatSession, browser: Client) -> None:
    turn = make_turn(session, TurnState.ANSWERED, index_ids=["idx-reports"], skipped_index_ids=["idx-reports"])

    assert "These sources could not be read: Reports." in shown(browser, turn).one("footer").text


# --- ends -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({}, "LlamaCloud may still have finished it"),
        ({"position": 0}, "this is the whole answer"),
        ({"error_code": "never_sent"}, "The question was never sent to LlamaCloud."),
    ],
)
def test_a_stopped_answer_says_what_became_of_it(
    session: ChatSession, browser: Client, columns: dict[str, Any], words: str
) -> None:
    turn = shown(browser, make_turn(session, TurnState.STOPPED, **columns))

    assert words in turn.one("footer").text
    assert "You" not in turn.one("footer").text, "somebody else may have stopped it"
    assert ("data-late" in turn.one("footer")) != bool(columns)
    assert ("Ask again" in turn.text) == ("position" not in columns), "what is whole needs no asking again"


def test_a_stopped_answer_says_who_stopped_it(session: ChatSession, browser: Client, ben: User) -> None:
    """Whoever it was, and also when their account is gone."""
    turn = make_turn(session, TurnState.STOPPED, stopped_by=ben, position=0)
    said = shown(browser, turn)
    assert "This answer was stopped by Ben." in said.one("footer").text
    ben.first_name = "<b>\u202eneB"
    ben.save()
    assert "This answer was stopped by <b>neB." in shown(browser, turn).one("footer").text
    ben.delete()
    assert "This answer was stopped." in shown(browser, turn).one("footer").text


def test_an_answer_that_came_before_it_could_be_stopped_was_not(
    session: ChatSession, browser: Client, ben: User
) -> None:
    turn = make_turn(session, TurnState.ANSWERED, stop_asked_at=timezone.now(), stopped_by=ben)

    assert "stopped" not in shown(browser, turn).text


def test_who_asked_and_who_stopped_costs_a_conversation_no_query_a_turn(
    session: ChatSession, browser: Client, ada: User, ben: User
) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as made:
            page = read(browser.get(f"/sessions/{session.session_id}/"))
            assert all("stopped by Ben" in turn.text for turn in page.all("article"))
        return len(made)

    asked: dict[str, Any] = {"session": session, "prompt": "?", "asked_at": timezone.now(), "asked_by": ada}
    stopped: dict[str, Any] = {"state": TurnState.STOPPED, "stopped_by": ben}
    Turn.objects.create(number=1, **asked, **stopped)
    queries()  # the first visit is remembered
    one = queries()
    for number in range(2, 6):
        Turn.objects.create(number=number, **asked, **stopped)

    assert queries() == one


@pytest.mark.parametrize("state", TurnState)
def test_what_lacks_its_answer_can_be_asked_again_and_what_may_still_come_is_late(
    session: ChatSession, browser: Client, state: TurnState
) -> None:
    turn = shown(browser, make_turn(session, state))

    lacks = state in ("failed", "stopped", "interrupted")
    assert ("Ask again" in turn.text) == lacks
    assert ("data-late" in turn.one("footer")) == (state in ("stopped", "interrupted"))


def test_the_answer_to_a_form_has_the_forms_own_token(
    faulty: FaultyServer, session: ChatSession, browser: Client
) -> None:
    script(faulty, session, sse(question(), text("So."), stop()))
    form = {"prompt": "Why?", "nonce": "n1", "csrfmiddlewaretoken": "t" * 64}

    answer = read(browser.post(f"/sessions/{session.session_id}/turns/", form, headers=HTMX))

    tokens = {field["value"] for field in answer.all("input", name="csrfmiddlewaretoken")}
    assert tokens == {"t" * 64}


def test_an_open_page_that_waits_for_many_gets_the_newest_first(session: ChatSession, browser: Client) -> None:
    asked: dict[str, Any] = {"session": session, "prompt": "?", "asked_at": timezone.now(), "state": TurnState.STOPPED}
    for number in range(1, 31):
        Turn.objects.create(number=number, position=0 if number == 30 else None, **asked)

    late = "&".join(f"late={number}" for number in range(1, 31))
    came = browser.get(f"/sessions/{session.session_id}/turns/newer/?after=30&{late}", headers=HTMX)

    assert 'id="turn-30"' in came.content.decode()


def test_an_open_page_gets_the_answer_that_was_stopped_once_it_is_whole(session: ChatSession, browser: Client) -> None:
    turn = make_turn(session, TurnState.STOPPED)
    newer = f"/sessions/{session.session_id}/turns/newer/?after=1&late=1"
    assert browser.get(newer, headers=HTMX).status_code == 204

    Turn.objects.filter(pk=turn.pk).update(position=0)

    assert "this is the whole answer" in browser.get(newer, headers=HTMX).content.decode()


@pytest.mark.parametrize(("came", "words"), [([], "Not answered."), ([delta("Half an")], "This answer broke off.")])
def test_what_llamacloud_says_of_a_failure_is_for_support(
    faulty: FaultyServer, session: ChatSession, ada: User, browser: Client, came: list[dict[str, Any]], words: str
) -> None:
    script(faulty, session, sse(question(), *came, stop(is_error=True, error="ValueError: shard 7")))

    foot = shown(browser, ended(put(session, ada))).one("footer")

    assert words in foot.all("p")[0].text
    assert "ValueError" not in foot.all("p")[0].text
    assert foot.one("details").text.startswith("Details for support ValueError: shard 7")


def test_a_session_that_is_gone_leads_to_a_new_one(
    faulty: FaultyServer, session: ChatSession, ada: User, browser: Client
) -> None:
    script(faulty, session, failing(404, "Session not found"))

    foot = shown(browser, ended(put(session, ada))).one("footer")

    assert "does not have this session any more" in foot.text
    (onwards,) = foot.all("a")
    assert not foot.all("form"), "asking again here can never work"
    assert onwards["href"] == f"/sessions/new/?from={session.session_id}&question=1"
    assert not foot.all("details"), "these words are Corral's own"


@pytest.mark.parametrize("cursor", [None, 1])
def test_what_still_grows_is_text_whatever_it_holds(
    faulty: FaultyServer, session: ChatSession, ada: User, cursor: int | None
) -> None:
    hostile = "# Well\n\nSo\n<script>alert('100 %s %(html)s')</script>"
    script(faulty, session, event_stream(sse(question(), delta(hostile)), (60.0, b"")))
    turn = put(session, ada)
    until(lambda: turn.log.filter(type="text_delta").exists())

    reader = Reader(turn, cursor)
    sent = reader.news()
    reader.close()

    assert b"<h3>Well</h3>" in sent
    assert b"&lt;script&gt;alert(&#x27;100 %s %(html)s&#x27;)" in sent
    assert b"<script" not in sent


def test_an_answer_asked_for_elsewhere_comes_into_an_open_page_with_what_there_is_of_it(
    faulty: FaultyServer, session: ChatSession, ada: User, browser: Client
) -> None:
    script(faulty, session, event_stream(sse(question(), delta("Because")), (60.0, b"")))
    turn = put(session, ada)
    until(lambda: turn.log.filter(type="text_delta").exists())

    came = read(browser.get(f"/sessions/{session.session_id}/turns/newer/?after=0", headers=HTMX))
    opened = read(browser.get(f"/sessions/{session.session_id}/"))

    for page in (came, opened):
        assert page.one(id="turn-1-tail").text == "Because"
        assert page.one(id="turn-1-doing").text == "Writing…"


# --- stopping without scripts ---------------------------------------------------------------------------------------


def test_after_stop_the_page_without_scripts_has_the_end(session: ChatSession, browser: Client) -> None:
    lease = {"lease_holder": "another process", "lease_until": timezone.now() + timedelta(minutes=1)}
    turn = make_turn(session, TurnState.RUNNING, started_at=timezone.now(), **lease)

    def end() -> None:
        turn.end(TurnState.STOPPED, holder="another process")
        connection.close()

    other = threading.Timer(0.5, end)
    other.start()
    page = browser.post(f"/sessions/{session.session_id}/turns/1/stop/", follow=True)
    other.join()

    assert read(page).one(id="turn-1")["data-state"] == "stopped"


# --- the queue ------------------------------------------------------------------------------------------------------


def test_who_waits_sees_their_place_and_every_step_up(
    catalog: FaultyServer, ada: User, browser: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dashboard.web.reader.LOOK_UP", 0.0)
    sessions = [make_session(catalog, ada) for _ in range(5)]
    for session in sessions:
        script(catalog, session, event_stream(sse(question()), (60.0, b"")))
    turns = [put(session, ada) for session in sessions]
    last = turns[-1]
    assert "number 2 in line" in shown(browser, last).text

    reader = Reader(last, None)
    try:
        assert b"number 2 in line" in reader.news(), "the stream does not take it back"
        assert reader.news() == b"", "nor says it over and over"

        running.RUNNERS.stop(turns[0].pk)
        until(lambda: b"number 1 in line" in reader.news())
        running.RUNNERS.stop(turns[1].pk)
        until(lambda: b"Waiting for LlamaCloud" in reader.news())
    finally:
        reader.close()


def test_a_question_that_waits_says_so_in_the_rail_too(session: ChatSession, browser: Client) -> None:
    ChatSession.objects.update(is_running=True)
    make_turn(session, TurnState.QUEUED)

    rail = browser.get(f"/sessions/{session.session_id}/job/", headers=HTMX).content.decode()

    assert "The question waits for its turn" in rail


# --- by its address alone -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["turns/", "turns/1/stop/"])
def test_the_address_of_a_form_leads_to_the_session(session: ChatSession, browser: Client, step: str) -> None:
    """As after signing in anew, when a form came from somebody who was signed out meanwhile."""
    answer = browser.get(f"/sessions/{session.session_id}/{step}")

    assert (answer.status_code, answer["Location"]) == (302, f"/sessions/{session.session_id}/")


# --- long answers ---------------------------------------------------------------------------------------------------


@pytest.fixture
def pieces_read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The positions of the pieces that were read from the database."""
    read_from: list[int] = []

    def counted(database: str, names: list[str], values: list[Any]) -> AnswerPiece:
        piece = models.Model.from_db.__func__(AnswerPiece, database, names, values)  # type: ignore[attr-defined]
        read_from.append(piece.position)
        return cast(AnswerPiece, piece)

    monkeypatch.setattr(AnswerPiece, "from_db", counted)
    return read_from


@pytest.mark.parametrize("size", [1_000, 60_000, 250_000])
def test_of_a_long_answer_no_more_is_read_than_is_shown(
    session: ChatSession, browser: Client, pieces_read: list[int], size: int
) -> None:
    turn = make_turn(session, TurnState.ANSWERED)
    AnswerPiece.objects.bulk_create(
        AnswerPiece(turn=turn, position=position, html=f"<p>Piece {position}.</p>{' ' * size}")
        for position in range(30)
    )
    said: list[str] = []
    url = f"/sessions/{session.session_id}/"
    for _ in range(31):
        pieces_read.clear()
        page = browser.get(url, headers=HTMX if "more" in url else {}).content.decode()
        said += re.findall(r"Piece (\d+)\.", page)
        assert len(pieces_read) <= PIECES_AT_ONCE
        onward = re.search(r'"(/sessions/[^"]*/more/\?from=\d+)', page)
        if onward is None:
            break
        url = onward[1]

    assert said == [str(position) for position in range(30)]
