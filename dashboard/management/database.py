"""Whether the database answers and has the tables this version needs."""

from __future__ import annotations

from django.db import Error, connection
from django.db.migrations.executor import MigrationExecutor

NO_ANSWER = "The database does not answer. Check DATABASE_URL, and that the database server runs."
NOT_MIGRATED = "The database does not have this version's tables yet. Run: python manage.py migrate"


def problem() -> str:
    """Answer what is wrong with the database in words, or an empty text. The words hold nothing of its address."""
    try:
        executor = MigrationExecutor(connection)
        plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except Error:
        return NO_ANSWER
    return NOT_MIGRATED if plan else ""
