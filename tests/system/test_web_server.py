"""What the web server does when things go wrong around it, as processes on a real database file."""

from __future__ import annotations

import os
import re
import signal
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from tests.processes import PATIENCE, Running, free_port, manage, running

pytestmark = pytest.mark.system

PASSWORD = "correct horse battery staple"


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a database with forty people, person-0 to person-39."""
    url = f"sqlite:///{tmp_path_factory.mktemp('database') / 'corral.sqlite3'}"
    assert manage("migrate", "--verbosity=0", DATABASE_URL=url).returncode == 0
    script = (
        "from django.contrib.auth.models import User\n"
        f"for number in range(40): User.objects.create_user(f'person-{{number}}', password={PASSWORD!r})"
    )
    made = manage("shell", "--no-imports", "-c", script, DATABASE_URL=url)
    assert made.returncode == 0, made.stderr
    return url


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def address(port: int) -> str:
    return f"http://127.0.0.1:{port}"


@pytest.fixture
def server(tmp_path: Path, database: str, port: int, address: str) -> Iterator[Running]:
    with running(tmp_path, "serve", f"--port={port}", DATABASE_URL=database) as started:
        started.wait_for_answer(f"{address}/livez")
        yield started


def sign_in(address: str, person: int = 0) -> requests.Session:
    browser = requests.Session()
    page = browser.get(f"{address}/accounts/login/", timeout=PATIENCE)
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
    assert token
    form = {"login": f"person-{person}", "password": PASSWORD, "csrfmiddlewaretoken": token[1]}
    assert browser.post(f"{address}/accounts/login/", data=form, timeout=PATIENCE).url == f"{address}/sessions/"
    return browser


def workers(server: Running) -> list[int]:
    return [int(pid) for pid in re.findall(r"Booting worker with pid: (\d+)", server.output)]


def test_a_killed_worker_is_replaced_and_people_stay_signed_in(server: Running, address: str) -> None:
    browser = sign_in(address)
    first, second = workers(server)

    os.kill(first, signal.SIGKILL)
    os.kill(second, signal.SIGKILL)
    deadline = time.monotonic() + PATIENCE
    while len(workers(server)) < 4:
        assert time.monotonic() < deadline, server.output
        time.sleep(0.1)

    assert browser.get(f"{address}/sessions/", timeout=PATIENCE).url == f"{address}/sessions/"


def test_forty_people_at_once_on_one_sqlite_file_all_get_in(server: Running, address: str) -> None:
    """Each sign-in writes a session; with 40 writers a missing busy time-out shows as 500 at once."""
    with ThreadPoolExecutor(40) as pool:
        browsers = list(pool.map(lambda person: sign_in(address, person), range(40)))
        pages = pool.map(lambda browser: browser.get(f"{address}/sessions/", timeout=PATIENCE), browsers)

        assert Counter(page.status_code for page in pages) == {200: 40}
    assert "database is locked" not in server.output


def test_a_restart_under_load_loses_no_request_that_was_accepted(
    tmp_path: Path, database: str, port: int, address: str, server: Running
) -> None:
    """Stopping finishes what has begun: an answer is whole or the connection was never accepted."""
    browser = sign_in(address)

    def ask(_: int) -> str:
        try:
            with requests.get(f"{address}/sessions/", cookies=browser.cookies, timeout=PATIENCE) as page:
                return "whole" if page.text.rstrip().endswith("</html>") else "cut"
        except requests.ConnectionError as error:
            return "refused" if "refused" in str(error).lower() else "reset"

    with ThreadPoolExecutor(8) as pool:
        answers = pool.map(ask, range(200))
        time.sleep(0.3)
        assert server.stop() == 0
        counted = Counter(answers)

    assert counted["cut"] == 0
    assert counted["whole"] > 0
    assert counted["reset"] <= 8, counted  # at most the one request each thread was just connecting with
    with running(tmp_path, "serve", f"--port={port}", DATABASE_URL=database) as again:
        again.wait_for_answer(f"{address}/livez")
        assert browser.get(f"{address}/sessions/", timeout=PATIENCE).status_code == 200
