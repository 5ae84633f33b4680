"""A refused creation is certain: it says so, is recorded, and may be sent again."""

from __future__ import annotations

import socket

import pytest
from django.contrib.auth.models import User

from dashboard import upstream
from dashboard.audit.actions import AuditAction, Outcome
from dashboard.audit.models import AuditEntry
from dashboard.chats.models import ChatSession, CreationAttempt
from tests.chats.helpers import SOURCES, posts, submit
from tests.faulty import KEY, Answer, FaultyServer, failing, rate_limited, redirect

State = CreationAttempt.State
REFUSALS = [
    (failing(400), upstream.BadRequest),
    (failing(401), upstream.KeyRejected),
    (failing(402), upstream.CreditsExhausted),
    (failing(403), upstream.AccessRefused),
    (failing(404), upstream.NotFound),
    (failing(409), upstream.Conflict),
    (failing(422), upstream.Invalid),
    (rate_limited(), upstream.RateLimited),
    (rate_limited(retry_after="7"), upstream.RateLimited),
    (redirect("https://elsewhere.example/", 307), upstream.RedirectRefused),
]
pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("answer", "kind"), REFUSALS, ids=lambda value: getattr(value, "status", None) or value.__name__
)
def test_a_refusal_is_told_recorded_and_not_repeated(
    faulty: FaultyServer, client: upstream.LlamaCloud, ada: User, answer: Answer, kind: type[upstream.UpstreamError]
) -> None:
    faulty.script("POST", "/api/v1/chat", [answer])
    with pytest.raises(kind) as refused:
        submit(client, ada, confirmed_not_ready=("idx-reports",))
    assert refused.value.retry_after == (7 if "Retry-After" in map(str.title, answer.headers) else None)
    assert len(posts(faulty)) == 1
    attempt = CreationAttempt.objects.get()
    assert (attempt.state, attempt.error_code, attempt.session) == (State.REFUSED, kind.code, None)
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.outcome, entry.actor) == (AuditAction.SESSION_CREATED, Outcome.FAILED, ada)
    assert (entry.subject_type, entry.subject_id) == ("", "")
    assert entry.details == {
        "error": kind.code,
        "certain": True,
        "attempt": "form-1",
        "index_ids": list(SOURCES),
        "shared_access": "",
        "project_id": "",
        "confirmed_not_ready": ["idx-reports"],
    }
    assert not ChatSession.objects.exists()


def test_nothing_listens_so_nothing_was_created(ada: User) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        client = upstream.LlamaCloud(f"http://127.0.0.1:{nobody.getsockname()[1]}", KEY, read_budget=0.5)
        with pytest.raises(upstream.Unreachable):
            submit(client, ada)
    assert CreationAttempt.objects.get().state == State.REFUSED


def test_a_refused_form_may_be_sent_again_as_it_is(
    faulty: FaultyServer, client: upstream.LlamaCloud, ada: User
) -> None:
    faulty.script("POST", "/api/v1/chat", [failing(422), rate_limited()])
    for kind in (upstream.Invalid, upstream.RateLimited):
        with pytest.raises(kind):
            submit(client, ada)
    session = submit(client, ada, confirmed_not_ready=("idx-policies",))
    assert list(faulty.chats) == [session.session_id]
    assert len(posts(faulty)) == 3
    attempt = CreationAttempt.objects.get()
    assert (attempt.state, attempt.error_code, attempt.error_detail) == (State.CREATED, "", "")
    assert attempt.confirmed_not_ready == ["idx-policies"], "ticked since"
    assert list(AuditEntry.objects.order_by("pk").values_list("outcome", flat=True)) == ["failed", "failed", "success"]


def test_the_key_is_in_nothing_that_is_kept_of_a_refusal(
    faulty: FaultyServer, client: upstream.LlamaCloud, ada: User
) -> None:
    faulty.script("POST", "/api/v1/chat", [failing(401, f"Bad token {KEY} at {faulty.url}")])
    with pytest.raises(upstream.KeyRejected) as refused:
        submit(client, ada)
    kept = [refused.value.detail, CreationAttempt.objects.get().error_detail, str(AuditEntry.objects.get().details)]
    assert not [text for text in kept if KEY[:8] in text or str(faulty.port) in text]
