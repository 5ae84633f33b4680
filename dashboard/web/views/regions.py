"""The two regions of the facts rail: they bring the cache up to date and answer only when something changed."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from dashboard.catalog.models import Index
from dashboard.catalog.sync import refresh_indexes
from dashboard.chats.change import note_visit
from dashboard.chats.models import ChatSession
from dashboard.chats.sync import fetch_unknown, refresh_one
from dashboard.config import upstream_client
from dashboard.turns.history import import_history, is_unread
from dashboard.turns.models import Turn
from dashboard.upstream import UpstreamError
from dashboard.web.conversation import newest_turn
from dashboard.web.present import fingerprint, source_views, successor_url
from dashboard.web.requests import Request
from dashboard.web.respond import page_or_fragment, unchanged

RUNNING_POLL, IDLE_POLL = 5, 30
SESSION_FRESH = timedelta(seconds=4)
"""A session checked this recently is not asked for again: everybody who watches it shares the answer."""
SOURCES_FRESH = timedelta(minutes=1)
_ONE_AT_A_TIME = [threading.Lock() for _ in range(64)]
"""Both regions, and everybody who watches a session, ask at the same moment: the first asks LlamaCloud for all."""


@login_required
@require_safe
def lock(request: Request, session_id: str) -> HttpResponse:
    """The region "Sources"."""
    return _region(request, session_id, "chats/_lock.html", with_sources=True)


@login_required
@require_safe
def job(request: Request, session_id: str) -> HttpResponse:
    """The region "Last run"."""
    return _region(request, session_id, "chats/_job.html", with_sources=False)


def visible_or_404(request: Request, session_id: str) -> ChatSession:
    """The door: a session the person may see, asked for upstream when it was made elsewhere a moment ago."""
    door = ChatSession.objects.visible_to(request.user)
    session = door.filter(session_id=session_id).first()
    if session is None and fetch_unknown(upstream_client(), session_id) is not None:
        session = door.filter(session_id=session_id).first()
    if session is None:
        raise Http404
    return session


def region_context(session: ChatSession, problem: str = "") -> dict[str, Any]:
    """What both regions show, from the cache."""
    index_ids = [source.index_id for source in session.sources.all()]
    sources = source_views(index_ids, Index.objects.named(index_ids))
    poll_seconds = RUNNING_POLL if session.is_running else IDLE_POLL
    facts = (session.lock_state, session.run_state, session.job_duration_ms, session.questions, session.title)
    newest, late = newest_turn(session)
    shown = (session.raw, facts, session.gone_at, sources, poll_seconds, problem, newest, late)
    return {
        "session": session,
        "title": session.display_title,
        "sources": sources,
        "lock": session.lock_state,
        "run": session.run_state,
        "poll_seconds": poll_seconds,
        "problem": problem,
        "newest_turn": newest,
        "same_sources_url": successor_url(session) if sources else "",
        "other_sources_url": successor_url(session, other="1"),
        "seen": fingerprint(*shown),
    }


def _region(request: Request, session_id: str, fragment: str, *, with_sources: bool) -> HttpResponse:
    session = visible_or_404(request, session_id)
    problem = _revalidate(session, with_sources=with_sources)
    session = visible_or_404(request, session_id)
    # Hidden tabs do not ask: whoever asks has the session before their eyes.
    note_visit(session, request.user)
    context = region_context(session, problem)
    if request.GET.get("seen") == context["seen"]:
        return unchanged()
    return page_or_fragment(request, fragment, fragment, context)


def _revalidate(session: ChatSession, *, with_sources: bool) -> str:
    """Bring a session that still exists up to date; tell in words why that did not work."""
    if session.gone_at is not None:
        return ""
    try:
        with _ONE_AT_A_TIME[session.pk % len(_ONE_AT_A_TIME)]:
            session.refresh_from_db()
            # While a question is answered here, this process's own reading is the newest truth.
            answering = Turn.objects.live().filter(session=session).exists()
            if not answering and timezone.now() - session.synced_at > SESSION_FRESH:
                if is_unread(session):
                    session.history_of = ""
                refresh_one(upstream_client(), session, on_history=import_history)
        if with_sources:
            _revalidate_sources(session)
    except UpstreamError as error:
        return error.sentence
    return ""


def _revalidate_sources(session: ChatSession) -> None:
    index_ids = session.sources.values_list("index_id", flat=True)
    old = Index.objects.filter(pk__in=index_ids, synced_at__lt=timezone.now() - SOURCES_FRESH)
    refresh_indexes(upstream_client(), list(old.values_list("pk", flat=True)))
