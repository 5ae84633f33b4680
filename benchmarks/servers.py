"""Starting what is measured: real server processes on free ports, over a temporary folder, stopped afterwards."""

from __future__ import annotations

import http.client
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parent
MEMBER = {"login": "ada", "password": secrets.token_urlsafe(12)}
"""The person every request is made as."""
START_SECONDS = 60.0
PROCESSES = 2
"""Worker processes of both servers that are compared."""


class Servers:
    """Child processes of one benchmark and the folder of their databases and logs; leaving the block removes both."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="corral-bench-")
        self.folder = Path(self._folder.name)
        self._environments: dict[str, dict[str, str]] = {}
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        for child in self._children.values():
            child.terminate()
        for child in self._children.values():
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        self._folder.cleanup()

    def corral(
        self,
        name: str,
        *,
        sessions: int,
        indexes: int = 50,
        upstream: int | None = None,
        processes: int = PROCESSES,
        askers: int = 0,
    ) -> Corral:
        """Start a dashboard over a database of its own.

        Args:
            name: of the database.
            sessions: how many are cached in it.
            indexes: how many the catalog holds.
            upstream: port of the server that stands for LlamaCloud; without one nobody answers.
            processes: worker processes.
            askers: people who are signed in, each with a session of its own (``askers.py``).
        """
        environment = _environment() | {
            "DATABASE_URL": f"sqlite:///{self.folder / name}.sqlite3",
            "SECRET_KEY": secrets.token_urlsafe(48),
            "LLAMA_CLOUD_API_KEY": "llx-benchmark",
            "LLAMA_CLOUD_BASE_URL": f"http://127.0.0.1:{upstream or 9}",
            "INSECURE_HTTP": "1",
            "DJANGO_SUPERUSER_PASSWORD": MEMBER["password"],
        }
        _run("manage.py", "migrate", "--verbosity", "0", environment=environment)
        _run(
            "manage.py", "createsuperuser", "--noinput", "--username", MEMBER["login"], "--email", "ada@example.org",
            environment=environment,
        )  # fmt: skip
        filled = json.loads(_run("benchmarks/fill.py", str(sessions), str(indexes), environment=environment))
        if askers:
            filled["askers"] = json.loads(_run("benchmarks/askers.py", str(askers), environment=environment))
        self._environments[name] = environment
        return Corral(self.another(name, processes), filled)

    def another(self, name: str, processes: int = 1) -> int:
        """Serve the database of this name on a port of its own, once more if it is served already; answer the port."""
        port = free_port()
        command = ("manage.py", "serve", "--port", str(port), "--processes", str(processes))
        self._start(f"{name}-{port}", port, self._environments[name], *command)
        return port

    def bare(self, *, upstream: int = 9, processes: int = PROCESSES, middleware: str = "") -> int:
        """Start the bare limit, with this middleware if any; answer its port."""
        port = free_port()
        environment = _environment() | {"UPSTREAM": f"http://127.0.0.1:{upstream}", "BARE_MIDDLEWARE": middleware}
        self._start(f"bare-{port}", port, environment, "-m", "benchmarks.bare.serve", str(port), str(processes))
        return port

    def pids(self, port: int) -> list[int]:
        """The processes behind a port: the one started, then its workers."""
        master = next(child.pid for name, child in self._children.items() if name.endswith(f"-{port}"))
        return [master, *map(int, Path(f"/proc/{master}/task/{master}/children").read_text().split())]

    def stub(self) -> int:
        """Start the server that stands for LlamaCloud and answers at once; answer its port."""
        port = free_port()
        self._start(f"stub-{port}", port, _environment(), "benchmarks/stub.py", str(port))
        return port

    def _start(self, name: str, port: int, environment: dict[str, str], *command: str) -> None:
        log = self.folder / f"{name}.log"
        with log.open("wb") as output:
            child = subprocess.Popen(
                [sys.executable, *command], cwd=PROJECT, env=environment, stdout=output, stderr=subprocess.STDOUT
            )
        self._children[name] = child
        ends = time.monotonic() + START_SECONDS
        while child.poll() is None and time.monotonic() < ends:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.1)
        raise SystemExit(f"{name} did not start:\n{log.read_text()}")


class Corral:
    """A running dashboard with a member signed in.

    Args:
        port: where it listens.
        filled: what ``fill.py`` said about its contents.
    """

    def __init__(self, port: int, filled: dict[str, Any]) -> None:
        self.port = port
        self.filled = filled
        self.cookies: dict[str, str] = {}
        _, page = self.ask("GET", "/accounts/login/")
        status, _ = self.ask("POST", "/accounts/login/", {**MEMBER, "csrfmiddlewaretoken": csrf_token(page)})
        if status != 302 or "corral_session" not in self.cookies:
            raise SystemExit(f"signing in answered {status}")
        # The welcome is shown once, with the first page; what is measured is any page after that.
        self.ask("GET", "/sessions/")

    def ask(self, method: str, path: str, form: dict[str, str] | None = None) -> tuple[int, str]:
        """One request with its own connection; cookies are kept."""
        from urllib.parse import urlencode

        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        body = urlencode(form) if form else None
        connection.request(method, path, body, self.headers(is_form=form is not None))
        answer = connection.getresponse()
        text = answer.read().decode()
        for header in answer.headers.get_all("Set-Cookie", []):
            cookie, _, value = header.partition(";")[0].partition("=")
            self.cookies[cookie] = value
        self.cookies = {cookie: value for cookie, value in self.cookies.items() if value not in ("", '""')}
        connection.close()
        return answer.status, text

    def headers(self, *, is_form: bool = False) -> dict[str, str]:
        """What a signed-in browser sends."""
        headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}
        return headers | ({"Content-Type": "application/x-www-form-urlencoded"} if is_form else {})


def csrf_token(page: str) -> str:
    """The token of the form in this page."""
    return page.split('name="csrfmiddlewaretoken" value="', 1)[1].split('"', 1)[0]


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@contextmanager
def connected(port: int) -> Iterator[http.client.HTTPConnection]:
    """A connection that is kept open, as a browser's."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.connect()
    connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        yield connection
    finally:
        connection.close()


def _environment() -> dict[str, str]:
    """Nothing of the caller's configuration reaches the servers."""
    kept = ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV")
    return {name: os.environ[name] for name in kept if name in os.environ} | {"PYTHONPATH": str(PROJECT)}


def _run(*command: str, environment: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, *command], cwd=PROJECT, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout.strip().rpartition("\n")[2]
