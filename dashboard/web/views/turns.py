"""Questions and answers: asking, watching, stopping, unfolding."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from functools import partial, wraps
from typing import Any

from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import redirect_to_login
from django.http import Http404, HttpResponse, HttpResponseRedirect, JsonResponse, StreamingHttpResponse
from django.middleware.csrf import get_token
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from dashboard.chats.models import ChatSession
from dashboard.config import upstream_client
from dashboard.errors import DashboardError
from dashboard.rows import find_one
from dashboard.turns.ask import RETRY, OtherForm, SessionGone, TurnRunning, ask, retry, stop
from dashboard.turns.entries import read_entries
from dashboard.turns.models import Turn
from dashboard.web import running
from dashboard.web.carried import carry_unsent, forget_unsent
from dashboard.web.conversation import composer, live_part, new_nonce, newer_views, turn_views
from dashboard.web.doors import readable_or_404, visible_or_404
from dashboard.web.handover import LETS_GO
from dashboard.web.live import snapshot, steps_html
from dashboard.web.looking import calling
from dashboard.web.present import first_pieces, turn_view
from dashboard.web.requests import Request, number_in
from dashboard.web.respond import page_or_fragment, tell_when_to_retry, unchanged
from dashboard.web.views.regions import region_context
from dashboard.web.views.session import session_page


def _takes_a_form(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Takes a form; who comes by its address alone, as after signing in anew, is shown the session."""

    @wraps(view)
    def posted(request: Request, session_id: str, **rest: Any) -> HttpResponse:
        if request.method in ("GET", "HEAD"):
            return HttpResponseRedirect(reverse("session-detail", args=[session_id]))
        return require_POST(view)(request, session_id, **rest)

    return posted


def _keeps_words(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Who was signed out meanwhile is shown their question, to copy: without JavaScript no browser keeps a draft."""

    @wraps(view)
    def asked(request: Request, session_id: str) -> HttpResponse:
        prompt = request.POST.get("prompt", "")
        is_kept = request.htmx or request.POST.get("nonce", "").startswith(RETRY)
        if request.user.is_active or is_kept or not prompt.strip():  # nobody is active
            return login_required(view)(request, session_id)
        sign_in_url = redirect_to_login(reverse("session-detail", args=[session_id])).url
        return render(request, "turns/signed_out.html", {"prompt": prompt, "sign_in_url": sign_in_url}, status=403)

    return asked


@_keeps_words
@_takes_a_form
def ask_question(request: Request, session_id: str) -> HttpResponse:
    """Take a question; the answer is watched on the session's page."""
    session = readable_or_404(request, session_id)
    prompt = request.POST.get("prompt", "").replace("\r\n", "\n")
    chosen = request.POST.getlist("index_ids")
    nonce = request.POST.get("nonce", "")[:100].replace("\0", "") or request.request_id
    retried = _to_retry(session, nonce)
    try:
        if retried is not None:
            turn = retry(running.RUNNERS, retried, actor=request.user, origin=request.origin)
        elif nonce.startswith(RETRY):
            raise OtherForm
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
        if retried is not None:
            return _not_asked_again(request, session, retried, error)
        return _not_asked(request, session, prompt, chosen, error)
    forget_unsent(request, turn.prompt)
    if not request.htmx:
        # A page of its own, which asks again by itself: the one with the composer must not, it would lose a draft.
        return HttpResponseRedirect(reverse("turn", args=[session_id, turn.number]))
    is_first = turn.session.first_asked_at == turn.asked_at
    context = region_context(turn.session, names=["job", "lock"] if is_first else ["job"]) | {
        "view": turn_view(turn),
        "snapshot": snapshot(turn, []),
        "polled": False,
        "nonce": new_nonce(),
        "is_first": is_first,
        # The form's own, which was checked already: masking it anew takes five hundred calls, and hides nothing from
        # somebody who had to know a token to get this answer.
        "csrf_token": request.POST.get("csrfmiddlewaretoken") or get_token(request),
    }
    return page_or_fragment(request, "turns/_asked.html", "turns/_asked.html", context)


def _to_retry(session: ChatSession, nonce: str) -> Turn | None:
    """The turn that "Ask again" belongs to: its form says so with its nonce, and everything else is known here."""
    said = re.fullmatch(RETRY + r"([0-9]{1,18})", nonce)
    return Turn.objects.filter(session=session, pk=int(said[1])).first() if said else None


def _not_asked(
    request: Request, session: ChatSession, prompt: str, chosen: list[str], error: DashboardError
) -> HttpResponse:
    """Show the composer again with the question in it."""
    require_all = bool(request.POST.get("require_all_indexes"))
    form = composer(session, prompt=prompt, problem=error.sentence, chosen=chosen, require_all=require_all)
    form |= _why_not(request, session, prompt, error)
    if not request.htmx:
        return tell_when_to_retry(session_page(request, session, form=form, status=error.status), error)
    context = {"session": session, "composer": form, "lock": session.lock_state}
    return _refused(request, "turns/_composer.html", context, error)


def _not_asked_again(request: Request, session: ChatSession, turn: Turn, error: DashboardError) -> HttpResponse:
    """Say why, and leave the composer alone: the words are still with their turn, and others may be typed by now."""
    why = {"problem": error.sentence} | _why_not(request, session, turn.prompt, error)
    if request.htmx:
        response = _refused(request, "turns/_composer_problem.html", {"session": session, "composer": why}, error)
        response["HX-Retarget"] = "#composer-problem"
        return response
    # Where nothing more can be asked there is no box, and the words are shown with the way on.
    prompt = turn.prompt if isinstance(error, SessionGone) else ""
    form = composer(session, prompt=prompt) | why
    return tell_when_to_retry(session_page(request, session, form=form, status=error.status), error)


def _why_not(request: Request, session: ChatSession, prompt: str, error: DashboardError) -> dict[str, Any]:
    """What the composer tells beside the sentence: the answer in the way, how long to wait, where to ask instead."""
    return {
        "running": error.turn if isinstance(error, TurnRunning) else None,
        "retry_after": error.retry_after,
        "elsewhere_url": carry_unsent(request, session, prompt) if isinstance(error, SessionGone) else "",
    }


def _refused(request: Request, template: str, context: dict[str, Any], error: DashboardError) -> HttpResponse:
    return tell_when_to_retry(page_or_fragment(request, template, template, context, status=error.status), error)


@login_required
@require_safe
def events(request: Request, session_id: str, number: int) -> HttpResponse | StreamingHttpResponse:
    """Stream a live answer; when too many watch already, answer with a part that asks again by itself."""
    turn = _turn(request, session_id, number)
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
    return _shown(request, _turn(request, session_id, number))


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
    late = [_number(given) for given in request.GET.getlist("late")]
    views, mended = newer_views(session, _number(request.GET.get("after", "")), late)
    if not views and not mended:
        return unchanged()
    context = {"session": session, "turns": views, "mended": mended, "snapshot": live_part(views)}
    return page_or_fragment(request, "turns/newer.html", "turns/_newer.html", context)


def _number(given: str) -> int:
    return number_in(given) or 0


@login_required
@_takes_a_form
def stop_answer(request: Request, session_id: str, number: int) -> HttpResponse:
    """Stop reading an answer."""
    turn = _turn(request, session_id, number)
    stop(running.RUNNERS, turn, actor=request.user, origin=request.origin)
    if request.htmx:
        return HttpResponse(status=204)
    # The page that is shown next does not change by itself: it should have the end, which is not far.
    ends = time.monotonic() + 2.0
    while time.monotonic() < ends and Turn.objects.live().filter(pk=turn.pk).exists():
        time.sleep(0.1)
    return HttpResponseRedirect(f"{reverse('session-detail', args=[session_id])}#{turn.anchor}")


@login_required
@require_safe
def older(request: Request, session_id: str) -> HttpResponse:
    """The screen of turns before a number."""
    session = readable_or_404(request, session_id)
    views, has_older = turn_views(session, _number(request.GET.get("before", "")) or None)
    context: dict[str, Any] = {"session": session, "turns": views}
    context |= {"older_than": views[0].turn.number if has_older else None}
    # Without end, nobody would ever get to what stands above the conversation.
    context |= {"screens": max(0, _number(request.GET.get("screens", "")) - 1)}
    return page_or_fragment(request, "turns/older.html", "turns/_older.html", context)


@login_required
@require_safe
def steps(request: Request, session_id: str, number: int) -> HttpResponse:
    """The folded steps of an answer: tools, arguments, results, thinking."""
    turn = _turn(request, session_id, number)
    context = {"session": turn.session, "turn": turn, "steps": steps_html(turn, read_entries(turn.pk))}
    return page_or_fragment(request, "turns/steps.html", "turns/_steps.html", context)


@login_required
@require_safe
def more(request: Request, session_id: str, number: int) -> HttpResponse:
    """The next pieces of a long answer."""
    turn = _turn(request, session_id, number)
    pieces, more_from = first_pieces(turn, _number(request.GET.get("from", "")))
    context = {"session": turn.session, "turn": turn, "pieces": pieces, "more_from": more_from, "goes_on": True}
    return page_or_fragment(request, "turns/more.html", "turns/_more.html", context)


@login_required
@require_safe
def image(request: Request, session_id: str, number: int, place: int) -> HttpResponse:
    """A cited page's image, fetched by the server for whoever may see the session; its address is never told."""
    turn = _turn(request, session_id, number)
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


def _turn(request: Request, session_id: str, number: int) -> Turn:
    session = readable_or_404(request, session_id)
    turn = find_one(Turn, "session_id", session.pk, number=number)
    if turn is None:
        raise Http404
    turn.session = session
    return turn
