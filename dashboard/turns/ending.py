"""The end of a turn that was asked: one door, whoever comes through it first.

Two ends have another: a question stopped while it waited (``ask.stop``), and what LlamaCloud's history brings late
(``history``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import F, Max
from django.utils import timezone

from dashboard.chats.models import ChatSession
from dashboard.rows import insert_all, update
from dashboard.turns.answer import NO_STEP, Answer, Entry, missing_steps
from dashboard.turns.models import AnswerPiece, LogEntry, Turn
from dashboard.turns.states import TurnState
from dashboard.upstream import MAX_SESSION_INDEXES

NEVER_SENT = "never_sent"
"""The error code of a turn that was stopped before its question left; refusals have the codes of the error tree."""


def end_turn(turn: Turn, state: TurnState, answer: Answer, *, holder: str, **columns: Any) -> bool:
    """End the turn with what it brought; call it inside a transaction.

    Args:
        turn: the turn.
        state: how it ended.
        answer: what was read, rendered.
        holder: whose lease must still stand.
        columns: what else is known, such as an error.

    Returns:
        whether this call ended it. If not, nothing was changed.
    """
    now = timezone.now()
    if not turn.end(state, holder=holder, finished_at=now, **figures(answer), **columns):
        return False
    _add_pieces(turn, answer)
    _tell_session(turn, state, answer)
    return True


def take_back(turn: Turn) -> None:
    """LlamaCloud does not have the question: it locks nothing and counts for nothing, unless another one does.

    Call it inside the transaction that ends the turn.
    """
    session = ChatSession.objects.filter(pk=turn.session_id)
    session.update(history_of="")
    session.filter(questions__gt=0).update(questions=F("questions") - 1)
    others = Turn.objects.filter(session=turn.session_id).exclude(pk=turn.pk)
    if not others.accepted().exists():
        session.update(first_asked_at=None)


def store_pieces(turn: Turn, answer: Answer) -> None:
    """Keep the rendered answer, replacing what may be there."""
    AnswerPiece.objects.filter(turn=turn).delete()
    _add_pieces(turn, answer)


def _add_pieces(turn: Turn, answer: Answer) -> None:
    insert_all([AnswerPiece(turn=turn, position=position, html=html) for position, html in enumerate(answer.pieces())])


def add_steps(turn: Turn, answer: Answer) -> None:
    """Append the steps of an answer read back that the log lacks; call it inside a transaction."""
    last = turn.log.aggregate(last=Max("number"))["last"] or 0
    seen = turn.log.exclude(type__in=NO_STEP).values_list("type", "data")
    insert_all(log_rows(turn, missing_steps(answer, seen=seen, number=last)))


def log_rows(turn: Turn, entries: Sequence[Entry]) -> list[LogEntry]:
    """Entries as rows, without what only a reader of the live answer needs."""
    return [LogEntry(turn=turn, number=entry.number, type=entry.type, data=entry.data) for entry in entries]


def figures(answer: Answer) -> dict[str, Any]:
    """The ledger's columns as far as the answer tells them (contract.md §7)."""
    stop = answer.stop
    usage = stop.usage if stop else None
    return {
        "duration_ms": usage.duration_ms if usage else None,
        "input_tokens": usage.total_input_tokens if usage else None,
        "output_tokens": usage.total_output_tokens if usage else None,
        "upstream_turns": usage.turns if usage else None,
        "skipped_index_ids": _of_one_question(stop.skipped_index_ids or ()) if stop else [],
        "tool_calls": answer.tool_calls,
        "passages": answer.passages,
        "citations": [citation.as_json() for citation in answer.citations.values()],
    }


def _of_one_question(index_ids: Sequence[str]) -> list[str]:
    """No more of them than a question can have, and none that no index has."""
    return [index_id for index_id in dict.fromkeys(index_ids) if len(index_id) <= 255][:MAX_SESSION_INDEXES]


def outcome_of(answer: Answer, *, read_back: bool = False) -> tuple[TurnState, str]:
    """How a turn with a stop event ended, and its error text."""
    stop = answer.stop
    if stop is not None and (stop.is_error or (stop.error and not answer.has_text)):
        return TurnState.FAILED, stop.error or "LlamaCloud reported an error without saying which."
    return (TurnState.RECOVERED if read_back else TurnState.ANSWERED), ""


def _tell_session(turn: Turn, state: TurnState, answer: Answer) -> None:
    """The session's last run is this one, until a refresh brings LlamaCloud's own figures."""
    columns: dict[str, Any] = {"is_running": False}
    if state != TurnState.ANSWERED:
        # Whether LlamaCloud has the question, and what became of it, only its history tells: it is read again.
        columns["history_of"] = ""
    if answer.stop is not None:
        known = figures(answer)
        columns |= {
            "job_turns": known["upstream_turns"] or 1,
            "job_duration_ms": known["duration_ms"],
            "job_is_error": state == TurnState.FAILED,
            "job_error": answer.stop.error or "",
            "job_export_config_ids": None,  # the last run's; a stop event does not tell this one's
            "job_input_tokens": known["input_tokens"],
            "job_output_tokens": known["output_tokens"],
            "last_updated_at": timezone.now(),
        }
    update(ChatSession, turn.session_id, **columns)
