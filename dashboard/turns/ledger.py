"""What the turns of a session come to, read with one statement: every open page of it asks."""

from __future__ import annotations

from dataclasses import dataclass

from dashboard.rows import fetch
from dashboard.turns.models import Turn


@dataclass(frozen=True, slots=True)
class Ledger:
    """What a session's turns come to; the session's totals are the sum of its turns.

    Args:
        newest: the newest number; 0 if there is none.
        late: how many still lack their whole answer.
        newest_stopped: the newest number of one that was stopped; 0 if there is none.
        duration_ms: what those that LlamaCloud told of took together; ``None`` if it told of none.
        input_tokens, output_tokens: likewise.
    """

    newest: int
    late: int
    newest_stopped: int
    duration_ms: float | None
    input_tokens: int | None
    output_tokens: int | None

    @property
    def was_stopped(self) -> bool:
        """Whether the last answer was stopped here, so that what still runs is only LlamaCloud's finishing it."""
        return 0 < self.newest == self.newest_stopped


def ledger(session_id: int) -> Ledger:
    """The ledger of the session with this key."""
    newest, late, stopped, duration_ms, read, written = fetch(_LEDGER, session_id)[0]
    # PostgreSQL sums whole numbers to decimals.
    return Ledger(newest or 0, late, stopped or 0, duration_ms, read and int(read), written and int(written))


_LEDGER = f"""
    SELECT
        MAX(number), COUNT(CASE WHEN state = 'interrupted' THEN 1 END),
        MAX(CASE WHEN state = 'stopped' THEN number END),
        SUM(CASE WHEN duration_ms <= 1e12 THEN duration_ms END),
        SUM(CASE WHEN input_tokens <= 1000000000000 THEN input_tokens END),
        SUM(CASE WHEN output_tokens <= 1000000000000 THEN output_tokens END)
    FROM "{Turn._meta.db_table}" WHERE session_id = %s
"""  # noqa: S608  # our own name
