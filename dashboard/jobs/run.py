"""Claiming and running one step of due work, on SQLite and PostgreSQL, with no broker (decision 9)."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import models
from django.utils import timezone

from dashboard.errors import DashboardError
from dashboard.jobs.models import Job

log = logging.getLogger(__name__)

LEASE = timedelta(seconds=90)
"""Three times the longest step: a worker silent for longer is dead, and its step is taken over."""
MAX_BACKOFF = timedelta(minutes=10)


@dataclass(frozen=True)
class Work:
    """A kind of background work.

    Args:
        name: stable; the row's name.
        every: the pause between two complete passes.
        step: does at most 30 s of idempotent work from a cursor (``None`` at the start of a pass) and returns the
            cursor to go on from, or ``None`` when the pass is complete.
    """

    name: str
    every: timedelta
    step: Callable[[Any], Any]


def holder() -> str:
    """Who is claiming: host, process and thread, for the admin to read."""
    return f"{socket.gethostname()}:{os.getpid()}:{threading.get_ident()}"[:80]


def run_due(work: Work) -> bool:
    """Claim and run one step of this work if it is due and nobody else has it.

    Returns:
        whether a step was run.
    """
    now = timezone.now()
    Job.objects.get_or_create(name=work.name, defaults={"next_run_at": now})
    free = models.Q(lease_until=None) | models.Q(lease_until__lt=now)
    mine = Job.objects.filter(free, name=work.name, next_run_at__lte=now)
    if not mine.update(lease_until=now + LEASE, lease_holder=holder(), heartbeat_at=now, last_started_at=now):
        return False
    job = Job.objects.get(name=work.name)
    try:
        cursor = work.step(job.cursor)
    except DashboardError as error:
        _fail(work, f"{error.sentence} ({error.code}) {error.detail}".strip())
    except Exception as error:
        # One broken kind of work must not end the worker, which also runs all the others.
        log.exception("The background work %s failed", work.name)
        _fail(work, type(error).__name__)
    else:
        _advance(work, cursor)
    return True


def _advance(work: Work, cursor: Any) -> None:
    now = timezone.now()
    done = cursor is None
    _release(
        work,
        cursor=cursor,
        last_error="",
        next_run_at=now + work.every if done else now,
        **({"last_finished_at": now, "runs": models.F("runs") + 1} if done else {}),
    )


def _fail(work: Work, why: str) -> None:
    """Keep the cursor, so that the pass goes on where it was, after a pause."""
    pause = min(max(work.every, timedelta(seconds=15)), MAX_BACKOFF)
    _release(work, last_error=why[:2000], next_run_at=timezone.now() + pause)


def _release(work: Work, **columns: Any) -> None:
    """Only the holder lets go: a step that outlived its lease must not undo the one that took over."""
    Job.objects.filter(name=work.name, lease_holder=holder()).update(
        lease_until=None, lease_holder="", heartbeat_at=timezone.now(), **columns
    )


def let_go() -> None:
    """Give back what threads of this process still hold, so that another worker need not wait for the leases to end."""
    process = holder().rpartition(":")[0]
    Job.objects.filter(lease_holder__startswith=f"{process}:").update(lease_until=None, lease_holder="")


def run_to_end(work: Work) -> None:
    """Do one complete pass now, whatever the schedule.

    Raises:
        DashboardError: a step failed.
    """
    cursor = work.step(None)
    while cursor is not None:
        cursor = work.step(cursor)


def hurry(name: str) -> None:
    """Ask the workers to do this work as soon as they can."""
    Job.objects.filter(name=name).update(next_run_at=timezone.now())
