"""The live answer as a browser gets it: every entry once, in order, from any cursor; nobody else's."""

from __future__ import annotations

import re
import threading
import time
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.utils import timezone

from dashboard.chats.models import ChatSession
from dashboard.turns.eventlog import EVENT_LOG
from dashboard.turns.models import Turn, TurnState
from dashboard.turns.prune import KEEP, prune_logs
from dashboard.web import live, reader, running
from tests.faulty import FaultyServer, event_stream
from tests.people import SignIn
from tests.turns.conftest import (
    answer_of,
    call,
    delta,
    ended,
    put,
    question,
    result,
    script,
    sse,
    stop,
    text,
    until,
)
from tests.web.conftest import make_session

pytestmark = pytest.mark.postgres

EVENTS = [question(), call(), result(), delta("# Because\n\n"), delta("**so"), delta("** it is."), stop()]


def watch(client: Client, turn: Turn, cursor: str | None = None, **headers: str) -> Any:
    given = {} if cursor is None else {"Last-Event-ID": cursor}
    return client.get(f"/sessions/{turn.session.session_id}/turns/{turn.number}/events/", headers={**given, **headers})


def messages(answer: Any) -> list[tuple[int | None, str, str]]:
    """(id, event name, data) of everything sent, to the end of the stream."""
    body = b"".join(answer.streaming_content).decode()
    answer.close()
    found = []
    for part in body.split("\n\n"):
        if not part or part.startswith(":"):
            continue
        fields = [line.partition(": ")[::2] for line in part.split("\n")]
        number = next((int(value) for name, value in fields if name == "id"), None)
        event = next((value for name, value in fields if name == "event"), "")
        found.append((number, event, "\n".join(value for name, value in fields if name == "data")))
    return found


@pytest.fixture
def answered(faulty: FaultyServer, session: ChatSession, ada: User) -> Turn:
    """Its six entries are still in the log."""
    script(faulty, session, event_stream(*[(0.15, sse(event)) for event in EVENTS]))
    return ended(put(session, ada))


def test_somebody_who_sees_nothing_for_long_is_told_and_offered_a_way_out(
    faulty: FaultyServer, session: ChatSession, ada: User, browser: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "QUIET", 1.5)
    script(faulty, session, event_stream(sse(question()), (4.0, sse(delta("At last."), text("At last."), stop()))))
    turn = put(session, ada)

    sent = messages(watch(browser, turn))

    word = "LlamaCloud has sent nothing of an answer yet. You can go on waiting, or stop and ask again."
    assert sum(word in html for _, _, html in sent) == 1
    told = next(index for index, (_, _, html) in enumerate(sent) if word in html)
    assert sent[told][0] is None, "it is no entry, so no cursor"
    assert any("At last." in html for _, _, html in sent), "and it goes on"
    turn.state, turn.started_at = TurnState.RUNNING, timezone.now() - timedelta(seconds=2)
    assert live.doing(turn, []) == word, "a page that asks again every two seconds says the same"
    turn.started_at = timezone.now()
    assert live.doing(turn, []) == "Waiting for LlamaCloud…"


def live_turn(faulty: FaultyServer, session: ChatSession, ada: User) -> Turn:
    script(faulty, session, event_stream(sse(question(), call(), delta("Half")), (60.0, b"")))
    turn = put(session, ada)
    until(lambda: turn.log.filter(type="text_delta").exists())
    return turn


def test_what_is_sent_is_never_held_back_or_stored(
    faulty: FaultyServer, session: ChatSession, ada: User, browser: Client
) -> None:
    turn = live_turn(faulty, session, ada)

    answer = watch(browser, turn, **{"Accept-Encoding": "gzip"})

    assert answer.status_code == 200
    assert answer["Content-Type"] == "text/event-stream; charset=utf-8"
    assert answer["Cache-Control"] == "no-store"
    assert answer["X-Accel-Buffering"] == "no"
    assert answer["Content-Encoding"] == "identity"
    first = next(iter(answer.streaming_content))
    assert b"Half" in first
    answer.close()


def test_without_a_cursor_everything_so_far_comes_at_once_then_what_follows(
    faulty: FaultyServer, session: ChatSession, ada: User, browser: Client
) -> None:
    script(faulty, session, event_stream(*[(0.25, sse(event)) for event in EVENTS]))
    turn = put(session, ada)
    until(lambda: turn.log.filter(type="text_delta").exists())

    sent = messages(watch(browser, turn))

    numbers = [number for number, event, _ in sent if not event]
    assert 'id="turn-1-answer"' in sent[0][2]
    assert sent[0][2].count("<li") == 2
    last = turn.log.order_by("-number").first()
    assert last is not None
    # The last word bears the number of the last entry.
    assert numbers == [*range(numbers[0] or 0, last.number + 1), last.number]
    assert sent[-1][1:] == ("turn-ended", "answered")


@pytest.mark.parametrize("cursor", range(1, 8))
def test_with_a_cursor_only_what_is_missing_comes(answered: Turn, browser: Client, cursor: int) -> None:
    last = answered.log.count()

    sent = messages(watch(browser, answered, str(cursor)))

    assert [number for number, event, _ in sent[:-2]] == list(range(cursor + 1, last + 1))
    assert sent[-1][1:] == ("turn-ended", "answered")


@pytest.mark.parametrize("cursor", range(1, 9))
def test_the_parts_after_a_cursor_and_the_snapshot_before_it_are_the_whole(answered: Turn, cursor: int) -> None:
    from dashboard.turns.entries import read_entries

    entries = read_entries(answered.pk)

    before = live.fold(entries[:cursor])
    after = live.fold([*entries[:cursor], *entries[cursor:]])

    assert after == (answer_of(answered), "")
    assert before[0] == answer_of(answered)[: len(before[0])]


@pytest.mark.parametrize("garbage", ["", "-1", "x", "1.5", "99999999999999999999", "٣", "1;DROP", "0x1"])
def test_a_cursor_that_is_none_is_like_having_nothing(answered: Turn, browser: Client, garbage: str) -> None:
    from urllib.parse import quote

    sent = messages(watch(browser, answered, garbage if garbage.isascii() else quote(garbage)))

    assert 'id="turn-1-answer"' in sent[0][2]


def test_a_cursor_beyond_the_end_gets_the_whole_answer(answered: Turn, browser: Client) -> None:
    sent = messages(watch(browser, answered, "999999"))

    assert "Because</h3>" in sent[0][2]
    assert sent[-1][1] == "turn-ended"


@pytest.mark.parametrize("cursor", [None, "1", "3", "5"])
def test_after_the_frames_were_pruned_whoever_comes_back_still_gets_the_whole_answer(
    answered: Turn, browser: Client, cursor: str | None
) -> None:
    """A laptop closed in the middle of an answer and opened an hour later."""
    EVENT_LOG._channels.clear()
    Turn.objects.update(finished_at=timezone.now() - KEEP - timedelta(seconds=1))
    prune_logs()

    sent = messages(watch(browser, answered, cursor))

    whole = r'<hx-partial hx-target="#turn-1-answer" hx-swap="innerHTML">\s*<h3>Because</h3>'
    assert re.search(whole, sent[-2][2])
    assert sent[-1][1] == "turn-ended"


def test_a_stopped_answer_keeps_its_last_words(
    faulty: FaultyServer, session: ChatSession, ada: User, browser: Client
) -> None:
    turn = live_turn(faulty, session, ada)
    running.RUNNERS.stop(turn.pk)
    ended(turn)

    sent = messages(watch(browser, turn, "3"))

    assert "<p>Half</p>" in "".join(data for _, _, data in sent)
    assert sent[-1][2] == "stopped"


def test_an_answer_read_back_replaces_what_was_seen(
    faulty: FaultyServer, session: ChatSession, ada: User, browser: Client
) -> None:
    script(faulty, session, sse(question(), delta("Half")))
    faulty.events[session.session_id] = [question(), text("Half and half"), stop()]
    turn = ended(put(session, ada))

    sent = messages(watch(browser, turn, "2"))

    assert "<p>Half and half</p>" in sent[-2][2]
    assert sent[-1][2] == "recovered"


def test_a_waiting_question_is_watched_until_it_is_answered(
    faulty: FaultyServer, session: ChatSession, ada: User, browser: Client
) -> None:
    script(faulty, session, sse(*EVENTS))
    running.RUNNERS.closing = True
    turn = put(session, ada)
    assert turn.state == TurnState.QUEUED
    threading.Timer(0.5, lambda: setattr(running.RUNNERS, "closing", False)).start()

    sent = messages(watch(browser, turn))

    assert sent[-1][2] == "answered"


def test_silence_is_filled_with_comments_and_ends_the_stream(
    faulty: FaultyServer, session: ChatSession, ada: User, browser: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "LOOK_UP", 0.1)
    monkeypatch.setattr(reader, "HEARTBEAT", 0.2)
    monkeypatch.setattr(reader, "SILENCE", 0.55)
    turn = live_turn(faulty, session, ada)

    answer = watch(browser, turn, "3")
    body = b"".join(answer.streaming_content)
    answer.close()

    assert b": still here\n\n" in body
    assert b"turn-ended" not in body
    turn.refresh_from_db()
    assert turn.is_live


def test_a_stream_that_was_open_for_long_ends_so_that_its_reader_is_asked_for_again(
    faulty: FaultyServer, session: ChatSession, ada: User, browser: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "AGE", 0.5)
    script(faulty, session, event_stream(sse(question()), *[(0.1, sse(delta("more "))) for _ in range(30)]))
    turn = put(session, ada)

    sent = messages(watch(browser, turn))

    assert sent
    assert all(name != "turn-ended" for _, name, _ in sent)
    turn.refresh_from_db()
    assert turn.is_live


def test_a_live_page_survives_an_event_that_lacks_what_it_should_have(
    faulty: FaultyServer, session: ChatSession, ada: User, browser: Client
) -> None:
    odd: list[dict[str, Any]] = [{"type": "text_delta", "content": None}, {"type": "text"}]
    script(faulty, session, event_stream(sse(question(), delta("Half"), *odd, delta(" done")), (60.0, b"")))
    turn = put(session, ada)
    until(lambda: turn.log.filter(type="text_delta").count() == 2)

    page = browser.get(f"/sessions/{session.session_id}/").content.decode()

    assert "Half done" in page


def test_a_process_that_ends_sends_its_readers_away(
    faulty: FaultyServer, session: ChatSession, ada: User, browser: Client
) -> None:
    turn = live_turn(faulty, session, ada)
    threading.Timer(0.5, EVENT_LOG.send_readers_away).start()
    began = time.monotonic()

    sent = messages(watch(browser, turn, "3"))

    assert sent == []
    assert time.monotonic() - began < 30


def test_readers_of_a_run_that_broke_are_sent_away_at_once(
    faulty: FaultyServer, session: ChatSession, ada: User, browser: Client
) -> None:
    turn = live_turn(faulty, session, ada)
    threading.Timer(0.5, lambda: EVENT_LOG.drop(turn.pk)).start()

    assert messages(watch(browser, turn, "3")) == []


# --- the bound ------------------------------------------------------------------------------------------------------


def test_who_comes_when_too_many_watch_gets_the_part_that_asks_again(
    faulty: FaultyServer, session: ChatSession, ada: User, browser: Client
) -> None:
    turn = live_turn(faulty, session, ada)
    for others in range(running.WATCHERS):
        assert running.WATCHING.take(-others)

    answer = watch(browser, turn)

    assert not answer.streaming
    assert b'hx-trigger="every 2s"' in answer.content
    assert b"Half" in answer.content
    # The turn itself is asked for in its live box.
    assert (answer["HX-Retarget"], answer["HX-Reswap"]) == (f"#{turn.anchor}", "outerHTML")
    assert watch(browser, turn, "1").status_code == 503


def test_nobody_takes_the_places_of_all(
    faulty: FaultyServer, session: ChatSession, ada: User, ben: User, browser: Client, signed_in: SignIn
) -> None:
    turn = live_turn(faulty, session, ada)
    for _ in range(running.WATCHED_BY_ONE):
        assert running.WATCHING.take(ada.pk)

    assert not watch(browser, turn).streaming

    answer = watch(signed_in(ben), turn)
    assert answer.streaming
    answer.close()
    running.WATCHING.give_back(ada.pk)
    assert watch(browser, turn).streaming


def test_a_place_is_given_back_however_the_stream_ends(
    faulty: FaultyServer, session: ChatSession, ada: User, browser: Client
) -> None:
    turn = live_turn(faulty, session, ada)

    for consumed in (0, 1):
        answer = watch(browser, turn)
        parts = iter(answer.streaming_content)
        for _ in range(consumed):
            next(parts)
        assert running.WATCHING.taken == 1
        answer.close()
        answer.close()
        assert running.WATCHING.taken == 0
    assert EVENT_LOG._channels[turn.pk].watchers == 0


def test_a_watcher_holds_no_database_connection_between_two_parts(
    faulty: FaultyServer, session: ChatSession, ada: User, browser: Client
) -> None:
    turn = live_turn(faulty, session, ada)
    EVENT_LOG._channels.clear()

    answer = watch(browser, turn)
    next(iter(answer.streaming_content))

    assert connection.connection is None
    answer.close()


def test_a_watcher_that_keeps_its_thread_holds_no_database_connection_while_it_waits(
    faulty: FaultyServer, session: ChatSession, ada: User, browser: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, wait = [], reader.Reader.wait

    def noted(self: reader.Reader) -> None:
        held.append(connection.connection)
        wait(self)

    monkeypatch.setattr(reader.Reader, "wait", noted)
    script(faulty, session, event_stream(sse(question()), (1.0, sse(delta("so"), stop()))))

    messages(watch(browser, put(session, ada)))

    assert held
    assert set(held) == {None}


# --- doors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["", "events/", "steps/", "more/", "images/0/"])
def test_whoever_is_not_signed_in_sees_nothing(answered: Turn, where: str) -> None:
    path = f"/sessions/{answered.session.session_id}/turns/1/{where}"

    assert Client().get(path).status_code == 302


def test_a_turn_of_another_session_is_not_found(faulty: FaultyServer, answered: Turn, browser: Client) -> None:
    other = make_session(faulty)

    assert browser.get(f"/sessions/{other.session_id}/turns/1/events/").status_code == 404
    assert browser.get(f"/sessions/{answered.session.session_id}/turns/2/events/").status_code == 404
