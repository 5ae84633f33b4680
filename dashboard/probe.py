"""``python -m dashboard.probe``: is the web server on this machine alive? For a container's health check.

Speaks plain HTTP to the process itself, with the host name people use: any other would be refused. Imports nothing of
Django, because it runs twice a minute.
"""

from __future__ import annotations

import http.client
import os
import sys


def is_alive(port: int, host: str) -> bool:
    """Say whether ``/livez`` answers 200 on this machine."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=4)
    try:
        connection.request("GET", "/livez", headers={"Host": host})
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    first = os.environ.get("ALLOWED_HOSTS", "").split(",")[0].strip().lstrip(".")
    sys.exit(not is_alive(int(sys.argv[1]) if len(sys.argv) > 1 else 8000, first or "localhost"))
