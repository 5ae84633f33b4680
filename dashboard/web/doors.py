"""The doors to sessions: whether a person may come in, and who has read a conversation."""

from __future__ import annotations

from django.core.cache import cache
from django.http import Http404

from dashboard.audit.actions import AuditAction
from dashboard.audit.trail import record
from dashboard.chats.models import ChatSession
from dashboard.rows import find_one
from dashboard.turns.models import Turn
from dashboard.web.looking import look_for
from dashboard.web.requests import Request

READING_LASTS = 15 * 60
"""Seconds in which a person's reading of a session is one reading, whatever parts of it are asked for."""


def visible_or_404(request: Request, session_id: str, *, for_page: bool = False) -> ChatSession:
    """The door: a session the person may see, asked for upstream when it was made elsewhere a moment ago.

    Args:
        request: who asks.
        session_id: LlamaCloud's id.
        for_page: whether what the whole page shows of it is read along.

    Raises:
        Http404: there is none, or none this person may see.
    """

    def seen() -> ChatSession | None:
        if not for_page:
            return ChatSession.seen_by(request.user, session_id)
        door = ChatSession.objects.visible_to(request.user).select_related("owner", "follows")
        return door.prefetch_related("sources").filter(session_id=session_id).first()

    session = seen()
    if session is None and look_for(session_id):
        session = seen()
    if session is None:
        raise Http404
    return session


def readable_or_404(request: Request, session_id: str) -> ChatSession:
    """The door to a conversation's words: as :func:`visible_or_404`, and the reading is on record."""
    session = visible_or_404(request, session_id)
    note_reading(request, session)
    return session


def turn_or_404(request: Request, session_id: str, number: int) -> Turn:
    """The door to one question and its answer, which are words of a conversation too; its session comes with it."""
    session = readable_or_404(request, session_id)
    turn = find_one(Turn, "session_id", session.pk, number=number)
    if turn is None:
        raise Http404
    turn.session = session
    return turn


def note_reading(request: Request, session: ChatSession) -> None:
    """A part of a conversation is read: put it on record unless the reading is already."""
    if cache.get(_reading(request, session)) is None:
        record_reading(request, session)


def record_reading(request: Request, session: ChatSession) -> None:
    """Write down that a person reads a session now."""
    record(AuditAction.SESSION_VIEWED, actor=request.user, origin=request.origin, subject=session)
    cache.set(_reading(request, session), True, READING_LASTS)


def _reading(request: Request, session: ChatSession) -> str:
    return f"reading-{request.user.pk}-{session.pk}"
