"""From LlamaCloud's words to our columns: the only place that knows both."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from dashboard import upstream
from dashboard.chats.models import ChatSession, SessionSource


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


def history_columns(detail: upstream.ChatDetail) -> dict[str, Any]:
    """What only the event history tells: the number of questions, and whether the last one is still being answered."""
    questions, open_turn = 0, False
    for event in detail.events:
        if isinstance(event, upstream.UserInput):
            questions, open_turn = questions + 1, True
        elif isinstance(event, upstream.Stop):
            open_turn = False
    return {"questions": questions, "is_running": open_turn}


_UPSTREAM_COLUMNS = [
    "project_id", "generated_title", "shared_access", "is_bound", "last_updated_at", "job_turns", "job_duration_ms",
    "job_is_error", "job_error", "job_input_tokens", "job_output_tokens", "job_export_config_ids", "raw", "synced_at",
    "gone_at",
]  # fmt: skip


def store_summaries(summaries: Sequence[upstream.ChatSummary], *, project_id: str, now: datetime | None = None) -> None:
    """Insert or refresh sessions and their sources, in a handful of queries however many there are.

    Args:
        summaries: as read, without duplicates.
        project_id: the project they were listed in.
        now: the moment of the reading.
    """
    now = now or timezone.now()
    rows = [
        ChatSession(
            session_id=summary.session_id,
            project_id=project_id,
            first_seen_at=now,
            synced_at=now,
            **columns_from(summary, now=now),
        )
        for summary in summaries
    ]
    with transaction.atomic():
        ChatSession.objects.bulk_create(
            rows, update_conflicts=True, unique_fields=["session_id"], update_fields=_UPSTREAM_COLUMNS, batch_size=40
        )
        _store_sources(summaries)


def _store_sources(summaries: Sequence[upstream.ChatSummary]) -> None:
    """Rewrite the sources of those sessions whose set differs from what is stored: normally the new ones only."""
    wanted = {summary.session_id: summary.index_ids or () for summary in summaries}
    pks = dict(ChatSession.objects.filter(session_id__in=wanted).values_list("session_id", "pk"))
    stored: dict[int, list[str]] = {}
    for pk, index_id in (
        SessionSource.objects.filter(session__in=pks.values())
        .order_by("session", "position")
        .values_list("session_id", "index_id")
    ):
        stored.setdefault(pk, []).append(index_id)
    changed = {pks[sid]: ids for sid, ids in wanted.items() if stored.get(pks[sid], []) != list(dict.fromkeys(ids))}
    SessionSource.objects.filter(session__in=[pk for pk in changed if pk in stored]).delete()
    SessionSource.objects.bulk_create(
        [
            SessionSource(session_id=pk, index_id=index_id, position=position)
            for pk, ids in changed.items()
            for position, index_id in enumerate(dict.fromkeys(ids))
        ],
        batch_size=300,
    )


def store_one(summary: upstream.ChatSummary, *, project_id: str, **local: Any) -> ChatSession:
    """Insert or refresh one session.

    Args:
        summary: as read.
        project_id: the project it belongs to.
        local: values for local or history columns, set along with it.

    Returns:
        the stored row.
    """
    with transaction.atomic():
        store_summaries([summary], project_id=project_id)
        if local:
            ChatSession.objects.filter(session_id=summary.session_id).update(**local)
        return ChatSession.objects.get(session_id=summary.session_id)
