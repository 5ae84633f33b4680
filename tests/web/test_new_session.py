"""Choosing the sources of a new session, with forms and links alone."""

from __future__ import annotations

from urllib.parse import unquote

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import Client

from dashboard.audit.models import AuditEntry
from dashboard.catalog.models import Index
from dashboard.catalog.sync import refresh_catalog
from dashboard.chats.models import ChatSession, CreationAttempt
from dashboard.config import upstream_client
from dashboard.web.views import new as new_view
from tests.faulty import PROJECT_ID, FaultyServer, failing, held
from tests.web.conftest import KEY, Connect
from tests.web.newform import CHAT, NEW, Fields, add_index, form_on, fresh_form, refuse, shown, ticked
from tests.web.pages import read

pytestmark = [pytest.mark.django_db, pytest.mark.postgres]


# --- The catalog


def test_the_first_visit_fills_an_empty_catalog(faulty: FaultyServer, browser: Client) -> None:
    page = read(browser.get(NEW))
    assert shown(page) == ["Policies", "Reports"]
    assert "Checked with LlamaCloud just now" in page.text


def test_the_first_visit_says_why_the_catalog_stays_empty_and_the_next_tries_again(
    faulty: FaultyServer, browser: Client
) -> None:
    faulty.script("GET", "/api/v1/projects", [failing(401)])
    page = read(browser.get(NEW))
    assert "Couldn’t check for new sources: LlamaCloud did not accept Corral's key" in page.text
    assert "There are no document sources here yet." in page.text
    assert shown(read(browser.get(NEW))) == ["Policies", "Reports"]


def test_the_first_visit_waits_for_llamacloud_only_so_long(
    faulty: FaultyServer, browser: Client, connect: Connect
) -> None:
    connect(faulty.url, KEY, read_budget=0.3)
    faulty.script("GET", "/api/v1/projects", [held(30)], repeat=True)
    assert "answer did not arrive" in read(browser.get(NEW)).text
    assert new_view.FIRST_LOOK_BUDGET <= 5


def test_a_catalog_that_is_truly_empty_is_not_asked_for_at_every_visit(faulty: FaultyServer, browser: Client) -> None:
    faulty.indexes.clear()
    for _ in range(3):
        assert "There are no document sources here yet." in read(browser.get(NEW)).text
    assert len(faulty.received("GET", "/api/v1/indexes")) == 1
    cache.clear()
    add_index(faulty, "idx-new") if faulty.indexes else faulty.indexes.append(
        {"id": "idx-new", "name": "New", "project_id": PROJECT_ID, "metadata": {"status": "ready"}}
    )
    assert shown(read(browser.get(NEW))) == ["New"]


def test_a_filled_catalog_is_shown_without_asking(catalog: FaultyServer, browser: Client) -> None:
    before = len(catalog.requests)
    assert shown(read(browser.get(NEW))) == ["Policies", "Reports"]
    assert len(catalog.requests) == before


# --- Choosing


@pytest.fixture
def two_projects(catalog: FaultyServer) -> FaultyServer:
    """A second project with a source of its own, and one without any."""
    catalog.projects += [
        {**catalog.projects[0], "id": "prj-law", "name": "Law", "is_default": False},
        {**catalog.projects[0], "id": "prj-none", "name": "Empty", "is_default": False},
    ]
    add_index(catalog, "idx-cases", project_id="prj-law", name="Cases")
    refresh_catalog(upstream_client())
    return catalog


def test_one_project_is_no_choice(catalog: FaultyServer, browser: Client) -> None:
    page = read(browser.get(NEW))
    assert not page.all("select", name="project_id")
    assert form_on(page).fields()["project_id"] == [PROJECT_ID]


def test_with_several_projects_one_is_chosen_and_its_sources_shown(two_projects: FaultyServer, browser: Client) -> None:
    page = read(browser.get(NEW))
    options = [option.text for option in page.one("select", name="project_id").all("option")]
    assert options == ["Default", "Law"], "one without sources is not offered"
    assert shown(page) == ["Policies", "Reports"]
    other = read(browser.get(NEW + "?project_id=prj-law", headers={"HX-Request": "true"}))
    assert not other.all("html")
    assert shown(other) == ["Cases"]
    browser.post(NEW, fresh_form(browser, "?project_id=prj-law") | {"index_ids": ["idx-cases"]})
    sent = two_projects.received("POST", CHAT)[0]
    assert sent.query == {"project_id": ["prj-law"]}
    assert ChatSession.objects.get().project_id == "prj-law"


def test_sources_of_another_project_are_refused(two_projects: FaultyServer, browser: Client) -> None:
    fields = fresh_form(browser)
    refuse(browser, two_projects, fields | {"index_ids": ["idx-cases"]}, "must be in one project")
    both = fields | {"index_ids": ["idx-cases", "idx-reports"], "project_id": ""}
    refuse(browser, two_projects, both, "must be in one project")


def test_a_project_that_is_not_offered_is_refused(two_projects: FaultyServer, browser: Client) -> None:
    for project_id in ("prj-none", "prj-unknown"):
        fields = fresh_form(browser) | {"index_ids": ["idx-reports"], "project_id": project_id}
        refuse(browser, two_projects, fields, "This project is not available any more.")


def test_without_javascript_a_search_keeps_everything_chosen(two_projects: FaultyServer, browser: Client) -> None:
    add_index(two_projects, "idx-wages", name="Wages", description="What people earn")
    refresh_catalog(upstream_client())
    page = read(browser.get(NEW))
    assert form_on(page).all("button", type="submit")[0].text == "Show sources", "the one that Enter presses"
    fields = fresh_form(browser) | {"index_ids": ["idx-reports"], "find": "EARN people", "shared_access": "query"}
    button = form_on(page).one("button", name="show")
    found = browser.post(NEW, fields | {"show": button["value"], "binding": "bound"}, follow=True)
    assert found.redirect_chain[0][0].startswith(NEW + "?"), "the address reproduces the page"
    assert shown(read(found)) == ["Reports", "Wages"]
    kept = form_on(read(found)).fields()
    assert (kept["index_ids"], kept["shared_access"], kept["find"]) == (["idx-reports"], ["query"], ["EARN people"])
    assert kept["project_id"] == [PROJECT_ID]
    assert not two_projects.received("POST")
    nothing = read(browser.get(NEW + "?find=zebra"))
    assert "No source has these words" in nothing.text


def test_the_limit_is_said_before_and_enforced_after(catalog: FaultyServer, browser: Client) -> None:
    for number in range(11):
        add_index(catalog, f"idx-{number}")
    refresh_catalog(upstream_client())
    page = read(browser.get(NEW))
    assert page.one(id="sources")["data-limit"] == "10"
    assert "up to 10" in page.text.lower()
    eleven = [f"idx-{number}" for number in range(11)]
    refused = refuse(browser, catalog, fresh_form(browser) | {"index_ids": eleven}, "You chose 11 sources.")
    assert sorted(ticked(refused)) == sorted(eleven)
    assert refused.one(id="chosen-count").text.startswith("11 of 10")
    ten = fresh_form(browser) | {"index_ids": eleven[:10] + eleven[:1]}
    assert browser.post(NEW, ten).status_code == 302
    assert catalog.received("POST", CHAT)[0].json()["index_ids"] == eleven[:10]


def test_no_source_at_all_is_refused_with_both_ways_out(catalog: FaultyServer, browser: Client) -> None:
    refuse(browser, catalog, fresh_form(browser), "Choose at least one source, or choose sources with each question.")


def test_unbound_sends_null_whatever_is_ticked(catalog: FaultyServer, browser: Client) -> None:
    browser.post(NEW, fresh_form(browser) | {"binding": "unbound", "index_ids": ["idx-reports"]})
    sent = catalog.received("POST", CHAT)[0]
    assert sent.json() == {"index_ids": None}
    session = ChatSession.objects.get()
    assert not session.is_bound
    assert CreationAttempt.objects.get().index_ids is None


def test_a_source_that_vanished_is_refused(catalog: FaultyServer, browser: Client) -> None:
    fields = fresh_form(browser) | {"index_ids": ["idx-reports", "idx-policies"]}
    del catalog.indexes[0]
    refresh_catalog(upstream_client())
    page = refuse(browser, catalog, fields, "1 source is not available any more.")
    assert ticked(page) == ["idx-policies"]


# --- Readiness

STATES: dict[str, Fields] = {
    "failed": {"metadata": {"status": "failed"}},
    "never_built": {"metadata": {}, "last_synced_at": None, "last_exported_at": None},
    "stale": {"last_synced_at": "2020-01-01T00:00:00Z", "last_exported_at": "2020-01-01T00:00:00Z"},
    "syncing": {"metadata": {"status": "building"}, "sync_in_progress": True},
    "unknown": {"metadata": {"status": "a new word"}},
}


@pytest.fixture(params=STATES)
def readiness(request: pytest.FixtureRequest, catalog: FaultyServer) -> str:
    """A state, which idx-x is in."""
    add_index(catalog, "idx-x", **STATES[request.param])
    refresh_catalog(upstream_client())
    assert Index.objects.get(pk="idx-x").readiness == request.param
    return str(request.param)


def test_only_a_source_that_cannot_answer_needs_the_tick(
    readiness: str, catalog: FaultyServer, browser: Client, ada: User
) -> None:
    needs_tick = readiness in ("failed", "never_built")
    fields = fresh_form(browser) | {"index_ids": ["idx-x", "idx-reports"]}
    confirmed = ["idx-x"] if needs_tick else []
    if needs_tick:
        page = refuse(browser, catalog, fields, "Not ready yet: idx-x. Tick the box if you want them anyway.")
        assert "hidden" not in page.one(class_="confirm field-invalid")
        fields = form_on(page).fields() | {"confirm_not_ready": "on"}
    assert browser.post(NEW, fields).status_code == 302
    attempt = CreationAttempt.objects.get()
    assert attempt.confirmed_not_ready == confirmed
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.outcome, entry.actor) == ("session.created", "success", ada)
    assert entry.details["confirmed_not_ready"] == confirmed
    assert sorted(entry.details["index_ids"]) == ["idx-reports", "idx-x"]


def test_who_was_signed_out_while_choosing_finds_the_choices_again(catalog: FaultyServer, ada: User) -> None:
    stranger = Client()
    sent = {"index_ids": ["idx-reports"], "binding": "bound", "idempotency_token": "token-token"}
    response = stranger.post("/sessions/new/", sent, follow=True)
    page = response.content.decode()
    assert "You were signed out meanwhile" in page
    stranger.force_login(ada)
    address = response.redirect_chain[-1][0].partition("next=")[2]
    form = stranger.get(unquote(address)).content.decode()
    assert 'value="idx-reports" checked' in form
    assert not catalog.received("POST")
