"""The one door to the record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from django.contrib.auth.models import User

from dashboard.audit.actions import AuditAction, Outcome
from dashboard.audit.models import AuditEntry
from dashboard.rows import insert


@dataclass(frozen=True)
class Origin:
    """Where a request came from: its id in our logs and the person's address, as far as trusted proxies tell it."""

    request_id: str = ""
    ip: str | None = None


class Subject(Protocol):
    """What an action was done to; models that are acted upon offer these three."""

    @property
    def audit_type(self) -> str: ...
    @property
    def audit_id(self) -> str: ...
    @property
    def audit_label(self) -> str: ...


def record(
    action: AuditAction,
    *,
    actor: User | None,
    origin: Origin,
    subject: Subject | None = None,
    outcome: Outcome = Outcome.SUCCESS,
    **choices: Any,
) -> AuditEntry:
    """Write one row; call it inside the transaction of the change it tells of.

    Args:
        action: what was done.
        actor: who did it; ``None`` for the dashboard's own background work.
        origin: where the request came from.
        subject: what it was done to, when that exists.
        outcome: how it ended.
        choices: ids and choices that matter, JSON-able; never prompts, answers or secrets.

    Returns:
        the stored row.
    """
    entry = AuditEntry(
        action=action,
        outcome=outcome,
        actor_id=actor.pk if actor else None,
        actor_name=actor.get_username() if actor else "Corral",
        subject_type=subject.audit_type if subject else "",
        subject_id=subject.audit_id if subject else "",
        subject_label=subject.audit_label[:255] if subject else "",
        details=choices,
        request_id=origin.request_id,
        ip=origin.ip,
    )
    insert(entry)
    return entry
