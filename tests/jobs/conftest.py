"""Both servers, a client of the misbehaving one, and a process's environment."""

from __future__ import annotations

import pytest

from tests.chats.conftest import client, faulty, localcloud, start_localcloud
from tests.chats.helpers import database_url
from tests.localcloud.fixtures import RunningLocalcloud

__all__ = ["client", "faulty", "localcloud", "start_localcloud"]


@pytest.fixture
def for_localcloud(transactional_db: None, localcloud: RunningLocalcloud) -> dict[str, str]:
    """What a child process needs to know to work on this test's database with ``localcloud``."""
    return {
        "LLAMA_CLOUD_BASE_URL": localcloud.base_url,
        "LLAMA_CLOUD_API_KEY": localcloud.api_key,
        "DATABASE_URL": database_url(),
    }
