"""The words projects and indexes are asked for with."""

from __future__ import annotations

import pytest
from django.utils import timezone

from dashboard.catalog.models import Index, Project

pytestmark = [pytest.mark.django_db, pytest.mark.postgres]
NOW = timezone.now()


def project(name: str, **columns: object) -> Project:
    return Project.objects.create(id=name, name=name, synced_at=NOW, **columns)


def index(name: str, of: Project, **columns: object) -> Index:
    return Index.objects.create(id=name, name=name, project=of, synced_at=NOW, **columns)


def test_sessions_can_be_made_in_the_default_project_and_in_all_that_have_indexes() -> None:
    index("i1", project("with-indexes"))
    index("i2", project("only-gone-indexes"), gone_at=NOW)
    index("i3", project("gone", gone_at=NOW))
    project("empty")
    project("the-default", is_default=True)
    project("gone-default", is_default=True, gone_at=NOW)
    assert [row.pk for row in Project.objects.offered()] == ["the-default", "with-indexes"]
    assert str(Project.objects.offered()[0]) == "the-default"


def test_every_word_must_be_in_name_or_description_in_any_case() -> None:
    of = project("prj")
    index("Annual Reports", of, description="All figures of the year")
    index("Policies", of, description="What is allowed, 100% of it")

    def found(words: str, **options: list[str]) -> list[str]:
        return [row.name for row in Index.objects.found_by(words, **options)]

    assert found("REPORTS") == found("year annual") == ["Annual Reports"]
    assert found("reports allowed") == []
    assert found("100%") == ["Policies"]
    assert found("%") == ["Policies"]
    assert found("_") == []
    assert found("") == found("  ") == ["Annual Reports", "Policies"]
    assert found("annual", or_in=["Policies", "none"]) == ["Annual Reports", "Policies"]


def test_indexes_are_named_by_id_gone_ones_too_and_without_their_json() -> None:
    of = project("prj")
    index("i1", of)
    index("i2", of, gone_at=NOW)
    index("i3", of)
    named = Index.named(["i1", "i2", "unknown"])
    assert set(named) == {"i1", "i2"}
    assert named["i1"].get_deferred_fields() == {"raw"}
    assert str(named["i2"]) == "i2"
    assert {row.pk for row in Index.objects.present()} == {"i1", "i3"}
