"""Who gets in, and that nobody changes anything there."""

from __future__ import annotations

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import User
from django.test import Client, RequestFactory
from django.urls import reverse

from dashboard.audit.models import AuditEntry
from dashboard.chats.models import ChatSession
from tests.admin.conftest import MakeSession, listed, page
from tests.people import SignIn

NOUNS = ["chatsession", "sessionsource", "creationattempt", "auditentry", "project", "index", "job"]
CONVERSATION = ["turn", "logentry", "answerpiece", "visit"]
"""What people ask and are answered is read on the session's page only, where the reading is recorded."""


@pytest.mark.django_db
def test_a_stranger_is_sent_to_the_one_sign_in_page(client: Client) -> None:
    answer = client.get("/admin/", follow=True)

    assert [url.split("?")[0] for url, _ in answer.redirect_chain] == ["/admin/login/", "/accounts/login/"]
    assert answer.status_code == 200


def test_a_member_who_is_not_staff_is_sent_away(ada: User, signed_in: SignIn) -> None:
    answer = signed_in(ada).get("/admin/dashboard/chatsession/", follow=True)

    assert answer.status_code == 403


def test_every_table_of_the_dashboard_but_the_conversations_can_be_looked_at(admin_client: Client) -> None:
    assert {model._meta.model_name for model in apps.get_app_config("dashboard").get_models()} == {
        *NOUNS,
        *CONVERSATION,
    }
    home = page(admin_client, "")

    assert "Corral administration" in home
    for noun in NOUNS:
        assert reverse(f"admin:dashboard_{noun}_changelist") in home
    assert not [noun for noun in CONVERSATION if f"/{noun}/" in home]


@pytest.mark.parametrize("noun", NOUNS)
def test_not_even_an_administrator_changes_anything(noun: str, cy: User) -> None:
    request = RequestFactory().get("/")
    request.user = cy
    rows = admin.site.get_model_admin(apps.get_model("dashboard", noun))

    assert rows.get_model_perms(request) == {"add": False, "change": False, "delete": False, "view": True}
    assert rows.get_actions(request) == {}


def test_posts_are_refused(admin_client: Client, make_session: MakeSession) -> None:
    session = make_session("chat-1")
    url = f"/admin/dashboard/chatsession/{session.pk}"

    assert admin_client.post(f"{url}/change/", {"title": "Mine"}).status_code == 403
    assert admin_client.post(f"{url}/delete/", {"post": "yes"}).status_code == 403
    assert admin_client.post("/admin/dashboard/chatsession/add/", {"session_id": "x"}).status_code == 403
    admin_client.post("/admin/dashboard/chatsession/", {"action": "delete_selected", "_selected_action": session.pk})
    assert ChatSession.objects.get().title == ""


def test_the_view_permission_suffices(auditor: User, signed_in: SignIn, make_session: MakeSession) -> None:
    session = make_session("chat-1", over=("idx-unlisted",))
    client = signed_in(auditor)

    assert listed(client, "chatsession") == {"About chat-1"}
    assert "idx-unlisted" in page(client, f"dashboard/chatsession/{session.pk}/change/")


def test_one_permission_opens_one_noun_only(auditor: User, signed_in: SignIn) -> None:
    client = signed_in(auditor)

    for noun in set(NOUNS) - {"chatsession"}:
        assert client.get(f"/admin/dashboard/{noun}/").status_code == 403


def test_without_the_permission_staff_see_no_session_and_leave_no_trace(
    ben: User, signed_in: SignIn, make_session: MakeSession
) -> None:
    ben.is_staff = True
    ben.save()
    session = make_session("chat-1")

    assert signed_in(ben).get(f"/admin/dashboard/chatsession/{session.pk}/change/").status_code == 403
    assert not AuditEntry.objects.exists()
