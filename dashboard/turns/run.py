"""Running a turn: the stream is drained to its end, whoever is or isn't watching (decision 5)."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any

from django.db import connection
from django.utils import timezone

from dashboard import upstream
from dashboard.rows import update
from dashboard.turns.answer import Answer, Entry, missing_steps
from dashboard.turns.conflict import PASSING, which_conflict
from dashboard.turns.ending import NEVER_SENT, end_turn, outcome_of, take_back
from dashboard.turns.entries import LeaseLost
from dashboard.turns.eventlog import BEAT, EventLog
from dashboard.turns.lease import release
from dashboard.turns.models import Turn
from dashboard.turns.pulse import Pulse
from dashboard.turns.recover import recover
from dashboard.turns.states import TurnState

LATE = 2 * BEAT
"""Seconds after which deltas become a log entry although more are there to read: it sends faster than this reads."""
BUSY_FOR = 60.0
"""Seconds for which a question waits at LlamaCloud's door while it finishes an answer this session stopped or lost."""
ASK_AGAIN_EVERY = 2.0
"""Seconds between two such tries."""
SESSION_MISSING = (
    "LlamaCloud does not have this session any more, so your question was not asked. Ask it in a new session with the"
    " same sources."
)
SETTLED_WITHIN = 60.0
"""Seconds within which the end must be durable; after that the lease runs out and a reaper ends the turn."""


class Run:
    """One turn being run by this process.

    Args:
        turn: the turn, leased to ``holder``.
        client: the connection to LlamaCloud.
        log: where its events go.
        pulse: reads the answer.
        holder: whose lease it is.
        wait: sleeps and tells whether the process is being shut down; a test makes it short.
    """

    def __init__(
        self,
        turn: Turn,
        client: upstream.LlamaCloud,
        log: EventLog,
        pulse: Pulse,
        holder: str,
        wait: Callable[[float], bool],
    ) -> None:
        self.turn = turn
        self.stopped = False
        self.abandoned = False
        self._client = client
        self._log = log
        self._pulse = pulse
        self._holder = holder
        self._wait = wait
        self._answer = Answer()
        self._unseen: list[Entry] = []
        self._began_at: float | None = None
        self._grew = False
        self._leaving = threading.Event()
        self._stream: upstream.TurnStream | None = None
        self._writes: deque[Future[Any]] = deque()
        self._ended: Future[bool] | None = None

    def __call__(self) -> None:
        """Ask, read to the end, and end the turn; the thread's database connection is closed at the end.

        Raises:
            LeaseLost: another process has taken the turn over meanwhile.
        """
        self._log.open(self.turn.pk)
        ended = False
        try:
            self._read()
            ended = self._ended is not None and bool(self._ended.result(timeout=SETTLED_WITHIN))
        finally:
            connection.close()
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

    def _leave(self) -> None:
        self._leaving.set()
        stream = self._stream
        if stream is not None:
            stream.close()

    def _read(self) -> None:
        """Ask, and ask again while LlamaCloud is only busy with what this session stopped or lost."""
        gives_up_at = time.monotonic() + BUSY_FOR
        while self._ask(may_wait=time.monotonic() < gives_up_at):
            connection.close()
            self._leaving.wait(ASK_AGAIN_EVERY)

    def _ask(self, *, may_wait: bool) -> bool:
        """Ask once and read to the end; whether to ask again instead."""
        turn = self.turn
        params = upstream.ChatParams(
            index_ids=turn.index_ids, prompt=turn.prompt, require_all_indexes=turn.require_all_indexes
        )
        self._stream = self._client.stream(
            turn.session.session_id,
            params,
            project_id=turn.session.project_id or None,
        )
        if self.stopped or self.abandoned:
            # Whoever said so before the stream existed could not close it.
            self._leave()
        try:
            with self._stream as stream:
                self._pulse.read(stream, self._take, self._caught_up, lambda: self._answer.to_look_at)
        except upstream.UpstreamError as error:
            return self._broken(error, may_wait=may_wait)
        self._end(*outcome_of(self._answer))
        return False

    def _take(self, event: upstream.Event) -> None:
        entries = self._answer.take(event)
        # A block that makes no entry of its own any more only makes the answer grow.
        if isinstance(event, upstream.Delta) or (isinstance(event, upstream.Text) and not entries):
            self._grew = True
            now = time.monotonic()
            self._began_at = self._began_at or now
            if now >= self._began_at + LATE:
                self._began_at = now
                self._write(self._answer.frame(), at_once=True)
        elif entries and entries[-1].type == "user_input":
            # It tells a reader nothing new: it is stored together with what comes next.
            self._write(entries[:-1])
            self._unseen.append(entries[-1])
        else:
            self._write(entries)

    def _caught_up(self) -> bool:
        """All that came was taken: write it down, and while an answer grows let more of it gather unread.

        So the first token is forwarded at once, and any that comes after a pause; for others, to wake up costs more
        than to read them (decision 0005).
        """
        self._write(self._answer.frame())
        grew, self._grew, self._began_at = self._grew, False, None
        return grew

    def _write(self, entries: list[Entry], *, at_once: bool = False) -> None:
        if not entries:
            return
        while self._writes and self._writes[0].done():
            # What cannot be stored is not read on: another process reads the answer back.
            self._writes.popleft().result()
        entries, self._unseen = [*self._unseen, *entries], []
        work = None
        if self.turn.first_token_at is None and any(entry.type in ("text_delta", "text") for entry in entries):
            self.turn.first_token_at = now = timezone.now()
            work = partial(update, Turn, self.turn.pk, first_token_at=now)
        # Who waits for a first token must not wait for other answers to be read too.
        at_once = at_once or work is not None
        self._writes.append(self._log.append(self.turn.pk, entries, work, holder=self._holder, at_once=at_once))

    def _broken(self, error: upstream.UpstreamError, *, may_wait: bool) -> bool:
        """The stream did not come to its end: find out what that means, and whether to ask again."""
        unsent = error.outcome == "refused"
        if self.abandoned:
            release(self.turn, self._holder, unsent=unsent)
        elif self.stopped:
            self._end(TurnState.STOPPED, "", error_code=NEVER_SENT if unsent else "")
        elif unsent:
            return self._refused(error, may_wait=may_wait)
        else:
            self._recover()
        return False

    def _refused(self, error: upstream.UpstreamError, *, may_wait: bool) -> bool:
        """LlamaCloud said no before the answer began: the question does not exist there, so nothing is locked by it."""
        conflict = isinstance(error, upstream.Conflict)
        sentence = which_conflict(self._client, self.turn) if conflict else error.sentence
        if isinstance(error, upstream.NotFound):
            sentence = SESSION_MISSING
        if may_wait and sentence in PASSING:
            return True
        self._end(TurnState.FAILED, sentence, error_code=error.code)
        return False

    def _recover(self) -> None:
        """Read the answer back, a few times; what came already is shown until something better is found."""
        self._write(self._answer.frame(), at_once=True)
        recovery = recover(self._client, self.turn, self._wait, give_up=lambda: self.stopped or self.abandoned)
        if recovery.answer is not None:
            self._replace(recovery.answer)
        elif recovery.cut_short or self.abandoned:
            release(self.turn, self._holder)
        elif self.stopped:
            self._end(TurnState.STOPPED, "")
        else:
            self._end(TurnState.INTERRUPTED, recovery.explanation(self._answer))

    def _replace(self, whole: Answer) -> None:
        """End with an answer read back: readers are shown all of it, and the log gets the steps it lacks."""
        if whole.failed_without_a_word and self._answer.has_text:
            self._answer.stop = whole.stop
            self._end(*outcome_of(self._answer), position=self.turn.position)
            return
        seen, self._answer = self._answer, whole
        state, error = outcome_of(whole, read_back=True)
        self._finish(
            missing_steps(whole, seen=[(step.type, step.data) for step in seen.steps], number=seen.number),
            state,
            error,
            position=self.turn.position,
        )

    def _end(self, state: TurnState, error: str, **columns: Any) -> None:
        self._finish(self._answer.close(), state, error, **columns)

    def _finish(self, entries: list[Entry], state: TurnState, error: str, **columns: Any) -> None:
        def work() -> bool:
            # Whatever was to be written before this has been tried by now.
            failures = [failure for write in self._writes if (failure := write.exception(timeout=0))]
            if any(isinstance(failure, LeaseLost) for failure in failures):
                return False
            if failures:
                raise RuntimeError("a part of the answer could not be stored")
            ended = end_turn(self.turn, state, self._answer, holder=self._holder, error=error, **columns)
            if ended and columns.get("error_code"):
                take_back(self.turn)
            return ended

        self._ended = self._log.finish(self.turn.pk, [*self._unseen, *entries], work, holder=self._holder)
