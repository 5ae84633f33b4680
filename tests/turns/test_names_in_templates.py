"""Every name in the templates of a question and of its live answer is given by whoever renders them.

One that is not is an exception, made, told to a log that nobody reads, and thrown away: for every question asked.
"""

from __future__ import annotations

import logging

import pytest
from django.test import Client

from dashboard.chats.models import ChatSession
from dashboard.turns.models import Turn
from dashboard.web.live import closing_message, doing_message, snapshot_message
from tests.faulty import FaultyServer, event_stream
from tests.turns.conftest import delta, ended, question, script, sse, stop, text

HTMX = {"HX-Request": "true"}


def names(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "django.template"]


@pytest.mark.parametrize("number", [1, 2])
def test_a_question_and_its_answer(
    faulty: FaultyServer, session: ChatSession, browser: Client, caplog: pytest.LogCaptureFixture, number: int
) -> None:
    for asked in range(1, number + 1):
        script(faulty, session, event_stream(sse(question(), delta("a")), (0.5, sse(text("a"), stop()))))
        caplog.clear()
        with caplog.at_level(logging.DEBUG, logger="django.template"):
            form = {"prompt": "Why?", "nonce": f"n{asked}"}
            answer = browser.post(f"/sessions/{session.session_id}/turns/", form, headers=HTMX)
            assert answer.status_code == 200
            turn = Turn.objects.select_related("session").get(number=asked)
            snapshot_message(turn, [], 0)
            doing_message(turn, "Waiting")
            turn = ended(turn)
            closing_message(turn, has_all=True, has_steps=False, seen=1)
        assert names(caplog) == []
