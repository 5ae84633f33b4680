"""The official SDK, unmodified, drives the embedded server through everything the dashboard's people do."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import llama_cloud
import pytest
from llama_cloud import LlamaCloud

from tests.localcloud.fixtures import RunningLocalcloud, StartLocalcloud
from tests.localcloud.pdf import make_pdf

PROMPT = "How long may I take to request a refund for a cancelled train?"


@pytest.fixture
def sdk(localcloud: RunningLocalcloud) -> Iterator[LlamaCloud]:
    with LlamaCloud(api_key=localcloud.api_key, base_url=localcloud.base_url) as client:
        yield client


def read_stream(client: LlamaCloud, session_id: str, **body: Any) -> list[tuple[float, dict[str, Any]]]:
    """The events of a turn with their arrival times, read the way LlamaCloud's guide does."""
    with client.chat.with_streaming_response.stream(session_id, **body) as response:
        lines = ((time.monotonic(), line) for line in response.iter_lines())
        return [(at, json.loads(line[6:])) for at, line in lines if line.startswith("data: ")]


def test_projects_in_both_versions(sdk: LlamaCloud) -> None:
    (project,) = sdk.projects.list()
    assert (project.name, project.is_default) == ("Demo", True)
    assert sdk.projects.list(project_name="Another") == []
    assert sdk.projects.list(organization_id=project.organization_id) == [project]
    assert sdk.projects.get(project.id) == project
    assert [one.id for one in sdk.v2_projects.list()] == [project.id]
    assert [one.id for one in sdk.v2_projects.list(name="Another")] == []
    assert sdk.v2_projects.get(project.id).name == "Demo"
    with pytest.raises(llama_cloud.NotFoundError):
        sdk.projects.get("00000000-0000-4000-8000-000000000000")


def test_indexes_by_either_id(sdk: LlamaCloud) -> None:
    found = {index.name: index for index in sdk.indexes.list(page_size=2)}
    assert set(found) == {"Garden notes", "Kitchen manual", "Travel policy"}
    travel = found["Travel policy"]
    assert travel.description == "What employees may book and what is paid back."
    assert travel.metadata is not None
    assert travel.last_synced_at is not None
    assert travel.sync_in_progress is None
    assert sdk.indexes.get(travel.export_config_id).id == travel.id
    assert sdk.indexes.get(travel.id, expand=["sync_in_progress"]).sync_in_progress is False
    (only,) = sdk.indexes.list(source_directory_id=travel.source_directory_id)
    assert only.id == travel.id


def test_a_sync_can_be_watched_joined_and_cancelled(start_localcloud: StartLocalcloud) -> None:
    server = start_localcloud(sync_delay=30)
    with LlamaCloud(api_key=server.api_key, base_url=server.base_url) as sdk:
        index = server.index_ids()["Garden notes"]
        (server.docs / "Garden notes" / "tulips.txt").write_text("Tulips are planted in October.")
        sdk.indexes.sync(index)
        sdk.indexes.sync(index)
        assert sdk.indexes.get(index, expand=["sync_in_progress"]).sync_in_progress is True
        sdk.indexes.cancel_sync(index)
        assert sdk.indexes.get(index, expand=["sync_in_progress"]).sync_in_progress is False
        began = time.monotonic()
        with pytest.raises(llama_cloud.ConflictError):
            sdk.indexes.cancel_sync(index)
        assert time.monotonic() - began < 2, "a refusal must not be retried"


def test_a_sync_takes_in_changed_files(sdk: LlamaCloud, localcloud: RunningLocalcloud) -> None:
    index = localcloud.index_ids()["Garden notes"]
    session = sdk.chat.create()
    (localcloud.docs / "Garden notes" / "roses.txt").write_text("Roses like company.")
    (localcloud.docs / "Garden notes" / "tulips.txt").write_text("Tulips are planted in October.")
    before = sdk.indexes.get(index).updated_at
    sdk.indexes.sync(index)
    while sdk.indexes.get(index, expand=["sync_in_progress"]).sync_in_progress:
        time.sleep(0.01)
    assert sdk.indexes.get(index).updated_at != before
    answers = [
        read_stream(sdk, session.session_id, index_ids=[index], prompt=prompt)[-2][1]["content"]
        for prompt in ("tulips", "pruned in March")
    ]
    assert "October" in answers[0]
    assert "Nothing in the chosen sources matches" in answers[1]


def test_sessions_bound_and_unbound_over_several_pages(sdk: LlamaCloud, localcloud: RunningLocalcloud) -> None:
    index = localcloud.index_ids()["Garden notes"]
    bound = sdk.chat.create(index_ids=[index], shared_access="query")
    assert (bound.index_ids, bound.shared_access, bound.generated_title, bound.job_metadata) == (
        [index],
        "query",
        None,
        None,
    )
    unbound = [sdk.chat.create(index_ids=None) for _ in range(5)]
    assert unbound[0].index_ids is None
    assert unbound[0].shared_access == "read_only"
    listed = [session.session_id for session in sdk.chat.list(page_size=2)]
    assert listed == [session.session_id for session in [*reversed(unbound), bound]]
    assert len(localcloud.got("GET", "/api/v1/chat")) == 3
    sdk.chat.delete(bound.session_id)
    for gone in (sdk.chat.delete, sdk.chat.get_summary, sdk.chat.retrieve):
        with pytest.raises(llama_cloud.NotFoundError):
            gone(bound.session_id)
    assert len(list(sdk.chat.list())) == 5


def test_two_turns_are_seen_while_they_run(start_localcloud: StartLocalcloud) -> None:
    server = start_localcloud(token_delay=0.01)
    with LlamaCloud(api_key=server.api_key, base_url=server.base_url) as sdk:
        index = sdk.indexes.list(source_directory_id=None).items[-1]
        session = sdk.chat.create(index_ids=[index.id])
        events = read_stream(sdk, session.session_id, index_ids=[index.id], prompt=PROMPT)
        kinds = [event["type"] for _, event in events]
        assert kinds[:3] == ["user_input", "tool_call", "tool_result"]
        assert kinds[-2:] == ["text", "stop"]
        assert set(kinds[3:-2]) == {"text_delta"}
        deltas = [(at, event) for at, event in events if event["type"] == "text_delta"]
        assert deltas[-1][0] - deltas[0][0] > 0.1, "the pieces arrived while the turn ran"
        assert "".join(event["content"] for _, event in deltas) == events[-2][1]["content"]

        summary = sdk.chat.get_summary(session.session_id)
        job, usage = summary.job_metadata, events[-1][1]["usage"]
        assert summary.generated_title == f"{PROMPT}..."
        assert job is not None
        assert job.is_error is False
        assert job.export_config_ids == [index.export_config_id]
        assert (job.total_input_tokens, job.total_output_tokens, job.duration_ms) == (
            usage["total_input_tokens"],
            usage["total_output_tokens"],
            usage["duration_ms"],
        )
        # The order of the set is free, and so is which of the two ids names an index.
        again = read_stream(sdk, session.session_id, index_ids=[index.export_config_id], prompt="Who eats breakfast?")
        history = sdk.chat.retrieve(session.session_id)
        expected = [event for _, event in events + again if event["type"] != "text_delta"]
        assert [event.to_dict() for event in history.events] == expected
        assert history.generated_title == f"{PROMPT}..."


def test_a_bound_session_refuses_other_sources(sdk: LlamaCloud, localcloud: RunningLocalcloud) -> None:
    ids = localcloud.index_ids()
    session = sdk.chat.create(index_ids=[ids["Garden notes"], ids["Travel policy"]])
    for other in ([ids["Garden notes"]], [*ids.values()]):
        with pytest.raises(llama_cloud.ConflictError):
            sdk.chat.stream(session.session_id, index_ids=other, prompt="roses")
    assert sdk.chat.get_summary(session.session_id).generated_title is None
    asked = localcloud.got("POST", f"/api/v1/chat/{session.session_id}/messages/stream")
    assert len(asked) == 2, "the SDK must not post a refused prompt again"


def test_a_page_image_is_fetched_without_the_key(start_localcloud: StartLocalcloud) -> None:
    server = start_localcloud({"Ledger/year.pdf": make_pdf("Revenue rose twelve percent", "Nothing happened < here >")})
    with LlamaCloud(api_key=server.api_key, base_url=server.base_url + "/embedded") as sdk:
        index = server.index_ids()["Ledger"]
        session = sdk.chat.create(index_ids=[index])
        events = read_stream(sdk, session.session_id, index_ids=[index], prompt="Did revenue rise? Revenue rose?")
        (result,) = [event for _, event in events if event["type"] == "tool_result"]
        assert result["result"][0]["page"] == 1
        assert "**year.pdf**, page 1 (Ledger)" in events[-2][1]["content"]
        image = result["image_attachment"]
        address = sdk.beta.attachments.get(image["attachment_name"], source_id=image["source_id"])
        assert address.expires_at.timestamp() > time.time()
        picture = httpx.get(address.url)
        assert picture.headers["Content-Type"] == "image/svg+xml"
        assert "Revenue rose twelve percent" in picture.text
        listed = list(sdk.beta.attachments.list(source_id=image["source_id"], page_size=1))
        assert [one.name for one in listed] == ["screenshots/page_1.svg", "screenshots/page_2.svg"]
        assert listed[0].size == len(picture.content)
