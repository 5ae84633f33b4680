"""Both servers, and a client of the misbehaving one."""

from __future__ import annotations

from tests.chats.conftest import client, faulty, localcloud, start_localcloud

__all__ = ["client", "faulty", "localcloud", "start_localcloud"]
