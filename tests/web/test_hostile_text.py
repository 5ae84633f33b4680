"""Whatever LlamaCloud's strings hold is shown as text: no markup, no hidden characters, no endless lines."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote, unquote

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import resolve, reverse

from dashboard.catalog.models import Index, Project
from dashboard.catalog.sync import refresh_catalog
from dashboard.chats.models import ChatSession
from dashboard.chats.sync import refresh_all, refresh_recent
from dashboard.config import upstream_client
from dashboard.in_page import starter
from tests.faulty import PROJECT_ID, FaultyServer, failing
from tests.people import SignIn
from tests.web.conftest import let_time_pass, make_session
from tests.web.pages import Element, read

MARKUP = (
    "<corral-evil x=1>\"><img src=x onerror=evil()><script>evil()</script>' autofocus onfocus='evil()"
    " [click](javascript:evil()) {{ 7|add:7 }} {% evil %} &lt;corral-evil&gt;"
)
HIDDEN = "\u202e\u2066\u200b\u200d\ufeff\u00ad\x00\x07\x1b[31m\u2028\u2029\x85"
ZALGO = "Z" + "\u0301" * 500
LONG = "W" * 10_000
HOSTILE = HIDDEN + MARKUP + ZALGO + LONG
NEVER_SHOWN = re.compile("[\u202a-\u202e\u2066-\u2069\u200b-\u200f\ufeff\u00ad\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")

pytestmark = pytest.mark.django_db


@pytest.fixture
def session(faulty: FaultyServer, ada: User) -> ChatSession:
    """Ada's session; every text around it is hostile."""
    for index in faulty.indexes:
        index |= {"name": HOSTILE, "description": HOSTILE, "metadata": {"status": HOSTILE}, "export_config_id": HIDDEN}
    faulty.indexes[1] |= {"last_synced_at": None, "last_exported_at": None, "metadata": None}
    faulty.projects[0]["name"] = HOSTILE
    faulty.projects.append({**faulty.projects[0], "id": "prj-2"})
    faulty.indexes.append({**faulty.indexes[0], "id": "idx-elsewhere", "project_id": "prj-2"})
    refresh_catalog(upstream_client())
    job = {"turns": 1, "is_error": True, "error": HOSTILE, "export_config_ids": [HOSTILE], "duration_ms": 12.5}
    return make_session(
        faulty,
        ada,
        generated_title=HOSTILE,
        shared_access=MARKUP[:32],
        job_metadata=job,
        index_ids=["idx-reports", HIDDEN],
    )


def show_text(response: Any, *, most: int) -> Element:
    """Assert that the answer holds the texts as text and nothing of them as markup; answer the page."""
    shown = read(response)
    assert len(shown.text) < most
    for element in shown.everything():
        assert element.tag not in ("corral-evil", "img", "iframe")
        assert not (element.tag == "script" and element.text) or element.text.split() == starter().split(), element
        for name, value in element.attributes.items():
            assert not name.startswith("on"), element
            assert name not in ("style", "autofocus"), element
            assert not (name in ("href", "src", "action", "hx-get") and not re.match(r"[/?#]", value)), element
            copied = (element.tag == "input" and "readonly" in element) or element.attributes.get("type") == "checkbox"
            assert copied or not NEVER_SHOWN.search(value), element
    assert not NEVER_SHOWN.search(shown.text)
    assert "\u0301" * 5 not in shown.text
    return shown


PAGES = {
    "list": ("/sessions/", 9_000),
    "list filtered by source": ("/sessions/?source=idx-reports", 9_000),
    "new": ("/sessions/new/", 9_000),
    "new, following": ("/sessions/new/?from=ses-1", 9_000),
    "other project": ("/sessions/new/?project_id=prj-2", 9_000),
    "detail": ("/sessions/ses-1/", 12_000),
    "lock": ("/sessions/ses-1/lock/", 4_000),
    "job": ("/sessions/ses-1/job/", 4_000),
    "rename": ("/sessions/ses-1/rename/", 4_000),
    "delete": ("/sessions/ses-1/delete/", 4_000),
}


@pytest.mark.parametrize(("address", "most"), PAGES.values(), ids=PAGES.keys())
def test_hostile_strings_are_shown_as_text(address: str, most: int, session: ChatSession, browser: Client) -> None:
    response = browser.get(address)
    assert response.status_code == 200
    shown = show_text(response, most=most)
    assert "<script>evil()</script>" in shown.text


def test_hostile_strings_are_shown_as_text_in_the_admin(session: ChatSession, cy: User, signed_in: SignIn) -> None:
    client = signed_in(cy)
    for model in (ChatSession, Project, Index):
        changelist = reverse(f"admin:dashboard_{model._meta.model_name}_changelist")
        change = reverse(f"admin:dashboard_{model._meta.model_name}_change", args=[model.objects.latest("pk").pk])
        for address in (changelist, change):
            shown = read(client.get(address))
            assert not [one for one in shown.everything() if one.tag in ("corral-evil", "img") and "x" in one]
            assert not [one for one in shown.everything() for name in one.attributes if name == "onerror"]
            assert not [one for one in shown.all("script") if "evil" in one.text]


def test_hostile_errors_of_a_form_are_shown_as_text(
    session: ChatSession, faulty: FaultyServer, browser: Client
) -> None:
    form = read(browser.get("/sessions/new/")).one("form", class_="create").fields()
    not_ready = browser.post("/sessions/new/", form | {"index_ids": ["idx-policies"]})
    assert not_ready.status_code == 422
    assert re.search("Not ready yet: .{0,20}<corral-evil", show_text(not_ready, most=9_000).text)
    faulty.script("POST", "/api/v1/chat", [failing(400, HOSTILE)])
    refused = browser.post("/sessions/new/", form | {"index_ids": ["idx-reports"]})
    assert refused.status_code == 502
    assert re.search("LlamaCloud answered 400: .{0,20}<corral-evil", show_text(refused, most=10_000).one("pre").text)


def test_a_hostile_refusal_to_delete_is_shown_as_text(
    session: ChatSession, faulty: FaultyServer, browser: Client
) -> None:
    faulty.script("DELETE", "/api/v1/chat/ses-1", [failing(409, HOSTILE)])
    shown = show_text(browser.post("/sessions/ses-1/delete/"), most=5_000)
    assert "<corral-evil" in shown.one("pre").text


ODD_IDS = [
    "50%", "a b", "%2F", "Ünï-çødé-日本", "a/b/c", "..", ".", "new", "refresh", "a?b#c", "a&from=b", "~", "~2F", "a~b",
    "'\"><i>", "a\nb", "\u202e", "lock", "a/lock", "+", ";v=1", "\\", "é" * 255,
]  # fmt: skip


def test_odd_session_ids_break_no_page(faulty: FaultyServer, browser: Client) -> None:
    for session_id in ODD_IDS:
        make_session(faulty, session_id=session_id, generated_title=f"Title of {session_id!a}")
    let_time_pass()
    links = {
        link.text: link["href"] for link in read(browser.get("/sessions/")).all("a") if link.text[:8] == "Title of"
    }
    assert len(links) == len(ODD_IDS)
    for session_id in ODD_IDS:
        link = links[f"Title of {session_id!a}"[:160]] if len(session_id) < 100 else reverse(
            "session-detail", args=[session_id]
        )  # fmt: skip
        step = link.removeprefix("/sessions/").removesuffix("/")
        assert "/" not in step, "a browser or a proxy would read another path"
        assert unquote(step) not in (".", "..", "new", "refresh")
        detail = browser.get(link)
        assert read(detail).one("input", id="session-id")["value"] == session_id
        for region in ("lock-region", "job-region"):
            region = region.replace("lock", "sources")
            asked = read(detail).one(id=region)["hx-get"]
            assert browser.get(asked.partition("?")[0], headers={"HX-Request": "true"}).status_code == 200, session_id
        followed = read(detail).one(id="same-sources")["href"]
        assert read(browser.get(followed)).one("input", type="hidden", name="from")["value"] == session_id
    # The regions looked each up, under its own name and in one step of LlamaCloud's path.
    asked_for = {request.path for request in faulty.received("GET") if request.path.endswith("/summary")}
    quoted = {f"/api/v1/chat/{quote(one, safe='')}/summary" for one in ODD_IDS if one not in (".", "..")}
    assert asked_for == quoted


@pytest.mark.parametrize("session_id", ODD_IDS)
def test_a_session_id_survives_the_way_through_an_address(session_id: str) -> None:
    address = reverse("session-lock", args=[session_id])
    assert resolve(unquote(address)).kwargs == {"session_id": session_id}


def test_an_ordinary_session_id_is_the_address() -> None:
    assert reverse("session-detail", args=["ses-0a1B_2.c:d"]) == "/sessions/ses-0a1B_2.c:d/"


@pytest.mark.parametrize("address", ["/sessions/a%00b/", "/sessions/~00/", "/sessions/%00/lock/"])
def test_an_id_with_nul_is_nobody_and_costs_no_call(address: str, catalog: FaultyServer, browser: Client) -> None:
    before = len(catalog.requests)
    assert browser.get(address).status_code == 404
    assert len(catalog.requests) == before


@pytest.mark.parametrize(
    "address",
    [
        "/sessions/?q=%00",
        "/sessions/?source=%00",
        "/sessions/?before=%00",
        "/sessions/new/?find=%00",
        "/sessions/new/?from=%00",
        "/sessions/new/?project_id=%00",
        "/sessions/new/?index_ids=%00",
        "/sessions/?%00=1",
    ],
)
@pytest.mark.postgres
def test_nul_in_an_address_is_refused_in_words(address: str, catalog: FaultyServer, browser: Client) -> None:
    response = browser.get(address)
    assert response.status_code == 400
    assert read(response).one("h1").text == "This request can’t be read"


@pytest.mark.parametrize("name", ["idempotency_token", "index_ids", "project_id", "from", "start_over"])
@pytest.mark.postgres
def test_nul_in_a_form_is_refused_in_words(name: str, catalog: FaultyServer, browser: Client) -> None:
    form = {"idempotency_token": "token-of-mine", "index_ids": "idx-reports", "start_over": "1"} | {name: "a\0b"}
    assert browser.post("/sessions/new/", form).status_code == 400
    assert not catalog.received("POST")


@pytest.mark.postgres
def test_every_string_can_be_stored(session: ChatSession, faulty: FaultyServer) -> None:
    faulty.chats["ses-1"]["surprise"] = {HIDDEN: [HOSTILE, "\ud800", float("nan")]}
    refresh_recent(upstream_client())
    assert refresh_all(upstream_client()) is None
    session.refresh_from_db()
    assert "\0" not in session.generated_title
    assert session.raw["surprise"]
    assert Index.objects.filter(project_id=PROJECT_ID).count() == 2
