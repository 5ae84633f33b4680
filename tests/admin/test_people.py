"""Django's own user admin, where people are managed."""

from __future__ import annotations

from datetime import datetime

from django.contrib.auth.models import User
from django.test import Client

from dashboard.audit.models import AuditEntry
from dashboard.chats.models import ChatSession, CreationAttempt
from tests.admin.conftest import MakeSession, page
from tests.people import PASSWORD


def test_an_administrator_adds_a_person_who_then_signs_in(admin_client: Client, client: Client) -> None:
    form = {"username": "dora", "usable_password": "true", "password1": PASSWORD, "password2": PASSWORD}
    assert admin_client.post("/admin/auth/user/add/", form).status_code == 302

    answer = client.post("/accounts/login/", {"login": "dora", "password": PASSWORD})
    assert answer.status_code == 302


def test_deleting_a_person_keeps_their_sessions_and_what_they_did(
    admin_client: Client, ada: User, make_session: MakeSession, now: datetime
) -> None:
    session = make_session("chat-1", owner=ada)
    CreationAttempt.objects.create(token="tok-1", actor=ada, session=session, started_at=now, state="created")
    AuditEntry.objects.create(action="session.created", actor=ada, actor_name="ada")
    page(admin_client, f"auth/user/{ada.pk}/delete/")
    assert admin_client.post(f"/admin/auth/user/{ada.pk}/delete/", {"post": "yes"}).status_code == 302

    assert ChatSession.objects.get().owner is None
    assert CreationAttempt.objects.get().actor is None
    assert AuditEntry.objects.get(action="session.created").actor_name == "ada"
