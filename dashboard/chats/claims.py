"""Who may make the call: one submission of a form wins, the others wait for its outcome (decision 3)."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from dashboard.audit.actions import AuditAction, Outcome
from dashboard.audit.trail import Origin, record
from dashboard.chats.models import CreationAttempt
from dashboard.errors import DashboardError
from dashboard.rows import insert

State = CreationAttempt.State
CLAIM_LASTS = timedelta(seconds=20)
"""Longer than a creation call may take (10 s): a claim older than this belongs to a process that died."""
PATIENCE = 12.0
"""Seconds a second submission waits for the first one's outcome: a little longer than the call may take."""
WAIT_STEP = 0.1
"""Seconds between two looks at a claim that somebody else is working on."""


@dataclass(frozen=True)
class SessionChoice:
    """What a person chose in the form.

    Args:
        index_ids: the sources, at most ten; ``None`` for a session whose sources are chosen with each question.
        shared_access: ``"query"``, ``"read_only"`` or ``""`` for LlamaCloud's default.
        project_id: where to create it; ``""`` for the key's own project.
        confirmed_not_ready: chosen sources that are not ready and were confirmed.
        follows_id: the key of the session this one succeeds, because that one's sources cannot be changed.
    """

    index_ids: tuple[str, ...] | None
    shared_access: str = ""
    project_id: str = ""
    confirmed_not_ready: tuple[str, ...] = ()
    follows_id: int | None = None

    def columns(self) -> dict[str, Any]:
        """The choice as the attempt stores it."""
        return {
            "index_ids": None if self.index_ids is None else sorted(self.index_ids),
            "shared_access": self.shared_access,
            "project_id": self.project_id,
        }


class TokenReused(DashboardError):
    """The same form came again with another choice, or from another person."""

    code = "form_reused"
    status = 409
    sentence = (
        "This form has been used already, with other choices. Your choices below are kept: press Create session again"
        " to make another session with them."
    )


def claim(token: str, actor: User, choice: SessionChoice) -> tuple[CreationAttempt, bool]:
    """The attempt of this token, and whether this submission is the one to make the call.

    Raises:
        TokenReused: the token stands for another choice or another person.
    """
    now = timezone.now()
    attempt = CreationAttempt(
        token=token,
        actor=actor,
        started_at=now,
        confirmed_not_ready=list(choice.confirmed_not_ready),
        follows_id=choice.follows_id,
        **choice.columns(),
    )
    if insert(attempt, unique="token"):
        return attempt, True
    attempt = CreationAttempt.objects.get(token=token)
    same = all(getattr(attempt, name) == value for name, value in choice.columns().items())
    if attempt.actor_id != actor.pk or not same:
        raise TokenReused
    # A refused form may be sent again as it is: certainly nothing was created.
    again = CreationAttempt.objects.filter(pk=attempt.pk, state=State.REFUSED).exclude(finished_at__gt=now)
    confirmed = list(choice.confirmed_not_ready)
    won = again.update(
        state=State.CLAIMED, started_at=now, error_code="", error_detail="", confirmed_not_ready=confirmed
    )
    return attempt, won == 1


def wait_for_outcome(attempt: CreationAttempt) -> CreationAttempt:
    """Look at the claim until it is settled or patience ends; one whose process died becomes unknown."""
    ends = time.monotonic() + PATIENCE
    while True:
        attempt.refresh_from_db()
        if attempt.state != State.CLAIMED or time.monotonic() > ends:
            return attempt
        if timezone.now() - attempt.started_at > CLAIM_LASTS:
            settle_dead_claim(attempt)
            continue
        time.sleep(WAIT_STEP)


def settle_dead_claim(attempt: CreationAttempt, *, why: str = "process_died") -> None:
    """A claim whose outcome nobody can tell any more: it outlived any call, or its outcome could not be stored."""
    settled = CreationAttempt.objects.filter(pk=attempt.pk, state=State.CLAIMED).update(
        state=State.UNKNOWN, error_code=why, finished_at=timezone.now()
    )
    if settled:
        # Not one transaction: where the record cannot be written, the session must still be found again.
        record(
            AuditAction.SESSION_CREATED,
            actor=attempt.actor,
            origin=Origin(),
            outcome=Outcome.FAILED,
            error=why,
            certain=False,
            attempt=attempt.token,
        )


def abandon(token: str, *, actor: User, origin: Origin) -> None:
    """The person starts over: this attempt is no longer looked for."""
    with transaction.atomic():
        given_up = CreationAttempt.objects.filter(token=token, actor=actor, state=State.UNKNOWN).update(
            state=State.ABANDONED, finished_at=timezone.now()
        )
        if given_up:
            record(AuditAction.SESSION_GIVEN_UP, actor=actor, origin=origin, attempt=token)
