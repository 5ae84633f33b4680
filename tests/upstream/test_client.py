"""The calls as they go out and as they come back, over real HTTP."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from dashboard.upstream import (
    LlamaCloud,
    NotFound,
    SessionCreate,
    Stop,
    UnreadableAnswer,
    UpstreamError,
    UserInput,
)
from tests.faulty import KEY, PROJECT_ID, Answer, FaultyServer, failing


def test_projects_are_read_from_either_version(faulty: FaultyServer) -> None:
    client = faulty.client()
    assert [one.name for one in client.projects().items] == ["Default"]
    assert client.projects_v2().items == client.projects().items
    assert client.project(PROJECT_ID).organization_id == "org-1"


def test_indexes_are_read_with_their_readiness(faulty: FaultyServer) -> None:
    client = faulty.client()
    listing = client.indexes()
    assert [one.id for one in listing.items] == ["idx-reports", "idx-policies"]
    assert (listing.complete, listing.why, listing.skipped, listing.failure) == (True, "", 0, None)
    assert client.index("idx-reports").sync_in_progress is None
    assert client.index("idx-reports", expand_sync=True).sync_in_progress is False


@pytest.mark.parametrize(
    ("body", "sent"),
    [
        (SessionCreate(), {"index_ids": None}),
        (SessionCreate(index_ids=[]), {"index_ids": None}),
        (SessionCreate(index_ids=["idx-b", "idx-a"]), {"index_ids": ["idx-b", "idx-a"]}),
        (SessionCreate(shared_access="query"), {"index_ids": None, "shared_access": "query"}),
    ],
)
def test_a_creation_carries_exactly_the_documented_body(
    faulty: FaultyServer, body: SessionCreate, sent: dict[str, Any]
) -> None:
    made = faulty.client().create_chat(body)
    (request,) = faulty.received("POST")
    assert (request.path, request.query, request.json()) == ("/api/v1/chat", {}, sent)
    assert request.headers["content-type"] == "application/json"
    assert made.raw == faulty.chats[made.session_id]


def test_tenant_parameters_go_out_only_when_set(faulty: FaultyServer) -> None:
    faulty.client(project_id="pro-1", organization_id="org-1").create_chat(SessionCreate())
    faulty.client(project_id="pro-1").create_chat(SessionCreate(), project_id="pro-2")
    assert [one.query for one in faulty.received("POST")] == [
        {"organization_id": ["org-1"], "project_id": ["pro-1"]},
        {"project_id": ["pro-2"]},
    ]


@pytest.mark.parametrize("status", [200, 201])
def test_both_success_codes_of_a_creation_are_accepted(faulty: FaultyServer, status: int) -> None:
    faulty.script("POST", "/api/v1/chat", [Answer(status, {"session_id": "ses-x"})])
    assert faulty.client().create_chat(SessionCreate()).session_id == "ses-x"


def test_a_session_lives_from_creation_to_deletion(faulty: FaultyServer) -> None:
    client = faulty.client()
    made = client.create_chat(SessionCreate(index_ids=["idx-reports"]))
    faulty.events[made.session_id] = [{"type": "user_input", "content": "Why?"}, {"type": "stop", "is_error": False}]
    assert client.chat_summary(made.session_id) == made
    assert [type(event) for event in client.chat(made.session_id).events] == [UserInput, Stop]
    client.delete_chat(made.session_id)
    with pytest.raises(NotFound):
        client.delete_chat(made.session_id)
    with pytest.raises(NotFound):
        client.chat(made.session_id)


def test_one_page_of_sessions_names_the_next(faulty: FaultyServer) -> None:
    client = faulty.client()
    for _ in range(3):
        client.create_chat(SessionCreate())
    first = client.chats(page_size=2)
    second = client.chats(page_size=2, page_token=first.next_page_token)
    assert (len(first.items), len(second.items), second.next_page_token) == (2, 1, None)
    assert [one.session_id for one in client.all_chats(page_size=1).items] == ["ses-3", "ses-2", "ses-1"]


def test_the_name_of_an_attachment_keeps_its_slash_encoded(faulty: FaultyServer) -> None:
    faulty.script(
        "GET",
        "/api/v1/beta/attachments/screenshots%2Fpage_1.jpg",
        [Answer(body={"url": "https://storage.example/x?sig=private", "expires_at": "2026-04-22T13:34:41Z"})],
    )
    signed = faulty.client().attachment("screenshots/page_1.jpg", "dfl-1")
    assert signed.url.endswith("sig=private")
    assert "private" not in repr(signed)
    assert [request.query["source_id"] for request in faulty.received("GET")] == [["dfl-1"]]


@pytest.mark.parametrize("odd", ["", ".", ".."])
def test_an_id_that_would_name_another_path_is_never_sent(faulty: FaultyServer, odd: str) -> None:
    client = faulty.client()
    for call in (client.chat, client.chat_summary, client.delete_chat, client.project, client.index):
        with pytest.raises(NotFound):
            call(odd)
    assert faulty.requests == []


def test_a_strange_id_stays_one_step_of_the_path(faulty: FaultyServer) -> None:
    with pytest.raises(NotFound):
        faulty.client().chat("../a b?c#d%2e/é{x}")
    assert faulty.requests[0].target == "/api/v1/chat/..%2Fa%20b%3Fc%23d%252e%2F%C3%A9%7Bx%7D"


def test_a_path_prefix_and_a_trailing_slash_are_understood(faulty: FaultyServer) -> None:
    faulty.script("GET", "/embedded/api/v1/projects", [Answer(body=[])])
    assert LlamaCloud(f" {faulty.url}/embedded/ ", KEY).projects().items == ()


@pytest.mark.parametrize("answer", [Answer(body=[]), Answer(body={}), Answer(body={"session_id": None}), Answer(204)])
def test_a_creation_answered_without_a_session_is_unreadable(faulty: FaultyServer, answer: Answer) -> None:
    faulty.script("POST", "/api/v1/chat", [answer])
    with pytest.raises(UnreadableAnswer) as caught:
        faulty.client().create_chat(SessionCreate())
    assert caught.value.outcome == "unknown"
    assert len(faulty.received("POST")) == 1


def test_text_that_no_database_can_hold_is_made_harmless(faulty: FaultyServer) -> None:
    sent = b'{"session_id": "ses-1", "generated_title": "a\\u0000b\\ud800c\\ud83e\\udd99", "n": [NaN, 1e999, 1.5]}'
    faulty.script("GET", "/api/v1/chat/ses-1/summary", [Answer(body=sent)])
    read = faulty.client().chat_summary("ses-1")
    assert read.generated_title == "a\ufffdb\ufffdc🦙"
    assert read.raw["n"] == [None, None, 1.5]
    read.generated_title.encode()


def test_json_nested_too_deeply_is_unreadable(faulty: FaultyServer) -> None:
    faulty.script("GET", "/api/v1/chat/ses-1", [Answer(body=b"[" * 100_000 + b"]" * 100_000)], repeat=True)
    with pytest.raises(UnreadableAnswer):
        faulty.client().chat("ses-1")


def test_many_threads_share_one_client(faulty: FaultyServer) -> None:
    client = faulty.client(pool_size=4, read_budget=20, create_budget=20)

    def work(number: int) -> tuple[str, str]:
        made = client.create_chat(SessionCreate(index_ids=[f"idx-{number}"]))
        read = client.chat_summary(made.session_id)
        return made.session_id, (read.index_ids or ("",))[0]

    with ThreadPoolExecutor(24) as threads:
        made = list(threads.map(work, range(72)))
    assert [index for _, index in made] == [f"idx-{number}" for number in range(72)]
    assert len({session for session, _ in made}) == 72


def test_an_error_of_one_thread_is_not_another_s(faulty: FaultyServer) -> None:
    faulty.script("GET", "/api/v1/chat/bad", [failing(404)], repeat=True)
    faulty.chats["good"] = {"session_id": "good"}
    client = faulty.client(pool_size=2, read_budget=20)

    def look(name: str) -> str:
        try:
            return client.chat_summary("good").session_id if name == "good" else client.chat("bad").session_id
        except UpstreamError as error:
            return type(error).__name__

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(look, ["good", "bad"] * 30)) == ["good", "NotFound"] * 30
