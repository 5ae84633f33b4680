"""Creating a session exactly once, although LlamaCloud's creation call is not idempotent (decision 3).

The form carries a token. One :class:`CreationAttempt` row per token is claimed before the call; whoever comes second
waits for the first one's outcome. When the outcome is unknown, nothing is repeated: ``reconcile`` looks for the
session the call may have made.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.utils import timezone

from dashboard import upstream
from dashboard.audit.actions import AuditAction, Outcome
from dashboard.audit.trail import Origin, record
from dashboard.chats.models import ChatSession, CreationAttempt
from dashboard.chats.reconcile import reconcile
from dashboard.chats.store import store_one, store_summaries
from dashboard.chats.sync import PAGE_SIZE
from dashboard.errors import DashboardError

State = CreationAttempt.State
CLAIM_LASTS = timedelta(seconds=20)
"""Longer than a creation call may take (10 s): a claim older than this belongs to a process that died."""
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


class StillCreating(DashboardError):
    """Somebody else's submission of this form is still waiting for LlamaCloud."""

    code = "still_creating"
    status = 409
    sentence = "This session is still being created. Nothing is lost: wait a few seconds, then check again."


class OutcomeUnknown(DashboardError):
    """The call was sent, no usable answer came, and the session has not been found (yet)."""

    code = "outcome_unknown"
    status = 502
    sentence = (
        "LlamaCloud did not confirm the session, so it may or may not exist. Nothing you chose is lost, and nothing is"
        " created twice: check again in a moment, or start over if it does not turn up."
    )


def create_session(
    client: upstream.LlamaCloud, *, actor: User, token: str, choice: SessionChoice, origin: Origin
) -> ChatSession:
    """Create the session this form asks for, once, however often and wherever it is submitted.

    Args:
        client: the connection to LlamaCloud.
        actor: who asks; becomes the owner.
        token: the form's idempotency token.
        choice: what was chosen; the caller has validated it.
        origin: where the request came from.

    Returns:
        the session, new or already made by an earlier submission of the same form.

    Raises:
        upstream.UpstreamError: LlamaCloud refused or was not reached; certainly nothing was created.
        OutcomeUnknown: it may have been created; submitting the same token again looks for it.
        TokenReused, StillCreating: see there.
    """
    _know_what_was_there(client, choice.project_id)
    attempt, won = _claim(token, actor, choice)
    if won:
        return _call(client, attempt, actor, choice, origin)
    attempt = _wait_for_outcome(attempt)
    if attempt.state == State.UNKNOWN:
        reconcile(client, attempt, origin=origin)
        attempt.refresh_from_db()
    if attempt.session is not None:
        return attempt.session
    if attempt.state == State.REFUSED:
        # The submission waited for was refused while this one looked on: both get the same answer.
        raise _refusal(attempt)
    raise StillCreating if attempt.state == State.CLAIMED else OutcomeUnknown(attempt.error_detail)


def _know_what_was_there(client: upstream.LlamaCloud, project_id: str) -> None:
    """With no session cached yet, list what exists: else every session would be "first seen after it began"."""
    if ChatSession.objects.filter(project_id=project_id).exists():
        return
    try:
        page = client.chats(project_id=project_id or None, page_size=PAGE_SIZE)
    except upstream.UpstreamError:
        return  # The creation itself will say what is wrong, in better words.
    store_summaries(page.items, project_id=project_id)


def abandon(token: str, *, actor: User) -> None:
    """The person starts over: this attempt is no longer looked for."""
    CreationAttempt.objects.filter(token=token, actor=actor, state=State.UNKNOWN).update(
        state=State.ABANDONED, finished_at=timezone.now()
    )


def _refusal(attempt: CreationAttempt) -> upstream.UpstreamError:
    """The error that settled the attempt, as far as its row tells it."""
    kinds = {kind.code: kind for kind in (*upstream.Refusal.__subclasses__(), *upstream.UpstreamError.__subclasses__())}
    return kinds.get(attempt.error_code, upstream.Refusal)(attempt.error_detail)


def _claim(token: str, actor: User, choice: SessionChoice) -> tuple[CreationAttempt, bool]:
    now = timezone.now()
    try:
        with transaction.atomic():
            return CreationAttempt.objects.create(
                token=token,
                actor=actor,
                started_at=now,
                confirmed_not_ready=list(choice.confirmed_not_ready),
                follows_id=choice.follows_id,
                **choice.columns(),
            ), True
    except IntegrityError:
        attempt = CreationAttempt.objects.get(token=token)
    same = all(getattr(attempt, name) == value for name, value in choice.columns().items())
    if attempt.actor_id != actor.pk or not same:
        raise TokenReused
    # A refused form may be sent again as it is: certainly nothing was created.
    again = CreationAttempt.objects.filter(pk=attempt.pk, state=State.REFUSED).exclude(finished_at__gt=now)
    won = again.update(state=State.CLAIMED, started_at=now, error_code="", error_detail="") == 1
    return attempt, won


def _wait_for_outcome(attempt: CreationAttempt) -> CreationAttempt:
    """Look at the claim until it is settled; one whose process died becomes unknown."""
    while True:
        attempt.refresh_from_db()
        if attempt.state != State.CLAIMED:
            return attempt
        if timezone.now() - attempt.started_at > CLAIM_LASTS:
            settle_dead_claim(attempt)
            continue
        time.sleep(WAIT_STEP)


def settle_dead_claim(attempt: CreationAttempt) -> None:
    """A claim outlived any call: its process died, so the outcome is unknown."""
    CreationAttempt.objects.filter(pk=attempt.pk, state=State.CLAIMED).update(
        state=State.UNKNOWN, error_code="process_died", finished_at=timezone.now()
    )


def _call(
    client: upstream.LlamaCloud, attempt: CreationAttempt, actor: User, choice: SessionChoice, origin: Origin
) -> ChatSession:
    body = upstream.SessionCreate(
        index_ids=None if choice.index_ids is None else list(choice.index_ids),
        shared_access=choice.shared_access or None,
    )
    try:
        summary = client.create_chat(body, project_id=choice.project_id or None)
    except upstream.UpstreamError as error:
        _settle_failure(attempt, error, actor=actor, choice=choice, origin=origin)
        if error.outcome == "refused":
            raise
        session = reconcile(client, attempt, origin=origin)
        if session is None:
            raise OutcomeUnknown(error.detail, retry_after=error.retry_after) from error
        return session
    with transaction.atomic():
        session = store_one(
            summary, project_id=choice.project_id, owner=actor, follows_id=choice.follows_id, questions=0
        )
        _settle(attempt, State.CREATED, session=session)
        record(AuditAction.SESSION_CREATED, actor=actor, origin=origin, subject=session, **_told(attempt, choice))
    return session


def _settle_failure(
    attempt: CreationAttempt, error: upstream.UpstreamError, *, actor: User, choice: SessionChoice, origin: Origin
) -> None:
    with transaction.atomic():
        state = State.REFUSED if error.outcome == "refused" else State.UNKNOWN
        _settle(attempt, state, error_code=error.code, error_detail=error.detail)
        record(
            AuditAction.SESSION_CREATED,
            actor=actor,
            origin=origin,
            outcome=Outcome.FAILED,
            error=error.code,
            certain=error.outcome == "refused",
            **_told(attempt, choice),
        )


def _settle(attempt: CreationAttempt, state: CreationAttempt.State, **columns: Any) -> None:
    CreationAttempt.objects.filter(pk=attempt.pk).update(state=state, finished_at=timezone.now(), **columns)
    attempt.refresh_from_db()


def _told(attempt: CreationAttempt, choice: SessionChoice) -> dict[str, Any]:
    return {
        "attempt": attempt.token,
        "index_ids": None if choice.index_ids is None else list(choice.index_ids),
        "shared_access": choice.shared_access,
        "project_id": choice.project_id,
        "confirmed_not_ready": list(choice.confirmed_not_ready),
    }
