"""A running embedded server for tests: ``pytest_plugins = ["tests.localcloud.fixtures"]`` or import the fixtures.

``localcloud`` is a fresh server with three small indexes; ``start_localcloud`` starts others to measure.
"""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest
import requests

from dashboard.localcloud.app import Localcloud
from dashboard.localcloud.store import utc_now

API_KEY = "llx-localcloud-test-key"
DOCUMENTS: dict[str, str | bytes] = {
    "Travel policy/_description.txt": "What employees may book and what is paid back.",
    "Travel policy/trains.md": (
        "# Trains\n\nFirst class trains may be booked for journeys above four hours.\n\n"
        "## Refunds\n\nA refund for a cancelled train is requested within ten days.\n"
    ),
    "Travel policy/hotels.txt": "Hotels are paid up to 140 euros a night.\n\nBreakfast is included in that sum.\n",
    "Kitchen manual/oven.html": (
        "<html><head><title>no</title></head><body><h1>Oven</h1><p>The oven heats to 250 degrees.</p>"
        "<script>alert('never')</script></body></html>"
    ),
    "Garden notes/roses.txt": "Roses are pruned in March.\n\nWater roses in the morning only.\n",
}
"""Relative path → text of the default documents."""


@dataclass(frozen=True)
class Received:
    """One request the server got."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The decoded body."""
        return json.loads(self.body)


@dataclass
class RunningLocalcloud:
    """A server in a thread. ``received`` lists what it got, oldest first."""

    base_url: str
    api_key: str
    docs: Path
    database: Path
    app: Localcloud
    received: list[Received] = field(default_factory=list)

    def got(self, method: str, path: str) -> list[Received]:
        """The requests with that method and exact path."""
        return [one for one in self.received if (one.method, one.path) == (method, path)]

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        """A plain HTTP request with the key."""
        headers = {"Authorization": f"Bearer {self.api_key}", **options.pop("headers", {})}
        return requests.request(method, self.base_url + path, headers=headers, timeout=10, **options)

    def plant_session(self, **columns: Any) -> str:
        """Store a session no question could make, such as one with a 10 kB title; answers its id.

        ``index_ids`` and ``job_metadata`` are given as they appear in the summary.
        """
        row = {"session_id": f"ses-{secrets.token_hex(12)}", "last_updated_at": utc_now(), "shared_access": "read_only"}
        row |= {name: json.dumps(value) if isinstance(value, list | dict) else value for name, value in columns.items()}
        with self.app.store.write() as db:
            marks = ", ".join(f":{name}" for name in row)
            db.execute(f"INSERT INTO sessions ({', '.join(row)}) VALUES ({marks})", row)
        return str(row["session_id"])

    def index_ids(self) -> dict[str, str]:
        """Index name → id."""
        return {row["name"]: row["id"] for row in self.call("GET", "/api/v1/indexes").json()["items"]}


class _Threaded(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 128


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


class _Recorder:
    """Notes each request, then passes it on."""

    def __init__(self, app: Localcloud, received: list[Received]) -> None:
        self.app = app
        self.received = received

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Any:
        length = environ.get("CONTENT_LENGTH") or ""
        body = b""
        if length.isdecimal() and int(length) < 2**20:
            body = environ["wsgi.input"].read(int(length))
            environ["wsgi.input"] = _Bytes(body)
        headers = {
            name[5:].replace("_", "-").lower(): value for name, value in environ.items() if name.startswith("HTTP_")
        }
        path = environ["PATH_INFO"].encode("latin-1").decode("utf-8", "replace")
        self.received.append(Received(environ["REQUEST_METHOD"], path, environ["QUERY_STRING"], headers, body))
        return self.app(environ, start_response)


class _Bytes:
    def __init__(self, body: bytes) -> None:
        self._body = body

    def read(self, size: int) -> bytes:
        piece, self._body = self._body[:size], self._body[size:]
        return piece


def write_documents(folder: Path, documents: dict[str, str | bytes]) -> Path:
    """Write relative path → content below ``folder``; a path ending in ``/`` makes an empty folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in documents.items():
        path = folder / name
        if name.endswith("/"):
            path.mkdir(parents=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


StartLocalcloud = Callable[..., RunningLocalcloud]


@pytest.fixture
def start_localcloud(tmp_path: Path) -> Iterator[StartLocalcloud]:
    """Start servers: ``start(documents=…, docs=…, database=…, token_delay=…, sync_delay=…, keep_alive=…)``."""
    running: list[tuple[_Threaded, threading.Thread, Localcloud]] = []

    def start(
        documents: dict[str, str | bytes] | None = None,
        docs: Path | None = None,
        database: Path | None = None,
        **settings: float,
    ) -> RunningLocalcloud:
        number = len(running)
        docs = docs or write_documents(tmp_path / f"docs{number}", DOCUMENTS if documents is None else documents)
        database = database or tmp_path / f"localcloud{number}.sqlite3"
        app = Localcloud(docs, API_KEY, database, **settings)
        received: list[Received] = []
        server = make_server("127.0.0.1", 0, _Recorder(app, received), _Threaded, _Quiet)
        # The default poll of half a second would be paid at every shutdown.
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        running.append((server, thread, app))
        return RunningLocalcloud(f"http://127.0.0.1:{server.server_port}", API_KEY, docs, database, app, received)

    yield start
    for server, thread, app in running:
        server.shutdown()
        thread.join()
        server.server_close()
        app.close()


@pytest.fixture
def localcloud(start_localcloud: StartLocalcloud) -> RunningLocalcloud:
    """A fresh server with three ready indexes: Travel policy, Kitchen manual, Garden notes."""
    return start_localcloud()
