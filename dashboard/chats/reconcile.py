"""Finding the session that an unanswered creation may have made (decision 3)."""

from __future__ import annotations

import time
from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from dashboard import upstream
from dashboard.audit.actions import AuditAction
from dashboard.audit.trail import Origin, record
from dashboard.chats.models import ChatSession, CreationAttempt
from dashboard.chats.store import store_one

SEARCH_BUDGET = 5.0
"""Seconds one search may take, the person waiting."""
CLOCK_SKEW = timedelta(minutes=10)
"""How far LlamaCloud's clock may be from ours when its times are compared with ours."""

State = CreationAttempt.State


def reconcile(client: upstream.LlamaCloud, attempt: CreationAttempt, *, origin: Origin) -> ChatSession | None:
    """Look for the session of an attempt whose outcome is unknown, and adopt it if it is certainly the one.

    A session is adopted only if it was first seen after the attempt began, never ran, has the same sources and
    sharing, is claimed by no other attempt and is the only such one. Otherwise the person is asked.

    Args:
        client: the connection to LlamaCloud.
        attempt: the attempt, in state unknown.
        origin: where the request came from.

    Returns:
        the adopted session, or ``None`` when it was not found or there is any doubt.
    """
    twins = CreationAttempt.objects.filter(
        state=State.CLAIMED,
        project_id=attempt.project_id,
        shared_access=attempt.shared_access,
        started_at__gte=attempt.started_at - CLOCK_SKEW,
    ).exclude(pk=attempt.pk)
    if any(twin.index_ids == attempt.index_ids for twin in twins):
        return None  # A session found now could be the one that is being created for somebody else.
    try:
        found = _candidates(client, attempt)
    except upstream.UpstreamError:
        return None
    return _adopt(attempt, found[0], origin) if found is not None and len(found) == 1 else None


def _candidates(client: upstream.LlamaCloud, attempt: CreationAttempt) -> list[upstream.ChatSummary] | None:
    """All sessions that may be the one; ``None`` when the list could not be read far enough to be sure."""
    ends = time.monotonic() + SEARCH_BUDGET
    token, used, read = None, set[str](), dict[str, upstream.ChatSummary]()
    while time.monotonic() < ends:
        page = client.chats(project_id=attempt.project_id or None, page_token=token, page_size=100)
        read.update((item.session_id, item) for item in page.items)
        if page.next_page_token is None or _reached_the_past(list(read.values()), attempt):
            return _unclaimed([item for item in read.values() if _fits(item, attempt)], attempt)
        token = page.next_page_token
        if token in used or page.skipped:
            return None
        used.add(token)
    return None


def _reached_the_past(read: list[upstream.ChatSummary], attempt: CreationAttempt) -> bool:
    """Whether the list is sorted newest first and has come to sessions older than the attempt: no need to read on."""
    times = [item.last_updated_at for item in read if item.last_updated_at is not None]
    in_order = len(times) == len(read) and times == sorted(times, reverse=True)
    return in_order and bool(times) and times[-1] < attempt.started_at - CLOCK_SKEW


def _fits(item: upstream.ChatSummary, attempt: CreationAttempt) -> bool:
    never_ran = item.job_metadata is None and not item.generated_title
    same_set = (None if item.index_ids is None else sorted(item.index_ids)) == attempt.index_ids
    # The default is LlamaCloud's to choose, and older deployments do not tell it (contract.md §6).
    same_sharing = not attempt.shared_access or item.shared_access in (None, attempt.shared_access)
    return never_ran and same_set and same_sharing


def _unclaimed(items: list[upstream.ChatSummary], attempt: CreationAttempt) -> list[upstream.ChatSummary]:
    """Those neither known before the attempt began nor made by another attempt."""
    known = ChatSession.objects.filter(session_id__in=[item.session_id for item in items])
    before = known.filter(first_seen_at__lt=attempt.started_at).values_list("session_id", flat=True)
    claimed = known.filter(attempt__isnull=False).values_list("session_id", flat=True)
    taken = {*before, *claimed}
    return [item for item in items if item.session_id not in taken]


def _adopt(attempt: CreationAttempt, summary: upstream.ChatSummary, origin: Origin) -> ChatSession | None:
    with transaction.atomic():
        local = {"owner": attempt.actor, "follows": attempt.follows, "questions": 0}
        session = store_one(summary, project_id=attempt.project_id, **local)
        won = CreationAttempt.objects.filter(pk=attempt.pk, state=State.UNKNOWN).update(
            state=State.ADOPTED, session=session, finished_at=timezone.now()
        )
        if won:
            record(
                AuditAction.SESSION_ADOPTED, actor=attempt.actor, origin=origin, subject=session, attempt=attempt.token
            )
    return session if won else CreationAttempt.objects.get(pk=attempt.pk).session
