"""From LlamaCloud's words to our columns: the only place that knows both."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from dashboard import upstream
from dashboard.chats.models import ChatSession, SessionSource
from dashboard.rows import insert, insert_missing


def columns_from(summary: upstream.ChatSummary, *, now: datetime) -> dict[str, Any]:
    """The one mapping from a session's summary to columns.

    Args:
        summary: as read from the wire.
        now: stands in for a last activity that LlamaCloud does not tell readably.

    Returns:
        values by column name; local columns are not among them.
    """
    job = summary.job_metadata
    return {
        "generated_title": summary.generated_title or "",
        "shared_access": (summary.shared_access or "")[:32],
        "is_bound": summary.index_ids is not None,
        "last_updated_at": summary.last_updated_at or now,
        "job_turns": job.turns if job else None,
        "job_duration_ms": job.duration_ms if job else None,
        "job_is_error": job.is_error if job else None,
        "job_error": (job.error or "") if job else "",
        "job_input_tokens": job.total_input_tokens if job else None,
        "job_output_tokens": job.total_output_tokens if job else None,
        "job_export_config_ids": list(job.export_config_ids) if job and job.export_config_ids else None,
        "raw": summary.raw,
    }


def history_columns(detail: upstream.ChatDetail, summary: upstream.ChatSummary) -> dict[str, Any]:
    """What only the event history tells: the number of questions, and whether the last one is still being answered.

    Args:
        detail: the session with its history.
        summary: the one read just before it, by which it is known whether the history can have changed since.
    """
    questions, open_turn = 0, False
    for event in detail.events:
        if isinstance(event, upstream.UserInput):
            questions, open_turn = questions + 1, True
        elif isinstance(event, upstream.Stop):
            open_turn = False
    return {"questions": questions, "is_running": open_turn, "history_of": mark_of(summary)}


def no_history(summary: upstream.ChatSummary) -> dict[str, Any]:
    """What is known of a session that was made this moment: nobody has asked anything."""
    return {"questions": 0, "history_of": mark_of(summary)}


def mark_of(summary: upstream.ChatSummary) -> str:
    """A short stand-in for a summary, equal for equal ones."""
    return hashlib.sha256(json.dumps(summary.raw, sort_keys=True).encode()).hexdigest()


_UPSTREAM_COLUMNS = [
    *columns_from(upstream.ChatSummary(session_id="any"), now=timezone.now()),
    "project_id",
    "synced_at",
    "gone_at",
]
"""What a refresh overwrites: everything that comes from the summary, and when and where it was read."""


def store_summaries(summaries: Sequence[upstream.ChatSummary], *, project_id: str, now: datetime | None = None) -> None:
    """Insert or refresh sessions and their sources, in a handful of queries however many there are.

    A reading never overwrites a newer one: a list that was asked for before a session was deleted must not bring it
    back.

    Args:
        summaries: as read.
        project_id: the project they were listed in.
        now: the moment they were asked for.
    """
    now = now or timezone.now()
    with transaction.atomic():
        _store(summaries, project_id, now)


def store_created(summary: upstream.ChatSummary, *, project_id: str, **local: Any) -> ChatSession:
    """Insert a session LlamaCloud has just made; call it inside a transaction.

    Nothing known can be newer than this, so nothing is read first; a list that told of it a moment ago has stored the
    same. Arguments as for :func:`store_one`.
    """
    now = timezone.now()
    row = _row(summary, project_id, now, local)
    insert(row, unique="session_id", overwrite=[*_UPSTREAM_COLUMNS, *local])
    _store_sources({row.pk: _each_once(summary.index_ids or ())}, known=set())
    return row


def _row(summary: upstream.ChatSummary, project_id: str, now: datetime, local: Mapping[str, Any]) -> ChatSession:
    return ChatSession(
        session_id=summary.session_id,
        project_id=project_id,
        first_seen_at=now,
        synced_at=now,
        **columns_from(summary, now=now),
        **local,
    )


def _store(
    summaries: Sequence[upstream.ChatSummary], project_id: str, now: datetime, local: Mapping[str, Any] | None = None
) -> list[ChatSession]:
    """Do it; answer the rows that were new, as they are stored now."""
    by_id, known = _not_known_better(summaries, now)
    local = local or {}
    rows = [_row(by_id[session_id], project_id, now, local) for session_id in sorted(by_id)]
    # Sets their keys too, of new and of known ones.
    ChatSession.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["session_id"],
        update_fields=[*_UPSTREAM_COLUMNS, *local],
        batch_size=30,  # SQLite takes 999 values in a statement: room for 33 columns
    )
    _store_sources({row.pk: _each_once(by_id[row.session_id].index_ids or ()) for row in rows}, known)
    return [row for row in rows if row.pk not in known]


def _not_known_better(
    summaries: Sequence[upstream.ChatSummary], now: datetime
) -> tuple[dict[str, upstream.ChatSummary], set[int]]:
    """Each session once, without those read since; and the keys of those that are stored already.

    Locked in one order, so that two writers never wait for each other.
    """
    by_id = {summary.session_id: summary for summary in summaries}
    stored = ChatSession.objects.select_for_update().filter(session_id__in=by_id).order_by("session_id")
    known = set()
    for pk, session_id, synced_at in stored.values_list("pk", "session_id", "synced_at"):
        known.add(pk)
        if synced_at > now:
            del by_id[session_id]
    return by_id, known


def _store_sources(wanted: Mapping[int, list[str]], known: set[int]) -> None:
    """Rewrite the sources of those sessions whose set differs from what is stored: normally the new ones only."""
    stored: dict[int, list[str]] = {}
    if known:
        sources = SessionSource.objects.filter(session__in=known).order_by("session_id", "position")
        for pk, index_id in sources.values_list("session_id", "index_id"):
            stored.setdefault(pk, []).append(index_id)
    changed = {pk: ids for pk, ids in wanted.items() if stored.get(pk, []) != ids}
    if replaced := [pk for pk in changed if pk in stored]:
        SessionSource.objects.filter(session__in=replaced).delete()
    # Another process may have met the same new session at the same moment, and stored the same set.
    insert_missing(
        [
            SessionSource(session_id=pk, index_id=index_id, position=position)
            for pk, ids in changed.items()
            for position, index_id in enumerate(ids)
        ]
    )


MOST_SOURCES = 100
"""Ten times what LlamaCloud allows (contract.md §6)."""


def _each_once(index_ids: Sequence[str]) -> list[str]:
    """In LlamaCloud's order, without what no session can have: ids longer than any, and more than can be looked at."""
    return [index_id for index_id in dict.fromkeys(index_ids) if len(index_id) <= 255][:MOST_SOURCES]


def store_one(
    summary: upstream.ChatSummary, *, project_id: str, now: datetime | None = None, **local: Any
) -> ChatSession:
    """Insert or refresh one session.

    Args:
        summary: as read.
        project_id: the project it belongs to.
        now: the moment it was asked for.
        local: values for local or history columns, set along with it.

    Returns:
        the stored row.
    """
    with transaction.atomic():
        if new := _store([summary], project_id, now or timezone.now(), local):
            return new[0]
        if local:
            ChatSession.objects.filter(session_id=summary.session_id).update(**local)
        return ChatSession.objects.get(session_id=summary.session_id)
