"""LlamaCloud fails while a session is created: what the person reads, keeps and can do next."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from dashboard.audit.models import AuditEntry
from dashboard.chats.models import ChatSession, CreationAttempt
from dashboard.upstream import KeyRejected, RateLimited, UpstreamError
from tests.faulty import (
    PROJECT_ID,
    Answer,
    FaultyServer,
    cut_body,
    failing,
    held,
    key_echoed,
    page,
    rate_limited,
    redirect,
    reset,
    stored_but_lost,
    truncated_json,
    wrong_type,
)
from tests.web.conftest import KEY, Connect
from tests.web.pages import Element, read

NEW = "/sessions/new/"
SHOUTS = "<script>alert('x')</script> see http://10.0.0.7/internal and Bearer " + KEY


@dataclass(frozen=True)
class Fault:
    """How LlamaCloud fails, and what Corral makes of it.

    Args:
        answer: the fault.
        code: in the audit record.
        status: of Corral's answer.
        certain: whether certainly nothing was created.
        retry_after: seconds told to the person and to scripts.
    """

    answer: Answer
    code: str
    status: int
    certain: bool = True
    retry_after: int | None = None


FAULTS = {
    "400": Fault(failing(400, SHOUTS), "upstream_bad_request", 502),
    "401": Fault(failing(401, SHOUTS), "upstream_key_rejected", 502),
    "401 that quotes a key": Fault(key_echoed(), "upstream_key_rejected", 502),
    "402": Fault(failing(402, SHOUTS), "upstream_credits_exhausted", 402),
    "403": Fault(failing(403, SHOUTS), "upstream_access_refused", 403),
    "404": Fault(failing(404, SHOUTS), "upstream_not_found", 404),
    "409": Fault(failing(409, SHOUTS), "upstream_conflict", 409),
    "422": Fault(failing(422, [{"loc": ["body", "index_ids"], "msg": SHOUTS}]), "upstream_invalid", 422),
    "429": Fault(rate_limited(), "upstream_rate_limited", 429),
    "429 with a wait": Fault(rate_limited(retry_after="7"), "upstream_rate_limited", 429, retry_after=7),
    "429 with a long wait": Fault(rate_limited(retry_after="3600"), "upstream_rate_limited", 429, retry_after=60),
    "307 to another host": Fault(redirect("http://evil.example/x", 307), "upstream_redirected", 502),
    "302 to another host": Fault(redirect("http://evil.example/x"), "upstream_redirected", 502, certain=False),
    "500": Fault(failing(500, SHOUTS), "upstream_failed", 502, certain=False),
    "502 with a page": Fault(page(502), "upstream_failed", 502, certain=False),
    "503 with a wait": Fault(failing(503, retry_after="9"), "upstream_failed", 502, certain=False, retry_after=9),
    "time-out": Fault(held(30), "upstream_answer_lost", 502, certain=False),
    "reset": Fault(reset(), "upstream_answer_lost", 502, certain=False),
    "cut body": Fault(cut_body(), "upstream_answer_lost", 502, certain=False),
    "truncated JSON": Fault(truncated_json(), "upstream_unreadable", 502, certain=False),
    "wrong content type": Fault(wrong_type(), "upstream_unreadable", 502, certain=False),
}

pytestmark = pytest.mark.django_db


@pytest.fixture(params=FAULTS.values(), ids=FAULTS.keys())
def fault(request: pytest.FixtureRequest, catalog: FaultyServer, connect: Connect) -> Fault:
    """One fault after the other, ready to happen."""
    fault: Fault = request.param
    if fault.answer.hold:
        connect(catalog.url, KEY, create_budget=0.3)
    catalog.script("POST", "/api/v1/chat", [fault.answer])
    return fault


@dataclass(frozen=True)
class Failure:
    """A creation that failed: what was sent, and the page that came back."""

    sent: dict[str, list[str]]
    response: Any
    page: Element

    @property
    def form(self) -> Element:
        return self.page.one("form", class_="create")


Fail = Callable[[], Failure]


@pytest.fixture
def fail(browser: Client) -> Fail:
    """Fill the form in as a person would, and send it."""

    def send() -> Failure:
        sent = read(browser.get(NEW)).one("form", class_="create").fields()
        sent |= {"index_ids": ["idx-policies", "idx-reports"], "shared_access": ["query"], "find": ["re"]}
        response = browser.post(NEW, sent)
        return Failure(sent, response, read(response))

    return send


def test_a_failure_is_told_in_words_and_keeps_what_was_chosen(fault: Fault, fail: Fail) -> None:
    failure = fail()
    assert failure.response.status_code == fault.status
    alert = failure.page.one(role="alert")
    assert ("not created" if fault.certain else "don’t know yet") in alert.one("h2").text
    sentence = alert.all("p")[0].text
    assert sentence.endswith(".")
    assert not any(word in sentence.lower() for word in ("http", "json", "exception", "error", "went wrong"))
    assert failure.page.one("title").text.startswith("Problem:")

    kept = failure.form.fields()
    assert sorted(kept["index_ids"]) == ["idx-policies", "idx-reports"]
    wanted = {"shared_access": "query", "binding": "bound", "project_id": PROJECT_ID, "find": "re"}
    assert {name: kept[name] for name in wanted} == {name: [value] for name, value in wanted.items()}

    # Only the token of an unknown outcome may still bring the session.
    assert (kept["idempotency_token"] == failure.sent["idempotency_token"]) is not fault.certain
    words = [button.text for button in failure.form.all("button", type="submit")]
    assert ("Check again" in words) is not fault.certain
    assert ("Create session" in words) is fault.certain

    clocks = [clock["data-countdown"] for clock in failure.page.everything() if "data-countdown" in clock]
    wait = failure.response.headers.get("Retry-After")
    assert (wait, clocks) == ((str(fault.retry_after), [wait]) if fault.retry_after else (None, []))


def test_a_failure_leaks_nothing_and_is_recorded(
    fault: Fault, fail: Fail, catalog: FaultyServer, caplog: pytest.LogCaptureFixture, ada: User
) -> None:
    caplog.set_level(logging.DEBUG)
    failure = fail()
    told = failure.response.content.decode() + str(failure.response.headers) + caplog.text
    for secret in (KEY, f":{catalog.port}", "Traceback", "10.0.0.7", "nginx", "evil.example", "internal.example"):
        assert secret not in told, secret
    assert "<script>alert" not in failure.response.content.decode()
    assert not any(record.exc_info for record in caplog.records)

    entry = AuditEntry.objects.get()
    token = failure.sent["idempotency_token"][0]
    assert (entry.action, entry.outcome, entry.actor, entry.ip) == ("session.created", "failed", ada, "127.0.0.1")
    assert entry.request_id == failure.response.headers["X-Request-ID"]
    assert entry.details == {
        "error": fault.code,
        "certain": fault.certain,
        "attempt": token,
        "index_ids": ["idx-policies", "idx-reports"],
        "shared_access": "query",
        "project_id": PROJECT_ID,
        "confirmed_not_ready": [],
    }
    attempt = CreationAttempt.objects.get(token=token)
    assert (attempt.state, attempt.error_code) == ("refused" if fault.certain else "unknown", fault.code)
    assert len(catalog.received("POST")) == 1


def test_the_page_after_a_failure_can_be_sent_as_it_is(
    fault: Fault, fail: Fail, browser: Client, catalog: FaultyServer
) -> None:
    again = browser.post(NEW, fail().form.fields())
    if fault.certain:
        session = ChatSession.objects.get()
        assert again["Location"] == f"/sessions/{session.session_id}/"
        assert len(catalog.received("POST")) == 2
    else:
        # Asked again, Corral only looks whether the session has turned up.
        assert again.status_code == 502
        assert len(catalog.received("POST")) == 1


def test_starting_over_after_an_unknown_outcome_makes_a_new_session(
    browser: Client, catalog: FaultyServer, fail: Fail
) -> None:
    catalog.script("POST", "/api/v1/chat", [failing(500)])
    failure = fail()
    assert failure.form.one("button", name="start_over")["value"] == "1"
    again = browser.post(NEW, failure.form.fields() | {"start_over": "1"})
    assert again["Location"] == f"/sessions/{ChatSession.objects.get().session_id}/"
    states = dict(CreationAttempt.objects.values_list("token", "state"))
    assert states.pop(failure.sent["idempotency_token"][0]) == "abandoned"
    assert list(states.values()) == ["created"]


def test_a_session_whose_answer_was_lost_is_found_at_once_and_given_to_its_maker(
    browser: Client, catalog: FaultyServer, fail: Fail, ada: User
) -> None:
    catalog.script("POST", "/api/v1/chat", [stored_but_lost(catalog.create)])
    response = fail().response
    session = ChatSession.objects.get()
    assert response.headers["Location"] == f"/sessions/{session.session_id}/"
    assert session.owner == ada
    assert list(AuditEntry.objects.order_by("id").values_list("action", "outcome")) == [
        ("session.created", "failed"),
        ("session.adopted", "success"),
    ]
    assert len(catalog.received("POST")) == 1


def test_a_session_that_turns_up_later_is_found_by_checking_again(
    browser: Client, catalog: FaultyServer, fail: Fail
) -> None:
    catalog.script("POST", "/api/v1/chat", [reset()])
    failure = fail()
    catalog.create(catalog.received("POST")[0])
    response = browser.post(NEW, failure.form.fields())
    assert response["Location"] == f"/sessions/{ChatSession.objects.get().session_id}/"
    assert len(catalog.received("POST")) == 1


def test_nobody_listening_means_nothing_was_done(catalog: FaultyServer, browser: Client, connect: Connect) -> None:
    sent = read(browser.get(NEW)).one("form", class_="create").fields() | {"index_ids": ["idx-reports"]}
    connect("http://127.0.0.1:9", KEY)  # the discard port: nobody listens
    response = browser.post(NEW, sent)
    assert response.status_code == 503
    assert "could not reach LlamaCloud" in read(response).one(role="alert").text
    assert AuditEntry.objects.get().details["certain"] is True


@pytest.mark.parametrize("kind", [KeyRejected, RateLimited])
def test_the_support_line_names_code_status_and_request(
    kind: type[UpstreamError], catalog: FaultyServer, fail: Fail
) -> None:
    status = {KeyRejected: 401, RateLimited: 429}[kind]
    catalog.script("POST", "/api/v1/chat", [failing(status, "No.", x_request_id="up-123")])
    failure = fail()
    line = failure.page.one("pre", id="support-text").text
    request_id = failure.response.headers["X-Request-ID"]
    assert f"Code: {kind.code}" in line
    assert f"Request: {request_id}" in line
    assert f"LlamaCloud answered {status}: No. (request up-123)" in line
