"""Rows to look at, and a page of the admin as its reader gets it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone

from dashboard.catalog.models import Index, Project
from dashboard.chats.models import ChatSession, SessionSource
from tests.people import SignIn

HOSTILE = '</td><script>alert(1)</script><b>"\u202egnp.exe\u200b' + "W" * 10_000

MakeSession = Callable[..., ChatSession]


@pytest.fixture
def now() -> datetime:
    return timezone.now()


@pytest.fixture
def project(db: None, now: datetime) -> Project:
    return Project.objects.create(id="prj-1", name="Legal", is_default=True, synced_at=now, raw={"id": "prj-1"})


@pytest.fixture
def handbook(project: Project, now: datetime) -> Index:
    return Index.objects.create(
        id="idx-handbook",
        project=project,
        name="Staff handbook",
        description="Leave and travel",
        status="ready",
        last_synced_at=now,
        raw={"id": "idx-handbook", "odd": "\u202e"},
        synced_at=now,
    )


@pytest.fixture
def make_session(db: None, now: datetime) -> MakeSession:
    """Answer a maker of sessions: bound to ``over`` and asked once, unless told otherwise."""

    def make(session_id: str, over: tuple[str, ...] = (), **columns: Any) -> ChatSession:
        row = {
            "project_id": "prj-1",
            "generated_title": f"About {session_id}",
            "is_bound": True,
            "last_updated_at": now,
            "job_turns": 1,
            "job_is_error": False,
            "questions": 1,
            "raw": {"session_id": session_id},
            "first_seen_at": now - timedelta(days=1),
            "synced_at": now,
        }
        session = ChatSession.objects.create(session_id=session_id, **(row | columns))
        SessionSource.objects.bulk_create(
            SessionSource(session=session, index_id=index_id, position=place) for place, index_id in enumerate(over)
        )
        return session

    return make


@pytest.fixture
def auditor(ben: User) -> User:
    """Staff who may only view sessions, by the one permission that is theirs."""
    ben.is_staff = True
    ben.save()
    ben.user_permissions.add(Permission.objects.get(codename="view_chatsession"))
    return ben


@pytest.fixture
def admin_client(cy: User, signed_in: SignIn) -> Client:
    """The administrator's browser."""
    return signed_in(cy)


def page(client: Client, url: str, **query: str) -> str:
    """The page at ``url`` below the admin, which must be there at once."""
    answer = client.get(f"/admin/{url}", query)
    assert answer.status_code == 200, (answer.status_code, answer.get("Location"))
    return answer.content.decode()


def listed(client: Client, noun: str, **query: str) -> set[str]:
    """The names by which the rows of a list are opened: the text of each row's first link."""
    rows = client.get(f"/admin/dashboard/{noun}/", query)
    assert rows.status_code == 200, (rows.status_code, rows.get("Location"))
    return {str(row) for row in rows.context["cl"].result_list}
