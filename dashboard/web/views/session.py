"""One session: its page, its name, its end."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from dashboard.access.policy import NotAllowed, may_delete, may_rename
from dashboard.catalog.models import Project
from dashboard.chats.change import delete_session, note_visit, rename_session
from dashboard.chats.models import ChatSession
from dashboard.config import upstream_client
from dashboard.templatetags.wording import visible
from dashboard.upstream import UpstreamError
from dashboard.web.carried import carried_question
from dashboard.web.conversation import composer, conversation, may_be_first
from dashboard.web.doors import record_reading, visible_or_404
from dashboard.web.forms import RenameForm
from dashboard.web.looking import TooManyCalls, calling
from dashboard.web.requests import Request
from dashboard.web.respond import tell_when_to_retry
from dashboard.web.views.regions import region_context


@login_required
@require_safe
def detail(request: Request, session_id: str) -> HttpResponse:
    """Show a session from the cache; its regions ask for themselves again."""
    session = visible_or_404(request, session_id, for_page=True)
    record_reading(request, session)
    note_visit(session, request.user)
    return session_page(request, session)


def session_page(
    request: Request, session: ChatSession, *, form: dict[str, Any] | None = None, status: int = 200
) -> HttpResponse:
    """The whole page, with the composer as it was left when a question could not be taken."""
    context = region_context(session) | _about(request, session) | conversation(session)
    if form is None:
        # Once it is asked it is not offered again, whatever the address says.
        carried = carried_question(request, request.GET) if may_be_first(session) else ""
        form = composer(session, prompt=request.GET.get("prompt", "") or carried)
    context["composer"] = form
    return render(request, "chats/detail.html", context, status=status)


def _about(request: Request, session: ChatSession) -> dict[str, Any]:
    project = Project.objects.filter(pk=session.project_id).only("name").first()
    return {
        "created_by": _name(session),
        "project_name": project.name if project else "",
        "may_rename": may_rename(request.user, session),
        "may_delete": may_delete(request.user, session),
        "successors": session.successors.visible_to(request.user).newest_first()[:5],
    }


def _name(session: ChatSession) -> str:
    return session.owner.get_full_name() or session.owner.get_username() if session.owner else ""


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def rename(request: Request, session_id: str) -> HttpResponse:
    """Give a session a title of the team's own."""
    session = visible_or_404(request, session_id)
    theirs = visible(session.generated_title, 200)
    form = RenameForm(request.POST if request.method == "POST" else None, initial={"title": session.title or theirs})
    if request.method == "POST" and form.is_valid():
        title = form.cleaned_data["title"]
        if not session.title and title == theirs:
            return redirect("session-detail", session_id)
        rename_session(session, title, actor=request.user, origin=request.origin)
        messages.success(request, "The session was renamed." if title else "It shows LlamaCloud’s own title again.")
        return redirect("session-detail", session_id)
    _may(may_rename(request.user, session))
    context = {"session": session, "title": session.display_title, "form": form}
    return render(request, "chats/rename.html", context, status=422 if form.is_bound else 200)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def delete(request: Request, session_id: str) -> HttpResponse:
    """Ask, then delete at LlamaCloud and mark it here."""
    session = visible_or_404(request, session_id)
    context: dict[str, Any] = {"session": session, "title": session.display_title, "request_id": request.request_id}
    if request.method != "POST":
        _may(may_delete(request.user, session))
        return render(request, "chats/delete.html", context)
    try:
        with calling(request.user.pk):
            delete_session(upstream_client(), session, actor=request.user, origin=request.origin)
    except (UpstreamError, TooManyCalls) as error:
        response = render(request, "chats/delete.html", context | {"failure": error}, status=error.status)
        return tell_when_to_retry(response, error)
    messages.success(request, "The session was deleted.")
    return redirect("session-list")


def _may(decision: Any) -> None:
    if not decision:
        raise NotAllowed(decision)
