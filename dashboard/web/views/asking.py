"""Asking, asking again, stopping: what changes a conversation."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import redirect_to_login
from django.http import HttpResponse, HttpResponseRedirect
from django.middleware.csrf import get_token
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_POST

from dashboard.chats.models import ChatSession
from dashboard.errors import DashboardError
from dashboard.turns.ask import RETRY, OtherForm, SessionGone, TurnRunning, ask, retry, stop
from dashboard.turns.models import Turn
from dashboard.web import running
from dashboard.web.answers import turn_view
from dashboard.web.carried import carry_unsent, forget_unsent
from dashboard.web.conversation import composer, new_nonce
from dashboard.web.doors import readable_or_404, turn_or_404
from dashboard.web.live import snapshot
from dashboard.web.requests import Request
from dashboard.web.respond import page_or_fragment, tell_when_to_retry
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
@_takes_a_form
def stop_answer(request: Request, session_id: str, number: int) -> HttpResponse:
    """Stop reading an answer."""
    turn = turn_or_404(request, session_id, number)
    stop(running.RUNNERS, turn, actor=request.user, origin=request.origin)
    if request.htmx:
        return HttpResponse(status=204)
    # The page that is shown next does not change by itself: it should have the end, which is not far.
    ends = time.monotonic() + 2.0
    while time.monotonic() < ends and Turn.objects.live().filter(pk=turn.pk).exists():
        time.sleep(0.1)
    return HttpResponseRedirect(f"{reverse('session-detail', args=[session_id])}#{turn.anchor}")
