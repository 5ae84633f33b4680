"""Open pages never depend on LlamaCloud's answer: they wait a moment, and render what is known."""

from __future__ import annotations

import contextlib
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.db import connections
from django.test import Client
from django.test.client import FakePayload
from django.utils import timezone

from dashboard.chats.models import ChatSession
from dashboard.turns.models import Turn, TurnState
from dashboard.web import looking
from tests.faulty import Answer, FaultyServer, failing, held
from tests.people import SignIn
from tests.turns.conftest import question, stop, text
from tests.web.conftest import address, make_session
from tests.web.pages import read

HTMX = {"HX-Request": "true"}


@pytest.mark.django_db(transaction=True)
def test_a_hanging_llamacloud_leaves_most_threads_to_pages(catalog: FaultyServer, ada: User, signed_in: SignIn) -> None:
    session = make_session(catalog, ada)
    catalog.script("GET", f"/api/v1/chat/{session.session_id}/summary", [held(3)], repeat=True)
    cookies = signed_in(ada).cookies

    def ask() -> float:
        browser = Client(HTTP_HOST="localhost")
        browser.cookies = cookies
        began = time.monotonic()
        try:
            assert browser.get(address(session, "job/"), headers=HTMX).status_code == 200
        finally:
            connections.close_all()
        return time.monotonic() - began

    with ThreadPoolExecutor(20) as pool:
        waited = sorted(pool.map(lambda _: ask(), range(20)))

    assert len(catalog.received("GET", f"/api/v1/chat/{session.session_id}/summary")) <= 2 * 3, "one page asks for all"
    assert waited[-2] < waited[-1], "only the one that asks waits for the answer"


@pytest.mark.django_db
def test_a_failed_look_is_told_to_all_and_not_repeated(
    catalog: FaultyServer, session: ChatSession, browser: Client
) -> None:
    path = f"/api/v1/chat/{session.session_id}/summary"
    catalog.script("GET", path, [failing(403, "no")], repeat=True)
    first = browser.get(address(session, "job/"), headers=HTMX)
    again = browser.get(address(session, "job/"), headers=HTMX)
    assert "does not allow" in first.content.decode()
    assert "does not allow" in again.content.decode()
    assert len(catalog.received("GET", path)) == 1


@pytest.mark.django_db
def test_an_id_nobody_knows_is_asked_for_once(catalog: FaultyServer, browser: Client) -> None:
    for _ in range(3):
        assert browser.get("/sessions/ses-nobody/").status_code == 404
    assert len(catalog.received("GET", "/api/v1/chat/ses-nobody/summary")) == 1
    assert browser.get(f"/sessions/{'a' * 256}/").status_code == 404


@pytest.mark.django_db
def test_looks_beyond_the_bound_are_left_out(catalog: FaultyServer, session: ChatSession, browser: Client) -> None:
    places = [looking._places.acquire(blocking=False) for _ in range(looking.AT_ONCE)]
    try:
        assert all(places)
        assert browser.get(address(session, "job/"), headers=HTMX).status_code == 200
        assert browser.get("/sessions/?seen=x", headers=HTMX).status_code == 200
        assert browser.get("/sessions/ses-elsewhere/").status_code == 404
        assert not catalog.received("GET", f"/api/v1/chat/{session.session_id}/summary")
    finally:
        for _ in places:
            looking._places.release()


@pytest.mark.django_db
def test_what_is_longer_than_any_form_is_refused_before_it_is_read() -> None:
    unreadable: Any = FakePayload(b"")  # which fails when it is read beyond its end
    kind = "multipart/form-data; boundary=x"
    browser = Client(HTTP_HOST="localhost", CONTENT_TYPE=kind, CONTENT_LENGTH="250000000", **{"wsgi.input": unreadable})
    response = browser.generic("POST", "/accounts/login/")
    assert response.status_code == 413
    assert response["Connection"] == "close"


@pytest.mark.django_db
def test_calls_beyond_the_bound_are_refused_and_the_form_is_kept(
    catalog: FaultyServer, session: ChatSession, browser: Client, ada: User
) -> None:
    form = {"idempotency_token": "a-token-of-this-form", "index_ids": ["idx-reports"]}
    ChatSession.objects.update(owner=ada)
    with contextlib.ExitStack() as all_places:
        for others in range(looking.CALLS):
            all_places.enter_context(looking.calling(-others))
        refused = browser.post("/sessions/new/", form)
        kept = browser.post(address(session, "delete/"))
    for answer in (refused, kept):
        assert (answer.status_code, answer["Retry-After"]) == (503, "5")
        assert "Too many people are waiting" in answer.content.decode()
    assert "a-token-of-this-form" in refused.content.decode()
    assert not catalog.received("POST", "/api/v1/chat")
    assert ChatSession.objects.get().gone_at is None


@pytest.mark.django_db
def test_a_search_of_very_many_words_is_cut(catalog: FaultyServer, browser: Client) -> None:
    assert browser.get("/sessions/new/", {"find": "a " * 1500}).status_code == 200
    assert browser.get("/sessions/", {"q": "a " * 1500}).status_code == 200


@pytest.mark.django_db
def test_a_fault_of_ours_is_not_taken_for_news(
    catalog: FaultyServer, session: ChatSession, browser: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_args: object, **_options: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(looking, "refresh_one", broken)
    browser.raise_request_exception = False
    assert browser.get(address(session, "job/"), headers=HTMX).status_code == 500

    again = browser.get(address(session, "job/"), headers=HTMX)

    assert "could not be taken in" in again.content.decode()


@pytest.mark.django_db
def test_a_history_that_was_never_read_is_read_however_fresh_the_summary_is(
    catalog: FaultyServer, session: ChatSession, browser: Client
) -> None:
    catalog.events[session.session_id] = [
        {"type": "user_input", "content": "Why?"},
        {"type": "text", "content": "So."},
        {"type": "stop", "is_error": False},
    ]
    ChatSession.objects.update(questions=None, history_of="", synced_at=timezone.now())

    region = read(browser.get(address(session, "lock/"), headers=HTMX)).one("section")

    assert Turn.objects.get().prompt == "Why?"
    assert region["data-newest-turn"] == "1", "an open page learns of it from whichever region it was"


@pytest.mark.django_db
@pytest.mark.parametrize(("columns", "is_heard"), [({}, True), ({"state": TurnState.RUNNING}, False)])
def test_the_list_hears_that_an_answer_asked_for_elsewhere_has_ended(
    catalog: FaultyServer, session: ChatSession, ada: User, browser: Client, columns: dict[str, Any], is_heard: bool
) -> None:
    now = timezone.now()
    catalog.chats[session.session_id]["last_updated_at"] = now.isoformat()
    catalog.events[session.session_id] = [question(), text("So."), stop()]
    ChatSession.objects.update(is_running=True)
    if columns:
        # One's own is read by this dashboard itself.
        Turn.objects.create(session=session, number=1, prompt="Why?", asked_at=now, asked_by=ada, **columns)
    cache.clear()

    page = browser.get("/sessions/?seen=nothing", headers=HTMX)

    session.refresh_from_db()
    assert session.is_running is not is_heard
    assert bool(catalog.received("GET", f"/api/v1/chat/{session.session_id}")) is is_heard
    assert ("Running" in page.content.decode()) is not is_heard
    turn = Turn.objects.get()
    assert (turn.prompt, turn.state) == ("Why?", TurnState.ANSWERED if is_heard else TurnState.RUNNING)


def asked_elsewhere(faulty: FaultyServer, count: int, ago: timedelta = timedelta()) -> list[str]:
    """Where the summaries are of so many sessions that are being answered, as far as is known; the newest last."""
    sessions = [make_session(faulty) for _ in range(count)]
    for number, one in enumerate(sessions):
        asked_at = timezone.now() - ago + timedelta(milliseconds=number)
        faulty.chats[one.session_id]["last_updated_at"] = asked_at.isoformat()
        faulty.events[one.session_id] = [question()]
    ChatSession.objects.update(is_running=True)
    return [f"/api/v1/chat/{one.session_id}/summary" for one in sessions]


def open_list(browser: Client) -> str:
    """What an open list is told by a look of its own."""
    cache.delete("look-recent")
    return browser.get("/sessions/?seen=nothing", headers=HTMX).content.decode()


@pytest.mark.django_db
def test_a_look_at_the_list_looks_at_no_more_than_a_few_of_those_asked_elsewhere(
    catalog: FaultyServer, browser: Client
) -> None:
    paths = asked_elsewhere(catalog, looking.ASKED_ELSEWHERE + 2)

    open_list(browser)

    assert len([path for path in paths if catalog.received("GET", path)]) == looking.ASKED_ELSEWHERE


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("ago", "is_running", "looks"),
    [(timedelta(minutes=50), True, 1), (timedelta(minutes=70), True, 0), (timedelta(), False, 0)],
    ids=["within the hour", "longer ago", "ended"],
)
def test_only_what_may_still_be_answering_elsewhere_is_looked_at_for_the_list(
    catalog: FaultyServer, browser: Client, ago: timedelta, is_running: bool, looks: int
) -> None:
    (path,) = asked_elsewhere(catalog, 1, ago)
    ChatSession.objects.update(is_running=is_running)

    open_list(browser)

    assert len(catalog.received("GET", path)) == looks


@pytest.mark.django_db
def test_a_session_that_cannot_be_looked_at_keeps_the_list_from_nothing(catalog: FaultyServer, browser: Client) -> None:
    paths = asked_elsewhere(catalog, 2)
    for path in paths:
        catalog.script("GET", path, [failing(403, "no")])

    told = open_list(browser)

    assert "does not allow" not in told
    assert all(catalog.received("GET", path) for path in paths)


@pytest.mark.django_db
def test_a_failed_look_at_the_list_is_told_to_all_until_one_succeeds(catalog: FaultyServer, browser: Client) -> None:
    catalog.script("GET", "/api/v1/chat", [failing(403, "no")])
    shared = "/sessions/?seen=nothing"

    assert "does not allow" in open_list(browser)
    assert "does not allow" in browser.get(shared, headers=HTMX).content.decode()
    assert "does not allow" not in open_list(browser)
    assert "does not allow" not in browser.get(shared, headers=HTMX).content.decode()
    assert len(catalog.received("GET", "/api/v1/chat")) == 2


@pytest.mark.django_db
def test_a_failed_look_is_told_of_no_other_session(
    catalog: FaultyServer, session: ChatSession, browser: Client
) -> None:
    other = make_session(catalog)
    catalog.script("GET", f"/api/v1/chat/{session.session_id}/summary", [failing(403, "no")])

    assert "does not allow" in browser.get(address(session, "job/"), headers=HTMX).content.decode()
    assert "does not allow" not in browser.get(address(other, "job/"), headers=HTMX).content.decode()


@pytest.mark.django_db
@pytest.mark.parametrize(("ago", "looks"), [(1, 1), (90, 0)], ids=["since the last look", "before it"])
def test_after_an_answer_of_ours_a_session_is_looked_at_however_fresh_it_is(
    catalog: FaultyServer, session: ChatSession, browser: Client, monkeypatch: pytest.MonkeyPatch, ago: int, looks: int
) -> None:
    """LlamaCloud has made a title of the question meanwhile."""
    monkeypatch.setattr(looking, "SESSION_FRESH", timedelta(hours=1))
    catalog.chats[session.session_id]["generated_title"] = "Why things are so"
    now = timezone.now()
    answered = {"state": TurnState.ANSWERED, "position": 0, "finished_at": now - timedelta(seconds=ago)}
    Turn.objects.create(session=session, number=1, prompt="Why?", asked_at=now, **answered)
    ChatSession.objects.update(questions=1, synced_at=now - timedelta(seconds=60))

    browser.get(address(session, "job/"), headers=HTMX)

    assert len(catalog.received("GET", f"/api/v1/chat/{session.session_id}/summary")) == looks
    session.refresh_from_db()
    assert (session.generated_title == "Why things are so") is bool(looks)


@pytest.mark.django_db
@pytest.mark.parametrize("state", [TurnState.QUEUED, TurnState.RUNNING])
def test_while_a_question_is_answered_here_llamacloud_is_not_asked_about_it(
    catalog: FaultyServer, session: ChatSession, browser: Client, state: TurnState
) -> None:
    """What LlamaCloud says of it comes later than what is read here."""
    Turn.objects.create(session=session, number=1, prompt="Why?", asked_at=timezone.now(), state=state)
    ChatSession.objects.update(is_running=True)

    browser.get(address(session, "job/"), headers=HTMX)

    session.refresh_from_db()
    assert session.is_running
    assert not catalog.received("GET", f"/api/v1/chat/{session.session_id}/summary")


@pytest.mark.django_db
@pytest.mark.parametrize(("seconds", "looks"), [(0.0, 1), (0.4, 0)])
def test_who_waited_long_for_a_session_does_not_wait_for_its_sources_too(
    catalog: FaultyServer, session: ChatSession, browser: Client, monkeypatch: pytest.MonkeyPatch,
    seconds: float, looks: int,
) -> None:  # fmt: skip
    monkeypatch.setattr(looking, "PATIENCE", 0.3 if seconds else 60.0)
    summary = catalog.chats[session.session_id]
    catalog.script("GET", f"/api/v1/chat/{session.session_id}/summary", [Answer(body=summary, hold=seconds)])

    browser.get(address(session, "lock/"), headers=HTMX)

    assert len(catalog.received("GET", "/api/v1/indexes/idx-reports")) == looks


@pytest.mark.django_db
def test_a_look_at_the_list_looks_at_others_than_the_last_one(catalog: FaultyServer, browser: Client) -> None:
    paths = asked_elsewhere(catalog, 2 * looking.ASKED_ELSEWHERE)

    open_list(browser)
    open_list(browser)
    assert all(len(catalog.received("GET", path)) == 1 for path in paths)
    open_list(browser)
    assert sum(len(catalog.received("GET", path)) for path in paths) == 3 * looking.ASKED_ELSEWHERE
