"""The demo as a newcomer meets it, and the processes it looks after."""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
from pathlib import Path

import pytest
import requests

from dashboard.management.children import ChildDied, Children, Interrupted
from tests.processes import Running, free_port, manage, running


def credentials(output: str) -> list[tuple[str, str]]:
    return re.findall(r"^username: (\S+)\npassword: (\S+)$", output, re.MULTILINE)


def sign_in(address: str, name: str, password: str) -> requests.Session:
    browser = requests.Session()
    page = browser.get(f"{address}/accounts/login/", timeout=10)
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
    assert token
    form = {"login": name, "password": password, "csrfmiddlewaretoken": token[1]}
    answer = browser.post(f"{address}/accounts/login/", data=form, timeout=10)
    assert answer.url == f"{address}/sessions/", answer.url
    return browser


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_running(pid: int) -> bool:
    try:
        return "zombie" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def test_a_newcomer_signs_in_finds_sources_and_gets_the_same_demo_again(tmp_path: Path) -> None:
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    with running(tmp_path, "demo", f"--port={port}", f"--data={tmp_path / 'demo'}") as demo:
        demo.wait_for("Ctrl-C stops it.")
        assert address in demo.output
        assert f"http://localhost:{port}" in demo.output
        first = credentials(demo.output)
        (member, member_password), (admin, admin_password) = first

        page = sign_in(address, member, member_password).get(f"{address}/sessions/new/", timeout=30)
        assert page.text.count('name="index_ids"') >= 3

        boss = sign_in(address, admin, admin_password).get(f"{address}/admin/", timeout=10)
        assert boss.status_code == 200
        assert sign_in(address, member, member_password).get(f"{address}/admin/", timeout=10).status_code == 403

        children = children_of(demo.process.pid)
        assert len(children) == 3
        assert demo.stop(signal.SIGINT) == 0
        assert not any(is_running(child) for child in children)
        assert "Traceback" not in demo.output

    with running(tmp_path, "demo", f"--port={port}", f"--data={tmp_path / 'demo'}") as again:
        again.wait_for("Ctrl-C stops it.")
        assert credentials(again.output) == first
        sign_in(address, member, member_password)

        _stops_when_a_child_dies(again)

    assert (tmp_path / "demo" / "secrets.json").stat().st_mode & 0o077 == 0


def _stops_when_a_child_dies(demo: Running) -> None:
    children = children_of(demo.process.pid)
    os.kill(children[1], signal.SIGKILL)

    assert demo.process.wait(60) == 1
    assert "The demo has stopped: worker was killed by signal 9" in demo.output
    assert not any(is_running(child) for child in children)


def test_a_taken_port_is_told_before_anything_starts(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = manage("demo", f"--port={port}", f"--data={tmp_path / 'demo'}")

    assert done.returncode == 1
    assert f"Port {port} is in use." in done.stderr
    assert f"--port {port + 1}" in done.stderr


class TestChildren:
    """Processes that live and die together."""

    SLEEP = (sys.executable, "-c", "import time; time.sleep(60)")
    STUBBORN = (
        sys.executable,
        "-c",
        "import signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        "open(sys.argv[1], 'w').close(); time.sleep(60)",
    )

    def test_one_that_ignores_the_request_to_stop_is_killed(self, tmp_path: Path) -> None:
        ready = tmp_path / "ready"
        with Children(patience=0.3) as children:
            children.start("stubborn", [*self.STUBBORN, str(ready)], os.environ)
            children.wait_until(ready.exists, seconds=30, what="it")
            pid = children_of(os.getpid())[-1]

        assert not is_running(pid)

    def test_a_step_that_fails_is_named(self) -> None:
        with pytest.raises(ChildDied, match="migrate failed"), Children() as children:
            children.run("migrate", [sys.executable, "-c", "raise SystemExit(3)"], os.environ)

    def test_one_that_ends_by_itself_is_named_with_its_status(self) -> None:
        with pytest.raises(ChildDied, match="worker stopped with exit status 3"), Children() as children:
            children.start("worker", [sys.executable, "-c", "raise SystemExit(3)"], os.environ)
            children.watch()

    def test_one_that_never_answers_is_not_waited_for_without_end(self) -> None:
        with pytest.raises(ChildDied, match="localcloud did not answer within 0 seconds"), Children() as children:
            children.start("localcloud", self.SLEEP, os.environ)
            children.wait_until(lambda: False, seconds=0.2, what="localcloud")

    def test_ctrl_c_during_a_step_is_no_failure_and_the_handlers_come_back(self) -> None:
        before = signal.getsignal(signal.SIGINT)
        interrupt_parent = "import os, signal; os.kill(os.getppid(), signal.SIGINT); raise SystemExit(1)"

        with pytest.raises(Interrupted), Children() as children:
            children.run("migrate", [sys.executable, "-c", interrupt_parent], os.environ)

        assert signal.getsignal(signal.SIGINT) is before
