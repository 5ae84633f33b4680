"""Paging a long list by position rather than by number: any page costs the same, and new rows shift nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from django.http import QueryDict

from dashboard.chats.filters import ChatSessionQuerySet
from dashboard.chats.models import ChatSession

PAGE_SIZE = 50


@dataclass(frozen=True)
class Pager:
    """Links to the neighbouring pages, with everything else in the address kept; ``None`` where there is none."""

    newer_url: str | None
    older_url: str | None


def page_of(sessions: ChatSessionQuerySet, query: QueryDict) -> tuple[list[ChatSession], Pager]:
    """One page of sessions.

    Args:
        sessions: all that match.
        query: the address's parameters; ``before`` or ``after`` hold a place in the list, and a damaged one is ignored.

    Returns:
        the rows, newest first, and the links.
    """
    before, after = _place(query.get("before", "")), _place(query.get("after", ""))
    if after:
        # The nearest ones that are newer than the place, found in reverse.
        rows = list(sessions.newer_than(*after).order_by("last_updated_at", "id")[: PAGE_SIZE + 1])
        has_newer, has_older = len(rows) > PAGE_SIZE, True
        rows = rows[:PAGE_SIZE][::-1]
    else:
        place = sessions.older_than(*before) if before else sessions
        rows = list(place.newest_first()[: PAGE_SIZE + 1])
        has_newer, has_older = before is not None, len(rows) > PAGE_SIZE
        rows = rows[:PAGE_SIZE]
    return rows, Pager(
        _link(query, after=rows[0]) if rows and has_newer else None,
        _link(query, before=rows[-1]) if rows and has_older else None,
    )


def _place(text: str) -> tuple[datetime, int] | None:
    at, _, pk = text.partition("~")
    try:
        moment = datetime.fromisoformat(at)
        return (moment.astimezone(UTC), int(pk)) if moment.tzinfo and len(pk) < 19 else None
    except (ValueError, OverflowError):
        # OverflowError: year 1 or 9999 with an offset has no UTC.
        return None


def _link(query: QueryDict, **place: ChatSession) -> str:
    kept = QueryDict(mutable=True)
    for key in query:
        if key not in ("before", "after", "seen") and query[key]:
            kept[key] = query[key]
    for key, row in place.items():
        kept[key] = f"{row.last_updated_at.isoformat()}~{row.pk}"
    return f"?{kept.urlencode()}"
