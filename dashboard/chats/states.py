"""The states a session is shown in; both are derived from columns and never stored."""

from __future__ import annotations

from django.db import models

UNTITLED = "Untitled session"
"""What a session without any title is called."""


class LockState(models.TextChoices):
    """Whether a session's sources can still be other ones."""

    UNBOUND = "unbound", "Chosen per question"
    OPEN = "open", "Not locked yet"
    LOCKED = "locked", "Locked"
    GONE = "gone", "Deleted"

    @property
    def explanation(self) -> str:
        """What the state means for the person, in a sentence."""
        return _LOCK_EXPLANATIONS[self]


_LOCK_EXPLANATIONS = {
    LockState.UNBOUND: "This session has no fixed sources: they are chosen with each question.",
    LockState.OPEN: "These sources lock with the first question. Until then you can start over with others.",
    LockState.LOCKED: "A first question has been asked, so these sources stay as they are for this session's lifetime.",
    LockState.GONE: "LlamaCloud no longer has this session. What you see is what Corral last knew.",
}


class RunState(models.TextChoices):
    """How the last run ended, if there was one."""

    NEVER = "never", "No answer yet"
    RUNNING = "running", "Running"
    SUCCEEDED = "succeeded", "Worked"
    FAILED = "failed", "Failed"
