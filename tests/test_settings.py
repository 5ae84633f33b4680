"""What follows from the environment for databases, cookies, headers and logs."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import socket
import subprocess
import sys
import threading
import time
from typing import Any

import psycopg
import pytest
from allauth.account.adapter import get_adapter
from django.conf import settings as settings_now
from django.contrib.auth.models import User
from django.core.checks import run_checks
from django.db import connection
from django.test import Client, RequestFactory
from pytest_django import Settings

from dashboard import in_page
from dashboard.config import Config
from dashboard.logs import NoTracebackForRefusals, PlainFormatter
from tests.env import API_KEY
from tests.people import PASSWORD, SignIn
from tests.processes import ROOT, environment


def settings_under(**changes: str) -> dict[str, Any]:
    """Answer the settings a fresh process derives from the tests' environment with ``changes``."""
    script = (
        "import json; from dashboard import settings; "
        "print(json.dumps({n: v for n, v in vars(settings).items() if n.isupper()}, default=str))"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=ROOT, env=environment(**changes), capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


class TestDatabase:
    """SQLite by default, PostgreSQL for a team."""

    def test_a_relative_file_is_the_same_wherever_the_command_was_typed(self) -> None:
        assert settings_under(DATABASE_URL="")["DATABASES"]["default"]["NAME"] == str(ROOT / "corral.sqlite3")

    def test_an_absolute_file_is_itself(self) -> None:
        found = settings_under(DATABASE_URL="sqlite:////data/my%20corral.sqlite3")

        assert found["DATABASES"]["default"]["NAME"] == "/data/my corral.sqlite3"

    def test_postgresql_keeps_its_connections_and_checks_them(self) -> None:
        database = settings_under(DATABASE_URL="postgres://someone@db.example:5433/corral?sslmode=require")["DATABASES"]

        assert database["default"]["ENGINE"] == "django.db.backends.postgresql"
        assert (database["default"]["HOST"], database["default"]["PORT"]) == ("db.example", 5433)
        assert database["default"]["CONN_MAX_AGE"] == 600
        assert database["default"]["CONN_HEALTH_CHECKS"] is True
        assert database["default"]["OPTIONS"].items() >= {"sslmode": "require", "tcp_user_timeout": 20_000}.items()

    def test_a_postgresql_that_does_not_answer_is_given_up_on(self) -> None:
        options = settings_under(DATABASE_URL="postgres://db.example/corral")["DATABASES"]["default"]["OPTIONS"]
        with socket.create_server(("127.0.0.1", 0)) as silent:
            # Whoever is still waiting then is let go.
            gives_up = threading.Timer(15, silent.close)
            gives_up.start()
            began = time.monotonic()
            with pytest.raises(psycopg.OperationalError):
                psycopg.connect(host="127.0.0.1", port=silent.getsockname()[1], user="someone", **options)
            gives_up.cancel()

        assert time.monotonic() - began < 10

    def test_the_address_of_a_postgresql_may_ask_for_more_patience(self) -> None:
        found = settings_under(DATABASE_URL="postgres://db.example/corral?connect_timeout=30")

        assert int(found["DATABASES"]["default"]["OPTIONS"]["connect_timeout"]) == 30

    @pytest.mark.django_db(transaction=True)
    @pytest.mark.skipif(connection.vendor != "sqlite", reason="about SQLite")
    def test_sqlite_is_tuned_for_readers_beside_a_writer(self) -> None:
        with connection.cursor() as cursor:
            values = {
                name: cursor.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
            }

        assert values == {"journal_mode": "wal", "synchronous": 1, "foreign_keys": 1, "busy_timeout": 20_000}


class TestCookies:
    """Locked to the host and to HTTPS, except in a trial."""

    def test_production(self) -> None:
        found = settings_under(INSECURE_HTTP="")

        assert found["SESSION_COOKIE_NAME"] == "__Host-corral_session"
        assert found["SESSION_COOKIE_SECURE"] is found["CSRF_COOKIE_SECURE"] is found["SECURE_SSL_REDIRECT"] is True
        assert found["SECURE_HSTS_SECONDS"] == 31_536_000

    def test_under_a_prefix(self) -> None:
        found = settings_under(INSECURE_HTTP="", URL_PREFIX="/corral")

        assert found["SESSION_COOKIE_NAME"] == "corral_session"
        assert found["SESSION_COOKIE_PATH"] == found["CSRF_COOKIE_PATH"] == "/corral/"
        assert found["SESSION_COOKIE_SECURE"] is True
        assert found["STATIC_URL"] == "/corral/static/"

    @pytest.mark.parametrize("switch", ["DEBUG", "INSECURE_HTTP"])
    def test_a_trial(self, switch: str) -> None:
        found = settings_under(**{"INSECURE_HTTP": "", switch: "1"})

        assert found["SESSION_COOKIE_NAME"] == "corral_session"
        assert found["SESSION_COOKIE_SECURE"] is found["CSRF_COOKIE_SECURE"] is found["SECURE_SSL_REDIRECT"] is False
        assert found["SECURE_HSTS_SECONDS"] == 0


class TestHeaders:
    """What every page tells the browser to forbid."""

    def policy(self, client: Client, path: str) -> dict[str, str]:
        header = client.get(path).headers["Content-Security-Policy"]
        return dict(part.split(" ", 1) for part in header.split("; "))

    @pytest.mark.django_db
    def test_the_policy_follows_what_pages_carry(self, settings: Settings) -> None:
        settings.DEBUG = True
        while_debugging = in_page.policy()
        settings.DEBUG = False

        assert in_page.policy() != while_debugging

    def test_pages_get_the_strict_policy_with_trusted_types(self) -> None:
        page = Client().get("/accounts/login/").content.decode()
        carried = {tag: page.partition(f"<{tag}>")[2].partition(f"</{tag}>")[0] for tag in ("style", "script")}
        digest = {
            tag: base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for tag, text in carried.items()
        }
        assert "--accent" in carried["style"]
        assert "import(" in carried["script"]

        assert self.policy(Client(), "/accounts/login/") == {
            "default-src": "'self'",
            "script-src": f"'self' 'sha256-{digest['script']}'",
            "style-src": f"'self' 'sha256-{digest['style']}'",
            "img-src": "'self' data:",
            "connect-src": "'self'",
            "font-src": "'self'",
            "object-src": "'none'",
            "base-uri": "'none'",
            "frame-ancestors": "'none'",
            "form-action": "'self'",
            "require-trusted-types-for": "'script'",
            "trusted-types": "corral",
        }

    def test_the_admin_gets_it_without_trusted_types_and_as_strict_otherwise(self, signed_in: SignIn, cy: User) -> None:
        client = signed_in(cy)
        pages, admin = self.policy(client, "/sessions/"), self.policy(client, "/admin/")

        assert pages.pop("require-trusted-types-for")
        assert pages.pop("trusted-types")
        assert admin == pages

    @pytest.mark.django_db
    def test_pages_cannot_be_framed_and_do_not_tell_others_where_people_come_from(self) -> None:
        headers = Client().get("/accounts/login/").headers

        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Referrer-Policy"] == "same-origin"
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert headers["X-Content-Type-Options"] == "nosniff"


class TestAccounts:
    """One door, made accounts only, guessing limited."""

    def try_to_sign_in(self, name: str, password: str, address: str = "203.0.113.7", host: str = "localhost") -> bool:
        client = Client(REMOTE_ADDR=address, HTTP_HOST=host)
        client.post("/accounts/login/", {"login": name, "password": password})
        return "_auth_user_id" in client.session

    def test_a_person_signs_in_by_name(self, ada: User) -> None:
        assert self.try_to_sign_in("ada", PASSWORD)
        assert not self.try_to_sign_in("ada", "wrong")

    def test_after_five_wrong_passwords_not_even_the_right_one_opens(self, ada: User, ben: User) -> None:
        for _ in range(5):
            assert not self.try_to_sign_in("ada", "guess")

        assert not self.try_to_sign_in("ada", PASSWORD, address="198.51.100.4")
        assert self.try_to_sign_in("ben", PASSWORD)

    def test_the_limit_on_guessing_cannot_be_stepped_around_by_another_host_or_spelling(self, ada: User) -> None:
        for number in range(5):
            assert not self.try_to_sign_in("ada", "guess", host=f"localhost:{20_000 + number}")

        assert not self.try_to_sign_in("ada", PASSWORD, host="localhost:30000")
        assert not self.try_to_sign_in("ＡDA", PASSWORD)

    def test_a_deactivated_account_is_refused_like_a_wrong_password(self, ada: User) -> None:
        User.objects.filter(pk=ada.pk).update(is_active=False)
        client = Client()
        form = {"login": "ada", "password": PASSWORD}
        right = client.post("/accounts/login/", form)
        wrong = client.post("/accounts/login/", form | {"password": "guess"})
        assert right.status_code == wrong.status_code == 200
        assert "_auth_user_id" not in client.session

    def test_three_hundred_people_behind_one_address_sign_in_at_nine(self, db: None) -> None:
        people = [User.objects.create_user(f"person-{number}", password=PASSWORD) for number in range(300)]

        client = Client(REMOTE_ADDR="203.0.113.7")
        for person in people:
            client.post("/accounts/login/", {"login": person.username, "password": PASSWORD})
            assert client.session["_auth_user_id"] == str(person.pk)
            client.logout()

    @pytest.mark.django_db
    @pytest.mark.parametrize("path", ["signup", "password/reset", "email", "social", "confirm-email"])
    def test_there_is_no_other_way_in(self, path: str) -> None:
        assert Client().get(f"/accounts/{path}/").status_code == 404

    def test_accounts_are_never_made_by_the_person_at_the_door(self, rf: RequestFactory) -> None:
        assert not get_adapter().is_open_for_signup(rf.get("/"))

    @pytest.mark.django_db
    def test_the_admin_has_no_door_of_its_own(self) -> None:
        for path in ("/admin/", "/admin/login/"):
            answer = Client().get(path, follow=True)
            assert answer.redirect_chain[-1][0].startswith("/accounts/login/?next=")


class TestLogs:
    """Plain lines, and no key in any of them."""

    def record(self, name: str, **extra: Any) -> logging.LogRecord:
        try:
            raise ValueError(f"header: Bearer {API_KEY}")
        except ValueError:
            kept = sys.exc_info()
        record = logging.LogRecord(name, logging.ERROR, __file__, 1, "called with %s", (API_KEY,), kept)
        vars(record).update(extra)
        return record

    def test_the_key_is_blotted_out_of_message_and_traceback(self) -> None:
        text = PlainFormatter().format(self.record("somewhere"))

        assert API_KEY not in text
        assert "called with [removed]" in text
        assert "header: Bearer [removed]" in text

    @pytest.mark.parametrize(
        ("name", "status", "kept"),
        [("django.request", 403, False), ("django.request", 500, True), ("django.security.DisallowedHost", 400, False)],
    )
    def test_a_refusal_needs_no_traceback_and_a_failure_does(self, name: str, status: int, kept: bool) -> None:
        record = self.record(name, status_code=status)

        assert NoTracebackForRefusals().filter(record)
        assert bool(record.exc_info) is kept

    @pytest.mark.parametrize("name", ["urllib3.connectionpool", "requests"])
    def test_addresses_and_headers_of_calls_are_not_logged_even_at_debug(self, name: str) -> None:
        root = logging.getLogger()
        before = root.level
        root.setLevel(logging.DEBUG)
        try:
            assert not logging.getLogger(name).isEnabledFor(logging.DEBUG)
        finally:
            root.setLevel(before)


@pytest.mark.parametrize(
    ("changes", "told"),
    [({"INSECURE_HTTP": ""}, True), ({"INSECURE_HTTP": "", "TRUSTED_PROXIES": "10.0.0.1"}, False), ({}, False)],
)
def test_https_without_a_trusted_proxy_is_pointed_out(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, changes: dict[str, str], told: bool
) -> None:
    for name, value in changes.items():
        monkeypatch.setenv(name, value)
    settings.CORRAL = Config.load()

    found = run_checks(tags=["security"], include_deployment_checks=True)

    assert ("corral.W001" in {message.id for message in found}) is told


@pytest.mark.django_db
@pytest.mark.postgres
@pytest.mark.parametrize("key", [r'"aaaaaaaaaaaa\000b"', "../../etc/passwd", "ä" * 32, "x" * 5000])
def test_a_cookie_that_is_no_key_of_a_session_is_nobody(key: str) -> None:
    browser = Client(HTTP_COOKIE=f"{settings_now.SESSION_COOKIE_NAME}={key}")

    assert browser.get("/sessions/").status_code == 302
