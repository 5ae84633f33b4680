"""The new-session form as a person without JavaScript fills it in."""

from __future__ import annotations

from typing import Any

from django.test import Client

from dashboard.chats.models import CreationAttempt
from tests.faulty import FaultyServer
from tests.web.pages import Element, read

NEW = "/sessions/new/"
CHAT = "/api/v1/chat"
Fields = dict[str, Any]


def form_on(page: Element) -> Element:
    return page.one("form", class_="create")


def fresh_form(browser: Client, query: str = "") -> Fields:
    return form_on(read(browser.get(NEW + query))).fields()


def shown(page: Element) -> list[str]:
    return [card.one("bdi", class_="card-name").text for card in page.all("li", class_="card")]


def ticked(page: Element) -> list[str]:
    return form_on(page).fields().get("index_ids", [])


def add_index(faulty: FaultyServer, index_id: str, **changes: Any) -> None:
    faulty.indexes.append({**faulty.indexes[0], "id": index_id, "name": index_id, **changes})


def refuse(browser: Client, faulty: FaultyServer, fields: Fields, words: str) -> Element:
    """Send the form and assert that it comes back with these words and nothing reached LlamaCloud."""
    response = browser.post(NEW, fields)
    assert response.status_code == 422
    page = read(response)
    assert words in page.one(role="alert", class_="error-summary").text
    assert page.one("title").text.startswith("Problem:")
    assert not faulty.received("POST")
    assert not CreationAttempt.objects.exists()
    return page
