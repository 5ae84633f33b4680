"""Rows of one model, read and written by statements that are put together once.

The ORM puts every statement together anew, which takes it several times as long as a database takes to do it. Where a
person waits for several of them (``benchmarks/create_session.py``), that is most of the waiting.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

from django.db import DEFAULT_DB_ALIAS, connections, models
from django.db.backends.base.base import BaseDatabaseWrapper

if TYPE_CHECKING:
    Field = models.Field[Any, Any]  # generic only in the stubs

Row = TypeVar("Row", bound=models.Model)


def find(kind: type[Row], name: str, values: Iterable[str | int | None], *, without: str = "") -> list[Row]:
    """The rows whose column is one of these values, in no order, as ``filter(name__in=values)`` finds them.

    Args:
        kind: the model.
        name: the attribute compared.
        values: what it may be, as the database stores it: strings or numbers.
        without: an attribute that is left in the database until somebody asks for it.
    """
    wanted = list(values)
    if not wanted:
        return []
    database = _database()
    names, converters = _read(kind, without, database)
    with database.cursor() as cursor:
        cursor.execute(_select_statement(kind, name, without, len(wanted)), wanted)
        found = cursor.fetchall()
    return [kind.from_db(database.alias, names, _converted(row, converters, database)) for row in found]


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
    database = _database()
    with database.cursor() as cursor:
        cursor.execute(_insert_statement(type(row), unique, tuple(overwrite)), _values(row, database))
        key = cursor.fetchone()
    if key is not None:
        row.pk = key[0]
        row._state.adding, row._state.db = False, database.alias
    return key is not None


def insert_missing(rows: Sequence[models.Model]) -> None:
    """Write those of these rows, all of one model, that break no unique rule; the others are no error.

    Their keys are not set.
    """
    if not rows:
        return
    database = _database()
    with database.cursor() as cursor:
        cursor.executemany(_insert_missing_statement(type(rows[0])), [_values(row, database) for row in rows])


def change(row: models.Model, **columns: object) -> None:
    """Set columns of a stored row, in the object and in the database, as ``save(update_fields=…)`` does.

    Args:
        row: the row; that it still exists is the caller's knowledge.
        columns: new values by attribute.
    """
    kind, database = type(row), _database()
    for name, value in columns.items():
        setattr(row, name, value)
    values = [_value(_field(kind, name), row, database, add=False) for name in columns]
    with database.cursor() as cursor:
        cursor.execute(_change_statement(kind, tuple(columns)), [*values, row.pk])


def _database() -> BaseDatabaseWrapper:
    """This thread's connection, looked up once for a row and not once for a value."""
    return connections[DEFAULT_DB_ALIAS]


@cache
def _columns(kind: type[models.Model]) -> list[Field]:
    return [field for field in kind._meta.concrete_fields if not field.primary_key]


@cache
def _field(kind: type[models.Model], name: str) -> Field:
    if name == "pk":
        return kind._meta.pk
    return next(field for field in kind._meta.concrete_fields if name in (field.name, field.attname))


# Most values are what the database takes already; asking each field to prepare them is half the cost of a row.
_PLAIN_FIELDS = (models.CharField, models.TextField, models.IntegerField, models.BooleanField, models.ForeignKey)
_PLAIN_VALUES = frozenset({str, int, bool, type(None)})


@cache
def _is_plain(field: Field) -> bool:
    return isinstance(field, _PLAIN_FIELDS)


def _value(field: Field, row: models.Model, database: BaseDatabaseWrapper, *, add: bool) -> Any:
    value = field.pre_save(row, add)
    if type(value) in _PLAIN_VALUES and _is_plain(field):
        return value
    return field.get_db_prep_save(value, database)


Convert = Callable[[Any, Any, Any], Any]
Reading = tuple[list[str], list[tuple[int, list[Convert], Any]]]


@cache
def _fields(kind: type[models.Model], without: str) -> list[Field]:
    return [field for field in kind._meta.concrete_fields if field.name != without]


def _read(kind: type[models.Model], without: str, database: BaseDatabaseWrapper) -> Reading:
    """What is read: the attributes in order, and by position what makes Python's values of the database's.

    Kept with the connection: converters are bound to it, and would keep a dead thread's one open.
    """
    known: dict[tuple[type[models.Model], str], Reading] = database.__dict__.setdefault("corral_readings", {})
    if (kind, without) not in known:
        converters = []
        for position, field in enumerate(_fields(kind, without)):
            expression = field.cached_col
            made = [*database.ops.get_db_converters(expression), *field.get_db_converters(database)]
            if made:
                converters.append((position, made, expression))
        known[kind, without] = [field.attname for field in _fields(kind, without)], converters
    return known[kind, without]


def _converted(
    row: Sequence[Any], converters: list[tuple[int, list[Convert], Any]], database: BaseDatabaseWrapper
) -> list[Any]:
    values = list(row)
    for position, made, expression in converters:
        for convert in made:
            values[position] = convert(values[position], expression, database)
    return values


def _values(row: models.Model, database: BaseDatabaseWrapper) -> list[Any]:
    return [_value(field, row, database, add=True) for field in _columns(type(row))]


# Names in statements come from models, never from a request; SQLite and PostgreSQL quote them alike.


@lru_cache(maxsize=1024)
def _select_statement(kind: type[models.Model], name: str, without: str, count: int) -> str:
    read = ", ".join(f'"{field.column}"' for field in _fields(kind, without))
    places = ", ".join("%s" for _ in range(count))
    return f'SELECT {read} FROM "{kind._meta.db_table}" WHERE {_named(kind, name)} IN ({places})'  # noqa: S608


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
    return f'"{_field(kind, name).column}"'
