"""Rows read and written without the ORM are the rows the ORM would have read and written."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.forms.models import model_to_dict

from dashboard.audit.models import AuditEntry
from dashboard.chats.models import ChatSession, CreationAttempt, SessionSource
from dashboard.rows import change, execute, fetch, find, find_one, insert, insert_all, insert_missing, update

pytestmark = [pytest.mark.django_db, pytest.mark.postgres]
NOW = datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=UTC)


def a_session(session_id: str = "ses-1", **columns: Any) -> ChatSession:
    times = {"last_updated_at": NOW, "first_seen_at": NOW, "synced_at": NOW}
    return ChatSession(session_id=session_id, **(times | columns))


def stored(session: ChatSession) -> dict[str, Any]:
    return model_to_dict(ChatSession.objects.get(session_id=session.session_id), exclude=["id"])


def test_an_inserted_row_reads_back_as_one_the_orm_saved(ada: User) -> None:
    columns: dict[str, Any] = {
        "generated_title": "100 % of “it”; -- {}", "is_bound": True, "job_duration_ms": 12.5, "job_is_error": None,
        "job_input_tokens": 2**40, "job_export_config_ids": ["a", "b"], "owner": ada,
        "raw": {"ä": [1, None, {"x": "y"}]},
    }  # fmt: skip
    ours, theirs = a_session("ours", **columns), a_session("theirs", **columns)

    assert insert(ours)
    theirs.save()

    assert stored(ours) | {"session_id": ""} == stored(theirs) | {"session_id": ""}
    assert ours.pk == ChatSession.objects.get(session_id="ours").pk
    ours.title = "Saved again through the ORM"
    ours.save()
    assert ChatSession.objects.filter(session_id="ours").count() == 1


def test_an_inserted_row_gets_the_time_its_model_sets_by_itself() -> None:
    entry = AuditEntry(action="session.viewed", actor_name="Ada", ip="192.0.2.7")

    insert(entry)

    assert entry.at is not None
    assert AuditEntry.objects.get().at == entry.at


def test_a_key_that_is_taken_is_told_and_nothing_is_written(ada: User) -> None:
    first = CreationAttempt(token="one-token", actor=ada, started_at=NOW)
    second = CreationAttempt(token="one-token", started_at=NOW)

    assert insert(first, unique="token")
    assert not insert(second, unique="token")

    assert CreationAttempt.objects.get().actor == ada


def test_only_the_named_columns_of_a_known_row_are_overwritten() -> None:
    known = a_session(title="Ours", generated_title="Old")
    known.save()
    again = a_session(title="Theirs", generated_title="New")

    assert insert(again, unique="session_id", overwrite=["generated_title"])

    assert again.pk == known.pk
    known.refresh_from_db()
    assert (known.title, known.generated_title) == ("Ours", "New")


def test_another_rule_of_the_database_is_an_error() -> None:
    insert(a_session())

    with pytest.raises(IntegrityError), transaction.atomic():
        insert(a_session())


def test_missing_rows_are_added_beside_known_ones() -> None:
    session = a_session()
    insert(session)
    SessionSource.objects.create(session=session, index_id="known", position=0)

    insert_missing(
        [
            SessionSource(session=session, index_id=index_id, position=place)
            for place, index_id in enumerate(["known", "new"])
        ]
    )
    insert_missing([])

    assert list(session.sources.values_list("index_id", "position")) == [("known", 0), ("new", 1)]


def test_a_change_writes_its_columns_and_no_others() -> None:
    session = a_session(title="Before")
    insert(session)
    ChatSession.objects.update(generated_title="Changed meanwhile")

    change(session, title="After", raw={"a": 1}, gone_at=NOW)

    assert (session.title, session.raw, session.gone_at) == ("After", {"a": 1}, NOW)
    found = ChatSession.objects.get()
    assert (found.title, found.raw, found.gone_at, found.generated_title) == (
        "After",
        {"a": 1},
        NOW,
        "Changed meanwhile",
    )


def test_rows_found_are_the_rows_the_orm_reads(ada: User) -> None:
    for session_id in ("a", "b", "c"):
        a_session(session_id, raw={"ä": [1, None]}, job_export_config_ids=["x"], owner=ada, is_bound=True).save()

    found = {row.session_id: row for row in find(ChatSession, "session_id", ["a", "c", "none"])}

    assert sorted(found) == ["a", "c"]
    theirs = ChatSession.objects.get(session_id="a")
    assert {name: getattr(found["a"], name) for name in theirs.__dict__ if name != "_state"} == {
        name: value for name, value in theirs.__dict__.items() if name != "_state"
    }
    found["a"].title = "Changed"
    found["a"].save(update_fields=["title"])
    assert ChatSession.objects.get(session_id="a").title == "Changed"
    assert find(ChatSession, "pk", []) == []


def test_what_was_left_in_the_database_is_read_when_asked_for(ada: User, django_assert_num_queries: Any) -> None:
    a_session("a", raw={"much": "text"}).save()

    with django_assert_num_queries(1):
        (row,) = find(ChatSession, "session_id", ["a"], without="raw")
    with django_assert_num_queries(1):
        assert row.raw == {"much": "text"}


def test_rows_are_found_by_several_columns(ada: User) -> None:
    for session_id, owner in (("a", ada), ("b", None)):
        a_session(session_id, owner=owner).save()

    assert [row.session_id for row in find(ChatSession, "session_id", ["a", "b"], owner=ada.pk)] == ["a"]
    assert find(ChatSession, "session_id", ["b"], owner=ada.pk) == []


def test_of_a_row_only_the_named_columns_are_read(django_assert_num_queries: Any) -> None:
    a_session("a", title="Named", generated_title="Left").save()

    with django_assert_num_queries(1):
        (row,) = find(ChatSession, "session_id", ["a"], only=("id", "title"))
        assert row.title == "Named"
    with django_assert_num_queries(1):
        assert row.generated_title == "Left"


@pytest.mark.parametrize("number", [2**63, -(2**63), 10**40])
def test_a_number_no_database_holds_finds_nothing(number: int) -> None:
    a_session("a").save()

    assert find(ChatSession, "pk", [number]) == []
    assert find(ChatSession, "session_id", ["a"], owner=number) == []


def test_a_row_is_changed_only_if_it_is_as_expected(ada: User) -> None:
    session = a_session(title="Before", owner=ada)
    session.save()

    assert not update(ChatSession, session.pk, {"title": ["Other", "Another"]}, title="After")
    assert not update(ChatSession, session.pk + 1, title="After")
    session.refresh_from_db()
    assert session.title == "Before"

    assert update(
        ChatSession, session.pk, {"title": ["Other", "Before"], "owner": [ada.pk]}, title="After", gone_at=NOW
    )
    session.refresh_from_db()
    assert (session.title, session.gone_at) == ("After", NOW)


def test_a_time_is_compared_as_the_database_keeps_it() -> None:
    a_session("a").save()
    statement = "SELECT session_id FROM dashboard_chatsession WHERE last_updated_at = %s"

    assert fetch(statement, NOW) == [("a",)]
    assert fetch(statement, NOW.replace(year=2027)) == []


def test_many_new_rows_are_all_written_or_none() -> None:
    session = a_session()
    insert(session)
    rows = [SessionSource(session=session, index_id=index_id, position=0) for index_id in ("x", "y")]

    insert_all(rows)
    insert_all([])

    assert session.sources.count() == 2
    with pytest.raises(IntegrityError), transaction.atomic():
        insert_all([SessionSource(session=session, index_id="z", position=0), *rows])
    assert session.sources.count() == 2


def test_a_field_that_does_not_exist_or_a_row_without_its_key_is_an_error() -> None:
    for wrong in ({"without": "rwa"}, {"only": ("id", "titel")}, {"only": ("title",)}, {"without": "id"}):
        with pytest.raises(LookupError):
            find(ChatSession, "session_id", ["a"], **wrong)
    with pytest.raises(LookupError):
        find(ChatSession, "sesion_id", ["a"])


def test_the_only_row_is_found_by_several_columns_or_nothing(ada: User) -> None:
    a_session("a", owner=ada).save()

    found = find_one(ChatSession, "session_id", "a", owner_id=ada.pk)

    assert found is not None
    assert found.session_id == "a"
    assert find_one(ChatSession, "session_id", "b") is None


def test_a_statement_of_our_own_tells_how_many_rows_it_changed() -> None:
    for session_id in ("a", "b"):
        a_session(session_id).save()
    statement = "UPDATE dashboard_chatsession SET gone_at = %s, is_running = %s WHERE session_id <> %s"

    assert execute(statement, NOW, True, "a") == 1

    assert ChatSession.objects.get(gone_at=NOW, is_running=True).session_id == "b"
