"""Creating a session exactly once, although LlamaCloud's creation call is not idempotent (decision 3).

The form carries a token. One :class:`CreationAttempt` row per token is claimed before the call; whoever comes second
waits for the first one's outcome. When the outcome is unknown, nothing is repeated: ``reconcile`` looks for the
session the call may have made.
"""

from __future__ import annotations

import contextlib
from typing import Any

from django.contrib.auth.models import User
from django.core.cache import cache
from django.db import DatabaseError, transaction
from django.utils import timezone

from dashboard import upstream
from dashboard.audit.actions import AuditAction, Outcome
from dashboard.audit.trail import Origin, record
from dashboard.chats.claims import SessionChoice, TokenReused, abandon, claim, settle_dead_claim, wait_for_outcome
from dashboard.chats.models import ChatSession, CreationAttempt
from dashboard.chats.reconcile import SEARCH_BUDGET, reconcile
from dashboard.chats.store import no_history, store_created, store_summaries
from dashboard.errors import DashboardError
from dashboard.rows import change

__all__ = ["OutcomeUnknown", "SessionChoice", "StillCreating", "TokenReused", "abandon", "create_session"]

State = CreationAttempt.State
KNOWN_LASTS = 3600
"""Seconds a process remembers that a project's sessions have been listed: rows of sessions are never removed."""


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
    attempt, won = claim(token, actor, choice)
    if won:
        _know_what_was_there(client, attempt)
        return _call(client, attempt, actor, choice, origin)
    attempt = wait_for_outcome(attempt)
    if attempt.state == State.UNKNOWN:
        reconcile(client, attempt, origin=origin)
        attempt.refresh_from_db()
    if attempt.session is not None:
        return attempt.session
    if attempt.state == State.REFUSED:
        # The submission waited for was refused while this one looked on: both get the same answer.
        raise _refusal(attempt)
    raise StillCreating if attempt.state == State.CLAIMED else OutcomeUnknown(attempt.error_detail)


def _know_what_was_there(client: upstream.LlamaCloud, attempt: CreationAttempt) -> None:
    """With no session cached yet, list all that exist: else every one would be "first seen after it began"."""
    project_id = attempt.project_id
    known = f"sessions-known-{hash(project_id)}"
    if cache.get(known):
        return
    if ChatSession.objects.filter(project_id=project_id).exists():
        cache.set(known, True, KNOWN_LASTS)
        return
    asked_at = timezone.now()
    try:
        listing = client.all_chats(project_id=project_id or None, deadline=SEARCH_BUDGET)
    except upstream.UpstreamError:
        return  # The creation itself will say what is wrong, in better words.
    store_summaries(listing.items, project_id=project_id, now=asked_at)
    attempt.started_at = timezone.now()
    attempt.save(update_fields=["started_at"])


def _refusal(attempt: CreationAttempt) -> upstream.UpstreamError:
    """The error that settled the attempt, as far as its row tells it."""
    kinds = {kind.code: kind for kind in (*upstream.Refusal.__subclasses__(), *upstream.UpstreamError.__subclasses__())}
    return kinds.get(attempt.error_code, upstream.Refusal)(attempt.error_detail)


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
    try:
        return _keep(attempt, summary, actor=actor, choice=choice, origin=origin)
    except DatabaseError:
        # The session exists but could not be written down: the next submission of the form finds it. If this cannot
        # be written down either, the claim grows old instead.
        with contextlib.suppress(DatabaseError):
            settle_dead_claim(attempt, why="not_stored")
        raise


def _keep(
    attempt: CreationAttempt,
    summary: upstream.ChatSummary,
    *,
    actor: User,
    choice: SessionChoice,
    origin: Origin,
) -> ChatSession:
    local = {"owner": actor, "follows_id": choice.follows_id, **no_history(summary)}
    with transaction.atomic():
        session = store_created(summary, project_id=choice.project_id, **local)
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
    change(attempt, state=state, finished_at=timezone.now(), **columns)


def _told(attempt: CreationAttempt, choice: SessionChoice) -> dict[str, Any]:
    return {
        "attempt": attempt.token,
        "index_ids": None if choice.index_ids is None else list(choice.index_ids),
        "shared_access": choice.shared_access,
        "project_id": choice.project_id,
        "confirmed_not_ready": list(choice.confirmed_not_ready),
    }
