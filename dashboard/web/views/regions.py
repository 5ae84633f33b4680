"""The two regions of the facts rail: they bring the cache up to date and answer only when something changed."""

from __future__ import annotations

from collections.abc import Sequence
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
    return _region(request, session_id, "lock")


@login_required
@require_safe
def job(request: Request, session_id: str) -> HttpResponse:
    """The region "Last run"."""
    return _region(request, session_id, "job")


def region_context(
    session: ChatSession, problem: str = "", *, names: Sequence[str] = ("lock", "job")
) -> dict[str, Any]:
    """What these regions show, from the cache.

    Args:
        session: the session.
        problem: why it may be out of date, in a sentence.
        names: ``lock`` ("Sources") or ``job`` ("Last run") or both.
    """
    turns = ledger(session.pk)
    # How soon they ask again is in no fingerprint: it follows from the session's columns.
    shown = columns_of(session), turns, problem
    context = {
        "session": session,
        "title": session.display_title,
        "lock": session.lock_state,
        "poll_seconds": poll_seconds(running=session.is_running),
        "problem": problem,
        "on_page": False,
        "turns_ledger": turns,
    }
    if "job" in names:
        context |= {"run": session.run_state, "job_seen": fingerprint(*shown)}
    if "lock" in names:
        sources = source_views(session.source_ids, Index.named(session.source_ids))
        context |= {
            "sources": sources,
            "same_sources_url": successor_url(session) if sources else "",
            "other_sources_url": successor_url(session, other="1") if session.is_bound else "",
            "lock_seen": fingerprint(*shown, sources),
        }
    return context


def _region(request: Request, session_id: str, name: str) -> HttpResponse:
    session = visible_or_404(request, session_id)
    problem = look_at(session, with_sources=name == "lock")
    session = visible_or_404(request, session_id)
    # Hidden tabs do not ask: whoever asks has the session before their eyes.
    note_visit(session, request.user)
    context = region_context(session, problem, names=[name])
    if request.GET.get("seen") == context[f"{name}_seen"]:
        return unchanged()
    return page_or_fragment(request, f"chats/_{name}.html", f"chats/_{name}.html", context)
