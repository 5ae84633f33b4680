"""Reading every session of every project, in steps; and calling one gone only when LlamaCloud says so."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from dashboard.catalog.models import Project
from dashboard.chats import sync
from dashboard.chats.models import ChatSession
from dashboard.chats.sync import refresh_all, refresh_recent
from dashboard.upstream import AccessRefused, KeyRejected, LlamaCloud, RateLimited, UpstreamError, UpstreamFailed
from tests.chats.helpers import fill, wire
from tests.faulty import Answer, FaultyServer, failing, page, rate_limited
from tests.localcloud.fixtures import RunningLocalcloud

pytestmark = pytest.mark.django_db
CHATS = "/api/v1/chat"


def listed(*session_ids: str, more: str | None = None, **changes: Any) -> Answer:
    """One page of the list."""
    return Answer(body={"items": [wire(name) for name in session_ids], "next_page_token": more}, **changes)


def whole_pass(client: LlamaCloud, *, budget: float = 20.0) -> int:
    """Step to the end of a pass as a job does, its cursor stored as JSON in between; the number of steps."""
    cursor, steps = refresh_all(client, budget=budget), 1
    while cursor is not None:
        cursor, steps = refresh_all(client, json.loads(json.dumps(cursor)), budget=budget), steps + 1
    return steps


def tokens(faulty: FaultyServer) -> list[str | None]:
    return [one.query.get("page_token", [None])[0] for one in faulty.received("GET", CHATS)]


def gone() -> set[str]:
    return set(ChatSession.objects.exclude(gone_at=None).values_list("session_id", flat=True))


def projects(*names: str) -> None:
    for name in names:
        Project.objects.create(id=name, name=name, is_default=True, synced_at=timezone.now())


@pytest.fixture
def known(faulty: FaultyServer, client: LlamaCloud) -> None:
    """``ses-a`` and ``ses-b`` were there, and only the first still is."""
    fill(faulty, wire("ses-a"), wire("ses-b"))
    refresh_recent(client)
    del faulty.chats["ses-b"]


def test_every_page_is_read(faulty: FaultyServer, client: LlamaCloud) -> None:
    fill(faulty, *(wire(f"ses-{number}") for number in range(250)))
    assert whole_pass(client) == 1
    assert ChatSession.objects.present().count() == 250
    assert tokens(faulty) == [None, "100", "200"]
    assert {one.query["page_size"][0] for one in faulty.received("GET", CHATS)} == {"100"}


def test_a_pass_goes_on_from_its_cursor_page_by_page(faulty: FaultyServer, client: LlamaCloud) -> None:
    fill(faulty, *(wire(f"ses-{number}") for number in range(250)))
    assert whole_pass(client, budget=0) == 4
    assert tokens(faulty) == [None, "100", "200"], "no page twice"
    assert ChatSession.objects.count() == 250


def test_a_pass_goes_on_from_its_cursor_after_a_failure(faulty: FaultyServer, client: LlamaCloud) -> None:
    fill(faulty, *(wire(f"ses-{number}") for number in range(150)))
    cursor = refresh_all(client, budget=0)
    faulty.script("GET", CHATS, [failing(500)] * 3)
    with pytest.raises(UpstreamFailed):
        refresh_all(client, cursor)
    assert refresh_all(client, cursor) is None
    assert ChatSession.objects.count() == 150


def test_a_refresh_of_the_newest_meanwhile_does_not_end_the_pass(faulty: FaultyServer, client: LlamaCloud) -> None:
    fill(faulty, *(wire(f"ses-{number}") for number in range(250)))
    cursor = refresh_all(client, budget=0)
    refresh_recent(client)
    fill(faulty, *(wire(f"ses-new-{number}", last_updated_at="2027-01-01T00:00:00") for number in range(40)))
    refresh_recent(client)
    while cursor:
        cursor = refresh_all(client, cursor)
    assert ChatSession.objects.count() == 290


@pytest.mark.usefixtures("known")
def test_what_the_whole_list_does_not_hold_is_gone_once_asked_for_by_id(
    faulty: FaultyServer, client: LlamaCloud
) -> None:
    whole_pass(client)
    assert gone() == {"ses-b"}
    assert len(faulty.received("GET", f"{CHATS}/ses-b/summary")) == 1
    assert not faulty.received("GET", f"{CHATS}/ses-a/summary")
    whole_pass(client)
    assert len(faulty.received("GET", f"{CHATS}/ses-b/summary")) == 1, "asked once"


@pytest.mark.usefixtures("known")
def test_a_session_the_list_skipped_but_llamacloud_has_is_not_gone(faulty: FaultyServer, client: LlamaCloud) -> None:
    fill(faulty, wire("ses-b"))
    faulty.script("GET", CHATS, [listed("ses-a")])
    whole_pass(client)
    assert gone() == set()


def test_a_session_that_is_listed_again_is_back(faulty: FaultyServer, client: LlamaCloud) -> None:
    fill(faulty, wire("ses-a"), wire("ses-b"))
    whole_pass(client)
    taken = faulty.chats.pop("ses-b")
    whole_pass(client)
    assert gone() == {"ses-b"}
    fill(faulty, taken)
    whole_pass(client)
    assert gone() == set()


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize(
    ("pages", "read"),
    [
        ([listed("ses-a", more="1"), listed("ses-c", more="2"), listed("ses-d", more="1")], 3),
        ([listed("ses-a", more="1"), listed("ses-a", more="2")], 2),
        ([listed("ses-a", more="1"), listed("ses-c", more="2"), listed("ses-a", more="3")], 3),
        ([listed(more=str(number)) for number in range(6)], 6),
        ([Answer(body={"items": [wire("ses-a"), {"session_id": ""}, "odd"]})], 1),
        ([listed("ses-a", more="1"), failing(400, "stale token")], 2),
        ([listed("ses-a", more="1"), failing(422, "stale token")], 2),
    ],
    ids=["token again", "page again", "in a circle", "six empty pages", "unreadable rows", "stale", "stale too"],
)
def test_a_list_not_wholly_read_makes_nothing_gone(
    faulty: FaultyServer, client: LlamaCloud, pages: list[Answer], read: int
) -> None:
    before = len(faulty.received("GET", CHATS))
    faulty.script("GET", CHATS, [*pages, failing(500)], repeat=True)
    assert whole_pass(client) == 1
    assert len(faulty.received("GET", CHATS)) == before + read
    assert gone() == set()
    assert not faulty.received("GET", f"{CHATS}/ses-b/summary")


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize("end", [None, "", "missing"])
def test_five_empty_pages_are_followed_and_every_spelling_of_the_end_is_one(
    faulty: FaultyServer, client: LlamaCloud, end: str | None
) -> None:
    last: dict[str, Any] = {"items": [wire("ses-a")]} | ({} if end == "missing" else {"next_page_token": end})
    faulty.script("GET", CHATS, [*(listed(more=str(number)) for number in range(5)), Answer(body=last)])
    whole_pass(client)
    assert gone() == {"ses-b"}
    assert faulty.received("GET", CHATS)[-1].query["page_token"] == ["4"]


def test_the_vanished_are_asked_for_in_batches(
    faulty: FaultyServer, client: LlamaCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync, "VANISHED_CHECKS", 3)
    fill(faulty, *(wire(f"ses-{number}") for number in range(8)))
    whole_pass(client)
    faulty.chats.clear()
    assert whole_pass(client) == 3
    assert len(gone()) == 8


def test_asking_for_the_vanished_keeps_to_its_time(faulty: FaultyServer, client: LlamaCloud) -> None:
    fill(faulty, *(wire(f"ses-{number}") for number in range(3)))
    whole_pass(client)
    faulty.chats.clear()
    assert whole_pass(client, budget=0) == 5, "a page, each session, and the end"
    assert len(gone()) == 3


@pytest.mark.parametrize("odd", [failing(403), failing(400), failing(422), page(200), Answer(body={"id": "no"})])
def test_one_session_that_cannot_be_read_keeps_nothing_from_its_end(
    faulty: FaultyServer, client: LlamaCloud, odd: Answer
) -> None:
    fill(faulty, wire("ses-a"), wire("ses-b"))
    whole_pass(client)
    faulty.chats.clear()
    faulty.script("GET", f"{CHATS}/ses-a/summary", [odd], repeat=True)
    assert whole_pass(client) == 1
    assert gone() == {"ses-b"}


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize(("failure", "kind"), [(failing(401), KeyRejected), (rate_limited(), RateLimited)])
def test_a_failure_that_would_meet_every_session_ends_the_step(
    faulty: FaultyServer, client: LlamaCloud, failure: Answer, kind: type[Exception]
) -> None:
    faulty.script("GET", f"{CHATS}/ses-b/summary", [failure], repeat=True)
    with pytest.raises(kind):
        whole_pass(client)
    assert gone() == set()


class TestProjects:
    """Several projects, of which the key may not be good for all."""

    def test_all_are_read_and_each_session_knows_its_own(self, faulty: FaultyServer, client: LlamaCloud) -> None:
        projects("prj-1", "prj-2")
        faulty.script("GET", CHATS, [listed("ses-a", more="1"), listed("ses-b"), listed("ses-c")])
        whole_pass(client)
        assert dict(ChatSession.objects.values_list("session_id", "project_id")) == {
            "ses-a": "prj-1",
            "ses-b": "prj-1",
            "ses-c": "prj-2",
        }
        assert [one.query["project_id"] for one in faulty.received("GET")] == [["prj-1"], ["prj-1"], ["prj-2"]]

    def test_a_session_made_before_any_project_was_known_can_be_gone_too(
        self, faulty: FaultyServer, client: LlamaCloud
    ) -> None:
        fill(faulty, wire("ses-a"))
        refresh_recent(client)
        projects("prj-1")
        faulty.chats.clear()
        whole_pass(client)
        assert gone() == {"ses-a"}

    @pytest.mark.parametrize("status", [403, 404])
    def test_one_that_the_key_is_not_good_for_is_passed_over(
        self, faulty: FaultyServer, client: LlamaCloud, status: int
    ) -> None:
        projects("prj-1", "prj-2")
        faulty.script("GET", CHATS, [listed("ses-a"), listed("ses-b")])
        whole_pass(client)
        faulty.script("GET", CHATS, [failing(status), listed()])
        whole_pass(client)
        assert gone() == {"ses-b"}, "the first project's were not looked for"
        faulty.script("GET", CHATS, [failing(status), listed("ses-b", "ses-c")])
        refresh_recent(client)
        assert ChatSession.objects.present().count() == 3

    def test_when_the_key_is_good_for_none_that_is_said(self, faulty: FaultyServer, client: LlamaCloud) -> None:
        projects("prj-1", "prj-2")
        faulty.script("GET", CHATS, [failing(403)], repeat=True)
        with pytest.raises(AccessRefused):
            whole_pass(client)
        with pytest.raises(AccessRefused):
            refresh_recent(client)


@pytest.mark.parametrize("status", [400, 401, 429])
def test_a_refusal_of_the_first_page_is_a_failure(faulty: FaultyServer, client: LlamaCloud, status: int) -> None:
    faulty.script("GET", CHATS, [failing(status)], repeat=True)
    with pytest.raises(UpstreamError, match=str(status)):
        refresh_all(client)


def test_the_number_of_queries_is_the_same_for_every_page(faulty: FaultyServer, client: LlamaCloud) -> None:
    def queries(number: int) -> int:
        faulty.chats.clear()
        fill(faulty, *(wire(f"ses-{number}-{row}") for row in range(number)))
        cursor: Any = None
        with CaptureQueriesContext(connection) as captured:
            cursor = refresh_all(client, budget=0)
        assert cursor is not None
        return len(captured)

    assert queries(30) == queries(3)


def test_the_sessions_of_localcloud_are_read_through_all_pages(
    localcloud: RunningLocalcloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync, "PAGE_SIZE", 4)
    client = LlamaCloud(localcloud.base_url, localcloud.api_key)
    made = [localcloud.call("POST", CHATS, json={}).json()["session_id"] for _ in range(10)]
    whole_pass(client)
    assert sorted(ChatSession.objects.values_list("session_id", flat=True)) == sorted(made)
    assert len(localcloud.got("GET", CHATS)) == 3
    localcloud.call("DELETE", f"{CHATS}/{made[3]}")
    whole_pass(client)
    assert gone() == {made[3]}
    client.close()
