"""Who reads a conversation is on record."""

from __future__ import annotations

from django.core.cache import cache

from dashboard.audit.actions import AuditAction
from dashboard.audit.trail import record
from dashboard.chats.models import ChatSession
from dashboard.web.requests import Request

READING_LASTS = 15 * 60
"""Seconds in which a person's reading of a session is one reading, whatever parts of it are asked for."""


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
