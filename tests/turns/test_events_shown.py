"""Whatever LlamaCloud sends: text on the page and nothing else, and the same wherever its bytes are cut."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.template.loader import get_template
from django.test import Client
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dashboard.chats.models import ChatSession
from dashboard.turns.answer import NO_STEP, Answer, Entry
from dashboard.turns.models import LogEntry, Turn, TurnState
from dashboard.upstream import EVENT_TYPES, read_event
from dashboard.web import live
from tests.faulty import FaultyServer, event_stream
from tests.turns.conftest import (
    answer_of,
    delta,
    ended,
    put,
    question,
    script,
    sse,
    stop,
    text,
)
from tests.turns.test_watching import messages, watch
from tests.web.conftest import make_session

pytestmark = pytest.mark.postgres

EVIL = [
    "<script>alert(1)</script>",
    "</p><img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "<hx-partial hx-target='body'>owned</hx-partial>",
    "[x](javascript:alert(1)) ![y](http://evil.example/x.png) <javascript:alert(1)>",
    "\n\ndata: <b>owned</b>\n\nevent: turn-ended\ndata: x\n\n",
    "```\n</code></pre><script>alert(1)</script>\n```",
    "{{ settings.SECRET_KEY }}{% include 'x' %}",
]
SAFE = {
    "a", "blockquote", "br", "code", "del", "em", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre", "s", "strong",
    "table", "tbody", "td", "th", "thead", "tr", "ul", "div", "span", "details", "summary", "bdi", "hx-partial",
    "footer", "form", "input", "button", "article", "header", "noscript", "section", "svg", "path", "circle", "rect",
    "time", "template", "dl", "dt", "dd", "cite",
}  # fmt: skip


class Elements(HTMLParser):
    """Collects what became an element or an attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]


def must_be_safe(fragment: str) -> None:
    elements = Elements()
    elements.feed(fragment)
    elements.close()
    assert elements.tags <= SAFE, elements.tags - SAFE
    for name, value in elements.attributes:
        assert not name.startswith("on"), (name, value)
        if name not in ("value", "title"):
            assert not re.match(r"\s*(javascript|data|vbscript):", value, re.IGNORECASE), (name, value)
        if name == "hx-target":
            assert value.startswith(("#turn-1-", "#composer", "closest ", "find .step-box", "this")), value


@pytest.mark.parametrize("evil", EVIL)
def test_whatever_stands_in_an_event_stays_text(
    faulty: FaultyServer, session: ChatSession, ada: User, browser: Client, evil: str
) -> None:
    events: list[dict[str, Any]] = [
        {"type": "user_input", "content": evil},
        {"type": "thinking_delta", "content": evil},
        {"type": "thinking", "content": evil},
        {"type": "tool_call", "call_id": evil, "name": evil, "arguments": {evil: [evil]}},
        {"type": "tool_result", "call_id": evil, "name": evil, "result": [{"content": evil, "document": evil}],
         "image_attachment": {"source_id": evil, "attachment_name": evil}},
        {"type": evil, evil: evil},
        {"type": "../../base", "x": evil},
        delta(evil),
        text(evil + "!"),
        stop(is_error=True, error=evil, skipped_index_ids=[evil]),
    ]  # fmt: skip
    script(faulty, session, event_stream(*[(0.05, sse(event)) for event in events]))
    turn = ended(put(session, ada, evil[:900]))
    assert turn.state == TurnState.FAILED

    for cursor in (None, "1"):
        for number, event, data in messages(watch(browser, turn, cursor)):
            assert event in ("", "turn-ended")
            assert number is not None or event
            must_be_safe(data)
    for where in ("", "steps/", "more/"):
        fragment = browser.get(
            f"/sessions/{session.session_id}/turns/1/{where}", headers={"HX-Request": "true"}
        ).content.decode()
        must_be_safe(fragment)
        assert "owned</hx-partial>" not in fragment


@given(
    kind=st.text(max_size=60),
    value=st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=20), st.lists, max_leaves=5),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_only_the_known_types_name_a_template(kind: str, value: Any) -> None:
    turn = Turn(number=1, prompt="x", session=ChatSession(session_id="s"), asked_at=timezone.now())
    answer = Answer()
    for entry in answer.take(read_event({"type": kind, "content": value, "name": value})):
        must_be_safe(live.entry_html(turn, entry))


# --- every split of the bytes, end to end -----------------------------------------------------------------------------


WIRE = (
    b": ping\r\n\r\n"
    + sse(question("Why\u2028?"))
    + b'event: delta\rdata: {"type":"text_delta",\rdata: "content":"\xc3\xa9\xe2\x80\xa8<b>"}\r\r'
    + b'id: 3\nretry: 5\nevent: odd\ndata: {"type":"odd","x":"\xf0\x9f\x98\x80"}\n\n'
    + b"data: [DONE]\n\n"
    + 'data: {"type":"text","content":"é\u2028<b>"}\r\n\r\n'.encode()
    + sse(stop())
    + sse(text("after the end"))
)


def test_the_bytes_cut_anywhere_make_the_same_turn(
    faulty: FaultyServer, ada: User, ben: User, cy: User, catalog: FaultyServer
) -> None:
    """From the wire to the database, over HTTP, with a cut at every byte."""
    people, places = [ada, ben, cy], range(1, len(WIRE))
    outcomes = set()
    pending: list[Turn] = []
    for index, place in enumerate(places):
        session = make_session(catalog)
        script(faulty, session, event_stream(WIRE[:place], (0.001, WIRE[place:])))
        pending.append(put(session, people[index % 3]))
        if len(pending) == 6:
            outcomes |= {outcome(turn) for turn in pending}
            pending = []
    outcomes |= {outcome(turn) for turn in pending}

    assert len(outcomes) == 1
    (state, shown, kinds) = outcomes.pop()
    assert (state, shown) == ("answered", "<p>é\u2028&lt;b&gt;</p>\n")
    assert kinds == ("user_input", "text_delta", "odd", "text", "stop")


def outcome(turn: Turn) -> tuple[str, str, tuple[str, ...]]:
    turn = ended(turn)
    kinds = tuple(LogEntry.objects.filter(turn=turn).order_by("number").values_list("type", flat=True))
    return str(turn.state), answer_of(turn), kinds


@pytest.mark.parametrize("kind", sorted(EVENT_TYPES))
def test_every_known_event_has_its_part_of_the_page(kind: str) -> None:
    assert get_template(f"turns/events/_{kind}.html")
    unfolded = get_template("turns/_step.html").render({"entry": Entry(1, kind, "{}"), "event": {}, "turn": Turn()})
    assert kind in NO_STEP or "does not know" not in unfolded
