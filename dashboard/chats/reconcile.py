"""Finding the session that an unanswered creation may have made (decision 3)."""

from __future__ import annotations

import time
from datetime import timedelta

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from dashboard import upstream
from dashboard.audit.actions import AuditAction
from dashboard.audit.trail import Origin, record
from dashboard.chats.models import ChatSession, CreationAttempt
from dashboard.chats.store import no_history, store_one

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
    try:
        found = _candidates(client, attempt)
    except upstream.UpstreamError:
        return None
    # In this order: another attempt's claim comes before its call, and its settling after; a session on the list
    # that is somebody else's is noticed by the one or the other.
    if found is None or _has_twin(attempt):
        return None
    found = _unclaimed(found, attempt)
    return _adopt(attempt, found[0], origin) if len(found) == 1 else None


def _has_twin(attempt: CreationAttempt) -> bool:
    """Whether a session found now may as well be another attempt's: one that is in flight, or lost by somebody else."""
    in_doubt = Q(state=State.CLAIMED) | Q(state=State.UNKNOWN) & ~Q(actor=attempt.actor_id)
    twins = CreationAttempt.objects.filter(
        in_doubt,
        project_id=attempt.project_id,
        shared_access=attempt.shared_access,
        started_at__gte=attempt.started_at - CLOCK_SKEW,
    ).exclude(pk=attempt.pk)
    return any(twin.index_ids == attempt.index_ids for twin in twins)


def _candidates(client: upstream.LlamaCloud, attempt: CreationAttempt) -> list[upstream.ChatSummary] | None:
    """All sessions that fit; ``None`` when the list could not be read far enough to be sure."""
    ends = time.monotonic() + SEARCH_BUDGET
    token, used, read = None, set[str](), dict[str, upstream.ChatSummary]()
    while time.monotonic() < ends:
        page = client.chats(project_id=attempt.project_id or None, page_token=token, page_size=100)
        read.update((item.session_id, item) for item in page.items)
        token = page.next_page_token
        if page.skipped or token in used:
            return None
        if token is None or _reached_the_past(list(read.values()), attempt):
            return [item for item in read.values() if _fits(item, attempt)]
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
    """Those neither known before the attempt began nor made by another attempt.

    One that this very attempt has been given in the meantime is no other's.
    """
    known = ChatSession.objects.filter(session_id__in=[item.session_id for item in items])
    before = known.filter(first_seen_at__lt=attempt.started_at).values_list("session_id", flat=True)
    claimed = known.filter(attempt__isnull=False).exclude(attempt=attempt).values_list("session_id", flat=True)
    taken = {*before, *claimed}
    return [item for item in items if item.session_id not in taken]


def _adopt(attempt: CreationAttempt, summary: upstream.ChatSummary, origin: Origin) -> ChatSession | None:
    try:
        with transaction.atomic():
            return _adopt_once(attempt, summary, origin)
    except IntegrityError:
        return None  # Another lost attempt adopted it this moment: one session belongs to one attempt.


def _adopt_once(attempt: CreationAttempt, summary: upstream.ChatSummary, origin: Origin) -> ChatSession | None:
    """Adopt unless the attempt was settled in the meantime, by another process or by the person."""
    mine = CreationAttempt.objects.select_for_update().get(pk=attempt.pk)
    if mine.state != State.UNKNOWN:
        return mine.session
    local = {"owner": mine.actor, "follows": mine.follows, **no_history(summary)}
    session = store_one(summary, project_id=mine.project_id, **local)
    mine.state, mine.session, mine.finished_at = State.ADOPTED, session, timezone.now()
    mine.save(update_fields=["state", "session", "finished_at"])
    record(AuditAction.SESSION_ADOPTED, actor=mine.actor, origin=origin, subject=session, attempt=mine.token)
    return session
