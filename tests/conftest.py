"""What every test gets: people, static files as in production, and engines skipped or required by name."""

from __future__ import annotations

import fcntl
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.cache import cache

from dashboard.config import forget_client
from tests import engines

pytest_plugins = ["tests.people"]

NEEDS = {"e2e": "chromium"}
"""Marker → engine. Tests marked ``postgres`` run on SQLite too: they are run *again* on PostgreSQL, by `make test`."""


def pytest_configure(config: pytest.Config) -> None:
    """Collect the static files once, in the process that leads the others."""
    if hasattr(config, "workerinput"):
        return
    from dashboard.management import static_files

    # Two runs at the same time must not write the same files.
    with open(Path(tempfile.gettempdir()) / "corral-collectstatic.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        static_files.collect_if_needed()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what this machine cannot run, or fail where it must be able to."""
    for marker, engine in NEEDS.items():
        if item.get_closest_marker(marker) and (reason := engines.why_missing(engine)):
            if engines.is_required(engine):
                pytest.fail(f"{engine} is required: {reason}", pytrace=False)
            pytest.skip(reason)


@pytest.fixture(autouse=True)
def _a_clean_process() -> Iterator[None]:
    """Forget what lives in the process: counters of failed sign-ins and the client for LlamaCloud."""
    yield
    cache.clear()
    forget_client()
