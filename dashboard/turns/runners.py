"""The turns this process runs, their leases, and the reaping of turns whose process died."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from functools import partial

from django.db import Error, close_old_connections, connection, transaction
from django.utils import timezone

from dashboard import upstream
from dashboard.rows import find
from dashboard.turns.answer import Answer
from dashboard.turns.ending import end_turn
from dashboard.turns.entries import LeaseLost
from dashboard.turns.eventlog import AWAY, EVENT_LOG, EventLog
from dashboard.turns.lease import HEARTBEAT, claim, release, renew, take_over, wait_to_write
from dashboard.turns.models import Turn
from dashboard.turns.past import STILL_OPEN
from dashboard.turns.pulse import Pulse
from dashboard.turns.reap import reap
from dashboard.turns.run import Run
from dashboard.turns.standing import may_run, running_by_person, to_see_to
from dashboard.turns.states import TurnState
from dashboard.turns.threads import Threads

log = logging.getLogger(__name__)

LOOK_EVERY = 1.0
"""Seconds between two looks for queued turns and stop requests while there is something to look after."""
LOOK_WHEN_IDLE = 3.0
"""Seconds between two looks while nothing runs here, nothing waits and no lease is suspect."""
GRACE = HEARTBEAT + 1.0
"""Seconds a lease that has run out is watched before it is taken over: its process may have been waiting for the
database like everybody, or its clock may be behind, and renews it at its next heartbeat."""
HELD_UP = 0.5
"""Seconds of waiting to write after which others are taken to have waited as well, and get their grace anew."""
REAPERS = 20
"""Turns of dead processes read back at once by this one."""
SHORTLY = 0.05
"""Seconds between two looks whether all turns are done, when the process is to end."""
KEPT_IN_MIND = ("id", "state", "asked_by_id", "asked_at", "lease_until", "lease_holder", "stop_asked_at")
"""What is looked at of a turn that is to be seen to."""


class Runners:
    """What runs turns in this process: a thread a turn, and one that looks after all of them."""

    def __init__(self, client: Callable[[], upstream.LlamaCloud], event_log: EventLog = EVENT_LOG) -> None:
        self.holder = f"{socket.gethostname()[:30]}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self._client = client
        self._log = event_log
        self._pulse = Pulse(event_log.until_beat, event_log.write)
        self._threads = Threads("turn-run")
        self._runs: dict[int, Run] = {}
        self.closing = False
        self._reaping: dict[int, threading.Event] = {}
        self._suspects: dict[int, tuple[datetime | None, float]] = {}
        self._lock = threading.RLock()
        self._ending = threading.Event()
        self._look_now = threading.Event()
        self._is_idle = self._has_queue = False
        self._keeper: threading.Thread | None = None

    def start(self, turn: Turn) -> None:
        """Run a turn whose lease this process has."""
        run = Run(turn, self._client(), self._log, self._pulse, self.holder, self._ending.wait)
        with self._lock:
            self._runs[turn.pk] = run
        self.keep(at_once=self._is_idle)
        try:
            self._threads.do(partial(self._run, run))
        except RuntimeError:
            # No thread to be had: its lease must not be renewed as if it ran.
            self._forget(run)
            release(turn, self.holder, unsent=True)

    def keep(self, *, at_once: bool = True) -> None:
        """See to it that somebody looks after queued, stopped and orphaned turns, at once or when it is time."""
        if at_once:
            self._look_now.set()
        with self._lock:
            if self._keeper is None or not self._keeper.is_alive():
                self._keeper = threading.Thread(target=self._keep, name="turn-keeper", daemon=True)
                self._keeper.start()

    def close(self) -> None:
        """Take no more turns: the process is to end soon. Safe in a signal handler: takes no lock."""
        self.closing = True

    def stop(self, turn_id: int) -> None:
        """Stop a turn if it runs here; elsewhere, its own process sees the request within a second."""
        run, reaping = self._runs.get(turn_id), self._reaping.get(turn_id)
        if run is not None:
            run.stop()
        if reaping is not None:
            reaping.set()

    def drain(self, seconds: float) -> None:
        """The process is to end: give running turns so many seconds, then let their leases go.

        Args:
            seconds: how long to wait for turns to finish by themselves.
        """
        self.closing = True
        ends = time.monotonic() + seconds
        while self._runs and time.monotonic() < ends:
            time.sleep(SHORTLY)
        for run in list(self._runs.values()):
            run.abandon()
        self._ending.set()
        self._look_now.set()
        ends = time.monotonic() + 2
        while (self._runs or self._reaping) and time.monotonic() < ends:
            time.sleep(SHORTLY)

    def _run(self, run: Run) -> None:
        try:
            run()
        except LeaseLost:
            log.warning("A turn was taken over by another process while this one was not running")
        except Exception:
            # Its lease runs out and a reaper ends it; the process and its other turns go on.
            log.exception("A turn ended in an unexpected way")
        finally:
            self._forget(run)

    def _forget(self, run: Run) -> None:
        with self._lock:
            self._runs.pop(run.turn.pk, None)

    # --- keeping --------------------------------------------------------------------------------------------------

    def _keep(self) -> None:
        renewed = 0.0
        while not self._ending.is_set():
            # Whoever starts a run meanwhile must not find that this one is awake.
            self._is_idle = True
            self._is_idle = not (self._runs or self._reaping or self._suspects or self._has_queue)
            self._look_now.wait(LOOK_WHEN_IDLE if self._is_idle else LOOK_EVERY)
            self._look_now.clear()
            now = time.monotonic()
            try:
                if now - renewed >= HEARTBEAT:
                    self._renew()
                    renewed = now
                self._look()
                close_old_connections()
            except Exception as error:
                # Whatever it is, without this thread every turn of the process would be taken for dead. If it is the
                # database, others could not renew their leases either.
                self._suspects = {}
                log.warning(
                    "Looking after turns failed: %s", type(error).__name__, exc_info=not isinstance(error, Error)
                )
                connection.close()
        connection.close()

    def _renew(self) -> None:
        runs = list(self._runs.values())
        kept = renew([*(run.turn.pk for run in runs), *self._reaping], self.holder)
        for run in runs:
            if run.turn.pk not in kept:
                # Ended already, or taken over while this process slept: there is nothing to read for any more.
                run.abandon()

    def _look(self) -> None:
        """One look at everything under way, in this process and in others."""
        found = find(Turn, "pk", to_see_to(timezone.now()), only=KEPT_IN_MIND)
        running = [turn for turn in found if turn.state == TurnState.RUNNING]
        self._has_queue = len(running) < len(found)
        self._heed_stops(running)
        if not self.closing:
            self._take_queued([turn for turn in found if turn.state == TurnState.QUEUED])
            self._reap(running)

    def _heed_stops(self, running: list[Turn]) -> None:
        for turn in running:
            if turn.stop_asked_at is not None:
                self.stop(turn.pk)

    def _take_queued(self, queued: list[Turn]) -> None:
        """Start what waits, first come first served; whoever has enough under way does not hold up the others."""
        busy = running_by_person() if queued else Counter()
        for waiting in sorted(queued, key=lambda turn: (turn.asked_at, turn.pk)):
            person = waiting.asked_by_id
            if not may_run(busy.total(), busy[person] if person else 0):
                continue
            turn = Turn.objects.select_related("session").filter(pk=waiting.pk).first()
            if turn is not None and claim(turn, self.holder):
                busy[person] += 1
                self.start(turn)

    def _reap(self, running: list[Turn]) -> None:
        """Take over turns whose lease ran out, each in a thread of its own: reading back takes time."""
        now, suspects = time.monotonic(), self._suspects
        self._suspects = {}
        over = timezone.now()
        for turn in running:
            if turn.lease_until is None or turn.lease_until >= over:
                continue
            lease, since = suspects.get(turn.pk, (None, now))
            if lease != turn.lease_until:
                since = now
            self._suspects[turn.pk] = (turn.lease_until, since)
            if (turn.lease_holder and now - since < GRACE) or len(self._reaping) >= REAPERS:
                continue
            if wait_to_write() > HELD_UP:
                self._suspects[turn.pk] = (turn.lease_until, time.monotonic())
                continue
            orphan = Turn.objects.select_related("session").filter(pk=turn.pk).first()
            if orphan is not None and take_over(turn.pk, turn.lease_until, self.holder):
                self._take_over(orphan)

    def _take_over(self, orphan: Turn) -> None:
        self._reaping[orphan.pk] = stopped = threading.Event()
        try:
            threading.Thread(
                target=self._end_orphan, args=(orphan, stopped), name=f"reap-{orphan.pk}", daemon=True
            ).start()
        except RuntimeError:
            # No thread to be had: what is held here has its lease renewed, so it must be let go.
            self._reaping.pop(orphan.pk, None)
            release(orphan, self.holder)

    def _end_orphan(self, turn: Turn, stopped: threading.Event) -> None:
        """End a turn whose process died, with the whole answer if LlamaCloud has it."""
        try:
            reap(self._client(), turn, self.holder, self._ending.wait, stopped.is_set)
        except AWAY as error:
            # The database is away: whoever sees the lease run out tries again.
            log.warning("A turn could not be taken over: %s", type(error).__name__)
        except Exception:
            log.exception("A turn could not be read back")
            with transaction.atomic():
                # Whatever is the matter with it, a session must not be answering for ever.
                end_turn(turn, TurnState.INTERRUPTED, Answer(), holder=self.holder, error=STILL_OPEN)
        finally:
            self._reaping.pop(turn.pk, None)
            connection.close()
