"""Every environment variable, good, bad and missing; and never a value in the words."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path

import pytest
from pytest_django import Settings

from dashboard import config
from dashboard.config import Config, ConfigError
from dashboard.errors import DashboardError

KEY = "llx-AbCdEf0123456789"
SECRET = "s" * 16 + "ecret" * 5
GOOD = {"LLAMA_CLOUD_API_KEY": KEY, "SECRET_KEY": SECRET, "ALLOWED_HOSTS": "corral.example.com"}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what production needs at least."""
    for field in Config.model_fields:
        monkeypatch.delenv(field.upper(), raising=False)
        monkeypatch.delenv(f"{field.upper()}_FILE", raising=False)
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)


def refusal() -> str:
    with pytest.raises(ConfigError) as refused:
        Config.load()
    assert refused.value.__cause__ is None
    return str(refused.value)


def test_three_variables_are_enough_for_production() -> None:
    loaded = Config.load()

    assert loaded.llama_cloud_api_key.get_secret_value() == KEY
    assert loaded.secret_key.get_secret_value() == SECRET
    assert loaded.allowed_hosts == ("corral.example.com",)
    assert loaded.llama_cloud_base_url == "https://api.cloud.llamaindex.ai"
    assert loaded.database_url.get_secret_value() == "sqlite:///corral.sqlite3"
    assert loaded.time_zone == "UTC"
    assert loaded.encrypted
    assert not loaded.debug


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("value", [None, ""])
def test_a_needed_variable_that_is_missing_or_empty_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str | None
) -> None:
    monkeypatch.delenv(name)
    if value is not None:
        monkeypatch.setenv(name, value)

    words = refusal()

    assert words.startswith(f"{name} is missing. ")
    assert "\n" not in words


def test_all_problems_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in GOOD:
        monkeypatch.delenv(name)
    monkeypatch.setenv("TIME_ZONE", "Middle/Earth")

    assert {line.split()[0] for line in refusal().splitlines()} == {*GOOD, "TIME_ZONE"}


@pytest.mark.parametrize(
    ("name", "value", "field", "expected"),
    [
        ("LLAMA_CLOUD_BASE_URL", "https://eu.example.com/", "llama_cloud_base_url", "https://eu.example.com"),
        ("LLAMA_CLOUD_BASE_URL", "eu.example.com/llama/", "llama_cloud_base_url", "https://eu.example.com/llama"),
        ("LLAMA_CLOUD_BASE_URL", "http://127.0.0.1:9000", "llama_cloud_base_url", "http://127.0.0.1:9000"),
        ("LLAMA_CLOUD_BASE_URL", "http://[::1]:9000", "llama_cloud_base_url", "http://[::1]:9000"),
        ("LLAMA_CLOUD_BASE_URL", "http://localhost:9000", "llama_cloud_base_url", "http://localhost:9000"),
        ("LLAMA_CLOUD_PROJECT_ID", "p-1", "llama_cloud_project_id", "p-1"),
        ("LLAMA_CLOUD_PROJECT_ID", "", "llama_cloud_project_id", None),
        ("LLAMA_CLOUD_ORGANIZATION_ID", "o-1", "llama_cloud_organization_id", "o-1"),
        ("ALLOWED_HOSTS", " a.example , .b.example,[::1],", "allowed_hosts", ("a.example", ".b.example", "[::1]")),
        (
            "CSRF_TRUSTED_ORIGINS",
            "https://a.example,https://b.example:8443",
            "csrf_trusted_origins",
            ("https://a.example", "https://b.example:8443"),
        ),
        ("DEBUG", "1", "debug", True),
        ("DEBUG", "off", "debug", False),
        ("INSECURE_HTTP", "true", "insecure_http", True),
        (
            "TRUSTED_PROXIES",
            "10.0.0.5, 10.1.0.0/16,fd00::/8",
            "trusted_proxies",
            (ip_network("10.0.0.5"), ip_network("10.1.0.0/16"), ip_network("fd00::/8")),
        ),
        ("URL_PREFIX", "corral", "url_prefix", "/corral"),
        ("URL_PREFIX", "/tools/corral-1/", "url_prefix", "/tools/corral-1"),
        ("URL_PREFIX", "/", "url_prefix", ""),
        ("TIME_ZONE", "Europe/Berlin", "time_zone", "Europe/Berlin"),
    ],
)
def test_a_good_value_is_read(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, field: str, expected: object
) -> None:
    monkeypatch.setenv(name, value)

    assert getattr(Config.load(), field) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LLAMA_CLOUD_PROXY", "http://user:hunter2@proxy.example:3128"),
        ("DATABASE_URL", "postgres://corral:hunter2@db.example/corral"),
        ("DATABASE_URL", "postgresql://corral@/corral"),
        ("DATABASE_URL", "sqlite:////var/lib/corral/corral.sqlite3"),
    ],
)
def test_an_address_with_a_password_is_read_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)

    loaded = Config.load()

    assert getattr(loaded, name.lower()).get_secret_value() == value
    assert "hunter2" not in repr(loaded)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LLAMA_CLOUD_API_KEY", "llx-hidden with-blank"),
        ("LLAMA_CLOUD_API_KEY", "llx-hidden\r\nX-Injected: 1"),
        ("LLAMA_CLOUD_API_KEY", " llx-hidden"),
        ("LLAMA_CLOUD_API_KEY", "llx-hidden\u200b"),
        ("LLAMA_CLOUD_API_KEY", "llx-hidden\x7f"),
        ("LLAMA_CLOUD_BASE_URL", "http://hidden.example.com"),
        ("LLAMA_CLOUD_BASE_URL", "ftp://hidden.example.com"),
        ("LLAMA_CLOUD_BASE_URL", "https://user:hidden@example.com"),
        ("LLAMA_CLOUD_BASE_URL", "https://example.com/?hidden"),
        ("LLAMA_CLOUD_BASE_URL", "https://exa mple.com/hidden"),
        ("LLAMA_CLOUD_BASE_URL", "https://example.com:hidden"),
        ("LLAMA_CLOUD_BASE_URL", "https:///hidden"),
        ("LLAMA_CLOUD_BASE_URL", "https://[hidden"),
        ("LLAMA_CLOUD_PROJECT_ID", "hid den"),
        ("LLAMA_CLOUD_ORGANIZATION_ID", "hidden\n"),
        ("LLAMA_CLOUD_PROXY", "socks5://hidden.example:1080"),
        ("LLAMA_CLOUD_PROXY", "http://"),
        ("DATABASE_URL", "mysql://hidden@db.example/corral"),
        ("DATABASE_URL", "hidden.sqlite3"),
        ("DATABASE_URL", "postgres://hidden@db.example"),
        ("DATABASE_URL", "postgres://hidden@db.example:port/corral"),
        ("SECRET_KEY", "hidden-but-too-short"),
        ("ALLOWED_HOSTS", "https://hidden.example"),
        ("ALLOWED_HOSTS", "hidden.example:8000"),
        ("ALLOWED_HOSTS", "hidden example"),
        ("ALLOWED_HOSTS", "hidden.example,*"),
        ("CSRF_TRUSTED_ORIGINS", "hidden.example"),
        ("CSRF_TRUSTED_ORIGINS", "ftp://hidden.example"),
        ("CSRF_TRUSTED_ORIGINS", "https://hidden.example/"),
        ("CSRF_TRUSTED_ORIGINS", "https://*hidden.example/path"),
        ("DEBUG", "hidden"),
        ("INSECURE_HTTP", "hidden"),
        ("TRUSTED_PROXIES", "hidden"),
        ("TRUSTED_PROXIES", "10.0.0.1/8"),
        ("URL_PREFIX", "/hidden?"),
        ("URL_PREFIX", "/hidden//twice"),
        ("URL_PREFIX", "/hidden/../up"),
        ("TIME_ZONE", "Hidden/Zone"),
        ("TIME_ZONE", "../hidden"),
    ],
)
def test_a_bad_value_is_refused_by_name_without_being_shown(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)

    words = refusal()

    assert words.startswith(f"{name} ")
    assert "\n" not in words
    assert "hidden" not in words.lower()
    assert words.endswith(config.MEND[name.lower()])


def test_every_variable_says_how_to_mend_it() -> None:
    assert set(config.MEND) == set(Config.model_fields)


@pytest.mark.parametrize("name", ["LLAMA_CLOUD_API_KEY", "SECRET_KEY"])
class TestSecretFile:
    """``<NAME>_FILE``, the way container secrets arrive."""

    def test_the_line_break_at_the_end_is_dropped(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
    ) -> None:
        (tmp_path / "secret").write_text(f"{GOOD[name]}\r\n")
        monkeypatch.setenv(f"{name}_FILE", str(tmp_path / "secret"))
        monkeypatch.setenv(name, "")

        assert getattr(Config.load(), name.lower()).get_secret_value() == GOOD[name]

    def test_given_twice_is_refused(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
        (tmp_path / "secret").write_text(GOOD[name])
        monkeypatch.setenv(f"{name}_FILE", str(tmp_path / "secret"))

        assert refusal().startswith(f"{name} is given twice, as {name} and as {name}_FILE")

    def test_an_empty_file_is_refused(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
        (tmp_path / "secret").write_text("\n")
        monkeypatch.setenv(f"{name}_FILE", str(tmp_path / "secret"))
        monkeypatch.delenv(name)

        assert refusal().startswith(f"{name} is missing: the file {name}_FILE names is empty.")

    @pytest.mark.parametrize("content", [None, b"\xff\xfe"])
    def test_an_unreadable_file_is_refused(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, content: bytes | None
    ) -> None:
        if content:
            (tmp_path / "secret").write_bytes(content)
        monkeypatch.setenv(f"{name}_FILE", str(tmp_path / "secret"))
        monkeypatch.delenv(name)

        words = refusal()

        assert words.startswith(f"{name} cannot be read: {name}_FILE names no readable text file.")
        assert str(tmp_path) not in words


@pytest.mark.parametrize("switch", ["DEBUG", "INSECURE_HTTP"])
def test_a_trial_needs_no_host_names(monkeypatch: pytest.MonkeyPatch, switch: str) -> None:
    monkeypatch.delenv("ALLOWED_HOSTS")
    monkeypatch.setenv(switch, "1")

    loaded = Config.load()

    assert loaded.allowed_hosts == ("localhost", "127.0.0.1", "[::1]")
    assert not loaded.encrypted


def test_a_trial_may_send_the_key_over_plain_http(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INSECURE_HTTP", "1")
    monkeypatch.setenv("LLAMA_CLOUD_BASE_URL", "http://llama.internal:8000/")

    assert Config.load().llama_cloud_base_url == "http://llama.internal:8000"


def test_commands_that_serve_nobody_make_up_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in GOOD:
        monkeypatch.delenv(name)

    one, two = Config.load(secrets_needed=False), Config.load(secrets_needed=False)

    assert one.secret_key != two.secret_key
    assert one.llama_cloud_api_key != two.llama_cloud_api_key


def test_commands_that_serve_nobody_still_use_what_is_given() -> None:
    assert Config.load(secrets_needed=False).llama_cloud_api_key.get_secret_value() == KEY


class TestUpstreamClient:
    """One client a process."""

    @pytest.fixture(autouse=True)
    def fresh(self) -> Iterator[None]:
        config.forget_client()
        yield
        config.forget_client()

    def test_a_process_has_one(self) -> None:
        assert config.upstream_client() is config.upstream_client()

    def test_a_forked_worker_makes_its_own(self) -> None:
        mine = config.upstream_client()
        reader, writer = os.pipe()
        if os.fork() == 0:
            os.write(writer, b"same" if config.upstream_client() is mine else b"own")
            os._exit(0)
        os.wait()

        assert os.read(reader, 9) == b"own"

    def test_it_goes_through_the_configured_proxy_without_showing_it_the_key(
        self, monkeypatch: pytest.MonkeyPatch, settings: Settings
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as proxy:
            monkeypatch.setenv("LLAMA_CLOUD_PROXY", f"http://user:hunter2@127.0.0.1:{proxy.getsockname()[1]}")
            monkeypatch.setenv("LLAMA_CLOUD_BASE_URL", "https://corral-test.invalid")
            settings.CORRAL = Config.load()
            asked: list[bytes] = []

            def refuse() -> None:
                connection, _ = proxy.accept()
                asked.append(connection.recv(4096))
                connection.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
                connection.close()

            threading.Thread(target=refuse, daemon=True).start()
            with pytest.raises(DashboardError) as failed:
                config.upstream_client().project("p-1")

        assert asked[0].startswith(b"CONNECT corral-test.invalid:443 ")
        assert KEY.encode() not in asked[0]
        assert "hunter2" not in f"{failed.value} {failed.value.detail}"


def run_manage(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    root = Path(__file__).resolve().parent.parent
    kept = {name: value for name, value in os.environ.items() if name not in GOOD and name != "DJANGO_SETTINGS_MODULE"}
    command = [sys.executable, "manage.py", *arguments]
    return subprocess.run(command, cwd=root, env={**kept, **environment}, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("start", ["manage", "wsgi"])
def test_a_bad_environment_stops_the_start_with_words_and_no_traceback(start: str) -> None:
    bad = {**GOOD, "LLAMA_CLOUD_API_KEY": "llx-hidden hidden"}
    if start == "manage":
        done = run_manage("check", **bad)
    else:
        command = [sys.executable, "-c", "import dashboard.wsgi"]
        kept = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
        done = subprocess.run(command, env={**kept, **bad}, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert done.stderr.startswith("Corral cannot start:\nLLAMA_CLOUD_API_KEY holds a blank")
    assert "Traceback" not in done.stderr
    assert "hidden" not in done.stdout + done.stderr


@pytest.mark.parametrize("arguments", [("help",), (), ("migrate", "--help"), ("makemigrations", "--dry-run")])
def test_some_commands_need_no_secrets(arguments: tuple[str, ...]) -> None:
    done = run_manage(*arguments)

    assert done.returncode == 0, done.stderr
