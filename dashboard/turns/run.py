"""Running a turn: the stream is drained to its end, whoever is or isn't watching (decision 5)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from django.db import close_old_connections
from django.utils import timezone

from dashboard import upstream
from dashboard.chats.models import ChatSession
from dashboard.turns.answer import Answer, Entry
from dashboard.turns.ending import end_turn, outcome_of
from dashboard.turns.eventlog import EventLog
from dashboard.turns.models import Turn
from dashboard.turns.recover import PastTurn, read_back, split
from dashboard.turns.states import TurnState

FRAME = 0.1
"""Seconds of deltas joined to one log entry after the first."""
REST_UNTIL = 0.08
"""Seconds after a frame before which deltas may gather unread: waking up for each costs more than reading it."""
CAUGHT_UP = 0.001
"""Seconds a read has waited when nothing else was there to read."""
SETTLED_WITHIN = 60.0
"""Seconds within which the end must be durable; after that the lease runs out and a reaper ends the turn."""
READ_BACK_AFTER = (0.5, 2.0, 4.0, 8.0, 12.0)
"""Pauses in seconds between the tries to read a cut answer back: five within half a minute."""
NOT_ASKED = "The question did not reach LlamaCloud. Ask it again."
CUT = "The connection to LlamaCloud broke before the answer was complete, and LlamaCloud has not stored it."


class Run:
    """One turn being run by this process.

    Args:
        turn: the turn, leased to ``holder``.
        client: the connection to LlamaCloud.
        log: where its events go.
        holder: whose lease it is.
        wait: sleeps and tells whether the process is being shut down; a test makes it short.
    """

    def __init__(
        self, turn: Turn, client: upstream.LlamaCloud, log: EventLog, holder: str, wait: Callable[[float], bool]
    ) -> None:
        self.turn = turn
        self.stopped = False
        self.abandoned = False
        self._client = client
        self._log = log
        self._holder = holder
        self._wait = wait
        self._answer = Answer()
        self._lock = threading.Lock()
        self._framed_at = 0.0
        self._leaving = threading.Event()
        self._stream: upstream.TurnStream | None = None
        self._ended: Future[bool] | None = None

    def __call__(self) -> None:
        """Ask, read to the end, and end the turn; the thread's database connection is closed at the end."""
        self._log.open(self.turn.pk)
        try:
            self._read()
            ended = self._ended is not None and self._ended.result(timeout=SETTLED_WITHIN)
        finally:
            close_old_connections()
        if not ended:
            self._log.drop(self.turn.pk)

    def stop(self) -> None:
        """The person does not want to wait: stop reading at once."""
        self.stopped = True
        self._leave()

    def abandon(self) -> None:
        """The process ends: stop reading, let the lease go, and leave the rest to whoever reaps."""
        self.abandoned = True
        self._leave()

    def tick(self) -> None:
        """Write the waiting deltas when they have waited long enough; called often, from one thread."""
        if self._answer.has_pending and time.monotonic() - self._framed_at >= FRAME:
            with self._lock:
                self._framed_at = time.monotonic()
                self._write(self._answer.frame())

    def _leave(self) -> None:
        self._leaving.set()
        stream = self._stream
        if stream is not None:
            stream.close()

    def _read(self) -> None:
        turn = self.turn
        params = upstream.ChatParams(
            index_ids=turn.index_ids, prompt=turn.prompt, require_all_indexes=turn.require_all_indexes
        )
        self._stream = self._client.stream(turn.session.session_id, params, project_id=turn.session.project_id or None)
        try:
            with self._stream as events:
                if self.stopped or self.abandoned:
                    self._stream.close()
                asked = time.monotonic()
                for event in events:
                    waited = time.monotonic() - asked
                    self._take(event)
                    if waited > CAUGHT_UP and isinstance(event, upstream.TextDelta):
                        self._leaving.wait(self._framed_at + REST_UNTIL - time.monotonic())
                    asked = time.monotonic()
        except upstream.UpstreamError as error:
            self._broken(error)
        else:
            self._end(*outcome_of(self._answer))

    def _take(self, event: upstream.Event) -> None:
        with self._lock:
            entries = self._answer.take(event)
            delta = isinstance(event, upstream.TextDelta)
            if delta and time.monotonic() - self._framed_at >= FRAME:
                # The first token is forwarded at once, and so is any that comes after a pause.
                entries += self._answer.frame()
                self._framed_at = time.monotonic()
            self._write(entries, first_token=delta)

    def _write(self, entries: list[Entry], *, first_token: bool = False) -> None:
        if not entries:
            return
        work = None
        if first_token and self.turn.first_token_at is None:
            self.turn.first_token_at = now = timezone.now()
            pk = self.turn.pk
            work = lambda: Turn.objects.filter(pk=pk).update(first_token_at=now)  # noqa: E731  # a name would say less
        self._log.append(self.turn.pk, entries, work)

    def _broken(self, error: upstream.UpstreamError) -> None:
        """The stream did not come to its end: find out what that means."""
        if self.abandoned:
            release(self.turn, self._holder)
        elif self.stopped:
            self._end(TurnState.STOPPED, "")
        elif error.outcome == "refused":
            self._refused(error)
        else:
            self._recover()

    def _refused(self, error: upstream.UpstreamError) -> None:
        """LlamaCloud said no before the answer began: the question does not exist there, so nothing is locked by it."""
        turn = self.turn
        sentence = _which_conflict(self._client, turn) if isinstance(error, upstream.Conflict) else error.sentence

        def work() -> bool:
            ended = end_turn(
                turn, TurnState.FAILED, self._answer, holder=self._holder, error=sentence, error_code=error.code
            )
            others = Turn.objects.filter(session=turn.session_id).exclude(pk=turn.pk)
            if ended and not others.exists():
                ChatSession.objects.filter(pk=turn.session_id).update(first_asked_at=None)
            return ended

        self._ended = self._log.finish(turn.pk, self._answer.close(), work)

    def _recover(self) -> None:
        """Read the answer back, a few times; what was seen already stays until something better is found."""
        recovery = recover(self._client, self.turn, self._wait, give_up=lambda: self.stopped or self.abandoned)
        if recovery.answer is not None:
            self._answer = recovery.answer
            self._end(*outcome_of(recovery.answer, read_back=True), position=self.turn.position)
        elif self.abandoned:
            release(self.turn, self._holder)
        elif self.stopped:
            self._end(TurnState.STOPPED, "")
        else:
            self._end(TurnState.INTERRUPTED, NOT_ASKED if recovery.reached is False else CUT)

    def _end(self, state: TurnState, error: str, **columns: Any) -> None:
        with self._lock:
            entries = self._answer.close()
            answer = self._answer
        self._ended = self._log.finish(
            self.turn.pk,
            [] if state == TurnState.RECOVERED else entries,
            lambda: end_turn(self.turn, state, answer, holder=self._holder, error=error, **columns),
        )


RUNNING_ELSEWHERE = (
    "This session is answering a question that was asked outside Corral, and LlamaCloud answers one at a time."
    " Your question was not asked. Wait for that answer, then ask again."
)
SOURCES_FIXED = (
    "LlamaCloud did not accept these sources: the session is fixed to other ones. Your question was not asked."
    " Ask it in a new session with the sources you want."
)


def _which_conflict(client: upstream.LlamaCloud, turn: Turn) -> str:
    """A 409 does not say in a fixed form which of two things it means (contract.md §7), but the session does."""
    try:
        detail = client.chat(turn.session.session_id, project_id=turn.session.project_id or None)
    except upstream.UpstreamError:
        return upstream.Conflict.sentence
    history = list(split(detail.events))
    running = bool(history) and not history[-1].is_complete
    return RUNNING_ELSEWHERE if running else SOURCES_FIXED


@dataclass(frozen=True)
class Recovery:
    """What reading back brought.

    Args:
        answer: the whole answer, if LlamaCloud has it.
        reached: whether LlamaCloud has the question; ``None`` when it could not be asked.
    """

    answer: Answer | None = None
    reached: bool | None = None


def recover(
    client: upstream.LlamaCloud,
    turn: Turn,
    wait: Callable[[float], bool],
    *,
    give_up: Callable[[], bool] = lambda: False,
    absent_is_final: bool = False,
) -> Recovery:
    """Read a lost answer back, five times within half a minute.

    Args:
        client: the connection to LlamaCloud.
        turn: the turn; its ``position`` is set when it is found.
        wait: sleeps so many seconds; true when the process is being shut down.
        give_up: asked before each try.
        absent_is_final: the process that asked is dead, so a question that is not there now will not come any more.
    """
    reached = None
    for pause in READ_BACK_AFTER:
        if wait(pause) or give_up():
            break
        try:
            past = read_back(client, turn)
        except upstream.UpstreamError:
            continue
        if past is not None and past.is_complete:
            turn.position = past.position
            return Recovery(answer_of(past), True)
        if past is None and reached is False and absent_is_final:
            break
        reached = past is not None
    return Recovery(None, reached)


def answer_of(past: PastTurn) -> Answer:
    """The answer a piece of history holds."""
    answer = Answer()
    for event in past.events:
        answer.take(event)
    answer.close()
    return answer


def release(turn: Turn, holder: str) -> None:
    """Let a lease go at once, so that a reaper need not wait for it to run out."""
    Turn.objects.running().filter(pk=turn.pk, lease_holder=holder).update(lease_until=timezone.now())
