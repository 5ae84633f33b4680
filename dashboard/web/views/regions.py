"""The two regions of the facts rail: they bring the cache up to date and answer only when something changed."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.views.decorators.http import require_safe

from dashboard.catalog.models import Index
from dashboard.chats.change import note_visit
from dashboard.chats.models import ChatSession
from dashboard.turns.ledger import ledger
from dashboard.web.doors import visible_or_404
from dashboard.web.looking import look_at, poll_seconds
from dashboard.web.present import columns_of, fingerprint, source_views, successor_url
from dashboard.web.requests import Request
from dashboard.web.respond import page_or_fragment, unchanged


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


def region_context(session: ChatSession, problem: str = "") -> dict[str, Any]:
    """What both regions show, from the cache."""
    sources = source_views(session.source_ids, Index.named(session.source_ids))
    seconds = poll_seconds(running=session.is_running)
    turns = ledger(session.pk)
    shown = (columns_of(session), sources, seconds, problem, turns)
    return {
        "session": session,
        "title": session.display_title,
        "sources": sources,
        "lock": session.lock_state,
        "run": session.run_state,
        "poll_seconds": seconds,
        "problem": problem,
        "on_page": False,
        "turns_ledger": turns,
        "same_sources_url": successor_url(session) if sources else "",
        "other_sources_url": successor_url(session, other="1"),
        "seen": fingerprint(*shown),
    }


def _region(request: Request, session_id: str, fragment: str, *, with_sources: bool) -> HttpResponse:
    session = visible_or_404(request, session_id)
    problem = look_at(session, with_sources=with_sources)
    session = visible_or_404(request, session_id)
    # Hidden tabs do not ask: whoever asks has the session before their eyes.
    note_visit(session, request.user)
    context = region_context(session, problem)
    if request.GET.get("seen") == context["seen"]:
        return unchanged()
    return page_or_fragment(request, fragment, fragment, context)
