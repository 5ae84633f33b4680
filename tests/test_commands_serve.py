"""The web server as a process: what it refuses, what it prints, how it stops."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from pytest_django import Settings

from dashboard import probe, static_bundle
from dashboard.management import static_files
from dashboard.management.commands import serve
from dashboard.web import looking
from tests.env import API_KEY
from tests.processes import PATIENCE, ROOT, Running, environment, free_port, manage, running


@pytest.fixture
def database(tmp_path: Path) -> str:
    """The address of a migrated database without people."""
    url = f"sqlite:///{tmp_path / 'corral.sqlite3'}"
    assert manage("migrate", "--verbosity=0", DATABASE_URL=url).returncode == 0
    return url


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def server(tmp_path: Path, database: str, port: int) -> Iterator[Running]:
    with running(tmp_path, "serve", f"--port={port}", DATABASE_URL=database) as started:
        started.wait_for_answer(f"http://127.0.0.1:{port}/livez")
        yield started


def test_a_database_without_tables_is_refused_with_the_command_that_mends_it(tmp_path: Path, port: int) -> None:
    done = manage("serve", f"--port={port}", DATABASE_URL=f"sqlite:///{tmp_path / 'empty.sqlite3'}")

    assert done.returncode == 1
    assert "python manage.py migrate" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "url", ["sqlite:////nowhere/at/all/hidden.sqlite3", "postgres://someone:hidden@127.0.0.1:9/corral"]
)
def test_a_database_that_does_not_answer_is_told_without_its_address(port: int, url: str) -> None:
    done = manage("serve", f"--port={port}", DATABASE_URL=url)

    assert done.returncode == 1
    assert "The database does not answer. Check DATABASE_URL" in done.stderr
    assert "hidden" not in done.stdout + done.stderr


def test_a_port_in_use_is_refused(database: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = manage("serve", f"--port={taken.getsockname()[1]}", DATABASE_URL=database)

    assert done.returncode == 1
    assert "in use" in done.stderr
    assert "--port" in done.stderr


@pytest.mark.parametrize(("host", "warned"), [("0.0.0.0", True), ("127.0.0.1", False)])  # noqa: S104
def test_who_listens_to_everybody_is_told_to_put_a_proxy_in_front(
    tmp_path: Path, database: str, port: int, host: str, warned: bool
) -> None:
    with running(tmp_path, "serve", f"--host={host}", f"--port={port}", DATABASE_URL=database) as started:
        started.wait_for("Nobody can sign in yet")
        assert ("without a proxy in front" in started.output) is warned


def test_a_web_server_of_another_kind_does_not_start_without_static_files(tmp_path: Path) -> None:
    script = (
        "import os; os.environ['DJANGO_SETTINGS_MODULE'] = 'dashboard.settings'; from django.conf import settings;"
        f" settings.STATIC_ROOT = {str(tmp_path)!r}; import dashboard.wsgi"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=environment(), capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("Corral cannot start:\nThe static files are not collected.")


@pytest.mark.parametrize("host", ["203.0.113.7", "::ffff:203.0.113.7"])
def test_an_address_of_another_machine_is_refused(database: str, host: str) -> None:
    done = manage("serve", f"--host={host}", DATABASE_URL=database)

    assert done.returncode == 1
    assert "not this machine's" in done.stderr


def test_no_processes_are_refused(database: str, port: int) -> None:
    done = manage("serve", f"--port={port}", "--processes=0", DATABASE_URL=database)

    assert "--processes must be at least 1." in done.stderr


def test_with_no_user_a_set_up_link_is_printed_that_works(server: Running, port: int) -> None:
    link = re.search(rf"http://127\.0\.0\.1:{port}/setup/\S+", server.output)

    assert link
    assert requests.get(link[0], timeout=10).status_code == 200


def test_with_a_user_no_set_up_link_is_printed(tmp_path: Path, database: str, port: int) -> None:
    made = manage(
        "createsuperuser",
        "--noinput",
        "--username=cy",
        "--email=cy@example.com",
        DATABASE_URL=database,
        DJANGO_SUPERUSER_PASSWORD="correct horse battery staple",
    )
    assert made.returncode == 0, made.stderr

    with running(tmp_path, "serve", f"--port={port}", DATABASE_URL=database) as started:
        started.wait_for_answer(f"http://127.0.0.1:{port}/livez")
        assert f"Corral: http://127.0.0.1:{port}/" in started.output
        assert "/setup/" not in started.output


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_cleanly_and_leaves_no_worker(server: Running, number: int) -> None:
    # The first one may answer before the second one has said that it is there.
    deadline = time.monotonic() + PATIENCE
    while len(workers := [int(pid) for pid in re.findall(r"Booting worker with pid: (\d+)", server.output)]) < 2:
        assert time.monotonic() < deadline, server.output
        time.sleep(0.05)

    assert server.stop(number) == 0

    assert len(workers) == 2
    for worker in workers:
        with pytest.raises(ProcessLookupError):
            os.kill(worker, 0)
    assert "Traceback" not in server.output


def test_what_people_search_for_is_not_logged(server: Running, port: int) -> None:
    requests.get(f"http://127.0.0.1:{port}/sessions/?q=my-secret-project", timeout=10)
    requests.get(f"http://127.0.0.1:{port}/no/such/page?q=my-secret-project", timeout=10)
    server.stop()

    assert "my-secret-project" not in server.output
    assert API_KEY not in server.output


def test_the_probe_tells_a_live_server_from_a_dead_one(server: Running, port: int) -> None:
    assert subprocess.run([sys.executable, "-m", "dashboard.probe", str(port)], cwd=ROOT, check=False).returncode == 0
    assert probe.is_alive(port, "localhost")
    assert not probe.is_alive(port, "not-one-of-ours.example")

    server.stop()

    assert not probe.is_alive(port, "localhost")


def test_whoever_waits_for_llamacloud_leaves_threads_to_pages() -> None:
    assert serve.THREADS >= looking.CALLS + looking.AT_ONCE + 32


def test_under_a_prefix_pages_and_static_files_are_found_stripped_or_not(
    tmp_path: Path, database: str, port: int
) -> None:
    with running(tmp_path, "serve", f"--port={port}", DATABASE_URL=database, URL_PREFIX="/tools/corral") as started:
        page = started.wait_for_answer(f"http://127.0.0.1:{port}/accounts/login/")
        kept = requests.get(f"http://127.0.0.1:{port}/tools/corral/accounts/login/", timeout=10)
        script = re.search(r'import\("(/tools/corral/static/js/app\.[0-9a-f]+\.js)"\)', page.text)
        starter = page.text.partition("<script>")[2].partition("</script>")[0]

        assert page.status_code == kept.status_code == 200
        assert 'action="/tools/corral/accounts/login/"' in page.text
        assert "Path=/tools/corral/;" in page.headers["Set-Cookie"]
        assert script
        assert requests.get(f"http://127.0.0.1:{port}{script[1]}", timeout=10).status_code == 200
        digest = base64.b64encode(hashlib.sha256(starter.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in page.headers["Content-Security-Policy"]
        assert f"http://127.0.0.1:{port}/tools/corral/setup/" in started.output


class TestBehindAProxyThatEndsHttps:
    """Production: HTTPS outside, plain HTTP from the proxy to Corral."""

    @pytest.fixture
    def address(self, tmp_path: Path, database: str, port: int) -> Iterator[str]:
        changes = {"INSECURE_HTTP": "", "TRUSTED_PROXIES": "127.0.0.1", "ALLOWED_HOSTS": "corral.example.com"}
        with running(tmp_path, "serve", f"--port={port}", DATABASE_URL=database, **changes) as started:
            # Probes speak to the process itself, without the proxy.
            assert started.wait_for_answer(f"http://127.0.0.1:{port}/livez").status_code == 400
            assert probe.is_alive(port, "corral.example.com")
            assert "https://corral.example.com/setup/" in started.output
            yield f"http://127.0.0.1:{port}"

    def test_who_came_over_https_gets_locked_cookies_and_who_did_not_is_sent_there(self, address: str) -> None:
        host = {"Host": "corral.example.com"}
        encrypted = requests.get(
            f"{address}/accounts/login/", headers={**host, "X-Forwarded-Proto": "https"}, timeout=10
        )
        plain = requests.get(f"{address}/accounts/login/", headers=host, timeout=10, allow_redirects=False)

        assert encrypted.status_code == 200
        assert encrypted.headers["Strict-Transport-Security"] == "max-age=31536000"
        assert encrypted.headers["Set-Cookie"].startswith("__Host-corral_csrf=")
        assert "; Secure" in encrypted.headers["Set-Cookie"]
        assert plain.status_code == 301
        assert plain.headers["Location"] == "https://corral.example.com/accounts/login/"


class TestStaticFiles:
    """Collected when needed, as far as this process may write."""

    def test_missing_files_are_collected(self, settings: Settings, tmp_path: Path) -> None:
        settings.STATIC_ROOT = tmp_path / "collected"

        assert not static_files.are_current()
        assert static_files.collect_if_needed()
        assert static_files.are_current()

    def test_how_files_are_put_together_is_a_source_too(
        self, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        settings.STATIC_ROOT = tmp_path / "collected"
        static_files.collect_if_needed()
        newer = tmp_path / "static_bundle.py"
        newer.touch()
        later = time.time() + 60
        os.utime(newer, (later, later))
        monkeypatch.setattr(static_bundle, "__file__", str(newer))

        assert not static_files.are_current()

    def test_files_older_than_their_source_are_collected_again(self, settings: Settings, tmp_path: Path) -> None:
        source = tmp_path / "source"
        source.mkdir()
        (source / "a.txt").write_text("one")
        settings.STATICFILES_DIRS = [source]
        settings.STATIC_ROOT = tmp_path / "collected"
        static_files.collect_if_needed()
        later = (tmp_path / "collected" / "staticfiles.json").stat().st_mtime + 10
        (source / "a.txt").write_text("two")
        os.utime(source / "a.txt", (later, later))

        static_files.collect_if_needed()

        assert (tmp_path / "collected" / "a.txt").read_text() == "two"

    def test_where_nothing_can_be_written_missing_files_cannot_be_served(
        self, settings: Settings, tmp_path: Path
    ) -> None:
        (tmp_path / "a file").touch()
        settings.STATIC_ROOT = tmp_path / "a file" / "collected"

        assert not static_files.collect_if_needed()
