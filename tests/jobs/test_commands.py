"""``worker`` and ``sync`` as the processes people run."""

from __future__ import annotations

import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from dashboard.catalog.models import Index
from dashboard.chats.models import ChatSession
from dashboard.jobs.models import Job
from tests.chats.helpers import database_url, wire
from tests.faulty import KEY, Answer, FaultyServer
from tests.localcloud.fixtures import RunningLocalcloud
from tests.processes import PATIENCE, manage, running

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgres]
CHATS = "/api/v1/chat"


def eventually(happened: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < deadline, list(Job.objects.values())
        time.sleep(0.05)


def all_done() -> bool:
    return Job.objects.filter(runs__gte=1).count() == 5


def for_faulty(faulty: FaultyServer) -> dict[str, str]:
    return {"LLAMA_CLOUD_BASE_URL": faulty.url, "LLAMA_CLOUD_API_KEY": KEY, "DATABASE_URL": database_url()}


def test_two_workers_do_all_the_work_once_and_stop_when_told(
    localcloud: RunningLocalcloud, for_localcloud: dict[str, str], tmp_path: Path
) -> None:
    made = localcloud.call("POST", CHATS, json={}).json()["session_id"]
    before = len(localcloud.got("GET", CHATS))
    with (
        running(tmp_path, "worker", **for_localcloud) as first,
        running(tmp_path, "worker", **for_localcloud) as second,
    ):
        first.wait_for("worker: ready")
        second.wait_for("worker: ready")
        eventually(all_done)
        started = time.monotonic()
        assert first.stop(signal.SIGTERM) == 0
        assert second.stop(signal.SIGINT) == 0
        assert time.monotonic() - started < 30
    assert Index.objects.count() == 3
    assert ChatSession.objects.get().session_id == made
    assert len(localcloud.got("GET", CHATS)) - before == 2, "the newest, and all"
    assert set(Job.objects.values_list("runs", "lease_until", "last_error")) == {(1, None, "")}


def test_a_worker_killed_in_the_middle_of_a_pass_is_followed_by_another_from_its_cursor(
    faulty: FaultyServer, tmp_path: Path
) -> None:
    pages = [Answer(body={"items": [wire(f"ses-{n}")], "next_page_token": str(n + 1)}) for n in range(3)]
    Job.objects.create(name="recent-sessions", next_run_at=timezone.now() + timedelta(days=1))
    Job.objects.create(name="all-sessions", next_run_at=timezone.now(), cursor=_cursor_at("7"))
    faulty.script("GET", CHATS, [pages[0], Answer(hold=60.0, body={})])
    with running(tmp_path, "worker", **for_faulty(faulty)) as worker:
        eventually(lambda: len(faulty.received("GET", CHATS)) == 2)
        worker.stop(signal.SIGKILL)
    job = Job.objects.get(name="all-sessions")
    assert job.lease_holder
    assert job.cursor == _cursor_at("7")
    faulty.script("GET", CHATS, [pages[0], Answer(body={"items": [wire("ses-last")]})])
    with running(tmp_path, "worker", **for_faulty(faulty)) as worker:
        worker.wait_for("worker: ready")
        time.sleep(1.5)
        assert len(faulty.received("GET", CHATS)) == 2, "the dead one's lease is respected"
        Job.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
        eventually(lambda: Job.objects.get(name="all-sessions").runs == 1)
        assert worker.stop() == 0
    assert set(ChatSession.objects.values_list("session_id", flat=True)) == {"ses-0", "ses-last"}
    asked = [one.query.get("page_token") for one in faulty.received("GET", CHATS)]
    assert asked == [["7"], ["1"], ["7"], ["1"]]


def _cursor_at(token: str) -> dict[str, Any]:
    """A pass that has come so far."""
    place = {"token": token, "used": [token], "pages": [], "empty": 0, "checked": 0}
    return {"began": "2026-01-01T00:00:00+00:00", "projects": [""], "all": [""], "whole": True, **place}


def test_a_worker_stops_in_time_although_a_step_goes_on_and_gives_its_lease_back(
    faulty: FaultyServer, tmp_path: Path
) -> None:
    endless = [Answer(body={"items": [wire(f"ses-{n}")], "next_page_token": str(n)}, hold=0.5) for n in range(100)]
    Job.objects.create(name="recent-sessions", next_run_at=timezone.now() + timedelta(days=1))
    faulty.script("GET", CHATS, endless)
    with running(tmp_path, "worker", **for_faulty(faulty)) as worker:
        eventually(lambda: faulty.received("GET", CHATS))
        started = time.monotonic()
        assert worker.stop() == 0
        assert time.monotonic() - started < 30
    job = Job.objects.get(name="all-sessions")
    assert (job.runs, job.lease_until, job.lease_holder) == (0, None, "")


def test_sync_does_everything_once_and_says_so(localcloud: RunningLocalcloud, for_localcloud: dict[str, str]) -> None:
    localcloud.call("POST", CHATS, json={})
    done = manage("sync", **for_localcloud)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "catalog: up to date",
        "recent-sessions: up to date",
        "all-sessions: up to date",
        "answer-logs: up to date",
        "unanswered-creations: up to date",
    ]
    assert (Index.objects.count(), ChatSession.objects.count()) == (3, 1)


def test_sync_says_in_plain_words_what_does_not_work(for_localcloud: dict[str, str]) -> None:
    failed = manage("sync", **{**for_localcloud, "LLAMA_CLOUD_API_KEY": "llx-not-the-key"})
    assert failed.returncode == 1
    assert "catalog: LlamaCloud did not accept Corral's key" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert "llx-not" not in failed.stderr + failed.stdout


def test_a_worker_outlives_a_database_that_is_away(for_localcloud: dict[str, str], tmp_path: Path) -> None:
    database = tmp_path / "late.sqlite3"
    environment = {**for_localcloud, "DATABASE_URL": f"sqlite:///{database}"}
    with running(tmp_path, "worker", **environment) as worker:
        worker.wait_for("worker: catalog: OperationalError")
        assert "Traceback" not in worker.output
        assert manage("migrate", "-v0", **environment).returncode == 0
        eventually(lambda: _done_in(database))
        assert worker.stop() == 0


def _done_in(database: Path) -> bool:
    with closing(sqlite3.connect(database)) as connection:
        (count,) = connection.execute("SELECT COUNT(*) FROM dashboard_job WHERE runs > 0").fetchone()
        return int(count) == 5
