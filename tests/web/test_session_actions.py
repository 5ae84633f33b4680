"""Renaming and deleting a session: who may, what happens, what is recorded."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from dashboard.audit.models import AuditEntry
from dashboard.chats.models import ChatSession
from dashboard.chats.sync import refresh_recent
from dashboard.config import upstream_client
from tests.faulty import FaultyServer
from tests.people import SignIn
from tests.web.conftest import address, make_session
from tests.web.pages import read

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(("person", "allowed"), [("ada", True), ("ben", False), ("cy", True)])
def test_owner_and_staff_rename_and_others_are_told_why_not(
    person: str, allowed: bool, session: ChatSession, request: pytest.FixtureRequest, signed_in: SignIn
) -> None:
    user = request.getfixturevalue(person)
    client = signed_in(user)
    assert bool(read(client.get(address(session))).all("a", href=address(session, "rename/"))) is allowed
    AuditEntry.objects.all().delete()
    assert client.get(address(session, "rename/")).status_code == (200 if allowed else 403)
    response = client.post(address(session, "rename/"), {"title": "Ours"})
    session.refresh_from_db()
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.actor, entry.subject_id) == ("session.renamed", user, session.session_id)
    if allowed:
        assert response["Location"] == address(session)
        assert session.display_title == "Ours"
        assert (entry.outcome, entry.details) == ("success", {"before": "", "after": "Ours"})
    else:
        assert response.status_code == 403
        assert "Only the person who created this session or an administrator can rename it." in read(response).text
        assert session.title == ""
        assert (entry.outcome, entry.details) == ("denied", {})


@pytest.mark.parametrize(("person", "allowed"), [("ada", True), ("ben", False), ("cy", True)])
def test_owner_and_staff_delete_and_others_are_told_why_not(
    person: str,
    allowed: bool,
    session: ChatSession,
    request: pytest.FixtureRequest,
    catalog: FaultyServer,
    signed_in: SignIn,
) -> None:
    user = request.getfixturevalue(person)
    client = signed_in(user)
    assert bool(read(client.get(address(session))).all("a", href=address(session, "delete/"))) is allowed
    AuditEntry.objects.all().delete()
    asked = client.get(address(session, "delete/"))
    assert asked.status_code == (200 if allowed else 403)
    assert not catalog.received("DELETE"), "asking is not deleting"
    response = client.post(address(session, "delete/"))
    session.refresh_from_db()
    *before, entry = AuditEntry.objects.order_by("pk")
    assert [one.action for one in before] == (["session.deletion_asked"] if allowed else [])
    assert (entry.action, entry.actor, entry.subject_id) == ("session.deleted", user, session.session_id)
    if allowed:
        assert "will be deleted at LlamaCloud for everybody" in read(asked).text
        assert response["Location"] == "/sessions/"
        assert session.gone_at is not None
        assert session.session_id not in catalog.chats
        assert entry.outcome == "success"
    else:
        assert response.status_code == 403
        assert "Only the person who created this session or an administrator can delete it." in read(response).text
        assert session.session_id in catalog.chats
        assert (session.gone_at, entry.outcome) == (None, "denied")


def test_a_session_made_elsewhere_belongs_to_nobody(catalog: FaultyServer, browser: Client) -> None:
    session = make_session(catalog)
    assert browser.post(address(session, "delete/")).status_code == 403
    assert browser.post(address(session, "rename/"), {"title": "Mine"}).status_code == 403


def test_a_title_too_long_comes_back_with_its_reason(session: ChatSession, browser: Client) -> None:
    response = browser.post(address(session, "rename/"), {"title": "x" * 201})
    assert response.status_code == 422
    page = read(response)
    assert "at most 200 characters" in page.one(role="alert").text
    assert page.one("input", name="title")["value"] == "x" * 201
    session.refresh_from_db()
    assert session.title == ""


def test_a_local_title_survives_a_refresh_and_an_empty_one_brings_llamaclouds_back(
    session: ChatSession, catalog: FaultyServer, browser: Client
) -> None:
    browser.post(address(session, "rename/"), {"title": "  Ours  "})
    catalog.chats[session.session_id]["generated_title"] = "Theirs"
    refresh_recent(upstream_client())
    assert read(browser.get(address(session))).one("h1").text == "Ours"
    page = read(browser.post(address(session, "rename/"), {"title": ""}, follow=True))
    assert page.one("h1").text == "Theirs"
    assert "It shows LlamaCloud’s own title again." in page.text


def test_a_deleted_session_stays_readable(session: ChatSession, catalog: FaultyServer, browser: Client) -> None:
    page = read(browser.post(address(session, "delete/"), follow=True))
    assert "The session was deleted." in page.text
    assert browser.get(address(session)).status_code == 200
    refresh_recent(upstream_client())
    session.refresh_from_db()
    assert session.gone_at is not None
    assert timezone.now() - session.gone_at < timedelta(minutes=1)


def test_renaming_starts_from_the_title_that_is_shown_and_saving_it_changes_nothing(
    session: ChatSession, browser: Client, ada: User
) -> None:
    ChatSession.objects.update(owner=ada, generated_title="What of trains?")
    form = read(browser.get(address(session, "rename/"))).one("input", name="title")
    assert form["value"] == "What of trains?"

    assert browser.post(address(session, "rename/"), {"title": form["value"]}).status_code == 302

    assert ChatSession.objects.get().title == ""
    assert not AuditEntry.objects.filter(action="session.renamed").exists()
