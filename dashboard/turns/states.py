"""The life of a turn: it starts queued and ends exactly once."""

from __future__ import annotations

from django.db import models


class TurnState(models.TextChoices):
    """Where a turn stands. ``interrupted`` may still become ``recovered`` or ``failed``; other ends are final."""

    QUEUED = "queued", "Waiting"
    RUNNING = "running", "Answering"
    ANSWERED = "answered", "Answered"
    FAILED = "failed", "Failed"
    STOPPED = "stopped", "Stopped"
    INTERRUPTED = "interrupted", "Interrupted"
    RECOVERED = "recovered", "Answered"

    @property
    def is_live(self) -> bool:
        """Whether something is still to come."""
        return self in LIVE


LIVE = (TurnState.QUEUED, TurnState.RUNNING)
LATE = (TurnState.INTERRUPTED, TurnState.STOPPED)
"""Ends after which LlamaCloud may still have finished the answer."""
NOT_READ = "not_read"
"""The error code of an interrupted turn that was asked elsewhere: its answer is still to be read out of LlamaCloud's
history."""
