"""Renaming and deleting, each with its permission and its record."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from dashboard import upstream
from dashboard.access.policy import Decision, NotAllowed, may_delete, may_rename
from dashboard.audit.actions import AuditAction, Outcome
from dashboard.audit.trail import Origin, record
from dashboard.chats.models import ChatSession, Visit
from dashboard.chats.sync import mark_gone


def rename_session(session: ChatSession, title: str, *, actor: User, origin: Origin) -> None:
    """Give a session a title of this team's own; LlamaCloud has none to set (contract.md §6).

    Args:
        session: the session.
        title: the new title, or ``""`` to show LlamaCloud's again.
        actor: who asks.
        origin: where the request came from.

    Raises:
        NotAllowed: the actor is neither owner nor staff; recorded as denied.
    """
    _require(may_rename(actor, session), AuditAction.SESSION_RENAMED, session, actor, origin)
    with transaction.atomic():
        before = ChatSession.objects.select_for_update().values_list("title", flat=True).get(pk=session.pk)
        ChatSession.objects.filter(pk=session.pk).update(title=title)
        session.title = title
        record(AuditAction.SESSION_RENAMED, actor=actor, origin=origin, subject=session, before=before, after=title)


def delete_session(client: upstream.LlamaCloud, session: ChatSession, *, actor: User, origin: Origin) -> None:
    """Delete a session at LlamaCloud and mark it gone here; one that is gone already counts as deleted.

    Args:
        client: the connection to LlamaCloud.
        session: the session.
        actor: who asks.
        origin: where the request came from.

    Raises:
        NotAllowed: the actor is neither owner nor staff; recorded as denied.
        upstream.UpstreamError: LlamaCloud did not delete it; recorded as failed, nothing is marked.
    """
    _require(may_delete(actor, session), AuditAction.SESSION_DELETED, session, actor, origin)
    # On record before it is done: it cannot be undone, and this process may not live to see its end.
    record(AuditAction.SESSION_DELETION_ASKED, actor=actor, origin=origin, subject=session)
    try:
        client.delete_chat(session.session_id, project_id=session.project_id or None)
    except upstream.NotFound:
        # Somebody was faster; what the person wanted is so.
        pass
    except upstream.UpstreamError as error:
        record(
            AuditAction.SESSION_DELETED,
            actor=actor,
            origin=origin,
            subject=session,
            outcome=Outcome.FAILED,
            error=error.code,
        )
        raise
    with transaction.atomic():
        mark_gone(session)
        record(AuditAction.SESSION_DELETED, actor=actor, origin=origin, subject=session)


def note_visit(session: ChatSession, user: User) -> None:
    """Remember that a person has seen everything in a session so far, even if LlamaCloud's clock is ahead of ours."""
    seen_at = max(timezone.now(), session.last_updated_at)
    if not Visit.objects.filter(session=session, user=user, seen_at__gte=session.last_updated_at).exists():
        Visit.objects.update_or_create(session=session, user=user, defaults={"seen_at": seen_at})


def _require(decision: Decision, action: AuditAction, session: ChatSession, actor: User, origin: Origin) -> None:
    if not decision:
        record(action, actor=actor, origin=origin, subject=session, outcome=Outcome.DENIED)
        raise NotAllowed(decision)
