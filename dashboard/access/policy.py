"""The questions of permission, each answered with a reason a person can read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from django.contrib.auth.models import User

from dashboard.errors import DashboardError


@dataclass(frozen=True)
class Decision:
    """Whether something is allowed, and if not, why; truthy when it is."""

    allowed: bool
    reason: str = ""

    def __bool__(self) -> bool:
        return self.allowed


class NotAllowed(DashboardError):
    """The person may see the thing but not do this to it."""

    code = "not_allowed"
    status = 403
    sentence = "You may not do this. Ask the session's owner or an administrator."

    def __init__(self, decision: Decision) -> None:
        self.sentence = decision.reason
        super().__init__()


class Owned(Protocol):
    """Anything that may belong to a person."""

    @property
    def owner_id(self) -> int | None: ...


ALLOWED = Decision(True)


def may_rename(actor: User, thing: Owned) -> Decision:
    """A session is renamed by its owner or by staff."""
    return _owner_or_staff(actor, thing, "rename")


def may_delete(actor: User, thing: Owned) -> Decision:
    """A session is deleted by its owner or by staff."""
    return _owner_or_staff(actor, thing, "delete")


def _owner_or_staff(actor: User, thing: Owned, verb: str) -> Decision:
    if actor.is_staff or (thing.owner_id is not None and thing.owner_id == actor.pk):
        return ALLOWED
    return Decision(False, f"Only the person who created this session or an administrator can {verb} it.")
