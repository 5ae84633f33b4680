"""The list: what it shows, finds and pages through, and how it tells a browser that nothing changed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from dashboard.audit.models import AuditEntry
from dashboard.catalog.models import Index
from dashboard.chats.models import ChatSession, SessionSource, Visit
from tests.faulty import FaultyServer
from tests.web.conftest import make_session
from tests.web.pages import Element, read

BASELINE = Path(__file__).with_name("query_counts.json")
HTMX = {"HX-Request": "true"}

pytestmark = [pytest.mark.django_db, pytest.mark.postgres]


def titles(page: Element) -> list[str]:
    return [cell.one("a").text for cell in page.all("td", class_="cell-title")]


def add(generated: str, *sources: str, minutes_ago: int = 0, **columns: object) -> ChatSession:
    """A cached session, without a LlamaCloud."""
    now = timezone.now()
    values: dict[str, object] = {
        "session_id": f"ses-{generated}",
        "generated_title": generated,
        "is_bound": bool(sources),
        "last_updated_at": now - timedelta(minutes=minutes_ago),
        "first_seen_at": now,
        "synced_at": now,
    }
    session = ChatSession.objects.create(**(values | columns))
    for position, index_id in enumerate(sources):
        SessionSource.objects.create(session=session, index_id=index_id, position=position)
    return session


def test_a_team_without_sessions_is_told_what_will_be_here(browser: Client) -> None:
    page = read(browser.get("/sessions/"))
    assert page.one("h2").text == "No sessions yet"
    assert "Start the first session" in [link.text for link in page.all("a", href="/sessions/new/")]
    assert not page.all("search"), "nothing to search"


def test_a_row_tells_title_sources_lock_questions_run_and_age(catalog: FaultyServer, browser: Client) -> None:
    add("Travel", "idx-reports", "idx-policies", "a", "b", questions=1, job_turns=1, job_is_error=True, minutes_ago=300)
    row = read(browser.get("/sessions/")).all("tr")[1]
    assert row.one("a").text == "Travel"
    assert row.one("a")["href"] == "/sessions/ses-Travel/"
    sources = row.one("td", class_="cell-sources").text
    assert sources.startswith("Locked Reports")
    assert sources.endswith("+1 more")
    assert row.one("td", class_="cell-questions number").text == "1 question"
    assert row.one("td", class_="cell-status").text == "Failed"
    assert row.one("time").text.startswith("5 hours ago")


def test_what_came_since_a_visit_is_new(ada: User, browser: Client) -> None:
    session = add("Travel", minutes_ago=1)
    visit = Visit.objects.create(session=session, user=ada, seen_at=timezone.now())
    assert not read(browser.get("/sessions/")).all("span", class_="unread")

    Visit.objects.filter(pk=visit.pk).update(seen_at=timezone.now() - timedelta(minutes=2))
    assert [mark.text for mark in read(browser.get("/sessions/")).all("span", class_="unread")] == ["New"]

    # A question was asked, perhaps one's own: there is nothing to read yet.
    ChatSession.objects.filter(pk=session.pk).update(is_running=True)
    assert not read(browser.get("/sessions/")).all("span", class_="unread")


def test_a_title_of_the_team_wins_and_none_has_a_plain_name(browser: Client) -> None:
    add("Theirs", minutes_ago=1, title="Ours")
    add("", minutes_ago=2)
    assert titles(read(browser.get("/sessions/"))) == ["Ours", "Untitled session"]


def test_sessions_come_newest_first_and_gone_ones_only_when_asked_for(browser: Client) -> None:
    add("old", minutes_ago=5)
    add("new")
    add("gone", gone_at=timezone.now())
    assert titles(read(browser.get("/sessions/"))) == ["new", "old"]
    assert titles(read(browser.get("/sessions/?state=gone"))) == ["gone"]
    assert titles(read(browser.get("/sessions/?q=gone"))) == []


@pytest.fixture
def one_of_each(catalog: FaultyServer) -> None:
    """Sessions named after their two states."""
    run = {"job_turns": 1, "job_is_error": False, "questions": 1}
    add("open never", "idx-reports")
    add("unbound never")
    add("locked succeeded", "idx-reports", **run)
    add("unbound failed", **(run | {"job_is_error": True}))
    add("locked running", "idx-policies", questions=1, is_running=True)
    add("gone", "idx-reports", gone_at=timezone.now())
    # A title is LlamaCloud's first sign of a first question, so these titles are given here.
    for session in ChatSession.objects.all():
        ChatSession.objects.filter(pk=session.pk).update(title=session.generated_title, generated_title="")


@pytest.mark.parametrize("state", ["unbound", "open", "locked", "gone", "never", "running", "succeeded", "failed"])
def test_every_state_can_be_filtered_by(state: str, one_of_each: None, browser: Client) -> None:
    found = titles(read(browser.get("/sessions/", {"state": state})))
    titled = ChatSession.objects.filter(title__contains=state).values_list("title", flat=True)
    assert sorted(found) == sorted(titled)
    assert found
    for session in ChatSession.objects.filter(title__in=found):
        assert state in (session.lock_state, session.run_state), "the row says something else than the filter"


def test_filters_add_up_and_stay_in_the_form(one_of_each: None, browser: Client) -> None:
    page = read(browser.get("/sessions/", {"source": "idx-reports", "state": "locked", "q": "SUCC ked"}))
    assert titles(page) == ["locked succeeded"]
    fields = page.one("form", class_="filters").fields()
    assert fields == {"q": ["SUCC ked"], "source": ["idx-reports"], "state": ["locked"]}
    assert titles(read(browser.get("/sessions/", {"source": "idx-policies"}))) == ["locked running"]
    nothing = read(browser.get("/sessions/", {"q": "locked", "state": "unbound"}))
    assert nothing.one("h2").text == "No session matches"
    assert nothing.all("a", href="/sessions/")


@pytest.mark.parametrize("query", ["state=whatever", "source=idx-nowhere", "q=", "nonsense=1", "q=%25", "q=_"])
def test_unknown_filters_are_ignored_and_search_takes_words_literally(query: str, browser: Client) -> None:
    add("plain")
    assert titles(read(browser.get(f"/sessions/?{query}"))) == ([] if query in ("q=%25", "q=_") else ["plain"])


def test_titles_of_the_team_hide_llamaclouds_from_the_search(browser: Client) -> None:
    add("theirs", title="ours")
    assert titles(read(browser.get("/sessions/?q=theirs"))) == []
    assert titles(read(browser.get("/sessions/?q=OURS"))) == ["ours"]


@pytest.fixture
def many() -> list[str]:
    """The titles of 120 sessions, newest first; many of the same moment."""
    start = datetime(2026, 4, 1, tzinfo=UTC)
    for number in range(120):
        add(f"no. {number:03}", last_updated_at=start + timedelta(minutes=number // 7))
    return [f"no. {number:03}" for number in reversed(range(120))]


def walk(browser: Client, page: Element, rel: str) -> Iterator[list[str]]:
    while page.all("a", rel=rel):
        page = read(browser.get("/sessions/" + page.one("a", rel=rel)["href"]))
        yield titles(page)
    yield []


def test_pages_show_each_session_once_forth_and_back(many: list[str], browser: Client) -> None:
    first = read(browser.get("/sessions/"))
    assert not first.all("a", rel="prev")
    older = [page for page in walk(browser, first, "next") if page]
    assert [title for page in [titles(first), *older] for title in page] == many
    assert [len(page) for page in older] == [50, 20]
    middle = read(browser.get("/sessions/" + first.one("a", rel="next")["href"]))
    last = read(browser.get("/sessions/" + middle.one("a", rel="next")["href"]))
    assert not last.all("a", rel="next")
    newer = [page for page in walk(browser, last, "prev") if page]
    assert newer == [many[50:100], many[:50]]


def test_pages_keep_the_filters_and_new_rows_shift_nothing(many: list[str], browser: Client) -> None:
    first = read(browser.get("/sessions/?q=no&state="))
    link = first.one("a", rel="next")["href"]
    assert "q=no" in link
    assert "state" not in link
    add("no. later")
    assert titles(read(browser.get("/sessions/" + link))) == many[50:100]


@pytest.mark.parametrize(
    "place",
    [
        "x",
        "~",
        "~1",
        "2026-04-01T00:00:00+00:00",
        "2026-04-01T00:00:00~1",
        "2026-04-01T00:00:00+00:00~x",
        "2026-04-01T00:00:00+00:00~" + "9" * 30,
        "0001-01-01T00:00:00+14:00~1",
        "9999-12-31T23:59:59-14:00~1",
        "'; DROP TABLE dashboard_chatsession; --~1",
    ],
)
@pytest.mark.parametrize("name", ["before", "after"])
def test_a_damaged_place_is_ignored(name: str, place: str, browser: Client) -> None:
    add("still here")
    response = browser.get("/sessions/", {name: place})
    assert response.status_code == 200
    assert titles(read(response)) == ["still here"]


def test_the_open_list_asks_llamacloud_and_is_answered_only_when_something_changed(
    catalog: FaultyServer, browser: Client, ada: User
) -> None:
    make_session(catalog, ada, generated_title="First")
    again = read(browser.get("/sessions/")).one(id="results")["hx-get"]
    assert browser.get("/sessions/" + again, headers=HTMX).status_code == 204
    cache.clear()
    make_session(catalog, title="not a field of LlamaCloud's").delete()
    catalog.chats["ses-2"]["generated_title"] = "Second"
    changed = browser.get("/sessions/" + again, headers=HTMX)
    assert changed.status_code == 200
    assert sorted(titles(read(changed))) == ["First", "Second"]
    settled = read(changed).one(id="results")["hx-get"]
    assert settled != again
    assert browser.get("/sessions/" + settled, headers=HTMX).status_code == 204


@pytest.mark.parametrize(
    "change",
    [
        {"title": "Renamed"},
        {"generated_title": "Retitled"},
        {"questions": 2},
        {"job_is_error": True},
        {"is_running": True},
        {"is_bound": False},
        {"job_turns": None, "job_is_error": None, "questions": 0},
        {"last_updated_at": datetime(2026, 1, 1, tzinfo=UTC)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_whatever_a_row_shows_is_news_to_an_open_list(
    catalog: FaultyServer, browser: Client, change: dict[str, object]
) -> None:
    session = add("Travel", "idx-reports", questions=1, job_turns=1, job_is_error=False)
    before = read(browser.get("/sessions/"))
    again = "/sessions/" + before.one(id="results")["hx-get"]
    assert browser.get(again, headers=HTMX).status_code == 204

    ChatSession.objects.filter(pk=session.pk).update(**change)

    changed = browser.get(again, headers=HTMX)
    assert changed.status_code == 200
    assert read(changed).all("tr")[1].text != before.all("tr")[1].text


def test_another_name_of_a_source_is_news_to_an_open_list(catalog: FaultyServer, browser: Client) -> None:
    add("Travel", "idx-reports")
    again = "/sessions/" + read(browser.get("/sessions/")).one(id="results")["hx-get"]

    Index.objects.filter(pk="idx-reports").update(name="Reports, corrected")

    changed = browser.get(again, headers=HTMX)
    assert changed.status_code == 200
    assert "Reports, corrected" in read(changed).text


def test_many_open_lists_share_one_call(catalog: FaultyServer, browser: Client) -> None:
    for _ in range(5):
        browser.get("/sessions/?seen=x", headers=HTMX)
    assert len(catalog.received("GET", "/api/v1/chat")) == 1


def test_opening_the_list_asks_llamacloud_nothing(catalog: FaultyServer, browser: Client) -> None:
    before = len(catalog.requests)
    assert browser.get("/sessions/").status_code == 200
    assert len(catalog.requests) == before


def test_htmx_gets_the_fragment_of_the_same_page(browser: Client) -> None:
    add("one")
    page, fragment = browser.get("/sessions/"), browser.get("/sessions/", headers=HTMX)
    assert read(page).all("html")
    assert not read(fragment).all("html")
    assert titles(read(page)) == titles(read(fragment)) == ["one"]
    assert read(fragment).one("section", id="results")
    assert fragment["X-Corral-Fragment"] == "1"


def test_answers_are_nobody_elses(browser: Client) -> None:
    page, other = browser.get("/sessions/"), browser.get("/sessions/")
    assert {"HX-Request", "Cookie"} <= {name.strip() for name in page["Vary"].split(",")}
    assert page["Cache-Control"] == "no-store"
    assert len(page["X-Request-ID"]) == 32
    assert page["X-Request-ID"] != other["X-Request-ID"]


def test_refresh_brings_what_was_made_elsewhere_and_says_so(catalog: FaultyServer, browser: Client) -> None:
    make_session(catalog, generated_title="Elsewhere").delete()
    page = read(browser.post("/sessions/refresh/", follow=True))
    assert titles(page) == ["Elsewhere"]
    assert "up to date" in page.one(role="status", class_="notice notice-success").text
    assert not AuditEntry.objects.exists()


def count(client: Client, address: str) -> int:
    client.get(address, headers=HTMX)  # what is made once, like caches of content types, is not counted
    with CaptureQueriesContext(connection) as queries:
        assert client.get(address, headers=HTMX).status_code in (200, 204)
    return len(queries)


def test_pages_need_as_many_queries_with_one_row_as_with_fifty(
    catalog: FaultyServer, browser: Client, ada: User
) -> None:
    def measure() -> dict[str, int]:
        return {
            "list": count(browser, "/sessions/"),
            "list, filtered": count(browser, "/sessions/?q=s&source=idx-reports&state=open"),
            "detail": count(browser, "/sessions/ses-open/"),
            "new": count(browser, "/sessions/new/"),
        }

    first = add("open", "idx-reports", owner=ada, title="s", generated_title="")
    few = measure()
    for number in range(50):
        add(
            f"s{number}",
            *(f"idx-{source}" for source in range(10)),
            "idx-reports",
            follows=first if number < 9 else None,
        )
    for position in range(1, 10):
        SessionSource.objects.create(session=first, index_id=f"idx-{position}", position=position)
    assert measure() == few, "more rows, more queries"
    if os.environ.get("CORRAL_RECORD_QUERIES"):
        BASELINE.write_text(json.dumps(few, indent=2) + "\n")
    assert few == json.loads(BASELINE.read_text()), "record anew with CORRAL_RECORD_QUERIES=1 if that is meant"


def test_the_list_asks_again_sooner_while_a_question_is_being_answered(catalog: FaultyServer, browser: Client) -> None:
    add("quiet")
    assert "every 30s" in read(browser.get("/sessions/")).one(id="results")["hx-trigger"]
    add("busy", is_running=True)
    assert "every 5s" in read(browser.get("/sessions/")).one(id="results")["hx-trigger"]
