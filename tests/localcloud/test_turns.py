"""Turns: streams, refusals, interruptions, and what is left when something breaks (contract.md §7)."""

from __future__ import annotations

import json
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from dashboard.localcloud.answers import NOTHING, overview
from tests.localcloud.fixtures import API_KEY, DOCUMENTS, RunningLocalcloud, StartLocalcloud, write_documents
from tests.localcloud.processes import free_port, start_process


def ask(
    server: RunningLocalcloud, session_id: str, index_ids: list[str], prompt: str, **body: Any
) -> requests.Response:
    path = f"/api/v1/chat/{session_id}/messages/stream"
    return server.call("POST", path, json={"index_ids": index_ids, "prompt": prompt, **body}, stream=True)


def events_of(answer: requests.Response) -> list[dict[str, Any]]:
    """The events of a finished stream, cut at line feeds only."""
    return [json.loads(line[6:]) for line in answer.content.split(b"\n") if line.startswith(b"data: ")]


def new_session(server: RunningLocalcloud, *names: str) -> tuple[str, list[str]]:
    """An unbound session without names, else a bound one; and the ids of the named indexes."""
    ids = [server.index_ids()[name] for name in names]
    return server.call("POST", "/api/v1/chat", json={"index_ids": ids or None}).json()["session_id"], ids


def detail(server: RunningLocalcloud, session_id: str) -> dict[str, Any]:
    answer: dict[str, Any] = server.call("GET", f"/api/v1/chat/{session_id}").json()
    return answer


def wait_until_done(server: RunningLocalcloud, session_id: str) -> dict[str, Any]:
    """The session once its last event is a stop."""
    for _ in range(500):
        session = detail(server, session_id)
        if session["events"] and session["events"][-1]["type"] == "stop":
            return session
        time.sleep(0.01)
    raise AssertionError("the turn never ended")


def test_the_answer_quotes_and_says_so(localcloud: RunningLocalcloud) -> None:
    session, ids = new_session(localcloud, "Travel policy", "Kitchen manual")
    answer = ask(localcloud, session, ids, "When is a train refund requested?")
    assert answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Accel-Buffering"] == "no"
    events = events_of(answer)
    text = next(event["content"] for event in events if event["type"] == "text")
    assert "No language model is involved" in text
    assert "**trains.md**, line 5, under “Refunds” (Travel policy):" in text
    assert "> A refund for a cancelled train is requested within ten days." in text
    assert [event["name"] for event in events if event["type"] == "tool_call"] == ["retrieve", "retrieve"]
    stop = events[-1]
    assert stop["usage"]["duration_ms"] > 0
    assert stop["usage"]["total_output_tokens"] == -(-len(text.split()) * 4 // 3)
    assert not any("thinking" in event["type"] for event in events)


def test_a_question_without_a_match_is_told_so(localcloud: RunningLocalcloud) -> None:
    session, _ = new_session(localcloud)
    events = events_of(ask(localcloud, session, [localcloud.index_ids()["Garden notes"]], "Quantum chromodynamics?"))
    assert "Nothing in the chosen sources matches" in events[-2]["content"]
    assert "**Garden notes**" in events[-2]["content"], "what there is to ask about"
    assert "- roses.txt" in events[-2]["content"]
    assert events[-1]["is_error"] is False


def test_of_many_documents_the_first_are_named_and_the_others_counted() -> None:
    text = overview({"Ledgers": [f"*{number:02}*.md" for number in range(15)], "Empty": []})

    assert "- \\*11\\*.md\n- and 3 more" in text
    assert "Empty" not in text
    assert overview({}) == NOTHING


@pytest.mark.parametrize(
    "prompt",
    ['"', "a-b", "NEAR(", "roses NEAR/2 water", "text:roses", "*", "^roses", "roses AND", "(((", "{}", "''; DROP TABLE",
     "\u0000", "\u202eroses", "_", "💐", "the and of", "x" * 1000, "y " * 500, "\u2028"],
)  # fmt: skip
def test_hostile_questions_are_only_words(prompt: str, localcloud: RunningLocalcloud) -> None:
    session, _ = new_session(localcloud)
    events = events_of(ask(localcloud, session, [localcloud.index_ids()["Garden notes"]], prompt))
    assert events[0] == {"type": "user_input", "content": prompt}
    assert (events[-1]["type"], events[-1]["error"]) == ("stop", None)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"index_ids": [], "prompt": "roses"},
        {"index_ids": ["idx-1"]},
        {"index_ids": ["idx-1"], "prompt": ""},
        {"index_ids": ["idx-1"], "prompt": "x" * 1001},
        {"index_ids": ["idx-1"], "prompt": None},
        {"index_ids": ["idx-1"], "prompt": "x", "require_all_indexes": "yes"},
    ],
)
def test_a_question_must_fit(body: dict[str, Any], localcloud: RunningLocalcloud) -> None:
    session, _ = new_session(localcloud)
    answer = localcloud.call("POST", f"/api/v1/chat/{session}/messages/stream", json=body)
    assert answer.status_code == 422
    assert detail(localcloud, session)["events"] == []


def test_a_thousand_code_points_are_not_a_thousand_code_units(localcloud: RunningLocalcloud) -> None:
    session, _ = new_session(localcloud)
    assert ask(localcloud, session, ["idx-1"], "💐" * 1000).status_code == 200
    assert wait_until_done(localcloud, session)["generated_title"] == "💐" * 1000 + "..."


def test_an_unknown_session_cannot_be_asked(localcloud: RunningLocalcloud) -> None:
    answer = ask(localcloud, "ses-none", ["idx-1"], "roses")
    assert (answer.status_code, answer.json()) == (404, {"detail": "Session not found"})


def test_the_title_stays_that_of_the_first_question(localcloud: RunningLocalcloud) -> None:
    session, _ = new_session(localcloud)
    index = [localcloud.index_ids()["Garden notes"]]
    for prompt in ("When are roses pruned?", "And watered?"):
        events_of(ask(localcloud, session, index, prompt))
    found = detail(localcloud, session)
    assert found["generated_title"] == "When are roses pruned?..."
    assert found["index_ids"] is None, "an unbound session stays unbound"
    assert [event["type"] for event in found["events"]].count("stop") == 2


def test_what_cannot_be_searched_is_skipped_and_named(start_localcloud: StartLocalcloud) -> None:
    server = start_localcloud({"Good/a.txt": "Roses are red.", "Broken/b.pdf": b"no pdf"})
    ids = server.index_ids()
    session, _ = new_session(server)
    asked = [ids["Good"], ids["Broken"], "idx-gone"]
    events = events_of(ask(server, session, asked, "roses"))
    assert events[-1]["skipped_index_ids"] == [ids["Broken"], "idx-gone"]
    assert events[-1]["is_error"] is False
    assert detail(server, session)["job_metadata"]["export_config_ids"] == [ids["Good"].replace("idx", "exc")]

    strict = events_of(ask(server, session, asked, "roses", require_all_indexes=True))
    assert [event["type"] for event in strict] == ["user_input", "stop"]
    assert strict[-1]["is_error"] is True
    assert strict[-1]["skipped_index_ids"] == [ids["Broken"], "idx-gone"]
    job = detail(server, session)["job_metadata"]
    assert (job["is_error"], job["error"]) == (True, strict[-1]["error"])

    nothing = events_of(ask(server, session, [ids["Broken"]], "roses"))
    assert nothing[-1]["error"] == "None of the requested indexes can be searched"


def test_one_turn_at_a_time(start_localcloud: StartLocalcloud) -> None:
    server = start_localcloud(token_delay=0.02)
    session, ids = new_session(server, "Garden notes")
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: ask(server, session, ids, "roses"), range(6)))
    refused = [answer for answer in answers if answer.status_code == 409]
    assert len(refused) == 5
    assert {answer.headers["x-should-retry"] for answer in refused} == {"false"}
    assert {answer.json()["detail"] for answer in refused} == {"A turn is already running in this session"}
    assert ask(server, session, ids, "roses").status_code == 409
    for answer in answers:
        _ = answer.content
    wait_until_done(server, session)
    assert ask(server, session, ids, "roses").status_code == 200


def test_a_turn_goes_on_when_nobody_watches(start_localcloud: StartLocalcloud) -> None:
    server = start_localcloud(token_delay=0.01)
    session, ids = new_session(server, "Garden notes")
    answer = ask(server, session, ids, "roses")
    next(answer.iter_content(10))
    answer.close()
    events = wait_until_done(server, session)["events"]
    assert [event["type"] for event in events] == ["user_input", "tool_call", "tool_result", "text", "stop"]
    assert events[-1]["is_error"] is False


def test_silence_is_filled_with_comments(start_localcloud: StartLocalcloud) -> None:
    server = start_localcloud(token_delay=0.2, keep_alive=0.05, documents={"A/a.txt": "roses"})
    session, ids = new_session(server, "A")
    answer = ask(server, session, ids, "roses")
    piece = b""
    for chunk in answer.iter_content(1):
        piece += chunk
        if b"\n\n: ping\n\n" in piece:
            break
    else:
        raise AssertionError("no comment was sent")
    answer.close()


def test_a_session_deleted_while_it_answers_ends(start_localcloud: StartLocalcloud) -> None:
    server = start_localcloud(token_delay=0.01)
    session, ids = new_session(server, "Garden notes")
    answer = ask(server, session, ids, "roses")
    next(answer.iter_lines())
    assert server.call("DELETE", f"/api/v1/chat/{session}").status_code == 204
    last = answer.content.rstrip().split(b"\n")[-1]
    assert json.loads(last[6:])["error"] == "The session was deleted"
    with server.app.store.read() as db:
        assert db.execute("SELECT count(*) FROM events").fetchone()[0] == 0


def test_an_internal_failure_still_ends_with_a_stop(
    localcloud: RunningLocalcloud, caplog: pytest.LogCaptureFixture
) -> None:
    session, ids = new_session(localcloud, "Garden notes")
    with localcloud.app.store.write() as db:
        db.execute("DROP TABLE words")
    events = events_of(ask(localcloud, session, ids, "roses"))
    assert (events[-1]["is_error"], events[-1]["error"]) == (True, "Internal error")
    assert "no such table" in caplog.text
    assert ask(localcloud, session, ids, "roses").status_code == 200


def test_stopping_the_server_ends_its_turns(start_localcloud: StartLocalcloud) -> None:
    server = start_localcloud(token_delay=5)
    session, ids = new_session(server, "Garden notes")
    answer = ask(server, session, ids, "roses")
    server.app.turns.close()
    assert events_of(answer)[-1]["error"] == "The server was stopped while it was answering"
    assert detail(server, session)["job_metadata"]["is_error"] is True


def test_a_killed_servers_turn_is_closed_at_the_next_start(start_localcloud: StartLocalcloud, tmp_path: Path) -> None:
    docs, database = write_documents(tmp_path / "docs", DOCUMENTS), tmp_path / "killed.sqlite3"
    port = free_port()
    options = (
        f"docs=Path({str(docs)!r}), key={API_KEY!r}, database=Path({str(database)!r}), port={port}, token_delay=0.2"
    )
    code = f"from pathlib import Path; from dashboard.localcloud import serve; serve({options})"
    process, url = start_process(port, "-c", code)
    headers = {"Authorization": f"Bearer {API_KEY}"}
    try:
        index = requests.get(f"{url}/api/v1/indexes", headers=headers, timeout=5).json()["items"][0]["id"]
        session = requests.post(f"{url}/api/v1/chat", headers=headers, json={}, timeout=5).json()["session_id"]
        path = f"{url}/api/v1/chat/{session}/messages/stream"
        body = {"index_ids": [index], "prompt": "roses"}
        answer = requests.post(path, headers=headers, json=body, timeout=5, stream=True)
        next(answer.iter_content(1))
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    answer.close()
    server = start_localcloud(docs=docs, database=database)
    found = detail(server, session)
    assert found["events"][0] == {"type": "user_input", "content": "roses"}
    assert found["events"][-1]["error"] == "The server was stopped while it was answering"
    assert found["job_metadata"]["is_error"] is True
    assert events_of(ask(server, session, [index], "roses"))[-1]["is_error"] is False
