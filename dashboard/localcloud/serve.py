"""Running the embedded server under gunicorn, whose HTTP parser we rely on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gunicorn.app.base import BaseApplication

from dashboard.localcloud.app import Localcloud

THREADS = 64
"""A running stream holds one."""


class Server(BaseApplication):  # type: ignore[misc]  # gunicorn ships no types
    """gunicorn with its settings given in code instead of on a command line."""

    def __init__(self, options: dict[str, Any], arguments: dict[str, Any]) -> None:
        self._options = options
        self._arguments = arguments
        super().__init__()

    def load_config(self) -> None:
        for name, value in self._options.items():
            self.cfg.set(name, value)

    def load(self) -> Localcloud:
        # Runs in the worker, after the fork: a SQLite connection must not cross it.
        return Localcloud(**self._arguments)


def close_application(server: Any, worker: Any) -> None:
    """Let running turns end with a stored ``stop`` when the worker ends; one that never loaded has none."""
    application = getattr(worker, "wsgi", None)
    if isinstance(application, Localcloud):
        application.close()


def serve(
    *,
    docs: Path,
    key: str,
    database: Path,
    port: int,
    host: str = "127.0.0.1",
    token_delay: float = 0,
    sync_delay: float = 0,
) -> None:
    """Serve until interrupted or terminated.

    One worker process: it alone runs turns and syncs, so at its start whatever is marked as running is known to be
    dead. A worker that dies is replaced.

    Args:
        docs: folder of documents; one sub-folder is one index.
        key: the API key callers must send.
        database: the SQLite file.
        port: TCP port.
        host: address to listen on.
        token_delay: seconds between two pieces of an answer.
        sync_delay: seconds a requested sync waits before it works.
    """
    options = {
        "bind": f"{host}:{port}",
        "worker_class": "gthread",
        "workers": 1,
        "threads": THREADS,
        "graceful_timeout": 2,
        "proc_name": "localcloud",
        "control_socket_disable": True,
        "worker_exit": close_application,
    }
    arguments = {
        "docs": docs,
        "key": key,
        "database": database,
        "token_delay": token_delay,
        "sync_delay": sync_delay,
    }
    Server(options, arguments).run()
