"""LlamaCloud fails while a session is deleted, a list refreshed or a region looks again."""

from __future__ import annotations

import logging

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import Client

from dashboard.audit.models import AuditEntry
from dashboard.chats.models import ChatSession
from tests.faulty import FaultyServer, failing, rate_limited
from tests.web.conftest import KEY, Connect, let_time_pass, make_session
from tests.web.pages import read
from tests.web.test_creation_faults import FAULTS, Fault

pytestmark = pytest.mark.django_db


@pytest.fixture
def session(catalog: FaultyServer, ada: User) -> ChatSession:
    """Ada's session over Reports."""
    return make_session(catalog, ada, generated_title="What did we earn?")


@pytest.fixture(params=list(FAULTS.values()), ids=list(FAULTS))
def fault(request: pytest.FixtureRequest, catalog: FaultyServer, connect: Connect) -> Fault:
    """One fault after the other, to be scripted."""
    fault: Fault = request.param
    if fault.answer.hold:
        connect(catalog.url, KEY, create_budget=0.3, read_budget=0.3)
    return fault


def leaks_nothing(told: str, catalog: FaultyServer) -> None:
    for secret in (KEY, f":{catalog.port}", "Traceback", "10.0.0.7", "nginx", "evil.example", "internal.example"):
        assert secret not in told, secret


def test_a_failed_deletion_marks_nothing_tells_and_is_recorded(
    fault: Fault, session: ChatSession, catalog: FaultyServer, browser: Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    catalog.script("DELETE", f"/api/v1/chat/{session.session_id}", [fault.answer])
    address = f"/sessions/{session.session_id}/delete/"
    response = browser.post(address)
    session.refresh_from_db()
    asked, entry = AuditEntry.objects.order_by("pk")
    assert (asked.action, entry.action) == ("session.deletion_asked", "session.deleted")
    assert entry.subject_id == session.session_id
    # Somebody was faster, or any success whatever its body: what the person wanted is so.
    if fault in (FAULTS["404"], FAULTS["truncated JSON"]):
        assert (response.status_code, entry.outcome) == (302, "success")
        assert session.gone_at is not None
        return
    # Alone it has no second call that could answer for it, so a lost answer keeps its own status.
    assert response.status_code == (504 if fault.code == "upstream_answer_lost" else fault.status)
    assert session.gone_at is None
    assert (entry.outcome, entry.details) == ("failed", {"error": fault.code})
    alert = read(response).one(role="alert")
    assert alert.one("h2").text == "The session was not deleted"
    assert response.headers.get("Retry-After") == (str(fault.retry_after) if fault.retry_after else None)
    clocks = [clock["data-countdown"] for clock in alert.everything() if "data-countdown" in clock]
    assert clocks == ([str(fault.retry_after)] if fault.retry_after else [])
    leaks_nothing(response.content.decode() + str(response.headers) + caplog.text, catalog)
    assert "<script>alert" not in response.content.decode()
    assert len(catalog.received("DELETE")) == 1
    assert browser.post(address).status_code == 302  # sent again, it works


def test_a_region_that_cannot_look_again_says_so_and_shows_what_was_known(
    fault: Fault, session: ChatSession, catalog: FaultyServer, browser: Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    catalog.script("GET", f"/api/v1/chat/{session.session_id}/summary", [fault.answer], repeat=True)
    for region, heading, known in (("lock", "Sources", "Reports"), ("job", "Last run", "No answer yet")):
        response = browser.get(f"/sessions/{session.session_id}/{region}/", headers={"HX-Request": "true"})
        assert response.status_code == 200
        shown = read(response)
        assert shown.one("h2").text == heading
        assert known in shown.text
        if fault == FAULTS["404"]:  # that one is an answer: the session is gone
            assert "Couldn’t refresh" not in shown.text
            continue
        problem = shown.one("p", class_="stale").text
        assert problem.startswith("Couldn’t refresh: ")
        assert "Showing what we knew" in problem
        leaks_nothing(response.content.decode() + str(response.headers) + caplog.text, catalog)
    session.refresh_from_db()
    assert (session.gone_at is None) is (fault != FAULTS["404"])


def test_a_refresh_that_fails_says_why_on_the_list_it_leaves_alone(
    fault: Fault, session: ChatSession, catalog: FaultyServer, browser: Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    catalog.script("GET", "/api/v1/chat", [fault.answer], repeat=True)
    response = browser.post("/sessions/refresh/", follow=True)
    assert response.redirect_chain == [("/sessions/", 302)]
    shown = read(response)
    assert shown.one(role="status", class_="notice notice-error").text.startswith("Couldn’t refresh. ")
    assert "What did we earn?" in shown.text
    leaks_nothing(response.content.decode() + str(response.headers) + caplog.text, catalog)


def test_a_list_that_cannot_look_again_says_so_once_for_everybody(
    session: ChatSession, catalog: FaultyServer, browser: Client
) -> None:
    catalog.script("GET", "/api/v1/chat", [failing(401)], repeat=True)
    for _ in range(3):
        shown = read(browser.get("/sessions/?seen=nothing", headers={"HX-Request": "true"}))
        assert "Couldn’t refresh: LlamaCloud did not accept Corral's key" in shown.text
        assert "What did we earn?" in shown.text
    assert len(catalog.received("GET", "/api/v1/chat")) == 1
    catalog.script("GET", "/api/v1/chat", [])
    cache.clear()
    assert "Couldn’t refresh" not in read(browser.get("/sessions/?seen=nothing")).text


def test_while_llamacloud_asks_for_quiet_regions_do_not_ask(
    session: ChatSession, catalog: FaultyServer, browser: Client
) -> None:
    summary = f"/api/v1/chat/{session.session_id}/summary"
    catalog.script("GET", summary, [rate_limited(retry_after="30")])
    for _ in range(3):
        let_time_pass()
        assert "too many requests" in read(browser.get(f"/sessions/{session.session_id}/job/")).text
    assert len(catalog.received("GET", summary)) == 1


def test_sources_that_cannot_be_read_leave_the_region_standing(
    session: ChatSession, catalog: FaultyServer, browser: Client
) -> None:
    catalog.script("GET", "/api/v1/indexes/idx-reports", [failing(500)], repeat=True)
    shown = read(browser.get(f"/sessions/{session.session_id}/lock/"))
    assert "Couldn’t refresh" in shown.text
    assert "Reports" in shown.text


def test_a_source_that_is_gone_is_named_as_no_longer_listed(
    session: ChatSession, catalog: FaultyServer, browser: Client
) -> None:
    catalog.indexes.pop(0)
    shown = read(browser.get(f"/sessions/{session.session_id}/lock/"))
    assert shown.one("ul", class_="source-list").text == "Reports No longer listed"
