"""One session: its facts, its two regions, and what the official SDK does to it meanwhile."""

from __future__ import annotations

import threading

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.utils import timezone
from llama_cloud import LlamaCloud

from dashboard.audit.models import AuditEntry
from dashboard.catalog.sync import refresh_catalog
from dashboard.chats.models import ChatSession
from dashboard.config import upstream_client
from dashboard.turns.models import Turn, TurnState
from tests.faulty import PROJECT_ID, FaultyServer, failing
from tests.localcloud.fixtures import RunningLocalcloud
from tests.people import SignIn
from tests.web.conftest import address, let_time_pass, make_session
from tests.web.pages import Element, read

HTMX = {"HX-Request": "true"}
JOB = {
    "turns": 3,
    "duration_ms": 8400.0,
    "is_error": False,
    "error": None,
    "total_input_tokens": 12480,
    "total_output_tokens": 640,
    "export_config_ids": ["exc-1"],
}

pytestmark = pytest.mark.django_db


def facts(page: Element) -> dict[str, str]:
    return {line.one("dt").text: line.one("dd").text for line in page.all("div") if len(line.all("dt")) == 1}


def region(browser: Client, session: ChatSession, step: str, seen: str = "") -> Element:
    response = browser.get(address(session, f"{step}/") + seen, headers=HTMX)
    assert response.status_code == 200
    return read(response)


# --- Facts


def test_the_page_tells_what_the_session_is(catalog: FaultyServer, ada: User, browser: Client) -> None:
    session = make_session(catalog, ada, generated_title="How much?", shared_access="query", job_metadata=JOB)
    page = read(browser.get(address(session)))
    told = facts(page)
    assert page.one("h1").text == "How much?"
    assert told["Created by"] == "Ada"
    assert told["Project"] == "Default"
    assert told["Sharing"] == "By link: read and ask"
    assert (told["Status"], told["Took"]) == ("Worked", "8.4 s")
    assert told["Tokens"] == "12,480 read · 640 written"
    ChatSession.objects.update(is_running=True)
    told = facts(read(browser.get(address(session))))
    assert (told["Took"], told["Tokens"]) == ("–", "–"), "what the run before took is not this one's"
    sources = page.one("section", id="sources-region")
    assert sources.one("h2").text == "Sources"
    assert sources.one("p", class_="lock-word").text == "Locked"
    assert "Reports" in sources.text
    assert page.one("section", id="job-region").one("h2").text == "Last run"
    assert "exc-1" in page.one("details", id="job-exports").text
    assert page.one("input", id="session-id")["value"] == session.session_id


def test_a_run_that_failed_says_so_and_quotes_llamacloud(catalog: FaultyServer, browser: Client) -> None:
    session = make_session(catalog, job_metadata=JOB | {"is_error": True, "error": "Index unavailable"})
    page = read(browser.get(address(session)))
    assert facts(page)["Status"] == "Failed"
    assert "Index unavailable" in page.one(class_="run-error").text
    assert facts(page)["Created by"] == "Someone outside Corral"


def test_the_page_is_shown_from_the_cache(session: ChatSession, catalog: FaultyServer, browser: Client) -> None:
    before = len(catalog.requests)
    assert browser.get(address(session)).status_code == 200
    assert len(catalog.requests) == before


def test_successors_and_predecessors_are_linked(session: ChatSession, catalog: FaultyServer, browser: Client) -> None:
    after = make_session(catalog, generated_title="The next")
    ChatSession.objects.filter(pk=after.pk).update(follows=session)
    assert read(browser.get(address(session))).all("a", href=address(after))
    assert read(browser.get(address(after))).all("a", href=address(session))


@pytest.mark.parametrize("part", ["turns/older/", "turns/newer/", "turns/1/", "turns/1/steps/", "turns/1/more/"])
def test_reading_a_conversation_by_another_door_is_on_record_once(
    session: ChatSession, browser: Client, ada: User, part: str
) -> None:
    Turn.objects.create(
        session=session, number=1, position=0, prompt="Why?", asked_at=timezone.now(), state="answered", index_ids=[]
    )
    for _ in range(3):
        assert browser.get(address(session, part)).status_code in (200, 204)

    entry = AuditEntry.objects.get(action="session.viewed")
    assert (entry.actor, entry.subject_id) == (ada, session.session_id)


def test_every_view_of_a_session_is_recorded(session: ChatSession, browser: Client, ada: User) -> None:
    browser.get(address(session))
    browser.get(address(session, "lock/"))
    response = browser.get(address(session), REMOTE_ADDR="203.0.113.9")
    entries = AuditEntry.objects.filter(action="session.viewed").order_by("id")
    assert [entry.ip for entry in entries] == ["127.0.0.1", "203.0.113.9"], "polling is no viewing"
    assert entries[1].request_id == response["X-Request-ID"]
    assert (entries[1].actor, entries[1].subject_id) == (ada, session.session_id)
    assert (entries[1].outcome, entries[1].subject_label, entries[1].details) == ("success", "", {})


# --- Regions


def test_a_region_answers_only_when_something_changed(
    session: ChatSession, catalog: FaultyServer, browser: Client
) -> None:
    for step in ("lock", "job"):
        known = region(browser, session, step).one("section")["hx-get"].partition("?")[2]
        again = browser.get(address(session, f"{step}/?{known}"), headers=HTMX)
        assert (again.status_code, again.content) == (204, b"")
        catalog.chats[session.session_id]["generated_title"] = f"Asked, {step}"
        let_time_pass()
        changed = region(browser, session, step, f"?{known}")
        assert changed.one("section")["hx-get"].partition("?")[2] != known


def test_a_region_revalidates_on_load_and_polls_faster_while_a_run_is_known(
    session: ChatSession, catalog: FaultyServer, browser: Client
) -> None:
    for id_, step in (("sources-region", "lock"), ("job-region", "job")):
        on_page = read(browser.get(address(session))).one("section", id=id_)
        assert on_page["hx-get"].startswith(address(session, f"{step}/?seen="))
        assert on_page["hx-trigger"].startswith("load, every 30s, corral:visible")
        assert region(browser, session, step).one("section")["hx-trigger"].startswith("every 30s")
    catalog.events[session.session_id] = [{"type": "user_input", "content": "Why?"}]
    ChatSession.objects.update(questions=None)
    let_time_pass()
    running = region(browser, session, "job")
    assert running.one("section")["hx-trigger"].startswith("every 5s")
    assert facts(running)["Status"] == "Running"
    assert facts(running)["Questions"] == "1 question"
    catalog.events[session.session_id].append({"type": "stop", "is_error": False})
    catalog.chats[session.session_id]["job_metadata"] = JOB
    let_time_pass()
    done = region(browser, session, "job")
    assert facts(done)["Status"] == "Worked"
    assert done.one("section")["hx-trigger"].startswith("every 30s")


def test_regions_and_watchers_share_one_answer(
    session: ChatSession, catalog: FaultyServer, browser: Client, ben: User, signed_in: SignIn
) -> None:
    region(browser, session, "job")  # the history is read once, then only when the summary differs
    let_time_pass()
    catalog.requests.clear()
    for client in (browser, signed_in(ben)):
        for step in ("lock", "job"):
            region(client, session, step)
    paths = [request.path for request in catalog.requests]
    assert paths == [f"/api/v1/chat/{session.session_id}/summary", "/api/v1/indexes/idx-reports"]
    assert [request.query["project_id"] for request in catalog.requests] == [[PROJECT_ID]] * 2


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_regions_that_ask_at_the_same_moment_share_one_answer(
    session: ChatSession, catalog: FaultyServer, browser: Client
) -> None:
    catalog.requests.clear()
    start = threading.Barrier(6)
    statuses: list[int] = []

    def look(step: str) -> None:
        client = Client()
        client.cookies = browser.cookies
        start.wait()
        try:
            statuses.append(client.get(address(session, step), headers=HTMX).status_code)
        finally:
            connection.close()

    threads = [threading.Thread(target=look, args=(step,)) for step in ["lock/", "job/"] * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 6
    assert len([one for one in catalog.requests if one.path.endswith("/summary")]) == 1


def test_a_session_that_is_gone_says_so_and_is_not_asked_for_again(
    session: ChatSession, catalog: FaultyServer, browser: Client
) -> None:
    del catalog.chats[session.session_id]
    gone = region(browser, session, "lock")
    assert gone.one("p", class_="lock-word").text == "Deleted"
    for step in ("lock", "job"):
        shown = region(browser, session, step).one("section")
        assert "hx-get" not in shown
        assert "hx-trigger" not in shown
    let_time_pass()
    catalog.requests.clear()
    page = read(browser.get(address(session)))
    assert "This session was deleted at LlamaCloud." in page.text
    assert not page.all("a", href=address(session, "delete/"))
    region(browser, session, "job")
    assert not catalog.requests


# --- What the official SDK does is seen here


def test_what_the_official_sdk_does_is_seen_without_a_reload(
    embedded: RunningLocalcloud, browser: Client, ada: User
) -> None:
    refresh_catalog(upstream_client())
    index_id = embedded.index_ids()["Travel policy"]
    sdk = LlamaCloud(api_key=embedded.api_key, base_url=embedded.base_url, max_retries=0)
    chat = sdk.chat.create(index_ids=[index_id])
    # Opened by its id a moment after it was made elsewhere: no list has told of it yet.
    page = read(browser.get(f"/sessions/{chat.session_id}/"))
    session = ChatSession.objects.get()
    assert page.one("p", class_="lock-word").text == "Not locked yet"
    assert facts(page)["Status"] == "No answer yet"
    seen = {step: page.one("section", id=id_)["hx-get"].partition("?")[2]
            for step, id_ in (("lock", "sources-region"), ("job", "job-region"))}  # fmt: skip

    for number, prompt in enumerate(["May I book first class trains?", "And hotels?"], start=1):
        with sdk.chat.with_streaming_response.stream(chat.session_id, index_ids=[index_id], prompt=prompt) as answer:
            assert b"stop" in answer.read()
        let_time_pass()
        job, lock = (
            region(browser, session, "job", f"?{seen['job']}"),
            region(browser, session, "lock", f"?{seen['lock']}"),
        )
        assert lock.one("p", class_="lock-word").text == "Locked"
        told = facts(job)
        assert told["Status"] == "Worked"
        assert told["Questions"].startswith(f"{number} question" + "s" * (number > 1))
        assert told["Tokens"] != "–"
        assert told["Took"] != "–"
    assert read(browser.get(f"/sessions/{chat.session_id}/")).one("h1").text.startswith("May I book first")

    sdk.chat.delete(chat.session_id)
    let_time_pass()
    assert region(browser, session, "lock").one("p", class_="lock-word").text == "Deleted"


def test_the_list_of_the_sdk_and_ours_agree(embedded: RunningLocalcloud, browser: Client) -> None:
    sdk = LlamaCloud(api_key=embedded.api_key, base_url=embedded.base_url, max_retries=0)
    made = {sdk.chat.create().session_id for _ in range(3)}
    browser.get("/sessions/?seen=nothing", headers=HTMX)
    listed = {link["href"] for link in read(browser.get("/sessions/")).all("a") if "/ses-" in link["href"]}
    assert listed == {f"/sessions/{session_id}/" for session_id in made}
    assert not ChatSession.objects.filter(is_bound=True).exists()


def test_where_no_sources_are_fixed_no_others_are_offered(catalog: FaultyServer, browser: Client) -> None:
    for fixed in (["idx-reports"], None):
        session = make_session(catalog, index_ids=fixed)
        links = region(browser, session, "lock").all("a")
        assert [link.text for link in links if "other sources" in link.text] == (
            ["New session with other sources"] if fixed else []
        )


# --- Ids nobody knows


@pytest.mark.parametrize("step", ["", "lock/", "job/", "rename/", "delete/"])
def test_an_unknown_session_is_404_and_costs_one_call_a_project(
    step: str, catalog: FaultyServer, browser: Client
) -> None:
    catalog.requests.clear()
    response = browser.get(f"/sessions/ses-nobody/{step}")
    assert response.status_code == 404
    assert read(response).one("h1").text == "Page not found"
    assert [request.path for request in catalog.requests] == ["/api/v1/chat/ses-nobody/summary"]
    assert not ChatSession.objects.exists()
    assert not AuditEntry.objects.exists()


def test_an_unknown_session_while_llamacloud_fails_is_404_and_costs_three_calls(
    catalog: FaultyServer, browser: Client
) -> None:
    catalog.requests.clear()
    catalog.script("GET", "/api/v1/chat/ses-nobody/summary", [failing(500)], repeat=True)
    assert browser.get("/sessions/ses-nobody/").status_code == 404
    assert len(catalog.requests) == 3


def test_an_answer_about_another_session_is_not_taken_for_the_one_asked_for(
    catalog: FaultyServer, browser: Client
) -> None:
    other = catalog.create(type(catalog.requests[0])("POST", "/", {}, b"{}", port=0))
    catalog.chats["ses-asked"] = other
    assert browser.get("/sessions/ses-asked/").status_code == 404


def test_what_still_runs_after_stop_is_said_to_be_llamaclouds_finishing(
    session: ChatSession, catalog: FaultyServer, browser: Client, ada: User
) -> None:
    catalog.events[session.session_id] = [{"type": "user_input", "content": "Why?"}]
    ChatSession.objects.update(questions=None)
    Turn.objects.create(
        session=session, number=1, asked_by=ada, prompt="Why?", asked_at=timezone.now(), state=TurnState.STOPPED
    )
    assert facts(region(browser, session, "job"))["Status"].endswith(
        "LlamaCloud is finishing the answer that was stopped"
    )
    Turn.objects.update(state=TurnState.INTERRUPTED)
    assert "may still be finishing" in facts(region(browser, session, "job"))["Status"]
    Turn.objects.update(state=TurnState.ANSWERED)
    assert facts(region(browser, session, "job"))["Status"] == "Running"


def test_a_lock_says_since_when_it_is_closed_if_it_was_closed_here(session: ChatSession, browser: Client) -> None:
    ChatSession.objects.update(generated_title="Asked elsewhere")
    assert "First asked here" not in region(browser, session, "lock").text
    ChatSession.objects.update(first_asked_at=timezone.now())
    assert "First asked here just now" in region(browser, session, "lock").text
    ChatSession.objects.update(gone_at=timezone.now())
    assert "First asked here" not in region(browser, session, "lock").text


def test_what_was_asked_since_a_page_was_opened_comes_in_reading_order(session: ChatSession, browser: Client) -> None:
    answered = {"session": session, "asked_at": timezone.now(), "state": TurnState.ANSWERED}
    for number, prompt in enumerate(["Seen?", "Then?", "And then?", "At last?"], start=1):
        Turn.objects.create(number=number, prompt=prompt, **answered)

    came = read(browser.get(address(session, "turns/newer/"), {"after": 1}, headers=HTMX))

    assert [one["id"] for one in came.all("article")] == ["turn-2", "turn-3", "turn-4"]


def test_an_answer_that_came_late_names_the_sources_it_could_not_read(
    session: ChatSession, browser: Client, ada: User
) -> None:
    Turn.objects.create(
        session=session, number=1, asked_by=ada, prompt="Why?", asked_at=timezone.now(), state=TurnState.RECOVERED,
        skipped_index_ids=["idx-reports"],
    )  # fmt: skip

    mended = browser.get(address(session, "turns/newer/"), {"after": 1, "late": 1}, headers=HTMX)

    assert "Reports" in read(mended).text


def test_an_address_cannot_ask_for_more_late_answers_than_a_page_shows(
    session: ChatSession, browser: Client, ada: User
) -> None:
    Turn.objects.bulk_create(
        Turn(session=session, number=number, prompt="Why?", asked_at=timezone.now(), state=TurnState.RECOVERED)
        for number in range(1, 31)
    )

    query = "&".join(f"late={number}" for number in range(1, 31))

    mended = browser.get(f"{address(session, 'turns/newer/')}?after=30&{query}", headers=HTMX)

    assert mended.content.count(b"<hx-partial") == 20
