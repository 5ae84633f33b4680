"""The instance itself: error pages, colours, set-up, sign-in, probes."""

from __future__ import annotations

import gc
import threading
from datetime import UTC, datetime

import pytest
from django.contrib.auth.models import User
from django.core import signing
from django.db import connection
from django.test import Client, RequestFactory
from pytest_django import Settings

from dashboard.access.policy import Decision, NotAllowed
from dashboard.audit.models import AuditEntry
from dashboard.errors import DashboardError
from dashboard.upstream import RateLimited
from dashboard.web import running, setup
from dashboard.web.middleware import PageMiddleware
from tests.faulty import FaultyServer
from tests.people import PASSWORD, SignIn
from tests.web.conftest import make_session
from tests.web.pages import read

LOGIN = "/accounts/login/"
STRONG = "a long enough pass phrase"

pytestmark = pytest.mark.django_db


# --- Errors


def test_error_pages_are_in_words_and_offer_a_way_on(browser: Client, settings: Settings) -> None:
    browser.raise_request_exception = False
    not_found, bad = browser.get("/nowhere/"), browser.get("/sessions/?q=%00")
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "OPTIONS": {"context_processors": ["dashboard.nowhere"]}}]
    broken = browser.get("/sessions/")
    told = {
        404: (not_found, "Page not found"),
        400: (bad, "This request can’t be read"),
        500: (broken, "Corral has a problem"),
    }
    for status, (response, heading) in told.items():
        page = read(response)
        assert (response.status_code, page.one("h1").text) == (status, heading)
        assert page.one("html")["lang"] == "en"
        assert page.one("a", class_="button button-primary")["href"] in ("/", "/sessions/")
        assert len(response["X-Request-ID"]) == 32
        assert "Traceback" not in page.text
        assert "Something went wrong" not in page.text


def test_an_unknown_host_is_refused_in_words() -> None:
    response = Client().get("/accounts/login/", headers={"Host": "evil.example"})
    assert response.status_code == 400
    assert "This request can’t be read" in response.content.decode()


def test_a_failure_is_a_page_or_a_fragment_with_its_wait(catalog: FaultyServer, browser: Client, ben: User) -> None:
    factory = RequestFactory()
    handler = PageMiddleware(lambda request: pytest.fail("only exceptions are asked for"))
    for htmx in (False, True):
        request = factory.get("/sessions/x\ny/")
        request.user = ben
        request.htmx = htmx  # type: ignore[attr-defined]  # as django-htmx's middleware sets it
        request.request_id = "ours"  # type: ignore[attr-defined]  # as ours sets it
        response = handler.process_exception(request, RateLimited("LlamaCloud answered 429", retry_after=7))
        assert response is not None
        assert (response.status_code, response["Retry-After"]) == (429, "7")
        assert response["X-Corral-Fragment"] == "1"
        page = read(response)
        assert bool(page.all("html")) is not htmx
        assert "too many requests" in page.text
        assert "Try again in 7 seconds." in page.text
        assert "Request: ours" in page.one("pre").text
    assert handler.process_exception(factory.get("/"), ValueError("not ours")) is None


def test_a_line_break_in_an_address_forges_no_line_of_the_log(
    catalog: FaultyServer, ben: User, signed_in: SignIn, caplog: pytest.LogCaptureFixture
) -> None:
    make_session(catalog, session_id="a\nERROR forged")
    response = signed_in(ben).get("/sessions/a%0AERROR%20forged/delete/")
    assert response.status_code == 403
    assert "\nERROR forged" not in caplog.text
    assert "not_allowed" in caplog.text


def test_every_kind_of_failure_has_words_a_code_and_a_status() -> None:
    kinds, waiting = set(), [DashboardError]
    while waiting:
        kind = waiting.pop()
        kinds.add(kind)
        waiting += kind.__subclasses__()
    assert len(kinds) > 15
    for kind in kinds:
        assert 400 <= kind.status < 600, kind
        assert kind.sentence.endswith("."), kind
        assert kind.code.replace("_", "").isalpha(), kind
    assert NotAllowed(Decision(False, "Because.")).sentence == "Because."


# --- Colours


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_colours_are_remembered(theme: str, browser: Client) -> None:
    response = browser.post("/theme/", {"theme": theme, "next": "/sessions/new/"})
    assert response["Location"] == "/sessions/new/"
    cookie = response.cookies["theme"]
    assert (cookie.value, cookie["samesite"], cookie["httponly"], cookie["path"]) == (theme, "Lax", True, "/")
    assert read(browser.get("/sessions/")).one("html")["data-theme"] == theme
    browser.post("/theme/", {"theme": "system"})
    assert "data-theme" not in read(browser.get("/sessions/")).one("html")


def test_a_theme_of_nobodys_is_not_put_into_a_page(browser: Client) -> None:
    browser.cookies["theme"] = "x onload=evil"
    assert "data-theme" not in read(browser.get("/sessions/")).one("html")


@pytest.mark.parametrize(
    "place",
    ["https://evil.example/", "//evil.example/", "\\\\evil.example", "javascript:evil()", "", "/\\evil.example"],
)
def test_choosing_colours_leads_to_no_other_site(place: str, browser: Client) -> None:
    response = browser.post("/theme/", {"theme": "dark", "next": place}, headers={"Referer": place})
    assert response["Location"] == "/"
    assert browser.post("/theme/", {}, headers={"Referer": "http://testserver/sessions/"})["Location"].endswith(
        "/sessions/"
    )


# --- Set-up


@pytest.mark.postgres
def test_the_set_up_link_makes_one_administrator_signs_in_and_ends() -> None:
    client, path = Client(), setup.setup_path()
    page = read(client.get(path))
    assert page.one("h1").text == "Set up Corral"
    response = client.post(path, {"username": "ada", "password1": STRONG, "password2": STRONG}, follow=True)
    assert response.redirect_chain[-1][0] == "/sessions/"
    assert response.status_code == 200
    ada = User.objects.get()
    assert (ada.is_superuser, ada.is_staff) == (True, True)
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.actor, entry.ip) == ("instance.set_up", ada, "127.0.0.1")
    for again in (path, setup.setup_path()):
        assert Client().get(again).status_code == 404
        assert Client().post(again, {"username": "evil", "password1": STRONG, "password2": STRONG}).status_code == 404
    assert User.objects.count() == 1


def test_a_weak_password_is_refused_in_words() -> None:
    client, path = Client(), setup.setup_path()
    response = client.post(path, {"username": "ada", "password1": "12345678", "password2": "12345678"})
    assert response.status_code == 422
    assert "too common" in read(response).one(role="alert").text
    assert not User.objects.exists()


def test_a_wrong_or_old_key_makes_nobody(settings: Settings) -> None:
    good = setup.setup_path()
    settings.SECRET_KEY = "another instance's, another instance's, another"
    elsewhere = Client().get(good)
    assert elsewhere.status_code == 404
    for key in ("x", "first administrator", signing.dumps("first administrator", salt="elsewhere")):
        assert Client().get(f"/setup/{key}/").status_code == 404


def test_a_key_is_good_for_a_day(monkeypatch: pytest.MonkeyPatch) -> None:
    path = setup.setup_path()
    monkeypatch.setattr(setup, "LASTS", -1)
    assert Client().get(path).status_code == 404


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_two_set_up_forms_at_once_make_one_administrator(db: None) -> None:
    path, start, statuses = setup.setup_path(), threading.Barrier(4), list[int]()

    def send(name: str) -> None:
        start.wait()
        try:
            form = {"username": name, "password1": STRONG, "password2": STRONG}
            statuses.append(Client().post(path, form).status_code)
        finally:
            connection.close()

    threads = [threading.Thread(target=send, args=(f"admin{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [302, 404, 404, 404]
    assert User.objects.count() == 1


# --- Signing in and out


def test_people_sign_in_with_login_and_password_and_out_again(ada: User) -> None:
    client = Client()
    page = read(client.get(LOGIN))
    assert {"login", "password"} <= page.one("form", action=LOGIN).fields().keys()
    assert client.post(LOGIN, {"login": "ada", "password": PASSWORD})["Location"] == "/"
    assert client.get("/sessions/").status_code == 200
    assert client.get(LOGIN).status_code == 302
    assert client.post("/accounts/logout/")["Location"] == LOGIN
    assert client.get("/sessions/").status_code == 302


@pytest.mark.parametrize("name", ["ada", "nobody"])
def test_a_wrong_password_says_the_same_whoever_it_was_for(name: str, ada: User) -> None:
    response = Client().post(LOGIN, {"login": name, "password": "wrong"})
    page = read(response)
    assert "not right" in page.one(role="alert").text
    assert page.one("title").text.startswith("Problem:")
    assert page.one("form", action=LOGIN).fields()["login"] == [name]
    assert "wrong" not in page.text


def test_a_guesser_is_stopped_and_the_person_told_to_wait(ada: User) -> None:
    client = Client()
    for _ in range(5):
        client.post(LOGIN, {"login": "ada", "password": "wrong"})
    stopped = client.post(LOGIN, {"login": "ada", "password": PASSWORD})
    assert "Too many wrong tries. Wait five minutes" in read(stopped).one(role="alert").text
    assert client.get("/sessions/").status_code == 302


def test_too_many_requests_are_told_in_words(ada: User, settings: Settings) -> None:
    settings.ACCOUNT_RATE_LIMITS = {"login": "1/m/ip"}
    client = Client()
    client.post(LOGIN, {"login": "ada", "password": "wrong"})
    response = client.post(LOGIN, {"login": "ada", "password": "wrong"})
    assert response.status_code == 429
    assert read(response).one("h1").text == "Too many tries"


@pytest.mark.parametrize("place", ["https://evil.example/", "//evil.example/"])
def test_signing_in_leads_to_no_other_site(place: str, ada: User) -> None:
    response = Client().post(LOGIN, {"login": "ada", "password": PASSWORD, "next": place})
    assert response["Location"] == "/"


@pytest.mark.parametrize("address", ["/accounts/signup/", "/accounts/password/reset/", "/accounts/email/"])
def test_nobody_signs_up_or_resets_by_mail(address: str, db: None) -> None:
    assert Client().get(address).status_code == 404


def test_a_person_changes_the_own_password(browser: Client, ada: User) -> None:
    form = {"oldpassword": PASSWORD, "password1": STRONG, "password2": STRONG}
    assert browser.post("/accounts/password/change/", form).status_code == 302
    ada.refresh_from_db()
    assert ada.check_password(STRONG)
    refused = browser.post("/accounts/password/change/", form)
    assert read(refused).all(role="alert")


# --- Probes


def test_probes_answer_without_sign_in_and_without_llamacloud() -> None:
    for address in ("/livez", "/readyz"):
        response = Client().get(address)
        assert (response.status_code, response.content) == (200, b"ok\n")


@pytest.mark.django_db(transaction=True)
def test_without_its_database_the_process_lives_but_is_not_ready(settings: Settings, tmp_path: object) -> None:
    connection.close()
    name, engine = connection.settings_dict["NAME"], connection.vendor
    nowhere = f"{tmp_path}/no/such/folder/db.sqlite3" if engine == "sqlite" else "no_such_database"
    connection.settings_dict["NAME"] = nowhere
    try:
        assert Client().get("/livez").status_code == 200
        response = Client().get("/readyz")
        assert response.status_code == 503
        assert str(name) not in response.content.decode()
        assert nowhere not in response.content.decode()
    finally:
        connection.close()
        connection.settings_dict["NAME"] = name
    assert Client().get("/readyz").status_code == 200


def test_dates_of_the_page_have_a_machine_readable_moment(catalog: FaultyServer, browser: Client) -> None:
    session = make_session(catalog, last_updated_at="2026-04-22T12:34:41.342245")
    moments = [time["datetime"] for time in read(browser.get(f"/sessions/{session.session_id}/")).all("time")]
    assert datetime(2026, 4, 22, 12, 34, 41, tzinfo=UTC).isoformat() in moments, "naive upstream times are UTC"


def test_a_web_process_looks_for_garbage_rarely_and_never_through_what_lives_as_long_as_it() -> None:
    before, frozen = gc.get_threshold(), gc.get_freeze_count()
    try:
        running._collect_garbage_rarely()
        assert gc.get_threshold()[0] == running.GARBAGE
        assert gc.get_freeze_count() > max(frozen, 10_000)
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)
