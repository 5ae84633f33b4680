"""The image of a cited page, which somebody else's storage holds."""

from __future__ import annotations

import json

import pytest
from django.test import Client
from django.utils import timezone

from dashboard.chats.models import ChatSession
from dashboard.turns.models import Turn, TurnState
from tests.faulty import Answer, FaultyServer

SCRIPT = b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"


@pytest.mark.parametrize(("kind", "content"), [("image/png", b"\x89PNG"), ("image/svg+xml", SCRIPT)])
def test_whatever_a_storage_sends_is_shown_as_a_picture_and_nothing_else(
    faulty: FaultyServer, session: ChatSession, browser: Client, kind: str, content: bytes
) -> None:
    place = {"document": "Text.pdf", "attachment_name": "page_1.png", "source_id": "fil-1"}
    Turn.objects.create(
        session=session, number=1, prompt="Why?", asked_at=timezone.now(), state=TurnState.ANSWERED, citations=[place]
    )
    where = {"url": f"{faulty.url}/storage?sig=secret", "expires_at": "2030-01-01T00:00:00Z"}
    faulty.script("GET", "/api/v1/beta/attachments/page_1.png", [Answer(body=json.dumps(where).encode())])
    faulty.script("GET", "/storage", [Answer(body=content, content_type=kind)])

    picture = browser.get(f"/sessions/{session.session_id}/turns/1/images/0/")

    assert (picture.status_code, picture.content, picture["Content-Type"]) == (200, content, kind)
    assert picture["Content-Security-Policy"] == "default-src 'none'; style-src 'unsafe-inline'; sandbox"
    assert picture["X-Content-Type-Options"] == "nosniff"
    assert picture["Cache-Control"] == "private, max-age=300"
    assert "sig=" not in str(picture.headers)
