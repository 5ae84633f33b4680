"""Projects and indexes brought up to date; absence means gone only when everything was certainly read."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from dashboard.catalog import sync
from dashboard.catalog.models import Index, Project, Readiness
from dashboard.catalog.sync import refresh_catalog, refresh_indexes
from dashboard.upstream import KeyRejected, LlamaCloud, NotFound, UpstreamFailed
from tests.faulty import PROJECT_ID, Answer, FaultyServer, failing, page, rate_limited
from tests.localcloud.fixtures import RunningLocalcloud

pytestmark = pytest.mark.django_db
PROJECTS, INDEXES = "/api/v1/projects", "/api/v1/indexes"


def another_project(faulty: FaultyServer, name: str = "prj-2") -> None:
    faulty.projects.append({**faulty.projects[0], "id": name, "name": f"The {name}", "is_default": False})


def another_index(faulty: FaultyServer, index_id: str, **changes: Any) -> None:
    faulty.indexes.append({**faulty.indexes[0], "id": index_id, "name": index_id, **changes})


def present() -> set[str]:
    return set(Index.objects.present().values_list("pk", flat=True))


class TestWhatIsKept:
    """Columns."""

    def test_every_field_of_a_project_and_an_index(self, faulty: FaultyServer, client: LlamaCloud) -> None:
        faulty.indexes[0] |= {"description": None, "updated_at": "2026-05-01T10:00:00", "new_field": 1}
        refreshed = refresh_catalog(client)
        assert (refreshed.projects, refreshed.indexes, refreshed.complete, refreshed.why) == (1, 2, True, "")
        project = Project.objects.get()
        assert (project.id, project.name, project.organization_id) == (PROJECT_ID, "Default", "org-1")
        assert (project.is_default, project.created_at, project.raw) == (True, None, faulty.projects[0])
        index = Index.objects.get(pk="idx-reports")
        assert (index.project, index.name, index.description) == (project, "Reports", "")
        assert (index.export_config_id, index.status, index.sync_in_progress) == ("exc-idx-reports", "ready", False)
        assert index.created_at == datetime(2026, 4, 22, 12, tzinfo=UTC)
        assert index.updated_at == datetime(2026, 5, 1, 10, tzinfo=UTC), "naive is UTC"
        assert index.last_synced_at == datetime(2026, 4, 22, 12, 10, tzinfo=UTC)
        assert index.last_exported_at == datetime(2026, 4, 22, 12, 11, tzinfo=UTC)
        assert index.raw == faulty.indexes[0]
        assert index.gone_at is None

    def test_odd_and_older_answers_are_kept_as_unknown(self, faulty: FaultyServer, client: LlamaCloud) -> None:
        faulty.indexes[:] = [{"id": "idx-old", "name": "Old", "project_id": PROJECT_ID, "metadata": "odd"}]
        refresh_catalog(client)
        index = Index.objects.get()
        assert (index.status, index.export_config_id, index.last_synced_at) == ("", "", None)
        assert index.readiness == Readiness.NEVER_BUILT

    def test_what_changed_is_overwritten(self, faulty: FaultyServer, client: LlamaCloud) -> None:
        refresh_catalog(client)
        before = Index.objects.get(pk="idx-reports").synced_at
        faulty.projects[0] |= {"name": "Renamed"}
        faulty.indexes[0] |= {"name": "Papers", "metadata": {"status": "failed"}}
        refresh_catalog(client)
        index = Index.objects.get(pk="idx-reports")
        assert (index.name, index.readiness, index.project.name) == ("Papers", Readiness.FAILED, "Renamed")
        assert index.synced_at > before

    def test_all_pages_are_read_in_few_queries(self, faulty: FaultyServer, client: LlamaCloud) -> None:
        for number in range(148):
            another_index(faulty, f"idx-{number}")
        with CaptureQueriesContext(connection) as captured:
            assert refresh_catalog(client).indexes == 150
        assert len(present()) == 150
        assert len(captured) <= 11

    def test_localcloud_is_read(self, localcloud: RunningLocalcloud) -> None:
        client = LlamaCloud(localcloud.base_url, localcloud.api_key)
        assert refresh_catalog(client).complete
        assert set(Index.objects.values_list("name", flat=True)) == {"Travel policy", "Kitchen manual", "Garden notes"}
        assert {index.readiness for index in Index.objects.all()} == {Readiness.READY}
        client.close()


class TestProjects:
    """Which projects there are."""

    @pytest.mark.parametrize("status", [403, 404, 422])
    def test_the_second_version_of_the_call_is_tried_where_the_first_is_refused(
        self, faulty: FaultyServer, client: LlamaCloud, status: int
    ) -> None:
        faulty.script("GET", PROJECTS, [failing(status)])
        assert refresh_catalog(client).complete
        assert Project.objects.get().pk == PROJECT_ID
        assert len(faulty.received("GET", "/api/v2/projects")) == 1

    def test_a_configured_project_is_the_only_one(self, faulty: FaultyServer) -> None:
        another_project(faulty)
        client = faulty.client(project_id="prj-2")
        refresh_catalog(client)
        assert Project.objects.get().pk == "prj-2"
        assert not faulty.received("GET", PROJECTS)
        assert faulty.received("GET", INDEXES)[0].query["project_id"] == ["prj-2"]
        client.close()

    @pytest.mark.parametrize(
        ("answer", "kind"), [(failing(401), KeyRejected), (failing(500), UpstreamFailed), (failing(404), NotFound)]
    )
    def test_without_projects_nothing_is_known(
        self, faulty: FaultyServer, client: LlamaCloud, answer: Answer, kind: type[Exception]
    ) -> None:
        refresh_catalog(client)
        for path in (PROJECTS, "/api/v2/projects"):
            faulty.script("GET", path, [answer], repeat=True)
        with pytest.raises(kind):
            refresh_catalog(client)
        assert Project.objects.present().count() == 1
        assert len(present()) == 2

    def test_one_that_is_no_longer_listed_is_gone_and_comes_back(
        self, faulty: FaultyServer, client: LlamaCloud
    ) -> None:
        another_project(faulty)
        another_index(faulty, "idx-of-prj-2", project_id="prj-2")
        refresh_catalog(client)
        assert "idx-of-prj-2" in present()
        hidden = faulty.projects.pop()
        refresh_catalog(client)
        assert Project.objects.get(pk="prj-2").gone_at is not None
        assert "idx-of-prj-2" not in present(), "it goes with its project, so nothing need ask for both"
        assert Project.objects.get(pk=PROJECT_ID).gone_at is None
        faulty.projects.append(hidden)
        refresh_catalog(client)
        assert Project.objects.get(pk="prj-2").gone_at is None
        assert "idx-of-prj-2" in present()

    def test_a_list_with_an_unreadable_row_makes_none_gone(self, faulty: FaultyServer, client: LlamaCloud) -> None:
        another_project(faulty)
        refresh_catalog(client)
        faulty.projects[1] = {"id": "", "name": None}
        refresh_catalog(client)
        assert Project.objects.present().count() == 2

    def test_each_project_has_its_own_indexes(self, faulty: FaultyServer, client: LlamaCloud) -> None:
        another_project(faulty)
        another_index(faulty, "idx-second", project_id="prj-2")
        refreshed = refresh_catalog(client)
        assert (refreshed.projects, refreshed.indexes) == (2, 3)
        assert Index.objects.get(pk="idx-second").project_id == "prj-2"


class TestGone:
    """When an index is called gone."""

    def test_what_a_whole_list_does_not_hold_is_gone_and_comes_back(
        self, faulty: FaultyServer, client: LlamaCloud
    ) -> None:
        refresh_catalog(client)
        hidden = faulty.indexes.pop()
        refresh_catalog(client)
        assert present() == {"idx-reports"}
        since = Index.objects.get(pk="idx-policies").gone_at
        refresh_catalog(client)
        assert Index.objects.get(pk="idx-policies").gone_at == since
        faulty.indexes.append(hidden)
        refresh_catalog(client)
        assert present() == {"idx-reports", "idx-policies"}

    @pytest.mark.parametrize(
        "pages",
        [
            [Answer(body={"items": [], "next_page_token": "1"}), Answer(body={"items": [], "next_page_token": "1"})],
            [Answer(body={"items": [], "next_page_token": "1"}), failing(400)],
            [Answer(body={"items": [{"id": "idx-odd"}]})],
            [page(200)],
            [failing(500)] * 3,
            [rate_limited()] * 3,
        ],
        ids=["circle", "broken off", "unreadable row", "unreadable", "failure", "limit"],
    )
    def test_an_incomplete_list_never_makes_one_gone_and_says_why(
        self, faulty: FaultyServer, client: LlamaCloud, pages: list[Answer]
    ) -> None:
        refresh_catalog(client)
        faulty.script("GET", INDEXES, pages)
        refreshed = refresh_catalog(client)
        assert not refreshed.complete
        assert refreshed.why.endswith(".")
        assert len(present()) == 2

    @pytest.mark.parametrize("status", [403, 404])
    def test_a_project_the_key_is_not_good_for_has_no_sources(
        self, faulty: FaultyServer, client: LlamaCloud, status: int
    ) -> None:
        another_project(faulty)
        another_index(faulty, "idx-second", project_id="prj-2")
        refresh_catalog(client)
        faulty.script("GET", INDEXES, [failing(status)])
        refreshed = refresh_catalog(client)
        assert (refreshed.complete, refreshed.indexes) == (True, 1)
        assert present() == {"idx-second"}

    def test_a_key_that_is_good_for_no_project_is_a_problem_and_takes_nothing_away(
        self, faulty: FaultyServer, client: LlamaCloud
    ) -> None:
        another_project(faulty)
        refresh_catalog(client)
        faulty.script("GET", INDEXES, [failing(403)], repeat=True)
        refreshed = refresh_catalog(client)
        assert not refreshed.complete
        assert "does not allow" in refreshed.why
        assert len(present()) == 2

    def test_a_failing_project_does_not_hide_the_others(self, faulty: FaultyServer, client: LlamaCloud) -> None:
        another_project(faulty)
        another_index(faulty, "idx-second", project_id="prj-2")
        faulty.script("GET", INDEXES, [page(200)])
        refreshed = refresh_catalog(client)
        assert (refreshed.complete, present()) == (False, {"idx-second"})

    @pytest.mark.django_db(transaction=True)
    def test_an_index_another_process_met_meanwhile_is_not_gone(self, faulty: FaultyServer, client: LlamaCloud) -> None:
        refresh_catalog(client)
        newer = timezone.now() + timedelta(seconds=5)
        Index.objects.filter(pk="idx-policies").update(synced_at=newer)
        del faulty.indexes[1]
        refresh_catalog(client)
        assert len(present()) == 2

    def test_when_time_runs_out_the_rest_is_left_as_it_was(self, faulty: FaultyServer, client: LlamaCloud) -> None:
        another_project(faulty)
        refresh_catalog(client)
        faulty.indexes.clear()
        refreshed = refresh_catalog(client, budget=0.0)
        assert (refreshed.complete, refreshed.indexes) == (False, 0)
        assert "ran out" in refreshed.why
        assert len(present()) == 2

    def test_a_slow_list_is_given_up_in_time(self, faulty: FaultyServer, client: LlamaCloud) -> None:
        faulty.script("GET", INDEXES, [Answer(body={"items": []}, hold=30)])
        started = time.monotonic()
        assert not refresh_catalog(client, budget=0.5).complete
        assert time.monotonic() - started < 20


class TestSyncState:
    """A list never tells whether an index is being synced; the unclear ones are asked for one by one."""

    def test_only_unclear_indexes_are_asked_for(self, faulty: FaultyServer, client: LlamaCloud) -> None:
        another_index(faulty, "idx-busy", metadata={"status": "indexing"}, sync_in_progress=True)
        another_index(faulty, "idx-broken", metadata={"status": "failed"})
        refresh_catalog(client)
        asked = [one for one in faulty.received("GET") if one.path.startswith(f"{INDEXES}/")]
        assert [one.path for one in asked] == [f"{INDEXES}/idx-busy"]
        assert asked[0].query == {"project_id": [PROJECT_ID], "expand": ["sync_in_progress"]}
        assert Index.objects.get(pk="idx-busy").readiness == Readiness.SYNCING

    def test_no_more_than_a_handful(
        self, faulty: FaultyServer, client: LlamaCloud, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sync, "EXPANDED_READS", 3)
        for number in range(6):
            another_index(faulty, f"idx-{number}", metadata={})
        assert refresh_catalog(client).indexes == 8
        assert len([one for one in faulty.received("GET") if one.path.startswith(f"{INDEXES}/")]) == 3

    @pytest.mark.parametrize("status", [404, 422, 401])
    def test_a_deployment_without_expand_is_believed_as_listed(
        self, faulty: FaultyServer, client: LlamaCloud, status: int
    ) -> None:
        another_index(faulty, "idx-busy", metadata={"status": "indexing"})
        faulty.script("GET", f"{INDEXES}/idx-busy", [failing(status)])
        assert refresh_catalog(client).complete
        assert Index.objects.get(pk="idx-busy").status == "indexing"

    def test_no_time_is_left_for_it_at_the_end(self, faulty: FaultyServer, client: LlamaCloud) -> None:
        rows = [{**faulty.indexes[0], "id": f"idx-{number}", "metadata": {}} for number in range(3)]
        faulty.script("GET", INDEXES, [Answer(body={"items": rows})])
        faulty.script("GET", f"{INDEXES}/idx-0", [Answer(body=rows[0], hold=1.0)])
        refresh_catalog(client, budget=0.5)
        assert len(present()) == 3
        assert not faulty.received("GET", f"{INDEXES}/idx-1")


class TestFew:
    """The sources of one session, asked for by id."""

    @pytest.fixture(autouse=True)
    def _known(self, client: LlamaCloud) -> None:
        refresh_catalog(client)

    def test_they_are_read_with_their_sync_state(self, faulty: FaultyServer, client: LlamaCloud) -> None:
        faulty.indexes[0] |= {"sync_in_progress": True, "name": "Papers"}
        refresh_indexes(client, ["idx-reports", "idx-unknown"])
        index = Index.objects.get(pk="idx-reports")
        assert (index.readiness, index.name, index.raw) == (Readiness.SYNCING, "Papers", faulty.indexes[0])
        assert not faulty.received("GET", f"{INDEXES}/idx-policies")
        assert not faulty.received("GET", f"{INDEXES}/idx-unknown")

    def test_one_that_is_gone_is_marked_and_one_that_is_back_is_not(
        self, faulty: FaultyServer, client: LlamaCloud
    ) -> None:
        hidden = faulty.indexes.pop(0)
        refresh_indexes(client, ["idx-reports", "idx-policies"])
        assert present() == {"idx-policies"}
        since = Index.objects.get(pk="idx-reports").gone_at
        refresh_indexes(client, ["idx-reports"])
        assert Index.objects.get(pk="idx-reports").gone_at == since
        faulty.indexes.append(hidden)
        refresh_indexes(client, ["idx-reports"])
        assert len(present()) == 2

    def test_a_failure_leaves_what_was_known(self, faulty: FaultyServer, client: LlamaCloud) -> None:
        faulty.script("GET", f"{INDEXES}/idx-reports", [failing(401)])
        with pytest.raises(KeyRejected):
            refresh_indexes(client, ["idx-reports"])
        assert len(present()) == 2
