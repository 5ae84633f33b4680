"""``manage.py worker``: the background work, until told to stop."""

from __future__ import annotations

import signal
import threading
import time
from typing import Any

from django.core.management.base import BaseCommand
from django.db import close_old_connections, connections

from dashboard.config import upstream_client
from dashboard.jobs.run import Work, let_go, run_due
from dashboard.jobs.work import all_work
from dashboard.turns.runners import Runners

PAUSE = 1.0
"""Seconds between two looks at whether work is due."""
GRACE = 3.0
"""Seconds a step in progress gets to end by itself when the worker is told to stop; any step may be done again."""


class Command(BaseCommand):
    """Run all background work. Any number of workers may run; each piece of work is done by one."""

    help = "Keeps projects, sources and sessions up to date in the background, until stopped."

    def handle(self, *args: Any, **options: Any) -> None:
        """Give each kind of work a thread of its own, so that short and long work do not wait for each other."""
        stop = threading.Event()
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, lambda *_: stop.set())
        threads = [
            threading.Thread(target=self._keep_running, args=(work, stop), name=work.name, daemon=True)
            for work in all_work(upstream_client)
        ]
        for thread in threads:
            thread.start()
        # The worker also ends turns whose process died, and runs those that wait while no web process is up.
        runners = Runners(upstream_client)
        runners.keep()
        self.stdout.write("worker: ready")
        self.stdout.flush()
        stop.wait()
        ends = time.monotonic() + GRACE
        for thread in threads:
            thread.join(max(0.0, ends - time.monotonic()))
        runners.drain(max(0.0, ends - time.monotonic()))
        let_go()

    def _keep_running(self, work: Work, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                ran = run_due(work)
            except Exception as error:
                # The database is away: say so once a pause and go on, for it may come back.
                self.stderr.write(f"worker: {work.name}: {type(error).__name__}")
                ran = False
            finally:
                close_old_connections()
            if not ran:
                stop.wait(PAUSE)
        connections.close_all()
