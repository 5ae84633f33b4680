"""The embedded server in a process of its own, under the real web server."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from pathlib import Path

import requests

ROOT = Path(__file__).resolve().parents[2]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def start_process(port: int, *arguments: str) -> tuple[subprocess.Popen[bytes], str]:
    """A server in a process group of its own; returns once it answers."""
    process = subprocess.Popen([sys.executable, *arguments], cwd=ROOT, start_new_session=True)
    url = f"http://127.0.0.1:{port}"
    for _ in range(600):
        try:
            requests.get(f"{url}/api/v1/projects", timeout=1)
        except requests.ConnectionError:
            assert process.poll() is None, "the server ended at its start"
            time.sleep(0.05)
        else:
            return process, url
    raise AssertionError("the server never answered")
