"""Choosing sources and creating a session."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.core.cache import cache
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from dashboard.catalog.models import Index, Project
from dashboard.catalog.sync import refresh_catalog
from dashboard.chats.create import OutcomeUnknown, StillCreating, abandon, create_session
from dashboard.chats.models import ChatSession
from dashboard.config import upstream_client
from dashboard.errors import DashboardError
from dashboard.upstream import MAX_SESSION_INDEXES, UpstreamError
from dashboard.web.carried import carried_question
from dashboard.web.forms import BOUND, UNBOUND, NewSessionForm, new_token
from dashboard.web.looking import TooManyCalls, calling
from dashboard.web.present import IndexChoice, index_choices
from dashboard.web.requests import Request
from dashboard.web.respond import page_or_fragment, tell_when_to_retry

FIRST_LOOK_BUDGET = 5.0
"""Seconds the first visit to an empty catalog may wait for LlamaCloud."""
KEPT = ("project_id", "find", "binding", "index_ids", "shared_access", "from", "other", "question")
"""What the address may say about the form."""
LOOK_AGAIN_AFTER = 15
"""Seconds before a catalog that stayed empty is asked for again by a visit."""


@require_http_methods(["GET", "HEAD", "POST"])
def create(request: Request) -> HttpResponse:
    """Show the form; take it."""
    if not request.user.is_active:  # as nobody is
        return _sign_in_first(request)
    if request.method == "POST":
        return _submit(request)
    return _page(request, NewSessionForm(initial=_initial(request)))


def _submit(request: Request) -> HttpResponse:
    data: QueryDict = request.POST
    if data.get("show"):
        return _show(data)
    if data.get("start_over"):
        abandon(data.get("idempotency_token", ""), actor=request.user, origin=request.origin)
        data = _with_new_token(data)
    form = NewSessionForm(data)
    if not form.is_valid():
        if "idempotency_token" in form.errors:
            form.data = _with_new_token(data)
        return _page(request, form, status=422)
    follows = _successor_of(request, data)
    try:
        with calling(request.user.pk):
            session = create_session(
                upstream_client(),
                actor=request.user,
                token=form.cleaned_data["idempotency_token"],
                choice=form.choice(follows_id=follows.pk if follows else None),
                origin=request.origin,
            )
    except DashboardError as error:
        return _failed(request, data, error)
    messages.success(request, "The session is ready.")
    carried = {name: data[name] for name in ("from", "question") if data.get(name)}
    query = f"?{urlencode(carried)}" if "question" in carried else ""
    return redirect(f"{reverse('session-detail', args=[session.session_id])}{query}")


def _sign_in_first(request: Request) -> HttpResponse:
    """Somebody who was signed out meanwhile finds the choices of the form again after signing in."""
    if request.method != "POST":
        return redirect_to_login(request.get_full_path())
    messages.warning(request, "You were signed out meanwhile, so nothing was created. Sign in: your choices are kept.")
    return redirect_to_login(_address_of(request.POST))


def _show(data: QueryDict) -> HttpResponse:
    """Search or change the project without JavaScript: the same page with everything chosen so far in its address."""
    return redirect(_address_of(data))


def _address_of(data: QueryDict) -> str:
    kept = QueryDict(mutable=True)
    for name in KEPT:
        kept.setlist(name, data.getlist(name))
    return f"{reverse('session-new')}?{kept.urlencode()}"


def _failed(request: Request, data: QueryDict, error: DashboardError) -> HttpResponse:
    """Show the form again as it was. A new token goes with it, unless the old one may still bring the session."""
    unsettled = isinstance(error, OutcomeUnknown | StillCreating)
    same_form = unsettled or isinstance(error, TooManyCalls)  # which may have been sent before
    form = NewSessionForm(data if same_form else _with_new_token(data))
    form.is_valid()
    response = _page(request, form, status=error.status, failure=error, outcome_unknown=unsettled)
    return tell_when_to_retry(response, error)


def _with_new_token(data: QueryDict) -> QueryDict:
    renewed = data.copy()
    renewed["idempotency_token"] = new_token()
    return renewed


def _initial(request: Request) -> dict[str, Any]:
    """What the form starts with: what the address says, else what the session to be succeeded has."""
    initial = {
        "idempotency_token": new_token(),
        "project_id": request.GET.get("project_id", ""),
        "find": request.GET.get("find", ""),
        "index_ids": request.GET.getlist("index_ids"),
        "shared_access": request.GET.get("shared_access", ""),
        "binding": UNBOUND if request.GET.get("binding") == UNBOUND else BOUND,
    }
    before = _successor_of(request, request.GET)
    if before and not initial["project_id"]:
        initial["project_id"] = before.project_id
    if before and not {"other", "binding"} & request.GET.keys():
        initial["index_ids"] = before.source_ids
        initial["binding"] = BOUND if before.is_bound else UNBOUND
    return initial


def _successor_of(request: Request, query: QueryDict) -> ChatSession | None:
    session_id = query.get("from", "")
    return ChatSession.seen_by(request.user, session_id) if session_id else None


def _page(
    request: Request,
    form: NewSessionForm,
    *,
    status: int = 200,
    failure: DashboardError | None = None,
    outcome_unknown: bool = False,
) -> HttpResponse:
    problem = ""
    projects, project_id, choices = _offer(form)
    if not choices:
        problem = _first_look()
        projects, project_id, choices = _offer(form)
    said = request.POST if request.method == "POST" else request.GET
    context = {
        "form": form,
        "choices": choices,
        "chosen_count": sum(choice.checked for choice in choices),
        "needs_confirmation": [choice for choice in choices if choice.checked and choice.readiness.needs_confirmation],
        "projects": projects,
        "project_id": project_id,
        "limit": MAX_SESSION_INDEXES,
        "failure": failure,
        "outcome_unknown": outcome_unknown,
        "request_id": request.request_id,
        "catalog_synced_at": max((project.synced_at for project in projects), default=None),
        "catalog_problem": problem,
        "question": said.get("question", ""),
        "prompt": carried_question(request, said),
        "successor_of": _successor_of(request, said),
    }
    return page_or_fragment(request, "chats/new.html", "chats/_sources.html", context, status=status)


def _offer(form: NewSessionForm) -> tuple[list[Project], str, list[IndexChoice]]:
    """What there is to choose from: the projects, the one that is chosen, and its sources."""
    projects = list(Project.objects.offered().defer("raw"))
    project_id = form["project_id"].value() or (projects[0].pk if projects else "")
    chosen = form["index_ids"].value() or []
    choices = index_choices(_shown(project_id, (form["find"].value() or "")[:200], chosen), chosen)
    return projects, project_id, choices


def _shown(project_id: str, words: str, chosen: list[str]) -> list[Index]:
    """The project's indexes with these words in name or description; ticked ones stay, whatever is searched for."""
    indexes = Index.objects.present().filter(project_id=project_id).defer("raw").order_by("name", "id")
    return list(indexes.found_by(words, or_in=chosen))


def _first_look() -> str:
    """With an empty catalog, fill it now: the page must not depend on a worker or on JavaScript (decision 2)."""
    if Index.objects.present().exists() or not cache.add("empty-catalog", True, LOOK_AGAIN_AFTER):
        return ""
    try:
        refreshed = refresh_catalog(upstream_client(), budget=FIRST_LOOK_BUDGET)
    except UpstreamError as error:
        cache.delete("empty-catalog")
        return error.when_reading
    return refreshed.why
