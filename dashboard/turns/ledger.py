"""What the turns of a session come to, read with one statement: every open page of it asks."""

from __future__ import annotations

from dataclasses import dataclass

from dashboard.rows import fetch
from dashboard.turns.models import Turn
from dashboard.turns.standing import IS_LATE
from dashboard.turns.states import NOT_READ, TurnState


@dataclass(frozen=True, slots=True)
class Ledger:
    """What a session's turns come to; the session's totals are the sum of its turns.

    Args:
        newest: the newest number; 0 if there is none.
        late: how many still lack their whole answer.
        newest_state: how it stands with the newest one; ``""`` if there is none.
        duration_ms: what those that LlamaCloud told of took together; ``None`` if it told of none.
        input_tokens, output_tokens: likewise.
    """

    newest: int
    late: int
    newest_state: str
    duration_ms: float | None
    input_tokens: int | None
    output_tokens: int | None

    @property
    def explanation(self) -> str:
        """What it means that the session's last run goes on, where that is not what it looks like."""
        return _STILL_RUNNING.get(self.newest_state, "")


def ledger(session_id: int) -> Ledger:
    """The ledger of the session with this key."""
    newest, late, state, duration_ms, read, written = fetch(_LEDGER, session_id, session_id)[0]
    # PostgreSQL sums whole numbers to decimals.
    return Ledger(newest or 0, late, state or "", duration_ms, read and int(read), written and int(written))


_STILL_RUNNING: dict[str, str] = {
    TurnState.QUEUED: "The question waits for its turn",
    TurnState.STOPPED: "LlamaCloud is finishing the answer that was stopped",
    TurnState.INTERRUPTED: "LlamaCloud may still be finishing the answer that broke off",
}
_TURNS = f'"{Turn._meta.db_table}"'
_LEDGER = f"""
    SELECT
        MAX(number), COUNT(CASE WHEN {IS_LATE} THEN 1 END),
        (
            SELECT CASE WHEN error_code = '{NOT_READ}' THEN '' ELSE state END
            FROM {_TURNS} WHERE session_id = %s ORDER BY number DESC LIMIT 1
        ),
        SUM(CASE WHEN duration_ms <= 1e12 THEN duration_ms END),
        SUM(CASE WHEN input_tokens <= 1000000000000 THEN input_tokens END),
        SUM(CASE WHEN output_tokens <= 1000000000000 THEN output_tokens END)
    FROM {_TURNS} WHERE session_id = %s
"""  # noqa: S608  # our own name
