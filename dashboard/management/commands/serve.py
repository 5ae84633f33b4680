"""``manage.py serve``: the web server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connections
from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger

from dashboard.management import database, ports, static_files

THREADS = 96
"""Requests one process answers at the same time (architecture: threads, because every page waits for a database): all
that may wait for LlamaCloud (``looking``), and 40 more for mere pages. Who watches a live answer holds none."""


class WebServerLog(Logger):
    """gunicorn's messages, written the way everything else is."""

    def setup(self, cfg: Any) -> None:
        """Leave handlers and format to ``settings.LOGGING``."""
        self.error_log.handlers = []
        self.error_log.propagate = True

    def access(self, *args: Any) -> None:
        """Log no requests: their addresses hold what people search for and the one-time set-up key."""


class WebServer(BaseApplication):
    """gunicorn, configured from here only: no file, no command line of its own, no environment variables."""

    def __init__(self, host: str, port: int, processes: int) -> None:
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self.options: dict[str, Any] = {
            "bind": [address],
            "workers": processes,
            "worker_class": "dashboard.management.web_worker.Worker",
            "threads": THREADS,
            # A question of 1,000 characters goes along to a new session in the address; this is the most there is.
            "limit_request_line": 8190,
            # Longer than a proxy keeps its idle connections, or it would send into one that is being closed.
            "keepalive": 75,
            # For gthread this watches the process, not a request: a long stream is never cut by it.
            "timeout": 60,
            "graceful_timeout": 30,
            "post_worker_init": lambda worker: _begin(),
            "worker_exit": lambda server, worker: _end(),
            "logger_class": WebServerLog,
            "proc_name": "corral",
            # Who may speak for a person is decided by TRUSTED_PROXIES, in dashboard.wsgi.
            "forwarded_allow_ips": "",
            "control_socket_disable": True,
            # The heartbeat file belongs in memory: on a slow disk, or a read-only one, workers would look dead.
            "worker_tmp_dir": "/dev/shm" if Path("/dev/shm").is_dir() else None,  # noqa: S108
        }
        super().__init__()

    def load_config(self) -> None:
        """Hand the options to gunicorn."""
        for name, value in self.options.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        """Answer the application, in each worker."""
        from dashboard.wsgi import application

        return application


def _begin() -> None:
    from dashboard.web.running import begin

    begin()


def _end() -> None:
    from dashboard.web.running import end

    end()


class Command(BaseCommand):
    """Serve the dashboard with the environment as given."""

    help = "Starts the web server. Needs migrated tables; collects static files itself if it may."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare where to listen."""
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
        parser.add_argument("--port", type=int, default=8000, help="port to listen on (default: %(default)s)")
        parser.add_argument("--processes", type=int, default=2, help="worker processes (default: %(default)s)")

    def handle(self, *args: Any, host: str, port: int, processes: int, **options: Any) -> None:
        """Refuse plainly what cannot work, then serve until told to stop."""
        if processes < 1:
            raise CommandError("--processes must be at least 1.")
        if not ports.is_free(host, port):
            raise CommandError(f"Cannot listen on {host}:{port}: it is in use, or not this machine's. Try --port.")
        if problem := database.problem():
            raise CommandError(problem)
        if not settings.DEBUG and not static_files.collect_if_needed():
            raise CommandError(static_files.NOT_COLLECTED)
        self._announce(host, port)
        # Workers must open their own connections; one shared across a fork mixes up answers.
        connections.close_all()
        WebServer(host, port, processes).run()

    def _announce(self, host: str, port: int) -> None:
        from django.contrib.auth.models import User

        from dashboard.web.setup import setup_path

        if settings.CORRAL.encrypted:
            origin = f"https://{settings.CORRAL.allowed_hosts[0].lstrip('.')}"
        else:
            shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
            origin = f"http://{shown}:{port}"
        self.stdout.write(f"Corral: {origin}{settings.CORRAL.url_prefix}/")
        if not settings.CORRAL.trusted_proxies and host not in ("127.0.0.1", "::1", "localhost"):
            self.stdout.write(
                "Reachable from elsewhere without a proxy in front: put one there (README, Use it with LlamaCloud)."
            )
        if not User.objects.exists():
            self.stdout.write(f"Nobody can sign in yet. Make the first account here, once:\n{origin}{setup_path()}")
        self.stdout.flush()
