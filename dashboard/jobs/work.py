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
LOOKED_FOR_AT_ONCE = 5
"""Attempts per step; a search takes 5 s at most."""

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

    def attempts(cursor: Any) -> int | None:
        return reconcile_attempts(client(), after=cursor or 0)

    return [
        Work("catalog", timedelta(minutes=2), catalog),
        Work("recent-sessions", timedelta(seconds=30), recent),
        Work("all-sessions", timedelta(minutes=15), sessions),
        Work("answer-logs", timedelta(minutes=2), answer_logs),
        Work("unanswered-creations", timedelta(seconds=30), attempts),
    ]


def reconcile_attempts(client: upstream.LlamaCloud, *, after: int = 0) -> int | None:
    """Look again for the sessions of creations whose outcome is unknown, and settle claims of processes that died.

    Args:
        client: the connection to LlamaCloud.
        after: the key of the attempt after which to go on.

    Returns:
        the key to go on after, so that those that are never found do not hold up the others; ``None`` at the end.
    """
    now = timezone.now()
    for attempt in CreationAttempt.objects.filter(state=State.CLAIMED, started_at__lt=now - CLAIM_LASTS):
        settle_dead_claim(attempt)
    lost = CreationAttempt.objects.filter(state=State.UNKNOWN, started_at__gt=now - LOOK_FOR, pk__gt=after)
    batch = list(lost.order_by("pk")[:LOOKED_FOR_AT_ONCE])
    for attempt in batch:
        reconcile(client, attempt, origin=Origin())
    return batch[-1].pk if len(batch) == LOOKED_FOR_AT_ONCE else None
