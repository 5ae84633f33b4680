"""The list of sessions."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import Max
from django.http import HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST, require_safe

from dashboard.catalog.models import Index
from dashboard.chats.filters import ChatSessionQuerySet
from dashboard.chats.models import ChatSession, LockState, RunState
from dashboard.jobs.run import hurry
from dashboard.templatetags.wording import visible
from dashboard.web.forms import FilterForm
from dashboard.web.looking import look_at_recent, poll_seconds
from dashboard.web.pages import page_of
from dashboard.web.present import columns_of, fingerprint, session_row
from dashboard.web.requests import Request
from dashboard.web.respond import page_or_fragment, unchanged


@login_required
@require_safe
def index(request: Request) -> HttpResponse:
    """List sessions from the cache; the open list asks again, and is answered only when something changed."""
    problem = look_at_recent() if "seen" in request.GET else ""
    context = _list(request, problem)
    if request.GET.get("seen") == context["seen"]:
        return unchanged()
    return page_or_fragment(request, "chats/list.html", "chats/_results.html", context)


@login_required
@require_POST
def refresh(request: Request) -> HttpResponse:
    """Ask LlamaCloud now for what changed lately, and the workers for everything else."""
    for name in ("catalog", "all-sessions"):
        hurry(name)
    if problem := look_at_recent():
        messages.error(request, f"Couldn’t refresh. {problem}")
    else:
        messages.success(request, "The list is up to date with LlamaCloud.")
    return redirect("session-list")


def _list(request: Request, problem: str) -> dict[str, Any]:
    sources = Index.objects.present().order_by("name", "id").values_list("id", "name")
    filters = FilterForm(request.GET, sources=[(pk, visible(name, 80)) for pk, name in sources])
    filters.is_valid()
    found = _filtered(
        ChatSession.objects.visible_to(request.user).without_json().with_unread(request.user), filters.cleaned_data
    )
    sessions, pager = page_of(found.prefetch_related("sources"), request.GET)
    catalog = Index.named({source.index_id for session in sessions for source in session.sources.all()})
    rows = [session_row(session, catalog) for session in sessions]
    shown = [(columns_of(row.session), getattr(row.session, "unread", False), row.sources) for row in rows]
    seen = fingerprint(shown, problem)
    return {
        "filters": filters,
        "filtered": any(filters.cleaned_data.values()),
        "rows": rows,
        "pager": pager,
        "synced_at": ChatSession.objects.aggregate(at=Max("synced_at"))["at"],
        "sync_problem": problem,
        "seen": seen,
        "poll_seconds": poll_seconds(running=any(session.is_running for session in sessions)),
        "revalidate_url": _revalidate_url(request, seen),
    }


def _filtered(sessions: ChatSessionQuerySet, wanted: dict[str, str]) -> ChatSessionQuerySet:
    state, source, words = (wanted.get(name, "") for name in ("state", "source", "q"))
    if state != LockState.GONE:
        sessions = sessions.present()
    if state in LockState.values:
        sessions = sessions.in_lock_state(LockState(state))
    elif state in RunState.values:
        sessions = sessions.in_run_state(RunState(state))
    if source:
        sessions = sessions.over_source(source)
    return sessions.titled_like(words) if words else sessions


def _revalidate_url(request: Request, seen: str) -> str:
    query = request.GET.copy()
    query["seen"] = seen
    return f"?{query.urlencode()}"
