"""Both servers, and a client of the misbehaving one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dashboard.upstream import LlamaCloud
from tests.faulty import FaultyServer, faulty
from tests.localcloud.fixtures import localcloud, start_localcloud

__all__ = ["client", "faulty", "localcloud", "start_localcloud"]


@pytest.fixture
def client(faulty: FaultyServer) -> Iterator[LlamaCloud]:
    """A client of ``faulty``, with a creation budget that a test can wait for."""
    connected = faulty.client(create_budget=2.0)
    yield connected
    connected.close()
