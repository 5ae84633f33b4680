"""What a database does with whoever falls asleep in the middle of something."""

from __future__ import annotations

from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

SLEEPS = 8
"""Seconds after which PostgreSQL takes back the transaction of a process that says nothing more: it may be frozen, and
holds rows that others wait for. Less than a lease lasts, so that none runs out meanwhile."""


def bound_idleness(connection: BaseDatabaseWrapper, **_signal: Any) -> None:
    """Tell a new connection; in words of its own, because a connection pool takes no options in an address."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"SET idle_in_transaction_session_timeout = '{SLEEPS}s'")
