"""How open pages ask LlamaCloud for what is new, without ever depending on its answer.

A page waits for LlamaCloud a moment, not longer: however many pages are open and however slow LlamaCloud is, most
threads of a process stay free for pages, which all render from the cache (decision 2).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta

from django.core.cache import cache
from django.db.models import Count, Max, Q
from django.utils import timezone

from dashboard.catalog.models import Index
from dashboard.catalog.sync import refresh_indexes
from dashboard.chats.models import ChatSession
from dashboard.chats.sync import fetch_unknown, refresh_one, refresh_recent
from dashboard.config import upstream_client
from dashboard.errors import DashboardError
from dashboard.turns.history import import_history, is_unread
from dashboard.turns.models import Turn
from dashboard.turns.states import LIVE
from dashboard.upstream import UpstreamError
from dashboard.web.places import Places

SESSION_FRESH = timedelta(seconds=4)
"""A session checked this recently is not asked for again: everybody who watches it shares the answer."""
SOURCES_FRESH = timedelta(minutes=1)
RECENT_LASTS = 10
"""Seconds within which all open lists of a process share one look at LlamaCloud."""
LATELY = timedelta(hours=1)
"""A session asked elsewhere that was heard of within this time may still be answering."""
ASKED_ELSEWHERE = 3
"""Such sessions that one look at the list looks at too."""
FAILURE_LASTS = 8
"""Seconds in which a failed look at a session is not repeated: everybody is told the same."""
NOT_READ = "What LlamaCloud sent could not be taken in."
UNKNOWN_LASTS = 30
"""Seconds in which an id nobody knows is not asked for again."""
RUNNING_POLL, IDLE_POLL = 5, 30
"""Seconds between two questions of a page that is seen, while something on it is being answered and otherwise."""
PATIENCE = 1.0
"""Seconds a page waits for another page's look at the same session."""
AT_ONCE = 8
"""Looks at LlamaCloud under way in a process; further ones are left out, and the page shows what is known."""

_places = threading.BoundedSemaphore(AT_ONCE)
CALLS = 48
"""Calls to LlamaCloud that a person waits for under way in a process: creating, deleting, a page's image."""
CALLS_OF_ONE = 12
"""Of them, those of one person: whoever asks for many slow images waits for them, and nobody else does."""

_calls = Places(CALLS, CALLS_OF_ONE)
_one_at_a_time = [threading.Lock() for _ in range(64)]
"""Both regions of a page, and everybody who watches a session, ask at the same moment: the first asks for all."""


class TooManyCalls(DashboardError):
    """So many people wait for LlamaCloud that one more would leave no thread for pages."""

    code = "too_many_calls"
    status = 503
    sentence = (
        "Too many people are waiting for LlamaCloud just now. Nothing was done and nothing is lost: try again soon."
    )

    def __init__(self) -> None:
        super().__init__(retry_after=5)


@contextmanager
def calling(person_id: int) -> Iterator[None]:
    """Hold one of the places for calls that a person waits for.

    Args:
        person_id: who waits.

    Raises:
        TooManyCalls: all are taken, or all that one person may have.
    """
    if not _calls.take(person_id):
        raise TooManyCalls
    try:
        yield
    finally:
        _calls.give_back(person_id)


def poll_seconds(*, running: bool) -> int:
    """After how many seconds a page asks again."""
    return RUNNING_POLL if running else IDLE_POLL


def look_at(session: ChatSession, *, with_sources: bool) -> str:
    """Bring a session that still exists up to date.

    Args:
        session: the session.
        with_sources: whether its sources' readiness is brought up to date too.

    Returns:
        in words why that did not work, or ``""``.
    """
    if session.gone_at is not None:
        return ""
    key = f"look-failed-{session.pk}"
    lock = _one_at_a_time[session.pk % len(_one_at_a_time)]
    if not lock.acquire(timeout=PATIENCE):
        return str(cache.get(key, ""))
    try:
        return str(cache.get(key, "")) or _told(
            lambda: _refresh(session, with_sources=with_sources), key, FAILURE_LASTS
        )
    finally:
        lock.release()


def look_at_recent() -> str:
    """Refresh the newest sessions, at most every few seconds however many lists are open; tell a problem in words."""
    if not cache.add("look-recent", True, RECENT_LASTS):
        return str(cache.get("look-recent-failed", ""))
    return _told(_refresh_recent, "look-recent-failed", RECENT_LASTS)


def look_for(session_id: str) -> bool:
    """Whether LlamaCloud knows a session no list has told of yet; an id nobody knows is remembered for a while."""
    key = f"look-unknown-{hash(session_id)}"
    if len(session_id) > 255 or cache.get(key) == session_id or not _places.acquire(blocking=False):
        return False
    try:
        found = fetch_unknown(upstream_client(), session_id) is not None
    finally:
        _places.release()
    if not found:
        cache.set(key, session_id, UNKNOWN_LASTS)
    return found


def _told(look: Callable[[], object], key: str, seconds: int) -> str:
    if not _places.acquire(blocking=False):
        return ""
    try:
        look()
    except UpstreamError as error:
        cache.set(key, error.when_reading, seconds)
        return error.when_reading
    except Exception:
        # A fault of ours: whoever asks next within these seconds must not be told that all is well.
        cache.set(key, NOT_READ, seconds)
        raise
    finally:
        _places.release()
    cache.delete(key)
    return ""


def _refresh_recent() -> None:
    """Read what is new, and look at some of those that were seen being asked elsewhere: a list tells of no end."""
    refresh_recent(upstream_client())
    lately = ChatSession.objects.filter(is_running=True, gone_at=None, last_updated_at__gt=timezone.now() - LATELY)
    elsewhere = lately.exclude(turns__state__in=LIVE).order_by("pk")
    # In turns: the list has just brought all of them up to date alike.
    behind_the_last = elsewhere.filter(pk__gt=cache.get("look-elsewhere", 0))[:ASKED_ELSEWHERE]
    for session in list(behind_the_last) or elsewhere[:ASKED_ELSEWHERE]:
        cache.set("look-elsewhere", session.pk)
        with suppress(UpstreamError):
            refresh_one(upstream_client(), session, on_history=import_history)


def _refresh(session: ChatSession, *, with_sources: bool) -> None:
    began = time.monotonic()
    session.refresh_from_db()
    # While a question is answered here, this dashboard's own reading is the newest truth.
    turns = Turn.objects.filter(session=session)
    of_ours = turns.aggregate(live=Count("pk", filter=Q(state__in=LIVE)), ended=Max("finished_at"))
    # After an answer everything is news: the lock, the run, the title LlamaCloud made of the question.
    ended_since = of_ours["ended"] is not None and of_ours["ended"] > session.synced_at
    # A summary alone, however fresh, has nothing of the conversation.
    unread = ended_since or session.questions is None
    if not of_ours["live"] and (unread or timezone.now() - session.synced_at > SESSION_FRESH):
        if is_unread(session):
            session.history_of = ""
        refresh_one(upstream_client(), session, on_history=import_history)
    if with_sources and time.monotonic() - began < PATIENCE:
        index_ids = session.sources.values_list("index_id", flat=True)
        old = Index.objects.filter(pk__in=index_ids, synced_at__lt=timezone.now() - SOURCES_FRESH)
        refresh_indexes(upstream_client(), list(old.values_list("pk", flat=True)))
