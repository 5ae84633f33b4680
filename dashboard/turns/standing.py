"""What stands between a question and its answer: what is known of its session's turns, and who else is waiting."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from dashboard.rows import fetch
from dashboard.turns.models import Turn
from dashboard.turns.states import LIVE, NOT_READ

RUNNING_LIMIT = 200
"""Turns running at once in the whole instance. Nobody waits for another person's question to be counted: of those who
ask at the same moment a few more may run, each with a connection of its own."""
PERSON_LIMIT = 3
"""Turns of one person running at once."""
QUEUE_LIMIT = 10
"""Questions of one person that may be waiting or running at once, over all sessions."""

_TURNS = f'"{Turn._meta.db_table}"'
IS_LIVE = "state IN ({})".format(", ".join(f"'{state.value}'" for state in LIVE))
IS_LATE = f"""(error_code = '{NOT_READ}' OR (position IS NULL AND (
    state = 'interrupted' OR (state = 'stopped' AND error_code = '')
)))"""
"""As ``Turn.is_late``."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How things stand for a question; read within the transaction that stores it.

    Args:
        in_the_way: turns with the same nonce, and turns of the session that are under way.
        everybody: turns under way in the whole instance.
        own: those of the person who asks.
        last_number: of the session's newest turn; 0 if there is none.
        last_position: the newest known place in LlamaCloud's history; ``None`` if there is none.
    """

    in_the_way: int
    everybody: int
    own: int
    last_number: int
    last_position: int | None

    @property
    def may_run_at_once(self) -> bool:
        """Whether a new question need not wait; nobody overtakes those who do."""
        return may_run(self.everybody, self.own)

    @property
    def too_many(self) -> bool:
        """Whether the person has as many questions under way as anybody may."""
        return self.own >= QUEUE_LIMIT


def may_run(everybody: int, own: int) -> bool:
    """Whether one more turn may run beside so many of everybody's and of its person's."""
    return everybody < RUNNING_LIMIT and own < PERSON_LIMIT


def standing(session_id: int, person_id: int, nonce: str | None) -> Standing:
    """How things stand for a question of this person, with this nonce, in this session (by its key)."""
    in_the_way, last_number, last_position, everybody, own = fetch(
        _STANDING, nonce, session_id, session_id, session_id, person_id
    )[0]
    return Standing(in_the_way, everybody, own, last_number or 0, last_position)


def has_room(person_id: int | None) -> bool:
    """Whether one more of the waiting turns may run now, in the instance and for this person."""
    everybody, own = fetch(_RUNNING, person_id)[0]
    return may_run(everybody, own)


def places_in_queue() -> dict[int, int]:
    """The places of all turns that wait, by their keys; 1 is next."""
    return {key: place for place, (key,) in enumerate(fetch(_QUEUE), start=1)}


def place_in_queue(turn: Turn) -> int:
    """How many wait before it, itself included: 1 is next, 0 waits no more."""
    return places_in_queue().get(turn.pk, 0)


def to_see_to(now: datetime) -> list[int]:
    """The keys of turns that wait, that somebody wants stopped, or whose lease has run out."""
    return [key for (key,) in fetch(_TO_SEE_TO, now)]


def running_by_person() -> Counter[int | None]:
    """How many turns of each person run."""
    return Counter(dict(fetch(_BY_PERSON)))


_STANDING = f"""
    SELECT
        (SELECT COUNT(*) FROM {_TURNS} WHERE nonce = %s OR (session_id = %s AND {IS_LIVE})),
        (SELECT MAX(number) FROM {_TURNS} WHERE session_id = %s),
        (SELECT MAX(position) FROM {_TURNS} WHERE session_id = %s),
        COUNT(*), COUNT(CASE WHEN asked_by_id = %s THEN 1 END)
    FROM {_TURNS} WHERE {IS_LIVE}
"""  # noqa: S608  # our own names
_RUNNING = f"""
    SELECT COUNT(*), COUNT(CASE WHEN asked_by_id = %s THEN 1 END) FROM {_TURNS} WHERE state = 'running'
"""  # noqa: S608
_QUEUE = f"SELECT id FROM {_TURNS} WHERE state = 'queued' ORDER BY asked_at, id"  # noqa: S608
_TO_SEE_TO = f"""
    SELECT id FROM {_TURNS}
    WHERE {IS_LIVE} AND (state = 'queued' OR stop_asked_at IS NOT NULL OR lease_until < %s)
"""  # noqa: S608
_BY_PERSON = f"SELECT asked_by_id, COUNT(*) FROM {_TURNS} WHERE state = 'running' GROUP BY asked_by_id"  # noqa: S608
