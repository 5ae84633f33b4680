"""One session's page in the admin."""

from __future__ import annotations

from datetime import datetime

import pytest
from django.contrib.auth.models import User
from django.test import Client

from dashboard.audit.models import AuditEntry
from dashboard.catalog.models import Index
from dashboard.chats.models import CreationAttempt
from tests.admin.conftest import HOSTILE, MakeSession, page


def test_everything_known_of_a_session_is_shown(
    admin_client: Client, make_session: MakeSession, handbook: Index, ada: User, now: datetime
) -> None:
    first = make_session("chat-0")
    session = make_session(
        "chat-1",
        over=("idx-handbook", "idx-unlisted"),
        owner=ada,
        title="Leave",
        follows=first,
        shared_access="read_only",
        job_is_error=True,
        job_error="Out of credits",
        job_turns=7,
        job_duration_ms=8400.0,
        job_input_tokens=12480,
        job_output_tokens=321,
        job_export_config_ids=["exp-1", "exp-2"],
        questions=3,
        raw={"session_id": "chat-1", "from_the_future": [1, None]},
    )
    attempt = CreationAttempt.objects.create(token="tok-1", session=session, started_at=now, state="created")
    html = page(admin_client, f"dashboard/chatsession/{session.pk}/change/")

    for words in (
        "Leave", "About chat-1", "chat-1", "ada", "Legal", "Locked", "read_only", "About chat-0", "Failed",
        "Out of credits", "8.4 s", "12,480", "321", "exp-1, exp-2", "Staff handbook", "No longer listed",
        "idx-unlisted", "from_the_future",
    ):  # fmt: skip
        assert words in html
    for url in (
        "/sessions/chat-1/",
        f"/admin/dashboard/creationattempt/{attempt.pk}/change/",
        f"/admin/dashboard/chatsession/{first.pk}/change/",
        "/admin/dashboard/index/idx-handbook/change/",
        "/admin/dashboard/project/prj-1/change/",
        "/admin/dashboard/auditentry/?subject_type=session&amp;subject_id=chat-1",
    ):
        assert f'href="{url}"' in html


def test_a_session_made_elsewhere_says_so(admin_client: Client, make_session: MakeSession) -> None:
    session = make_session("chat-1", project_id="prj-unknown", title="")
    html = page(admin_client, f"dashboard/chatsession/{session.pk}/change/")

    assert "Not created here" in html
    assert "prj-unknown" in html


def test_looking_is_recorded(admin_client: Client, cy: User, make_session: MakeSession) -> None:
    session = make_session("chat-1", title="Leave")
    answer = admin_client.get(f"/admin/dashboard/chatsession/{session.pk}/change/")
    entry = AuditEntry.objects.get()

    assert (entry.action, entry.actor, entry.subject_type, entry.subject_id) == (
        "session.viewed",
        cy,
        "session",
        "chat-1",
    )
    assert entry.details == {"via": "admin"}
    assert (entry.request_id, entry.ip) == (answer["X-Request-ID"], "127.0.0.1")


def test_the_list_and_a_session_that_is_not_there_record_nothing(admin_client: Client) -> None:
    page(admin_client, "dashboard/chatsession/")
    admin_client.get("/admin/dashboard/chatsession/4711/change/")

    assert not AuditEntry.objects.exists()


def test_history_leads_to_the_audit_entries(admin_client: Client, make_session: MakeSession) -> None:
    session = make_session("chat-1")
    page(admin_client, f"dashboard/chatsession/{session.pk}/change/")
    answer = admin_client.get(f"/admin/dashboard/chatsession/{session.pk}/history/", follow=True)

    assert [entry.subject_id for entry in answer.context["cl"].result_list] == ["chat-1"]


@pytest.mark.parametrize("url", ["chatsession/4711/history/", "job/4711/history/"])
def test_the_history_of_nothing_is_the_whole_record(admin_client: Client, url: str) -> None:
    assert admin_client.get(f"/admin/dashboard/{url}")["Location"] == "/admin/dashboard/auditentry/"


def test_hostile_text_stays_text(admin_client: Client, make_session: MakeSession) -> None:
    session = make_session(
        "chat-1",
        over=(HOSTILE[:200],),
        generated_title=HOSTILE,
        job_is_error=True,
        job_error=HOSTILE,
        job_export_config_ids=[HOSTILE],
        raw={"title": HOSTILE, "broken": "\ud800", HOSTILE: "<b>"},
    )
    html = page(admin_client, f"dashboard/chatsession/{session.pk}/change/")

    assert "<script>alert" not in html
    assert "<b>" not in html
    assert "\u202e" not in html
    assert "\\u202egnp.exe\\u200b" in html  # the verbatim summary spells it out
    assert "\\ud800" in html
    title = html.split("<title>")[1].split("</title>")[0]
    assert len(title) < 200
