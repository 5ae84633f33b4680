"""What is done in the background, and how often."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.utils import timezone

from dashboard import upstream
from dashboard.audit.trail import Origin
from dashboard.catalog.sync import refresh_catalog
from dashboard.chats.claims import CLAIM_LASTS, settle_dead_claim
from dashboard.chats.models import CreationAttempt
from dashboard.chats.reconcile import reconcile
from dashboard.chats.sync import refresh_all, refresh_recent
from dashboard.errors import DashboardError
from dashboard.jobs.run import Work
from dashboard.turns.prune import prune_logs

State = CreationAttempt.State
LOOK_FOR = timedelta(hours=24)
"""How long the session of an unanswered creation is looked for."""

ClientFactory = Callable[[], upstream.LlamaCloud]


class CatalogIncomplete(DashboardError):
    """A refresh of the catalog read only a part."""

    code = "catalog_incomplete"
    sentence = "Not all projects and sources could be read; what was read is kept."


def all_work(client: ClientFactory) -> list[Work]:
    """Every kind of background work.

    Args:
        client: gives the connection to LlamaCloud.
    """

    def catalog(_cursor: Any) -> None:
        refreshed = refresh_catalog(client())
        if not refreshed.complete:
            raise CatalogIncomplete(refreshed.why)

    def recent(_cursor: Any) -> None:
        refresh_recent(client())

    def sessions(cursor: Any) -> Any:
        return refresh_all(client(), cursor)

    def answer_logs(_cursor: Any) -> Any:
        return {"more": True} if prune_logs() else None

    def attempts(_cursor: Any) -> None:
        reconcile_attempts(client())

    return [
        Work("catalog", timedelta(minutes=2), catalog),
        Work("recent-sessions", timedelta(seconds=30), recent),
        Work("all-sessions", timedelta(minutes=15), sessions),
        Work("answer-logs", timedelta(minutes=2), answer_logs),
        Work("unanswered-creations", timedelta(seconds=30), attempts),
    ]


def reconcile_attempts(client: upstream.LlamaCloud) -> None:
    """Look again for the sessions of creations whose outcome is unknown, and settle claims of processes that died."""
    now = timezone.now()
    for attempt in CreationAttempt.objects.filter(state=State.CLAIMED, started_at__lt=now - CLAIM_LASTS):
        settle_dead_claim(attempt)
    lost = CreationAttempt.objects.filter(state=State.UNKNOWN, started_at__gt=now - LOOK_FOR)
    for attempt in lost.order_by("started_at")[:5]:
        reconcile(client, attempt, origin=Origin())
