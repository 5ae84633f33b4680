"""Questions and answers: asking, watching, stopping, unfolding."""

from __future__ import annotations

import re
from typing import Any

from django.contrib.auth.decorators import login_required
from django.db import connection
from django.http import Http404, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from dashboard.chats.models import ChatSession
from dashboard.config import upstream_client
from dashboard.errors import DashboardError
from dashboard.turns.answer import Entry
from dashboard.turns.ask import TurnRunning, ask, retry, stop
from dashboard.turns.eventlog import read_entries
from dashboard.turns.models import Turn, TurnState
from dashboard.turns.runners import place_in_queue
from dashboard.upstream import EVENT_TYPES
from dashboard.web import running
from dashboard.web.conversation import composer, turn_views
from dashboard.web.live import STEPS, doing, fold, step_html, stream
from dashboard.web.present import first_pieces, turn_view
from dashboard.web.requests import Request
from dashboard.web.respond import page_or_fragment
from dashboard.web.views.regions import region_context, visible_or_404
from dashboard.web.views.session import session_page


@login_required
@require_POST
def ask_question(request: Request, session_id: str) -> HttpResponse:
    """Take a question; the answer is watched on the session's page."""
    session = visible_or_404(request, session_id)
    prompt = request.POST.get("prompt", "").replace("\r\n", "\n")
    chosen = request.POST.getlist("index_ids")
    nonce = request.POST.get("nonce", "")[:100].replace("\0", "") or request.request_id
    try:
        if (retried := _to_retry(session, nonce)) is not None:
            turn = retry(running.RUNNERS, retried, actor=request.user, origin=request.origin)
        else:
            turn = ask(
                running.RUNNERS,
                session,
                actor=request.user,
                prompt=prompt,
                nonce=nonce,
                origin=request.origin,
                index_ids=tuple(chosen),
                require_all_indexes=bool(request.POST.get("require_all_indexes")),
            )
    except DashboardError as error:
        return _not_asked(request, session, prompt, chosen, error)
    if not request.htmx:
        return HttpResponseRedirect(f"{reverse('session-detail', args=[session_id])}#turn-{turn.number}")
    session.refresh_from_db(fields=["first_asked_at", "is_running", "questions"])
    place = place_in_queue(turn) if turn.state == TurnState.QUEUED else None
    context = region_context(session) | {"view": turn_view(turn), "queue_place": place, "composer": composer(session)}
    return page_or_fragment(request, "turns/_asked.html", "turns/_asked.html", context)


def _to_retry(session: ChatSession, nonce: str) -> Turn | None:
    """The turn that "Ask again" belongs to: its form says so with its nonce, and everything else is known here."""
    said = re.fullmatch(r"retry-([0-9]{1,18})", nonce)
    return Turn.objects.filter(session=session, pk=int(said[1])).first() if said else None


def _not_asked(
    request: Request, session: ChatSession, prompt: str, chosen: list[str], error: DashboardError
) -> HttpResponse:
    """Show the composer again with the question in it."""
    form = composer(session, prompt=prompt, problem=error.sentence, chosen=chosen)
    form["running"] = error.turn if isinstance(error, TurnRunning) else None
    if request.htmx:
        context = {"session": session, "composer": form}
        response = page_or_fragment(
            request, "turns/_composer.html", "turns/_composer.html", context, status=error.status
        )
    else:
        response = session_page(request, session, form=form, status=error.status)
    if error.retry_after is not None:
        response["Retry-After"] = str(error.retry_after)
    return response


@login_required
@require_safe
def events(request: Request, session_id: str, number: int) -> HttpResponse | StreamingHttpResponse:
    """Stream a live answer; when too many watch already, answer with a part that asks again by itself."""
    turn = _turn(request, session_id, number)
    if not running.WATCHING.acquire(blocking=False):
        return show(request, session_id, number)
    watched = running.Watched(stream(turn, _cursor(request)), running.WATCHING)
    response = StreamingHttpResponse(watched, content_type="text/event-stream; charset=utf-8")
    response["Cache-Control"] = "no-store"
    response["X-Accel-Buffering"] = "no"
    # Django's compression would hold small messages back.
    response["Content-Encoding"] = "identity"
    # A watcher mostly waits: it must not hold a database connection meanwhile.
    connection.close()
    return response


def _cursor(request: Request) -> int | None:
    given = request.headers.get("Last-Event-ID", "")
    return int(given) if given.isdecimal() and len(given) < 10 else None


@login_required
@require_safe
def show(request: Request, session_id: str, number: int) -> HttpResponse:
    """One turn by itself: what a page without a stream asks for every two seconds."""
    turn = _turn(request, session_id, number)
    context: dict[str, Any] = {"session": turn.session, "view": turn_view(turn), "polled": True}
    if turn.is_live:
        entries = read_entries(turn.pk)
        html, tail = fold(entries)
        context |= {"html": html, "tail": tail, "doing": doing(entries), "steps": _steps(turn, entries)}
    return page_or_fragment(request, "turns/_turn.html", "turns/_turn.html", context)


@login_required
@require_POST
def stop_answer(request: Request, session_id: str, number: int) -> HttpResponse:
    """Stop reading an answer."""
    turn = _turn(request, session_id, number)
    stop(running.RUNNERS, turn, actor=request.user, origin=request.origin)
    if request.htmx:
        return HttpResponse(status=204)
    return HttpResponseRedirect(f"{reverse('session-detail', args=[session_id])}#turn-{number}")


@login_required
@require_safe
def older(request: Request, session_id: str) -> HttpResponse:
    """The screen of turns before a number."""
    session = visible_or_404(request, session_id)
    before = request.GET.get("before", "")
    views, has_older = turn_views(session, int(before) if before.isdecimal() and len(before) < 10 else None)
    context = {"session": session, "turns": views, "older_than": views[0].turn.number if has_older else None}
    return page_or_fragment(request, "turns/older.html", "turns/_older.html", context)


@login_required
@require_safe
def steps(request: Request, session_id: str, number: int) -> HttpResponse:
    """The folded steps of an answer: tools, arguments, results, thinking."""
    turn = _turn(request, session_id, number)
    context = {"session": turn.session, "turn": turn, "steps": _steps(turn, read_entries(turn.pk))}
    return page_or_fragment(request, "turns/steps.html", "turns/_steps.html", context)


def _steps(turn: Turn, entries: list[Entry]) -> list[str]:
    return [step_html(turn, entry) for entry in entries if entry.type in STEPS or entry.type not in EVENT_TYPES]


@login_required
@require_safe
def more(request: Request, session_id: str, number: int) -> HttpResponse:
    """The next pieces of a long answer."""
    turn = _turn(request, session_id, number)
    start = request.GET.get("from", "0")
    pieces, more_from = first_pieces(turn, int(start) if start.isdecimal() and len(start) < 10 else 0)
    context = {"session": turn.session, "turn": turn, "pieces": pieces, "more_from": more_from}
    return page_or_fragment(request, "turns/more.html", "turns/_more.html", context)


@login_required
@require_safe
def image(request: Request, session_id: str, number: int, place: int) -> HttpResponse:
    """A cited page's image, fetched by the server for whoever may see the session; its address is never told."""
    turn = _turn(request, session_id, number)
    cited = [citation for citation in turn.citations if citation.get("attachment_name")]
    if place >= len(cited):
        raise Http404
    found = upstream_client().fetch_attachment(
        cited[place]["attachment_name"], cited[place]["source_id"], project_id=turn.session.project_id or None
    )
    response = HttpResponse(found.content, content_type=found.content_type)
    # Whatever a storage sends is shown as a picture and nothing else.
    response["Content-Security-Policy"] = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
    response["X-Content-Type-Options"] = "nosniff"
    response["Cache-Control"] = "private, max-age=300"
    return response


def _turn(request: Request, session_id: str, number: int) -> Turn:
    session = visible_or_404(request, session_id)
    turn = get_object_or_404(Turn.objects.select_related("asked_by"), session=session, number=number)
    turn.session = session
    return turn
