"""Everything the tests of pages share: a LlamaCloud over real HTTP that Corral is pointed at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from pydantic import SecretStr
from pytest_django import Settings

from dashboard import config
from dashboard.catalog.sync import refresh_catalog
from dashboard.chats.models import ChatSession
from dashboard.upstream import LlamaCloud
from tests.faulty import FaultyServer
from tests.localcloud.fixtures import RunningLocalcloud, localcloud, start_localcloud
from tests.people import SignIn

__all__ = ["localcloud", "start_localcloud"]

KEY = "llx-q7Vd2MzX9bTgRwK8cJp5NsH3yLfXw"
"""No eight characters of it occur anywhere by chance."""

Connect = Callable[..., None]


@pytest.fixture
def connect(settings: Settings) -> Connect:
    """Point Corral at a LlamaCloud: ``connect(url, key, **budgets)``; budgets in seconds, else production's."""

    def point(url: str, key: str, **budgets: float) -> None:
        changes = {"llama_cloud_base_url": url, "llama_cloud_api_key": SecretStr(key)}
        settings.CORRAL = settings.CORRAL.model_copy(update=changes)
        config.forget_client()
        if budgets:
            config._client = LlamaCloud(url, key, **budgets)  # type: ignore[arg-type]  # only floats are given here

    return point


@pytest.fixture
def faulty(connect: Connect) -> Iterator[FaultyServer]:
    """The LlamaCloud of this test: healthy with two sources, until told otherwise; Corral is patient for three seconds."""
    with FaultyServer(key=KEY) as server:
        connect(server.url, KEY, read_budget=3.0, create_budget=3.0)
        yield server


@pytest.fixture
def embedded(localcloud: RunningLocalcloud, connect: Connect) -> RunningLocalcloud:
    """The embedded server as this test's LlamaCloud, called as in production."""
    connect(localcloud.base_url, localcloud.api_key)
    return localcloud


@pytest.fixture
def catalog(faulty: FaultyServer, db: None) -> FaultyServer:
    """``faulty``, whose projects and sources Corral knows."""
    refresh_catalog(config.upstream_client())
    return faulty


@pytest.fixture
def browser(ada: User, signed_in: SignIn) -> Client:
    """Ada's browser, without JavaScript."""
    return signed_in(ada)


def make_session(faulty: FaultyServer, owner: User | None = None, **changes: Any) -> ChatSession:
    """A session that LlamaCloud has and Corral knows, last looked at a minute ago.

    Args:
        faulty: the LlamaCloud.
        owner: who made it.
        changes: of the summary as LlamaCloud sends it.
    """
    from dashboard.chats.store import store_one
    from dashboard.upstream import ChatSummary
    from tests.faulty import PROJECT_ID, Received

    row = faulty.create(Received("POST", "/api/v1/chat", {}, b'{"index_ids": ["idx-reports"]}', port=0))
    row.update(changes)
    faulty.chats[row["session_id"]] = row
    faulty.events.setdefault(row["session_id"], [])
    session = store_one(ChatSummary.model_validate(row), project_id=PROJECT_ID, owner=owner, questions=0)
    let_time_pass()
    session.refresh_from_db()
    return session


def let_time_pass(seconds: int = 60) -> None:
    """Make what Corral knows of sessions and sources older."""
    from dashboard.catalog.models import Index

    for rows in (ChatSession.objects.all(), Index.objects.all()):
        rows.update(synced_at=timezone.now() - timedelta(seconds=seconds))
