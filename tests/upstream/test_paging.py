"""Lists through all their pages, and honesty about whether that was all (contract.md §3)."""

from __future__ import annotations

from typing import Any

import pytest

from dashboard.upstream import Listing, LlamaCloud, UnreadableAnswer, UpstreamFailed
from dashboard.upstream.contract import ChatSummary
from dashboard.upstream.paging import EMPTY_PAGES, read_all, read_page
from tests.faulty import Answer, FaultyServer, failing, held

PATH = "/api/v1/chat"


def chats(*names: str, token: Any = None) -> Answer:
    return Answer(body={"items": [{"session_id": name} for name in names], "next_page_token": token})


def read(faulty: FaultyServer, *pages: Answer, repeat: bool = False, **options: Any) -> Listing[ChatSummary]:
    faulty.script("GET", PATH, pages, repeat=repeat)
    return faulty.client().all_chats(**options)


def ids(listing: Listing[ChatSummary]) -> list[str]:
    return [one.session_id for one in listing.items]


@pytest.mark.parametrize("end", [None, ""])
def test_null_and_empty_tokens_end_the_list(faulty: FaultyServer, end: str | None) -> None:
    listing = read(faulty, chats("a", "b", token="t1"), chats("c", token=end))
    assert (ids(listing), listing.complete) == (["a", "b", "c"], True)
    assert [one.query.get("page_token") for one in faulty.requests] == [None, ["t1"]]


def test_an_absent_token_ends_the_list(faulty: FaultyServer) -> None:
    assert read(faulty, Answer(body={"items": [], "total_size": 9})).complete


def test_an_item_that_moves_between_pages_is_listed_once(faulty: FaultyServer) -> None:
    assert ids(read(faulty, chats("a", "b", token="t1"), chats("b", "c"))) == ["a", "b", "c"]


def test_a_last_page_with_nothing_new_is_still_the_end(faulty: FaultyServer) -> None:
    assert read(faulty, chats("a", token="t1"), chats("a")).complete


def test_a_repeated_token_ends_the_list_as_incomplete(faulty: FaultyServer) -> None:
    listing = read(faulty, chats("a", token="t"), chats("b", token="t"), chats("c", token="t"))
    assert (ids(listing), listing.complete) == (["a", "b"], False)
    assert "twice" in listing.why


def test_a_page_with_nothing_new_ends_the_list_as_incomplete(faulty: FaultyServer) -> None:
    listing = read(faulty, chats("a", token="t1"), chats("a", token="t2"), chats("b"))
    assert (ids(listing), listing.complete) == (["a"], False)


def test_an_empty_page_with_a_new_token_is_followed(faulty: FaultyServer) -> None:
    pages = [chats("a", token="t0"), *(chats(token=f"t{n}") for n in range(1, EMPTY_PAGES + 1)), chats("b")]
    assert (ids(read(faulty, *pages)), len(faulty.requests)) == (["a", "b"], EMPTY_PAGES + 2)


def test_empty_pages_are_not_followed_for_ever(faulty: FaultyServer) -> None:
    listing = read(faulty, *(chats(token=f"t{n}") for n in range(50)))
    assert (listing.complete, len(faulty.requests)) == (False, EMPTY_PAGES + 1)


def test_a_row_that_cannot_be_read_is_counted_and_the_list_not_called_whole(faulty: FaultyServer) -> None:
    body = {"items": [{"session_id": "a"}, {"session_id": 5}, "odd", None, {"session_id": "b"}]}
    listing = read(faulty, Answer(body=body))
    assert (ids(listing), listing.skipped, listing.complete) == (["a", "b"], 3, False)
    assert listing.why == "Some entries could not be read."


def test_a_failure_on_the_first_page_is_a_failure(faulty: FaultyServer) -> None:
    with pytest.raises(UpstreamFailed):
        read(faulty, failing(500), repeat=True)


def test_a_failure_later_keeps_what_was_read(faulty: FaultyServer) -> None:
    listing = read(faulty, chats("a", token="t1"), failing(500), repeat=True)
    assert (ids(listing), listing.complete) == (["a"], False)
    assert isinstance(listing.failure, UpstreamFailed)
    assert listing.why == UpstreamFailed.sentence


def test_the_deadline_ends_the_list_as_incomplete(faulty: FaultyServer) -> None:
    pages = [held(0.1, chats(f"s{n}", token=f"t{n}")) for n in range(50)]
    listing = read(faulty, *pages, deadline=0.55)
    assert not listing.complete
    assert 1 <= len(listing.items) < 50
    assert listing.why == "Reading the whole list took too long."


def test_a_deadline_that_is_past_between_two_pages_is_noticed() -> None:
    page = read_page({"items": [{"session_id": "a"}], "next_page_token": "t"}, ChatSummary)
    listing = read_all(lambda _token, _left: page, lambda chat: chat.session_id, deadline=0)
    assert (ids(listing), listing.why) == (["a"], "Reading the whole list took too long.")


def test_a_list_without_end_ends_at_the_cap() -> None:
    def fetch(token: str | None, _left: float) -> Any:
        number = int(token or 0)
        return read_page({"items": [{"session_id": f"s{number}"}], "next_page_token": str(number + 1)}, ChatSummary)

    listing = read_all(fetch, lambda chat: chat.session_id, max_items=25)
    assert (len(listing.items), listing.complete) == (25, False)


@pytest.mark.parametrize("odd", [{}, {"items": None}, {"items": {}}, {"items": [], "next_page_token": 7}, "text", 3])
def test_what_is_no_list_is_unreadable(faulty: FaultyServer, odd: Any) -> None:
    with pytest.raises(UnreadableAnswer):
        read(faulty, Answer(body=odd))


def test_all_paged_calls_share_the_guard(faulty: FaultyServer) -> None:
    client: LlamaCloud = faulty.client()
    rows = {"items": [{"id": "a", "name": "A"}], "next_page_token": "t"}
    for path, call in (("/api/v1/indexes", client.indexes), ("/api/v2/projects", client.projects_v2)):
        faulty.script("GET", path, [Answer(body=rows)], repeat=True)
        assert not call().complete
