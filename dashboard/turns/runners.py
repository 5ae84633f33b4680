"""The turns this process runs, their leases, and the reaping of turns whose process died."""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.db import DatabaseError, close_old_connections, connection, transaction
from django.utils import timezone

from dashboard import upstream
from dashboard.turns.answer import Answer
from dashboard.turns.ending import end_turn, outcome_of
from dashboard.turns.eventlog import EVENT_LOG, EventLog
from dashboard.turns.models import Turn
from dashboard.turns.run import CUT, NOT_ASKED, Recovery, Run, recover
from dashboard.turns.states import TurnState

log = logging.getLogger(__name__)

LEASE = timedelta(seconds=12)
HEARTBEAT = 3.0
"""Seconds between two renewals of all leases of this process."""
LOOK_EVERY = 0.5
"""Seconds between two looks for queued turns and stop requests."""
TICK = 0.05
RUNNING_LIMIT = 200
"""Turns running at once in the whole instance."""
PERSON_LIMIT = 3
"""Turns of one person running at once."""


class Runners:
    """What runs turns in this process: a thread a turn, and one that looks after all of them."""

    def __init__(self, client: Callable[[], upstream.LlamaCloud], event_log: EventLog = EVENT_LOG) -> None:
        self.holder = f"{socket.gethostname()[:30]}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self._client = client
        self._log = event_log
        self._runs: dict[int, Run] = {}
        self._reaping: set[int] = set()
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._keeper: threading.Thread | None = None

    def start(self, turn: Turn) -> None:
        """Run a turn whose lease this process has."""
        run = Run(turn, self._client(), self._log, self.holder, self._ending.wait)
        with self._lock:
            self._runs[turn.pk] = run
            self.keep()
        threading.Thread(target=self._run, args=(run,), name=f"turn-{turn.pk}", daemon=True).start()

    def keep(self) -> None:
        """See to it that somebody looks after queued, stopped and orphaned turns."""
        if self._keeper is None or not self._keeper.is_alive():
            self._keeper = threading.Thread(target=self._keep, name="turn-keeper", daemon=True)
            self._keeper.start()

    def stop(self, turn_id: int) -> None:
        """Stop a turn if it runs here; elsewhere, its own process sees the request within half a second."""
        run = self._runs.get(turn_id)
        if run is not None:
            run.stop()

    def drain(self, seconds: float) -> None:
        """The process is to end: give running turns so many seconds, then let their leases go.

        Args:
            seconds: how long to wait for turns to finish by themselves.
        """
        ends = time.monotonic() + seconds
        while self._runs and time.monotonic() < ends:
            time.sleep(TICK)
        self._ending.set()
        for run in list(self._runs.values()):
            run.abandon()
        ends = time.monotonic() + 2
        while self._runs and time.monotonic() < ends:
            time.sleep(TICK)

    def _run(self, run: Run) -> None:
        try:
            run()
        except Exception:
            # Its lease runs out and a reaper ends it; the process and its other turns go on.
            log.exception("A turn ended in an unexpected way")
        finally:
            with self._lock:
                self._runs.pop(run.turn.pk, None)

    # --- keeping --------------------------------------------------------------------------------------------------

    def _keep(self) -> None:
        looked = renewed = 0.0
        while not self._ending.is_set():
            time.sleep(TICK)
            for run in list(self._runs.values()):
                run.tick()
            now = time.monotonic()
            try:
                if now - renewed >= HEARTBEAT:
                    renewed = now
                    self._renew()
                    self._reap()
                if now - looked >= LOOK_EVERY:
                    looked = now
                    self._heed_stops()
                    self._take_queued()
                    close_old_connections()
            except DatabaseError as error:
                log.warning("Looking after turns failed: %s", type(error).__name__)
                connection.close()

    def _renew(self) -> None:
        held = [*self._runs, *self._reaping]
        if held:
            mine = Turn.objects.running().filter(lease_holder=self.holder, pk__in=held)
            mine.update(lease_until=timezone.now() + LEASE)

    def _heed_stops(self) -> None:
        if self._runs:
            asked = Turn.objects.running().filter(pk__in=list(self._runs), stop_asked_at__isnull=False)
            for pk in asked.values_list("pk", flat=True):
                self.stop(pk)

    def _take_queued(self) -> None:
        for turn in Turn.objects.queued().select_related("session")[:20]:
            if has_room(turn.asked_by_id) and claim(turn, self.holder):
                self.start(turn)

    def _reap(self) -> None:
        """Take over turns whose lease ran out, each in a thread of its own: reading back takes time."""
        for turn in Turn.objects.running().filter(lease_until__lt=timezone.now()).select_related("session")[:20]:
            mine = Turn.objects.running().filter(pk=turn.pk, lease_until=turn.lease_until)
            if mine.update(lease_until=timezone.now() + LEASE, lease_holder=self.holder):
                self._reaping.add(turn.pk)
                threading.Thread(target=self._end_orphan, args=(turn,), name=f"reap-{turn.pk}", daemon=True).start()

    def _end_orphan(self, turn: Turn) -> None:
        """End a turn whose process died, with the whole answer if LlamaCloud has it."""
        try:
            reap(self._client(), turn, self.holder, self._ending.wait)
        except Exception:
            log.exception("A turn could not be taken over")
        finally:
            self._reaping.discard(turn.pk)
            close_old_connections()


def reap(client: upstream.LlamaCloud, turn: Turn, holder: str, wait: Callable[[float], bool]) -> None:
    """End an orphaned turn: recovered with the stored answer, stopped if that was asked, or plainly interrupted."""
    stopped = turn.stop_asked_at is not None
    recovery = Recovery() if stopped else recover(client, turn, wait, absent_is_final=True)
    columns: dict[str, Any] = {}
    if recovery.answer is not None:
        answer = recovery.answer
        state, columns["error"] = outcome_of(answer, read_back=True)
        columns["position"] = turn.position
    else:
        answer = seen_so_far(turn)
        state = TurnState.STOPPED if stopped else TurnState.INTERRUPTED
        columns["error"] = "" if stopped else NOT_ASKED if recovery.reached is False else CUT
    with transaction.atomic():
        end_turn(turn, state, answer, holder=holder, **columns)


def seen_so_far(turn: Turn) -> Answer:
    """What the log holds of a turn, as an answer."""
    answer = Answer()
    for data in turn.log.order_by("number").values_list("data", flat=True):
        answer.take(upstream.read_event(json.loads(data)))
    answer.close()
    return answer


def has_room(person_id: int | None) -> bool:
    """Whether one more turn may run now, in the instance and for this person."""
    running = Turn.objects.running()
    if running.count() >= RUNNING_LIMIT:
        return False
    return person_id is None or running.filter(asked_by=person_id).count() < PERSON_LIMIT


def claim(turn: Turn, holder: str) -> bool:
    """Take a queued turn; of several processes one gets it."""
    now = timezone.now()
    return bool(
        Turn.objects.filter(pk=turn.pk, state=TurnState.QUEUED).update(
            state=TurnState.RUNNING, started_at=now, lease_until=now + LEASE, lease_holder=holder
        )
    )


def place_in_queue(turn: Turn) -> int:
    """How many wait before it, itself included: 1 is next."""
    return Turn.objects.queued().filter(asked_at__lte=turn.asked_at).count()
