"""``python -m benchmarks.bare.serve PORT PROCESSES``: the bare site under the dashboard's own web server settings."""

from __future__ import annotations

import os
import sys
from typing import Any

from dashboard.management.commands.serve import WebServer


class BareServer(WebServer):
    """The same gunicorn with the same options; only the application differs, and nothing runs beside requests."""

    def __init__(self, host: str, port: int, processes: int) -> None:
        super().__init__(host, port, processes)
        for hook in ("post_worker_init", "worker_exit"):
            self.cfg.set(hook, self.cfg.settings[hook].default)

    def load(self) -> Any:
        from django.core.wsgi import get_wsgi_application

        return get_wsgi_application()


if __name__ == "__main__":
    os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.bare.settings"
    BareServer("127.0.0.1", int(sys.argv[1]), int(sys.argv[2])).run()
