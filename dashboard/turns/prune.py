"""Clearing the log of what the stored answer has made superfluous."""

from __future__ import annotations

from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from dashboard.turns.models import LogEntry, Turn
from dashboard.turns.states import LIVE
from dashboard.upstream import DELTA_TYPES

KEEP = timedelta(minutes=5)
"""How long after a turn's end its frames stay, for readers who are still catching up."""
SUPERFLUOUS = ("text", *DELTA_TYPES)
BATCH = 200


def prune_logs() -> bool:
    """Delete the frames of some turns that ended a while ago; their steps stay.

    Returns:
        whether there may be more.
    """
    due = Turn.objects.filter(log_pruned=False, finished_at__lt=timezone.now() - KEEP).exclude(state__in=LIVE)
    turns = list(due.order_by("finished_at").values_list("pk", flat=True)[:BATCH])
    with transaction.atomic():
        LogEntry.objects.filter(turn__in=turns, type__in=SUPERFLUOUS).delete()
        Turn.objects.filter(pk__in=turns).update(log_pruned=True)
    return len(turns) == BATCH
