"""The image of a cited page, which somebody else's storage holds."""

from __future__ import annotations

import contextlib
import json

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from dashboard.chats.models import ChatSession
from dashboard.turns.models import Turn, TurnState
from dashboard.web import looking
from tests.faulty import Answer, FaultyServer
from tests.people import SignIn
from tests.web.pages import read

SCRIPT = b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"


def cited_image(faulty: FaultyServer, session: ChatSession, content: bytes, kind: str) -> str:
    """The address of an image that LlamaCloud has of a place in an answer."""
    place = {"document": "Text.pdf", "attachment_name": "page_1.png", "source_id": "fil-1"}
    Turn.objects.create(
        session=session, number=1, prompt="Why?", asked_at=timezone.now(), state=TurnState.ANSWERED, citations=[place]
    )
    where = {"url": f"{faulty.url}/storage?sig=secret", "expires_at": "2030-01-01T00:00:00Z"}
    faulty.script("GET", "/api/v1/beta/attachments/page_1.png", [Answer(body=json.dumps(where).encode())])
    faulty.script("GET", "/storage", [Answer(body=content, content_type=kind)])
    return f"/sessions/{session.session_id}/turns/1/images/0/"


@pytest.mark.parametrize(("kind", "content"), [("image/png", b"\x89PNG"), ("image/svg+xml", SCRIPT)])
def test_whatever_a_storage_sends_is_shown_as_a_picture_and_nothing_else(
    faulty: FaultyServer, session: ChatSession, browser: Client, kind: str, content: bytes
) -> None:
    picture = browser.get(cited_image(faulty, session, content, kind))

    assert (picture.status_code, picture.content, picture["Content-Type"]) == (200, content, kind)
    assert picture["Content-Security-Policy"] == "default-src 'none'; style-src 'unsafe-inline'; sandbox"
    assert picture["X-Content-Type-Options"] == "nosniff"
    assert picture["Cache-Control"] == "private, max-age=300"
    assert "sig=" not in str(picture.headers)


def test_every_place_leads_to_its_own_picture(faulty: FaultyServer, session: ChatSession, browser: Client) -> None:
    cited_image(faulty, session, b"first", "image/png")
    places = [{"document": "Plain.md"}] + [
        {"document": "Text.pdf", "place": f"page {page}", "attachment_name": f"page_{page}.png", "source_id": "fil-1"}
        for page in (1, 2)
    ]
    Turn.objects.update(citations=places)
    where = {"url": f"{faulty.url}/second?sig=secret", "expires_at": "2030-01-01T00:00:00Z"}
    faulty.script("GET", "/api/v1/beta/attachments/page_2.png", [Answer(body=json.dumps(where).encode())])
    faulty.script("GET", "/second", [Answer(body=b"second", content_type="image/png")])

    links = read(browser.get(f"/sessions/{session.session_id}/turns/1/")).all("a", target="_blank")

    assert [browser.get(link["href"]).content for link in links] == [b"first", b"second"]


def test_who_waits_for_many_images_keeps_nobody_else_from_theirs(
    faulty: FaultyServer, session: ChatSession, ada: User, ben: User, browser: Client, signed_in: SignIn
) -> None:
    url = cited_image(faulty, session, b"\x89PNG", "image/png")
    with contextlib.ExitStack() as slow_images:
        for _ in range(looking.CALLS_OF_ONE):
            slow_images.enter_context(looking.calling(ada.pk))
        refused, picture = browser.get(url), signed_in(ben).get(url)

    assert (refused.status_code, refused["Retry-After"]) == (503, "5")
    assert picture.status_code == 200
    assert looking._calls.taken == 0
