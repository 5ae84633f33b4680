"""Questions and answers: watching, catching up, unfolding."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse, JsonResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_safe

from dashboard.chats.models import ChatSession
from dashboard.config import upstream_client
from dashboard.turns.entries import read_entries
from dashboard.turns.models import Turn
from dashboard.web import running
from dashboard.web.answers import TurnView, first_pieces, turn_view
from dashboard.web.conversation import live_part, mended_views, turn_views
from dashboard.web.doors import readable_or_404, turn_or_404, visible_or_404
from dashboard.web.handover import LETS_GO
from dashboard.web.live import snapshot, steps_html
from dashboard.web.looking import calling
from dashboard.web.requests import Request, number_in
from dashboard.web.respond import page_or_fragment, unchanged


@login_required
@require_safe
def events(request: Request, session_id: str, number: int) -> HttpResponse | StreamingHttpResponse:
    """Stream a live answer; when too many watch already, answer with a part that asks again by itself."""
    turn = turn_or_404(request, session_id, number)
    watched: Iterable[bytes] = ()
    if request.method == "GET":
        if not running.WATCHING.take(request.user.pk):
            return _turned_away(request, turn)
        leave = partial(running.WATCHING.give_back, request.user.pk)
        watched = running.Watched(turn, _cursor(request), leave, lets_go=LETS_GO in request.META)
    response = StreamingHttpResponse(watched, content_type="text/event-stream; charset=utf-8")
    response["Cache-Control"] = "no-store"
    response["X-Accel-Buffering"] = "no"
    # Django's compression would hold small messages back.
    response["Content-Encoding"] = "identity"
    return response


def _turned_away(request: Request, turn: Turn) -> HttpResponse:
    """Too many watch already: a page that comes anew gets the part that polls; one that resumes is told to wait."""
    if _cursor(request) is not None:
        return HttpResponse(status=503, headers={"Retry-After": "2"})
    response = _shown(request, turn)
    response["HX-Retarget"] = f"#{turn.anchor}"
    response["HX-Reswap"] = "outerHTML"
    return response


def _cursor(request: Request) -> int | None:
    given = request.headers.get("Last-Event-ID", "")
    return number_in(given)


@login_required
@require_safe
def show(request: Request, session_id: str, number: int) -> HttpResponse:
    """One turn by itself: what a page without a stream asks for every two seconds."""
    return _shown(request, turn_or_404(request, session_id, number))


def _shown(request: Request, turn: Turn) -> HttpResponse:
    context: dict[str, Any] = {"session": turn.session, "view": turn_view(turn), "polled": True}
    if turn.is_live:
        context["snapshot"] = snapshot(turn, read_entries(turn.pk), orphaned=turn.is_orphaned)
    return page_or_fragment(request, "turns/one.html", "turns/_turn.html", context)


@login_required
@require_safe
def state(request: Request, session_id: str, number: int) -> HttpResponse:
    """Whether an answer is ready: all that a hidden tab asks for."""
    session = visible_or_404(request, session_id)
    turn = get_object_or_404(Turn.objects.only("state"), session=session, number=number)
    return JsonResponse({"state": turn.state, "live": turn.is_live})


@login_required
@require_safe
def newer(request: Request, session_id: str) -> HttpResponse:
    """What came into the conversation since a page was opened: asked elsewhere, or read back late."""
    session = readable_or_404(request, session_id)
    after = _number(request.GET.get("after", ""))
    views, has_older = turn_views(session, after=after)
    mended = mended_views(session, [_number(given) for given in request.GET.getlist("late")])
    if not views and not mended:
        return unchanged()
    context = _screen(session, views, has_older) | {"newer_than": after, "mended": mended, "snapshot": live_part(views)}
    return page_or_fragment(request, "turns/newer.html", "turns/_newer.html", context)


def _screen(session: ChatSession, views: list[TurnView], has_older: bool) -> dict[str, Any]:
    return {"session": session, "turns": views, "older_than": views[0].turn.number if has_older else None}


def _number(given: str) -> int:
    return number_in(given) or 0


@login_required
@require_safe
def older(request: Request, session_id: str) -> HttpResponse:
    """The screen of turns before a number."""
    session = readable_or_404(request, session_id)
    before, after = (_number(request.GET.get(name, "")) for name in ("before", "after"))
    context = _screen(session, *turn_views(session, before=before or None, after=after)) | {"newer_than": after}
    # Without end, nobody would ever get to what stands above the conversation.
    context |= {"screens": max(0, _number(request.GET.get("screens", "")) - 1)}
    return page_or_fragment(request, "turns/older.html", "turns/_older.html", context)


@login_required
@require_safe
def steps(request: Request, session_id: str, number: int) -> HttpResponse:
    """The folded steps of an answer: tools, arguments, results, thinking."""
    turn = turn_or_404(request, session_id, number)
    context = {"session": turn.session, "turn": turn, "steps": steps_html(turn, read_entries(turn.pk))}
    return page_or_fragment(request, "turns/steps.html", "turns/_steps.html", context)


@login_required
@require_safe
def more(request: Request, session_id: str, number: int) -> HttpResponse:
    """The next pieces of a long answer."""
    turn = turn_or_404(request, session_id, number)
    pieces, more_from = first_pieces(turn, _number(request.GET.get("from", "")))
    context = {"session": turn.session, "turn": turn, "pieces": pieces, "more_from": more_from, "goes_on": True}
    return page_or_fragment(request, "turns/more.html", "turns/_more.html", context)


@login_required
@require_safe
def image(request: Request, session_id: str, number: int, place: int) -> HttpResponse:
    """A cited page's image, fetched by the server for whoever may see the session; its address is never told."""
    turn = turn_or_404(request, session_id, number)
    cited = [citation for citation in turn.citations if citation.get("attachment_name")]
    if place >= len(cited):
        raise Http404
    with calling(request.user.pk):
        found = upstream_client().fetch_attachment(
            cited[place]["attachment_name"], cited[place]["source_id"], project_id=turn.session.project_id or None
        )
    response = HttpResponse(found.content, content_type=found.content_type)
    # Whatever a storage sends is shown as a picture and nothing else.
    response["Content-Security-Policy"] = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
    response["X-Content-Type-Options"] = "nosniff"
    response["Cache-Control"] = "private, max-age=300"
    return response
