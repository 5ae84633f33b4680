"""The doctor tells in words what is well and what is broken, and never the key."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from datetime import timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command
from django.utils import timezone
from pytest_django import Settings

from dashboard.config import Config, forget_client
from dashboard.jobs.models import Job
from tests.env import API_KEY

pytestmark = pytest.mark.django_db


class Upstream(HTTPServer):
    """As much of LlamaCloud as the doctor asks for."""

    hours_ahead = 0.0
    status = 200
    projects = b'[{"id": "p-1", "name": "Handbooks"}]'
    asked: list[tuple[str, str | None]]

    @property
    def now(self) -> str:
        return format_datetime(timezone.now() + timedelta(hours=self.hours_ahead))


class Answers(BaseHTTPRequestHandler):
    server: Upstream

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers["Authorization"]))
        self.send_response_only(self.server.status)
        self.send_header("Date", self.server.now)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(self.server.projects)))
        self.end_headers()
        self.wfile.write(self.server.projects)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def upstream(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> Iterator[Upstream]:
    with Upstream(("127.0.0.1", 0), Answers) as server:
        server.asked = []
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        monkeypatch.setenv("LLAMA_CLOUD_BASE_URL", f"http://127.0.0.1:{server.server_port}")
        settings.CORRAL = Config.load()
        forget_client()
        yield server
        server.shutdown()


@pytest.fixture
def worker() -> Job:
    return Job.objects.create(name="sessions", next_run_at=timezone.now(), heartbeat_at=timezone.now())


def examine() -> tuple[bool, str]:
    """Answer whether all is well, and the report."""
    report = StringIO()
    status: str | int | None = 0
    try:
        call_command("doctor", stdout=report)
    except SystemExit as ended:
        status = ended.code
    assert status in (0, 1)
    return status == 0, report.getvalue()


def test_a_healthy_installation(upstream: Upstream, worker: Job) -> None:
    healthy, report = examine()

    assert healthy, report
    assert "BROKEN" not in report
    assert "Projects the key sees: Handbooks." in report
    assert "A worker runs." in report
    assert API_KEY not in report


def test_the_clock_is_asked_for_without_the_key(upstream: Upstream, worker: Job) -> None:
    examine()

    assert (upstream.asked[0][1], upstream.asked[-1]) == (f"Bearer {API_KEY}", ("/", None))


def test_a_key_that_is_not_accepted(upstream: Upstream, worker: Job) -> None:
    upstream.status = 401

    healthy, report = examine()

    assert not healthy
    assert "BROKEN  LlamaCloud: " in report
    assert API_KEY not in report


def test_a_project_the_key_does_not_see(
    upstream: Upstream, worker: Job, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    monkeypatch.setenv("LLAMA_CLOUD_PROJECT_ID", "p-2")
    settings.CORRAL = Config.load()

    healthy, report = examine()

    assert not healthy
    assert "BROKEN  The key does not see the project that LLAMA_CLOUD_PROJECT_ID names." in report


def test_the_project_is_named(
    upstream: Upstream, worker: Job, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    monkeypatch.setenv("LLAMA_CLOUD_PROJECT_ID", "p-1")
    settings.CORRAL = Config.load()

    assert "ok      Project: Handbooks." in examine()[1]


def test_a_key_without_any_project(upstream: Upstream, worker: Job) -> None:
    upstream.projects = b"[]"

    healthy, report = examine()

    assert not healthy
    assert "The key sees no project." in report


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_clock_that_is_an_hour_off(upstream: Upstream, worker: Job, hours: float) -> None:
    upstream.hours_ahead = hours

    healthy, report = examine()

    assert not healthy
    assert "clock differs from LlamaCloud's by 36" in report or "by 35" in report


def test_nobody_answers(worker: Job, monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("LLAMA_CLOUD_BASE_URL", f"http://127.0.0.1:{closed.getsockname()[1]}")
        settings.CORRAL = Config.load()
        healthy, report = examine()

    assert not healthy
    assert "BROKEN  LlamaCloud: " in report
    assert "clock could not be compared" in report


def test_no_worker_has_ever_run(upstream: Upstream) -> None:
    healthy, report = examine()

    assert not healthy
    assert "BROKEN  No worker has run yet." in report


def test_the_worker_has_been_silent(upstream: Upstream, worker: Job) -> None:
    Job.objects.update(heartbeat_at=timezone.now() - timedelta(minutes=42))

    healthy, report = examine()

    assert not healthy
    assert "the last sign of one is 42 minutes old" in report


def test_static_files_are_missing(upstream: Upstream, worker: Job, settings: Settings, tmp_path: Path) -> None:
    settings.STATIC_ROOT = tmp_path / "nothing-here"

    healthy, report = examine()

    assert not healthy
    assert "python manage.py collectstatic" in report
