"""One row, written by a statement that is put together once per model.

The ORM puts every statement together anew, which takes it several times as long as a database takes to do it. Where a
person waits for several of them (``benchmarks/create_session.py``), that is most of the waiting.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from django.db import connection, models


def insert(row: models.Model, *, unique: str = "", overwrite: Sequence[str] = ()) -> bool:
    """Write a new row and set its key, as ``save(force_insert=True)`` does, without signals.

    Args:
        row: a row whose key the database gives.
        unique: a unique column that may be taken already; then nothing is written, and that is no error.
        overwrite: columns that are overwritten when ``unique`` is taken.

    Returns:
        whether the row is stored now.

    Raises:
        django.db.IntegrityError: it breaks another rule of the database.
    """
    kind = type(row)
    with connection.cursor() as cursor:
        cursor.execute(_insert_statement(kind, unique, tuple(overwrite)), _values(row))
        key = cursor.fetchone()
    if key is not None:
        row.pk = key[0]
        row._state.adding, row._state.db = False, connection.alias
    return key is not None


def insert_missing(rows: Sequence[models.Model]) -> None:
    """Write those of these rows, all of one model, that break no unique rule; the others are no error.

    Their keys are not set.
    """
    if not rows:
        return
    kind = type(rows[0])
    with connection.cursor() as cursor:
        cursor.executemany(_insert_missing_statement(kind), [_values(row) for row in rows])


def change(row: models.Model, **columns: object) -> None:
    """Set columns of a stored row, in the object and in the database, as ``save(update_fields=…)`` does.

    Args:
        row: the row; that it still exists is the caller's knowledge.
        columns: new values by attribute.
    """
    kind = type(row)
    for name, value in columns.items():
        setattr(row, name, value)
    values = [_value(_field(kind, name), row, add=False) for name in columns]
    with connection.cursor() as cursor:
        cursor.execute(_change_statement(kind, tuple(columns)), [*values, row.pk])


@cache
def _columns(kind: type[models.Model]) -> list[models.Field[Any, Any]]:
    return [field for field in kind._meta.concrete_fields if not field.primary_key]


@cache
def _field(kind: type[models.Model], name: str) -> models.Field[Any, Any]:
    return next(field for field in kind._meta.concrete_fields if name in (field.name, field.attname))


def _value(field: models.Field[Any, Any], row: models.Model, *, add: bool) -> Any:
    return field.get_db_prep_save(field.pre_save(row, add=add), connection)


# All names are those of our own models, and SQLite and PostgreSQL quote them alike.


def _values(row: models.Model) -> list[Any]:
    return [_value(field, row, add=True) for field in _columns(type(row))]


@cache
def _insert_into(kind: type[models.Model]) -> str:
    names = ", ".join(f'"{field.column}"' for field in _columns(kind))
    places = ", ".join("%s" for _ in _columns(kind))
    return f'INSERT INTO "{kind._meta.db_table}" ({names}) VALUES ({places})'  # noqa: S608


@cache
def _insert_statement(kind: type[models.Model], unique: str, overwrite: tuple[str, ...]) -> str:
    clash = ""
    if unique:
        renewed = ", ".join(f"{_named(kind, name)} = excluded.{_named(kind, name)}" for name in overwrite)
        clash = f" ON CONFLICT ({_named(kind, unique)}) DO {f'UPDATE SET {renewed}' if renewed else 'NOTHING'}"
    return f"{_insert_into(kind)}{clash} RETURNING {_named(kind, 'pk')}"


@cache
def _insert_missing_statement(kind: type[models.Model]) -> str:
    return f"{_insert_into(kind)} ON CONFLICT DO NOTHING"


@cache
def _change_statement(kind: type[models.Model], names: tuple[str, ...]) -> str:
    changed = ", ".join(f"{_named(kind, name)} = %s" for name in names)
    return f'UPDATE "{kind._meta.db_table}" SET {changed} WHERE {_named(kind, "pk")} = %s'  # noqa: S608


def _named(kind: type[models.Model], name: str) -> str:
    return f'"{(kind._meta.pk if name == "pk" else _field(kind, name)).column}"'
