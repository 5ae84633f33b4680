"""Rows of one model, read and written by statements that are put together once.

The ORM puts every statement together anew, which takes it several times as long as a database takes to do it. Where a
person waits for several of them (``benchmarks/create_session.py``), that is most of the waiting.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

from django.db import DEFAULT_DB_ALIAS, connections, models
from django.db.backends.base.base import BaseDatabaseWrapper

if TYPE_CHECKING:
    Field = models.Field[Any, Any]  # generic only in the stubs

Row = TypeVar("Row", bound=models.Model)
NOTHING: Mapping[str, Sequence[object]] = {}


def find(
    kind: type[Row],
    name: str,
    values: Iterable[str | int | None],
    /,
    *,
    without: str = "",
    only: tuple[str, ...] = (),
    **also: str | int,
) -> list[Row]:
    """The rows whose column is one of these values, in no order, as ``filter(name__in=values)`` finds them.

    Args:
        kind: the model.
        name: the field compared; fields may be named by their attributes too, such as ``session_id``.
        values: what it may be, as the database stores it: strings or numbers.
        without: a field that is left in the database until somebody asks for it.
        only: the fields read, the key among them; all others are left.
        also: what further fields must be; not ``None``, which is equal to nothing.

    Raises:
        LookupError: the model has no such field.
    """
    wanted = [value for value in values if _may_be_stored(value)]
    if not wanted or not all(map(_may_be_stored, also.values())):
        return []
    database = _database()
    names, converters = _read(kind, without, only, database)
    statement = _select_statement(kind, name, without, only, len(wanted), tuple(also))
    found = fetch(statement, *wanted, *also.values())
    return [kind.from_db(database.alias, names, _converted(row, converters, database)) for row in found]


def find_one(kind: type[Row], name: str, value: str | int | None, /, **also: str | int) -> Row | None:
    """The row whose column has this value, if there is one; the arguments are those of :func:`find`."""
    return next(iter(find(kind, name, [value], without="", only=(), **also)), None)


def fetch(statement: str, *values: Any) -> list[tuple[Any, ...]]:
    """What one statement of our own answers, as the database gives it.

    Args:
        statement: SQL that SQLite and PostgreSQL read alike, with ``%s`` for each value.
        values: strings, numbers, booleans, times or ``None``.
    """
    database = _database()
    with database.cursor() as cursor:
        cursor.execute(statement, _adapted(values, database))
        return list(cursor.fetchall())


def execute(statement: str, *values: Any) -> int:
    """Do what one statement of our own says; answer how many rows it changed. Arguments as for :func:`fetch`."""
    database = _database()
    with database.cursor() as cursor:
        cursor.execute(statement, _adapted(values, database))
        return int(cursor.rowcount)


def hold(kind: type[models.Model], key: int) -> None:
    """Within a transaction, let nobody else hold this row until its end; rows that point to it may be made meanwhile.

    On SQLite the transaction itself holds everything already.
    """
    if _database().features.has_select_for_update:
        fetch(_hold_statement(kind), key)


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
    if rows:
        _insert_many(rows, f"{_insert_into(type(rows[0]))} ON CONFLICT DO NOTHING")


def insert_all(rows: Sequence[models.Model]) -> None:
    """Write new rows of one model, as ``bulk_create`` does; their keys are not set.

    Raises:
        django.db.IntegrityError: one breaks a rule of the database.
    """
    if rows:
        _insert_many(rows, _insert_into(type(rows[0])))


def change(row: models.Model, **columns: Any) -> None:
    """Set columns of a stored row, in the object and in the database, as ``save(update_fields=…)`` does.

    Args:
        row: the row; that it still exists is the caller's knowledge.
        columns: new values by attribute.
    """
    for name, value in columns.items():
        setattr(row, name, value)
    # By the stored attributes: a relation was given as an object.
    names = [_field(type(row), name).attname for name in columns]
    update(type(row), row.pk, **{name: getattr(row, name) for name in names})


def update(
    kind: type[models.Model], key: int, only_if: Mapping[str, Sequence[object]] = NOTHING, **columns: Any
) -> bool:
    """Set columns of the row with this key, as ``filter(…).update(…)`` does.

    Args:
        kind: the model.
        key: the row's.
        only_if: what attributes must be one of, or nothing is changed.
        columns: new values by attribute.

    Returns:
        whether there was such a row.
    """
    database = _database()
    values = [_prepared(_field(kind, name), value, database) for name, value in columns.items()]
    allowed = [_prepared(_field(kind, name), value, database) for name, found in only_if.items() for value in found]
    rule = tuple((name, len(found)) for name, found in only_if.items())
    return bool(execute(_update_statement(kind, tuple(columns), rule), *values, key, *allowed))


def _insert_many(rows: Sequence[models.Model], statement: str) -> None:
    database = _database()
    with database.cursor() as cursor:
        cursor.executemany(statement, [_values(row, database) for row in rows])


def _database() -> BaseDatabaseWrapper:
    """This thread's connection, looked up once for a row and not once for a value."""
    return connections[DEFAULT_DB_ALIAS]


def _adapted(values: Iterable[Any], database: BaseDatabaseWrapper) -> list[Any]:
    adapt = database.ops.adapt_datetimefield_value
    return [adapt(value) if isinstance(value, datetime) else value for value in values]


@cache
def _columns(kind: type[models.Model]) -> list[Field]:
    return [field for field in kind._meta.concrete_fields if not field.primary_key]


@cache
def _field(kind: type[models.Model], name: str) -> Field:
    if name == "pk":
        return kind._meta.pk
    for field in kind._meta.concrete_fields:
        if name in (field.name, field.attname):
            return field
    raise LookupError(f"{kind.__name__} has no field {name}")


# Most values are what the database takes already; asking each field to prepare them is half the cost of a row.
_PLAIN_FIELDS = (models.CharField, models.TextField, models.IntegerField, models.BooleanField, models.ForeignKey)
_PLAIN_VALUES = frozenset({str, int, bool})


@cache
def _is_plain(field: Field) -> bool:
    return isinstance(field, _PLAIN_FIELDS)


def _may_be_stored(value: object) -> bool:
    """Whether a database takes it for a value at all: an address may name any number."""
    return not isinstance(value, int) or abs(value) < 2**63


def _prepared(field: Field, value: Any, database: BaseDatabaseWrapper) -> Any:
    # No value is NULL for every field.
    if value is None:
        return None
    if type(value) in _PLAIN_VALUES and _is_plain(field):
        return value
    return field.get_db_prep_save(value, database)


Convert = Callable[[Any, Any, Any], Any]
Reading = tuple[list[str], list[tuple[int, list[Convert], Any]]]


@cache
def _fields(kind: type[models.Model], without: str, only: tuple[str, ...]) -> list[Field]:
    left = {_field(kind, without)} if without else set()
    read = {_field(kind, name) for name in only} if only else set(kind._meta.concrete_fields)
    if kind._meta.pk not in read - left:
        raise LookupError(f"A row of {kind.__name__} cannot be read without its key")
    return [field for field in kind._meta.concrete_fields if field in read - left]


def _read(kind: type[models.Model], without: str, only: tuple[str, ...], database: BaseDatabaseWrapper) -> Reading:
    """What is read: the attributes in order, and by position what makes Python's values of the database's.

    Kept with the connection: converters are bound to it, and would keep a dead thread's one open.
    """
    known: dict[Any, Reading] = database.__dict__.setdefault("corral_readings", {})
    which = kind, without, only
    if which not in known:
        converters = []
        for position, field in enumerate(_fields(*which)):
            expression = field.cached_col
            made = [*database.ops.get_db_converters(expression), *field.get_db_converters(database)]
            if made:
                converters.append((position, made, expression))
        known[which] = [field.attname for field in _fields(*which)], converters
    return known[which]


def _converted(
    row: Sequence[Any], converters: list[tuple[int, list[Convert], Any]], database: BaseDatabaseWrapper
) -> list[Any]:
    values = list(row)
    for position, made, expression in converters:
        for convert in made:
            values[position] = convert(values[position], expression, database)
    return values


def _values(row: models.Model, database: BaseDatabaseWrapper) -> list[Any]:
    return [_prepared(field, field.pre_save(row, True), database) for field in _columns(type(row))]


# Names in statements come from models, never from a request; SQLite and PostgreSQL quote them alike.


@lru_cache(maxsize=1024)
def _select_statement(
    kind: type[models.Model], name: str, without: str, only: tuple[str, ...], count: int, also: tuple[str, ...]
) -> str:
    read = ", ".join(f'"{field.column}"' for field in _fields(kind, without, only))
    rule = " AND ".join(_is_one_of(kind, name, count) for name, count in ((name, count), *((one, 1) for one in also)))
    return f'SELECT {read} FROM "{kind._meta.db_table}" WHERE {rule}'  # noqa: S608


@cache
def _hold_statement(kind: type[models.Model]) -> str:
    key = _named(kind, "pk")
    return f'SELECT {key} FROM "{kind._meta.db_table}" WHERE {key} = %s FOR NO KEY UPDATE'  # noqa: S608


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
def _update_statement(kind: type[models.Model], names: tuple[str, ...], only_if: tuple[tuple[str, int], ...]) -> str:
    changed = ", ".join(f"{_named(kind, name)} = %s" for name in names)
    rule = " AND ".join([f"{_named(kind, 'pk')} = %s", *(_is_one_of(kind, name, count) for name, count in only_if)])
    return f'UPDATE "{kind._meta.db_table}" SET {changed} WHERE {rule}'  # noqa: S608


def _is_one_of(kind: type[models.Model], name: str, count: int) -> str:
    return f"{_named(kind, name)} IN ({', '.join(['%s'] * count)})"


def _named(kind: type[models.Model], name: str) -> str:
    return f'"{_field(kind, name).column}"'
