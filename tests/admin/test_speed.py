"""What makes the lists fast on 100,000 rows, asserted on the queries themselves."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from dashboard.admin import paging
from dashboard.audit.models import AuditEntry
from dashboard.catalog.models import Index
from dashboard.chats.models import ChatSession, CreationAttempt
from tests.admin.conftest import MakeSession, page

pytestmark = pytest.mark.postgres

Fill = Callable[[int], None]
LISTS = ["chatsession", "sessionsource", "creationattempt", "auditentry", "index", "project", "job"]
JSON_COLUMNS = re.compile(
    r'"(raw|details|cursor|index_ids|confirmed_not_ready|job_export_config_ids|job_error|error_detail)"'
)


@pytest.fixture
def fill(make_session: MakeSession, handbook: Index, ada: User) -> Fill:
    """Add this many of everything that lists can be long of."""

    def add(count: int) -> None:
        for _ in range(count):
            number = ChatSession.objects.count()
            session = make_session(f"chat-{number}", over=("idx-handbook", f"idx-{number}"), owner=ada)
            CreationAttempt.objects.create(
                token=f"tok-{number}", actor=ada, session=session, started_at=timezone.now(), state="created"
            )
            AuditEntry.objects.create(action="session.viewed", actor=ada, actor_name="ada", subject_id=str(number))

    return add


def queries(client: Client, url: str, **query: str) -> list[str]:
    with CaptureQueriesContext(
        connection,
    ) as captured:
        page(client, url, **query)
    return [row["sql"] for row in captured.captured_queries]


@pytest.mark.parametrize("noun", LISTS)
def test_a_list_takes_as_many_queries_for_twelve_rows_as_for_two(admin_client: Client, fill: Fill, noun: str) -> None:
    fill(2)
    few = len(queries(admin_client, f"dashboard/{noun}/"))
    fill(10)

    assert len(queries(admin_client, f"dashboard/{noun}/")) == few
    assert few <= 5


def test_a_session_page_takes_as_many_queries_for_ten_sources_as_for_one(
    admin_client: Client, make_session: MakeSession
) -> None:
    one = make_session("chat-1", over=("idx-0",))
    ten = make_session("chat-2", over=tuple(f"idx-{number}" for number in range(10)))
    few, many = (len(queries(admin_client, f"dashboard/chatsession/{row.pk}/change/")) for row in (one, ten))

    assert few == many


@pytest.mark.parametrize("query", [{}, {"q": "about"}, {"source": "staff"}, {"owner": "ada"}, {"lock": "locked"}])
@pytest.mark.parametrize("noun", LISTS[:4])
def test_no_list_counts_without_a_limit_or_reads_json(
    admin_client: Client, fill: Fill, noun: str, query: dict[str, str]
) -> None:
    fill(2)
    allowed = {"chatsession": {"q", "source", "owner", "lock"}, "sessionsource": {"q", "source"}}.get(noun, {"q"})
    done = queries(admin_client, f"dashboard/{noun}/", **{key: text for key, text in query.items() if key in allowed})
    counts = [sql for sql in done if "COUNT(" in sql]

    assert counts
    assert all(f"LIMIT {paging.COUNTED + 1}" in sql for sql in counts)
    assert not [sql for sql in done if JSON_COLUMNS.search(sql.split(" FROM ")[0])]


def test_a_long_list_says_so_and_can_be_paged_as_far_as_it_was_counted(
    admin_client: Client, fill: Fill, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paging, "COUNTED", 100)
    fill(99)
    assert re.search(r"\b99\s+sessions", page(admin_client, "dashboard/chatsession/"))
    fill(2)
    html = page(admin_client, "dashboard/chatsession/")

    assert re.search(r"\b100\+\s+sessions", html)
    assert "?p=2" in html
    assert "?p=3" not in html
    assert "100+ results" in page(admin_client, "dashboard/chatsession/", q="about")
    assert admin_client.get("/admin/dashboard/chatsession/", {"p": "3"}).status_code == 302


def test_the_count_reads_as_people_write_it() -> None:
    assert str(paging.AtLeast(10_000)) == "10,000+"
