"""``manage.py localcloud`` and what lies between it and the application."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
import requests
from django.core.management import CommandError, call_command

from dashboard.localcloud.app import Localcloud
from dashboard.localcloud.serve import Server, close_application
from tests.localcloud.fixtures import API_KEY, DOCUMENTS, write_documents
from tests.localcloud.processes import free_port, start_process

SAMPLES = Path(__file__).resolve().parents[2] / "dashboard" / "localcloud" / "samples"


def test_the_command_serves_streams_and_stops(tmp_path: Path) -> None:
    docs, port = write_documents(tmp_path / "docs", DOCUMENTS), free_port()
    arguments = f"manage.py localcloud --port {port} --docs {docs} --api-key {API_KEY} --token-delay-ms 20".split()
    process, url = start_process(port, *arguments, "--database", str(tmp_path / "localcloud.sqlite3"))
    try:
        headers = {"Authorization": f"Bearer {API_KEY}"}
        index = requests.get(f"{url}/api/v1/indexes", headers=headers, timeout=5).json()["items"][0]["id"]
        session = requests.post(f"{url}/p/api/v1/chat", headers=headers, data=iter([b"{}"]), timeout=5).json()
        path = f"{url}/api/v1/chat/{session['session_id']}/messages/stream"
        body = {"index_ids": [index], "prompt": "roses"}
        with requests.post(path, headers=headers, json=body, timeout=5, stream=True) as answer:
            arrivals = [(time.monotonic(), line) for line in answer.iter_lines() if line.startswith(b"data: ")]
        assert b'"type":"stop"' in arrivals[-1][1]
        assert arrivals[-1][0] - arrivals[0][0] > 0.2
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        assert process.wait(30) == 0


def test_a_missing_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="is not a folder"):
        call_command("localcloud", port=1, docs=tmp_path / "none", api_key="k")
    with pytest.raises(NotADirectoryError):
        Localcloud(tmp_path / "none", "k", tmp_path / "db.sqlite3")


def test_a_worker_builds_the_application_and_closes_it(tmp_path: Path) -> None:
    arguments = {"docs": write_documents(tmp_path / "docs", DOCUMENTS), "key": "k", "database": tmp_path / "db.sqlite3"}
    server = Server({"bind": "127.0.0.1:0"}, arguments)

    class Worker:
        wsgi = server.load()

    close_application(None, Worker())
    assert not list(tmp_path.glob("db.sqlite3-*")), "the database is closed cleanly"
    close_application(None, object())


def test_the_samples_are_three_ready_indexes(tmp_path: Path) -> None:
    app = Localcloud(SAMPLES, "k", tmp_path / "db.sqlite3")
    try:
        rows, problems = app.indexes.searchable(["idx-none"])
        assert (rows, problems) == ([], ["idx-none"])
        with app.store.read() as db:
            found = db.execute("SELECT folder, status, problems, length(description) > 40 FROM indexes ORDER BY 1")
            names = [tuple(row) for row in found]
        assert names == [
            ("Corral handbook", "ready", "{}", 1),
            ("Open-source licences", "ready", "{}", 1),
            ("US Constitution", "ready", "{}", 1),
        ]
    finally:
        app.close()
