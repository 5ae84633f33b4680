"""The audit record as it is read in the admin."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from dashboard.audit.models import AuditEntry
from tests.admin.conftest import HOSTILE, page


@pytest.fixture
def entries(ada: User, ben: User) -> None:
    """Three entries: Ada's creation, her refused deletion, and what Ben did who is no longer here."""
    about = {"subject_type": "session", "subject_id": "chat-1", "ip": "192.0.2.7"}
    AuditEntry.objects.create(
        action="session.created", actor=ada, actor_name="ada", subject_label="Leave", request_id="req-1", **about
    )
    AuditEntry.objects.create(
        action="session.deleted", outcome="denied", actor=ada, actor_name="ada", request_id="req-2", **about
    )
    old = AuditEntry.objects.create(action="instance.set_up", actor=ben, actor_name="ben", request_id="req-3")
    AuditEntry.objects.filter(pk=old.pk).update(at=timezone.now() - timedelta(days=40))
    ben.delete()


@pytest.mark.usefixtures("entries")
@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, ["req-2", "req-1", "req-3"]),
        ({"action": "session.created"}, ["req-1"]),
        ({"outcome": "denied"}, ["req-2"]),
        ({"actor": "be"}, ["req-3"]),
        ({"at_from": str(timezone.localdate() - timedelta(days=2))}, ["req-2", "req-1"]),
        ({"at_to": str(timezone.localdate() - timedelta(days=2))}, ["req-3"]),
        ({"q": "chat-1"}, ["req-2", "req-1"]),
        ({"q": "req-3"}, ["req-3"]),
        ({"q": "ADA"}, ["req-2", "req-1"]),
        ({"q": "chat"}, []),
        ({"subject_type": "session", "subject_id": "chat-1", "outcome": "success"}, ["req-1"]),
    ],
)
def test_entries_are_found_by(admin_client: Client, query: dict[str, str], found: list[str]) -> None:
    answer = admin_client.get("/admin/dashboard/auditentry/", query)

    assert [entry.request_id for entry in answer.context["cl"].result_list] == found


@pytest.mark.usefixtures("entries")
def test_an_entry_of_somebody_who_is_gone_is_still_complete(admin_client: Client) -> None:
    entry = AuditEntry.objects.get(request_id="req-3")
    html = page(admin_client, f"dashboard/auditentry/{entry.pk}/change/")

    for words in ("ben", str(entry.actor_id), "made the first administrator", "worked", "req-3"):
        assert words in html


def test_details_are_read_line_by_line(admin_client: Client, ada: User) -> None:
    entry = AuditEntry.objects.create(
        action="session.created",
        actor=ada,
        actor_name="ada",
        subject_type="session",
        subject_id="chat-1",
        details={
            "index_ids": ["idx-1", "idx-2"], "confirmed_not_ready": [], "shared_access": "", "bound": True,
            "follows": None, "count": 2, "odd": {"a": [1]}, "title": HOSTILE,
        },
    )  # fmt: skip
    html = page(admin_client, f"dashboard/auditentry/{entry.pk}/change/")

    for name, value in {
        "index ids": "idx-1, idx-2", "confirmed not ready": "none", "shared access": "–", "bound": "yes",
        "follows": "none", "count": "2", "odd": "{&quot;a&quot;: [1]}",
    }.items():  # fmt: skip
        assert f'<li><bdi class="foreign">{name}</bdi>: <bdi class="foreign">{value}</bdi></li>' in html
    assert "<script>alert" not in html
    assert "/admin/dashboard/auditentry/?subject_type=session&amp;subject_id=chat-1" in html
