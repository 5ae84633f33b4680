"""Finding sessions: every filter, the search, and what a row says."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client

from dashboard.catalog.models import Index, Project
from tests.admin.conftest import HOSTILE, MakeSession, listed, page


@pytest.fixture
def sessions(make_session: MakeSession, handbook: Index, ada: User, cy: User, now: datetime) -> None:
    """One session for every way of being found."""
    never = {"job_turns": None, "job_is_error": None, "questions": 0}
    cy.last_name = "Adams"
    cy.save()
    make_session("locked", over=("idx-handbook", "idx-old"), owner=ada)
    make_session("open", over=("idx-old",), owner=cy, title="Open", generated_title="", **never)
    make_session("unbound", is_bound=False, project_id="prj-2", last_updated_at=now - timedelta(days=40))
    make_session("gone", gone_at=now, last_updated_at=now - timedelta(days=400))
    make_session("running", is_running=True)
    make_session("failed", job_is_error=True, job_error="Upstream timed out", title="100% sure")


@pytest.mark.usefixtures("sessions")
@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"owner": "ada"}, {"locked"}),
        ({"owner": "ADAMS"}, {"open"}),
        ({"owner": "a"}, {"locked", "open"}),
        ({"owner": "nobody we know"}, set()),
        ({"owner": "(nobody)"}, {"unbound", "gone", "running", "failed"}),
        ({"source": "idx-handbook"}, {"locked"}),
        ({"source": "staff hand"}, {"locked"}),
        ({"source": "idx-old"}, {"locked", "open"}),
        ({"source": "elsewhere"}, set()),
        ({"lock": "locked"}, {"locked", "running", "failed"}),
        ({"lock": "open"}, {"open"}),
        ({"lock": "unbound"}, {"unbound"}),
        ({"lock": "gone"}, {"gone"}),
        ({"lock": "present"}, {"locked", "open", "unbound", "running", "failed"}),
        ({"run": "never"}, {"open"}),
        ({"run": "running"}, {"running"}),
        ({"run": "failed"}, {"failed"}),
        ({"run": "succeeded"}, {"locked", "unbound", "gone"}),
        ({"error": "timed out"}, {"failed"}),
        ({"error": "refused"}, set()),
        ({"project": "prj-2"}, {"unbound"}),
        ({"project": "lega"}, {"locked", "open", "gone", "running", "failed"}),
        ({"q": "unb"}, {"unbound"}),
        ({"q": "about running"}, {"running"}),
        ({"q": "0% sure"}, {"failed"}),
        ({"q": "  "}, {"locked", "open", "unbound", "gone", "running", "failed"}),
        ({"owner": "  "}, {"locked", "open", "unbound", "gone", "running", "failed"}),
        ({"owner": "(nobody)", "run": "succeeded", "lock": "present"}, {"unbound"}),
    ],
)
def test_sessions_are_found_by(admin_client: Client, query: dict[str, str], found: set[str]) -> None:
    answer = admin_client.get("/admin/dashboard/chatsession/", query)

    assert {session.session_id for session in answer.context["cl"].result_list} == found


@pytest.mark.usefixtures("sessions")
def test_sessions_are_found_by_the_days_of_their_last_activity(admin_client: Client, now: datetime) -> None:
    def found(**days: int) -> set[str]:
        query = {f"last_updated_at_{end}": str((now - timedelta(days=ago)).date()) for end, ago in days.items()}
        answer = admin_client.get("/admin/dashboard/chatsession/", query)
        return {session.session_id for session in answer.context["cl"].result_list}

    assert found(**{"from": 100, "to": 30}) == {"unbound"}
    assert found(**{"from": 40, "to": 40}) == {"unbound"}
    assert found(to=41) == {"gone"}
    assert found(**{"from": 39}) == {"locked", "open", "running", "failed"}


@pytest.mark.django_db
@pytest.mark.parametrize(
    "query",
    [{"lock": "ajar"}, {"run": "away"}, {"last_updated_at_from": "yesterday"}, {"last_updated_at_to": "2026-02-31"}],
)
def test_a_filter_that_means_nothing_is_dropped_openly(admin_client: Client, query: dict[str, str]) -> None:
    answer = admin_client.get("/admin/dashboard/chatsession/", query)

    assert answer.status_code == 302
    assert answer["Location"] == "/admin/dashboard/chatsession/?e=1"


def test_filters_are_combined_and_taken_back_one_by_one(admin_client: Client, ada: User) -> None:
    html = page(admin_client, "dashboard/chatsession/", owner="ada", lock="open", last_updated_at_from="2026-01-02")

    assert '<input type="hidden" name="lock" value="open">' in html
    assert 'name="owner" value="ada"' in html
    assert 'name="last_updated_at_from" value="2026-01-02"' in html
    assert 'href="?last_updated_at_from=2026-01-02&amp;lock=open">All</a>' in html
    assert 'href="?lock=open&amp;owner=ada">Any date</a>' in html


def test_a_thousand_sources_put_no_thousand_links_in_the_list(
    admin_client: Client, project: Project, now: datetime
) -> None:
    Index.objects.bulk_create(
        Index(id=f"idx-{number}", project=project, name=f"Source {number}", synced_at=now) for number in range(1000)
    )

    assert "Source 999" not in page(admin_client, "dashboard/chatsession/")


def test_a_row_names_its_sources(admin_client: Client, make_session: MakeSession, handbook: Index) -> None:
    make_session("chat-1", over=("idx-handbook", "idx-a", "idx-b", "idx-c", "idx-d"))
    html = page(admin_client, "dashboard/chatsession/")

    names = ", ".join(f'<bdi class="foreign">{name}</bdi>' for name in ("Staff handbook", "idx-a", "idx-b"))
    assert f"{names} and 2 more" in html


def test_hostile_titles_stay_text_in_the_list(admin_client: Client, make_session: MakeSession) -> None:
    make_session("chat-1", generated_title=HOSTILE)
    html = page(admin_client, "dashboard/chatsession/")

    assert "<script>alert" not in html
    assert "&lt;/td&gt;&lt;script&gt;alert(1)" in html
    assert "\u202e" not in html
    assert "W" * 100 not in html


@pytest.mark.usefixtures("sessions")
def test_a_session_is_opened_by_its_title(admin_client: Client) -> None:
    assert "100% sure" in listed(admin_client, "chatsession", q="failed")


@pytest.mark.parametrize("lookup", ["raw__contains", "owner__password__startswith", "title__regex", "questions__gt"])
def test_an_address_cannot_ask_for_more_than_the_filters_do(admin_client: Client, lookup: str) -> None:
    assert admin_client.get(f"/admin/dashboard/chatsession/?{lookup}=1").status_code == 400
