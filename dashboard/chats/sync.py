"""Keeping cached sessions true: one, the newest few, or all of them."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

from django.utils import timezone

from dashboard import upstream
from dashboard.catalog.models import Project
from dashboard.chats.models import ChatSession
from dashboard.chats.store import history_columns, store_one, store_summaries

PAGE_SIZE = 100
VANISHED_CHECKS = 25
"""Sessions that a full pass did not meet and that are asked for by id, per step, before one is called gone: a list
that changes between two pages may skip an item (contract.md §14.3)."""


def refresh_one(client: upstream.LlamaCloud, session: ChatSession) -> ChatSession:
    """Bring one session up to date: its summary always, its history when that can have changed.

    Args:
        client: the connection to LlamaCloud.
        session: the row as it was known.

    Returns:
        the row as it is now; marked gone when LlamaCloud no longer has it.

    Raises:
        upstream.UpstreamError: nothing was changed.
    """
    project_id = session.project_id
    try:
        summary = client.chat_summary(session.session_id, project_id=project_id or None)
        if not _history_may_differ(session, summary):
            return store_one(summary, project_id=project_id)
        detail = client.chat(session.session_id, project_id=project_id or None)
    except upstream.NotFound:
        mark_gone(session)
        return ChatSession.objects.get(pk=session.pk)
    # The detail is newer than the summary, but ``raw`` must stay a summary: the history is not cached here.
    return store_one(summary, project_id=project_id, **history_columns(detail))


def fetch_unknown(client: upstream.LlamaCloud, session_id: str) -> ChatSession | None:
    """A session made elsewhere that no list has told of yet; ``None`` when LlamaCloud does not show it either.

    Args:
        client: the connection to LlamaCloud.
        session_id: the id somebody asks for.
    """
    for project_id in session_projects():
        try:
            summary = client.chat_summary(session_id, project_id=project_id or None)
        except upstream.Refusal:
            continue
        except (upstream.UpstreamError, ValueError):
            return None
        return store_one(summary, project_id=project_id)
    return None


def _history_may_differ(session: ChatSession, summary: upstream.ChatSummary) -> bool:
    return session.questions is None or session.is_running or session.raw != summary.raw


def mark_gone(session: ChatSession) -> None:
    """Remember that LlamaCloud no longer has it; the row itself stays."""
    now = timezone.now()
    ChatSession.objects.filter(pk=session.pk, gone_at=None).update(gone_at=now, synced_at=now, is_running=False)


def refresh_recent(client: upstream.LlamaCloud) -> None:
    """Read the first page of every project's sessions: what changed lately, in one call a project.

    Raises:
        upstream.UpstreamError: a page could not be read; earlier projects are stored.
    """
    for project_id in session_projects():
        page = client.chats(project_id=project_id or None, page_size=PAGE_SIZE)
        store_summaries(page.items, project_id=project_id)


def session_projects() -> list[str]:
    """The projects whose sessions are listed; ``""`` is the key's own when none is known yet."""
    return list(Project.objects.offered().values_list("pk", flat=True)) or [""]


def refresh_all(client: upstream.LlamaCloud, cursor: Any = None, *, budget: float = 20.0) -> dict[str, Any] | None:
    """Read all pages of all projects, in resumable steps.

    Args:
        client: the connection to LlamaCloud.
        cursor: what the previous step returned; ``None`` begins a new pass.
        budget: seconds after which the step stops at a page boundary.

    Returns:
        the cursor for the next step, or ``None`` when the pass is complete. A session the pass did not meet is marked
        gone only after LlamaCloud answered 404 for it.

    Raises:
        upstream.UpstreamError: a page could not be read; the pass can go on from the same cursor.
    """
    ends = time.monotonic() + budget
    at = cursor or _new_pass()
    while at["projects"]:
        project_id = at["projects"][0]
        page = client.chats(project_id=project_id or None, page_token=at["token"], page_size=PAGE_SIZE)
        at = _next_page(at, page)
        store_summaries(page.items, project_id=project_id)
        if time.monotonic() > ends:
            return at
    return _check_vanished(client, at)


def _new_pass() -> dict[str, Any]:
    projects = session_projects()
    return {"began": timezone.now().isoformat(), "projects": projects, "all": projects, "whole": True, **_FIRST_PAGE}


_FIRST_PAGE: dict[str, Any] = {"token": None, "used": [], "empty": 0}
EMPTY_PAGES = 5
"""Empty pages in a row that are followed because they bear a new token."""


def _next_page(at: dict[str, Any], page: upstream.ChatPage) -> dict[str, Any]:
    """Where to go on after this page, which is not stored yet.

    A token that was used already, a page with nothing new, or a sixth empty page in a row ends the project as not
    wholly read (contract.md §3, §14.4).
    """
    token = page.next_page_token
    empty = 0 if page.items else at["empty"] + 1
    stuck = token is not None and (token in at["used"] or empty > EMPTY_PAGES or _nothing_new(at, page))
    whole = at["whole"] and not stuck and not page.skipped
    if token is None or stuck:
        return {**at, **_FIRST_PAGE, "projects": at["projects"][1:], "whole": whole}
    return {**at, "token": token, "used": [*at["used"], token][-50:], "empty": empty, "whole": whole}


def _nothing_new(at: dict[str, Any], page: upstream.ChatPage) -> bool:
    ids = [item.session_id for item in page.items]
    met = ChatSession.objects.filter(session_id__in=ids, synced_at__gte=datetime.fromisoformat(at["began"]))
    return bool(ids) and met.count() == len(ids)


def _check_vanished(client: upstream.LlamaCloud, at: dict[str, Any]) -> dict[str, Any] | None:
    if not at["whole"]:
        return None
    missed = ChatSession.objects.present().filter(
        project_id__in=at["all"], synced_at__lt=datetime.fromisoformat(at["began"])
    )
    batch = list(missed.order_by("pk")[:VANISHED_CHECKS])
    for session in batch:
        refresh_one(client, session)
    return at if len(batch) == VANISHED_CHECKS else None
