"""Clearing the log of what the stored answer has made superfluous."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from dashboard.turns.models import LogEntry, Turn
from dashboard.turns.states import LIVE

KEEP = timedelta(minutes=5)
"""How long after a turn's end its frames stay, for readers who are still catching up."""
SUPERFLUOUS = ("text_delta", "thinking_delta", "text")
BATCH = 200


def prune_logs() -> bool:
    """Delete the frames of some turns that ended a while ago; their steps stay.

    Returns:
        whether there may be more.
    """
    ended = Turn.objects.exclude(state__in=LIVE).filter(finished_at__lt=timezone.now() - KEEP)
    with_frames = LogEntry.objects.filter(type__in=SUPERFLUOUS, turn__in=ended).order_by("turn")
    turns = list(with_frames.values_list("turn", flat=True).distinct()[:BATCH])
    LogEntry.objects.filter(turn__in=turns, type__in=SUPERFLUOUS).delete()
    return len(turns) == BATCH
