"""Running Corral's commands as people do: as processes of their own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

from tests.env import ENVIRONMENT

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 180
"""Seconds; generous, because two cores run the other tests at the same time."""


def environment(**changes: str) -> dict[str, str]:
    """Answer the tests' environment for a child, with ``changes``."""
    kept = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    return {**kept, **ENVIRONMENT, "PYTHONUNBUFFERED": "1", **changes}


def manage(*arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    """Run one command of ``manage.py`` to its end."""
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=environment(**changes),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def free_port() -> int:
    """Answer a port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


class Running:
    """A command that keeps running. ``output`` is what it has said so far, on either stream."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self._log = log

    @property
    def output(self) -> str:
        return self._log.read_text()

    def wait_for(self, text: str) -> str:
        """Wait until it has said ``text``; answer everything said."""
        deadline = time.monotonic() + PATIENCE
        while text not in self.output:
            assert self.process.poll() is None, f"ended with {self.process.returncode}:\n{self.output}"
            assert time.monotonic() < deadline, f"never said {text!r}:\n{self.output}"
            time.sleep(0.05)
        return self.output

    def wait_for_answer(self, url: str) -> requests.Response:
        """Wait until something answers at ``url``."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return requests.get(url, timeout=10, allow_redirects=False)
            except requests.ConnectionError:
                assert self.process.poll() is None, f"ended with {self.process.returncode}:\n{self.output}"
                assert time.monotonic() < deadline, f"never answered:\n{self.output}"
                time.sleep(0.05)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and answer the exit status."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)


@contextmanager
def running(folder: Path, *arguments: str, **changes: str) -> Iterator[Running]:
    """Run a command of ``manage.py`` for as long as the block lasts; what it says is kept in ``folder``."""
    log = folder / f"{arguments[0]}-{time.monotonic_ns()}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=environment(**changes),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield Running(process, log)
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
