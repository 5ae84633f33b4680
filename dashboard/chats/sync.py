"""Keeping cached sessions true: one, the newest few, or all of them."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Any

from django.utils import timezone

from dashboard import upstream
from dashboard.catalog.models import Project
from dashboard.chats.models import ChatSession
from dashboard.chats.store import history_columns, mark_of, store_one, store_summaries

PAGE_SIZE = 100
VANISHED_CHECKS = 25
"""Sessions that a full pass did not meet and that are asked for by id, per step, before one is called gone: a list
that changes between two pages may skip an item (contract.md §14.3)."""
EMPTY_PAGES = 5
"""Empty pages in a row that are followed because they bear a new token."""
REMEMBERED = 50
"""Tokens and pages by which a list that leads in a circle is noticed."""

_FIRST_PAGE: dict[str, Any] = {"token": None, "used": [], "pages": [], "empty": 0}
_ODD_SESSION = (upstream.AccessRefused, upstream.BadRequest, upstream.Invalid, upstream.UnreadableAnswer)
"""One session that LlamaCloud does not show properly must not keep the pass from its end."""
_NOT_THIS_PROJECT = (upstream.AccessRefused, upstream.NotFound)
"""A key is good for one project, yet may be told of others (contract.md §1)."""


OnHistory = Callable[[ChatSession, upstream.ChatDetail], bool]
"""Keeps more of a history; answers whether it has kept all it keeps."""


def refresh_one(
    client: upstream.LlamaCloud, session: ChatSession, *, on_history: OnHistory | None = None
) -> ChatSession:
    """Bring one session up to date: its summary always, its history when that can have changed.

    Args:
        client: the connection to LlamaCloud.
        session: the row as it was known.
        on_history: given the whole history whenever it was read, for those above who keep more of it; as long as it
            answers that something is left to keep, the history is read again next time.

    Returns:
        the row as it is now; marked gone when LlamaCloud no longer has it.

    Raises:
        upstream.UpstreamError: nothing was changed.
    """
    project_id, asked_at = session.project_id, timezone.now()
    try:
        summary = client.chat_summary(session.session_id, project_id=project_id or None)
        if not _history_may_differ(session, summary):
            return store_one(summary, project_id=project_id, now=asked_at)
        detail = client.chat(session.session_id, project_id=project_id or None)
    except upstream.NotFound:
        mark_gone(session)
        return ChatSession.objects.get(pk=session.pk)
    # The detail is newer than the summary, but ``raw`` must stay a summary: the history is not cached here.
    session = store_one(summary, project_id=project_id, now=asked_at)
    # Read again or deleted in the meantime? Then that is the newer truth.
    unchanged = ChatSession.objects.filter(pk=session.pk, synced_at=asked_at)
    # First: what could not be kept is not remembered as read.
    is_kept = on_history is None or on_history(session, detail)
    unchanged.update(**history_columns(detail, summary) | ({} if is_kept else {"history_of": ""}))
    return ChatSession.objects.get(pk=session.pk)


def fetch_unknown(client: upstream.LlamaCloud, session_id: str) -> ChatSession | None:
    """A session made elsewhere that no list has told of yet; ``None`` when LlamaCloud does not show it either.

    Args:
        client: the connection to LlamaCloud.
        session_id: the id somebody asks for.
    """
    for project_id in session_projects():
        asked_at = timezone.now()
        try:
            summary = client.chat_summary(session_id, project_id=project_id or None)
        except upstream.Refusal:
            continue
        except upstream.UpstreamError:
            return None
        return store_one(summary, project_id=project_id, now=asked_at)
    return None


def _history_may_differ(session: ChatSession, summary: upstream.ChatSummary) -> bool:
    return session.questions is None or session.is_running or session.history_of != mark_of(summary)


def mark_gone(session: ChatSession) -> None:
    """Remember that LlamaCloud no longer has it; the row itself stays."""
    now = timezone.now()
    ChatSession.objects.filter(pk=session.pk, gone_at=None).update(gone_at=now, synced_at=now, is_running=False)


def refresh_recent(client: upstream.LlamaCloud) -> None:
    """Read the first page of every project's sessions: what changed lately, in one call a project.

    Raises:
        upstream.UpstreamError: a page could not be read; earlier projects are stored.
    """
    read, refused = 0, None
    for project_id in session_projects():
        asked_at = timezone.now()
        try:
            page = client.chats(project_id=project_id or None, page_size=PAGE_SIZE)
        except _NOT_THIS_PROJECT as error:
            refused = error
            continue
        store_summaries(page.items, project_id=project_id, now=asked_at)
        read += 1
    if refused is not None and not read:
        raise refused


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
        project_id, asked_at = at["projects"][0], timezone.now()
        try:
            page = client.chats(project_id=project_id or None, page_token=at["token"], page_size=PAGE_SIZE)
        except upstream.Refusal as error:
            at = _without_project(at, error)
        else:
            store_summaries(page.items, project_id=project_id, now=asked_at)
            at = _next_page(at, page)
        if time.monotonic() > ends:
            return at
    return _check_vanished(client, at, ends) if at["whole"] else None


def _new_pass() -> dict[str, Any]:
    projects = session_projects()
    began = timezone.now().isoformat()
    return {"began": began, "projects": projects, "all": projects, "whole": True, "checked": 0, **_FIRST_PAGE}


def _without_project(at: dict[str, Any], error: upstream.Refusal) -> dict[str, Any]:
    """Go on behind a project that cannot be read (further); its sessions are not looked for.

    Raises:
        upstream.Refusal: the refusal says something about the key or the moment, or no project would be left.
    """
    after = {**at, **_FIRST_PAGE, "projects": at["projects"][1:]}
    if at["token"] is not None and isinstance(error, upstream.BadRequest | upstream.Invalid):
        return {**after, "whole": False}  # A token that LlamaCloud has forgotten: the next pass starts afresh.
    others = [project for project in at["all"] if project != at["projects"][0]]
    if isinstance(error, _NOT_THIS_PROJECT) and others:
        return {**after, "all": others}
    raise error


def _next_page(at: dict[str, Any], page: upstream.ChatPage) -> dict[str, Any]:
    """Where to go on after this page.

    A token that was used already, a page with nothing new, or a sixth empty page in a row ends the project as not
    wholly read (contract.md §3, §14.4).
    """
    token = page.next_page_token
    seen = hashlib.sha256("\n".join(sorted(item.session_id for item in page.items)).encode()).hexdigest()
    empty = 0 if page.items else at["empty"] + 1
    circular = token in at["used"] or (bool(page.items) and seen in at["pages"])
    stuck = token is not None and (circular or empty > EMPTY_PAGES)
    whole = at["whole"] and not stuck and not page.skipped
    if token is None or stuck:
        return {**at, **_FIRST_PAGE, "projects": at["projects"][1:], "whole": whole}
    used, pages = [*at["used"], token][-REMEMBERED:], [*at["pages"], seen][-REMEMBERED:]
    return {**at, "token": token, "used": used, "pages": pages, "empty": empty, "whole": whole}


def _check_vanished(client: upstream.LlamaCloud, at: dict[str, Any], ends: float) -> dict[str, Any] | None:
    """Ask by id for those the pass did not meet; "" is the project of sessions made before any project was known."""
    began = datetime.fromisoformat(at["began"])
    missed = ChatSession.objects.present().filter(project_id__in=[*at["all"], ""], synced_at__lt=began)
    batch = list(missed.filter(pk__gt=at["checked"]).order_by("pk")[:VANISHED_CHECKS])
    for session in batch:
        with suppress(*_ODD_SESSION):
            refresh_one(client, session)
        at = {**at, "checked": session.pk}
        if time.monotonic() > ends:
            return at
    return at if len(batch) == VANISHED_CHECKS else None
