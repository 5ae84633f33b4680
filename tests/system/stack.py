"""Corral as it is installed: localcloud behind a way that can be cut, a database, and web processes people talk to."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dj_database_url
import pytest
import requests

from tests import engines
from tests.localcloud.fixtures import RunningLocalcloud, StartLocalcloud, start_localcloud
from tests.processes import PATIENCE, Running, free_port, manage, running
from tests.system.chaos import ChaosProxy

__all__ = ["start_localcloud"]

PASSWORD = "correct horse battery staple"
PROMPT = "What does the policy say about trains and hotels?"


@dataclass
class Stack:
    """Everything a question needs, as processes: localcloud behind a proxy that can be cut, and two web processes."""

    cloud: RunningLocalcloud
    proxy: ChaosProxy
    servers: list[Running]
    addresses: list[str]
    database: str
    browser: requests.Session

    @property
    def address(self) -> str:
        """Where people go."""
        return self.addresses[0]

    @property
    def said(self) -> str:
        """Everything the web processes have said."""
        return "\n".join(server.output for server in self.servers)

    def ask(self) -> tuple[str, str]:
        """Create a session and ask in it; answer the session's and the turn's path."""
        page = self.browser.get(f"{self.address}/sessions/new/", timeout=PATIENCE)
        created = self._post(
            "/sessions/new/",
            page.text,
            index_ids=re.findall(r'name="index_ids" value="([^"]+)"', page.text),
            idempotency_token=_value(page.text, "idempotency_token"),
        )
        session = "/" + created.url.split("/", 3)[3]
        asked = self._post(f"{session}turns/", created.text, prompt=PROMPT, nonce=_value(created.text, "nonce"))
        assert asked.status_code == 200, asked.text
        return session, f"{session}turns/1/"

    def _post(self, path: str, page: str, **fields: Any) -> requests.Response:
        form = {**fields, "csrfmiddlewaretoken": _value(page, "csrfmiddlewaretoken")}
        for _ in range(20):
            try:
                return self.browser.post(
                    self.address + path, data=form, headers={"Referer": self.address}, timeout=PATIENCE
                )
            except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError):
                # The process was killed under the request: a person presses the button again, on the same form.
                time.sleep(0.2)
        raise AssertionError(f"{path} never answered")

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Ask the database."""
        with closing(_connect(self.database)) as connection:
            cursor = connection.cursor()
            cursor.execute(sql)
            return list(cursor.fetchall())

    def kill_the_runner(self) -> None:
        """kill -9 the process that holds the lease of the newest turn."""
        for (holder,) in self.query("SELECT lease_holder FROM dashboard_turn ORDER BY id DESC LIMIT 1"):
            if holder:
                os.kill(int(holder.split(":")[1]), signal.SIGKILL)


def _connect(url: str) -> Any:
    if url.startswith("sqlite"):
        import sqlite3

        return sqlite3.connect(url.removeprefix("sqlite:///"), timeout=20)
    import psycopg

    return psycopg.connect(url)


def _value(page: str, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]+)"', page)
    assert found, f"no {name} in {page[:2000]}"
    return found[1]


@contextmanager
def postgres_database() -> Iterator[str]:
    """A database of its own on the tests' server."""
    import psycopg

    base = engines.postgres()
    assert base
    name = f"corral_kills_{os.getpid()}"
    with psycopg.connect(base, autocommit=True) as server:
        server.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        server.execute(f"CREATE DATABASE {name}")
    parts = dj_database_url.parse(base)
    login = f"{parts['USER']}:{parts['PASSWORD']}@" if parts.get("USER") else ""
    try:
        yield f"postgres://{login}{parts['HOST']}:{parts['PORT'] or 5432}/{name}"
    finally:
        with psycopg.connect(base, autocommit=True) as server:
            server.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


ENGINES = ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]


@contextmanager
def database_of(engine: str, folder: Path) -> Iterator[str]:
    """A fresh database of this kind; skipped, or failed, where there is none."""
    if engine == "sqlite":
        yield f"sqlite:///{folder / 'corral.sqlite3'}"
        return
    if reason := engines.why_missing("postgres"):
        (pytest.fail if engines.is_required("postgres") else pytest.skip)(reason)
    with postgres_database() as url:
        yield url


@contextmanager
def stack_of(
    folder: Path, start: StartLocalcloud, database: str, *, servers: int = 1, processes: int = 2, delay: float = 0.01
) -> Iterator[Stack]:
    """Start everything.

    Args:
        folder: for files.
        start: starts localcloud.
        database: its address.
        servers: how many times ``serve`` is started.
        processes: of each.
        delay: seconds between two words of an answer.
    """
    cloud = start(token_delay=delay)
    proxy = ChaosProxy(int(cloud.base_url.rpartition(":")[2]))
    environment = {
        "DATABASE_URL": database,
        "LLAMA_CLOUD_BASE_URL": f"http://127.0.0.1:{proxy.port}",
        "LLAMA_CLOUD_API_KEY": cloud.api_key,
    }
    migrated = manage("migrate", "--verbosity=0", **environment)
    assert migrated.returncode == 0, migrated.stderr
    made = manage(
        "createsuperuser", "--noinput", "--username=ada", "--email=", **environment, DJANGO_SUPERUSER_PASSWORD=PASSWORD
    )
    assert made.returncode == 0, made.stderr
    with ExitStack() as opened:
        opened.callback(proxy.close)
        started, addresses = [], []
        for _ in range(servers):
            port = free_port()
            server = opened.enter_context(
                running(folder, "serve", f"--port={port}", f"--processes={processes}", **environment)
            )
            server.wait_for_answer(f"http://127.0.0.1:{port}/livez")
            started.append(server)
            addresses.append(f"http://127.0.0.1:{port}")
        yield Stack(cloud, proxy, started, addresses, database, sign_in(addresses[0]))


def sign_in(address: str) -> requests.Session:
    browser = requests.Session()
    page = browser.get(f"{address}/accounts/login/", timeout=PATIENCE)
    form = {"login": "ada", "password": PASSWORD, "csrfmiddlewaretoken": _value(page.text, "csrfmiddlewaretoken")}
    signed_in = browser.post(page.url, data=form, headers={"Referer": page.url}, timeout=PATIENCE)
    assert signed_in.ok
    return browser
