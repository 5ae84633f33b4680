"""Whether an index can answer, interpreted: LlamaCloud has no plain flag (contract.md §5)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from dashboard.catalog.models import STALE_AFTER, Index, Readiness

NOW = timezone.now()
FRESH = NOW - timedelta(days=1)
JUST_FRESH = NOW - STALE_AFTER + timedelta(hours=3)  # collected long before it is run, on a busy machine
OLD = NOW - STALE_AFTER - timedelta(minutes=5)


def index(
    status: str = "ready",
    sync: bool | None = None,
    synced: datetime | None = FRESH,
    exported: datetime | None = FRESH,
) -> Index:
    return Index(status=status, sync_in_progress=sync, last_synced_at=synced, last_exported_at=exported)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, Readiness.READY),
        ({"sync": False}, Readiness.READY),
        ({"synced": None, "exported": None}, Readiness.READY),
        ({"exported": None}, Readiness.READY),
        ({"synced": None}, Readiness.READY),
        ({"synced": JUST_FRESH, "exported": JUST_FRESH}, Readiness.READY),
        ({"synced": FRESH + timedelta(minutes=59)}, Readiness.READY),
        ({"synced": OLD, "exported": FRESH}, Readiness.READY),
        ({"synced": FRESH + timedelta(minutes=61)}, Readiness.STALE),
        ({"synced": OLD, "exported": OLD}, Readiness.STALE),
        ({"synced": OLD, "exported": None}, Readiness.STALE),
        ({"synced": None, "exported": OLD}, Readiness.STALE),
        ({"sync": True}, Readiness.SYNCING),
        ({"sync": True, "status": "failed"}, Readiness.SYNCING),
        ({"sync": True, "status": ""}, Readiness.SYNCING),
        ({"sync": True, "synced": None, "exported": None}, Readiness.SYNCING),
        ({"status": "building", "synced": None, "exported": None}, Readiness.SYNCING),
        ({"status": "failed"}, Readiness.FAILED),
        ({"status": "failed", "sync": False}, Readiness.FAILED),
        ({"status": "failed", "synced": None, "exported": None}, Readiness.FAILED),
        ({"status": "failed", "synced": OLD, "exported": OLD}, Readiness.FAILED),
        ({"status": "", "synced": None, "exported": None}, Readiness.NEVER_BUILT),
        ({"status": "", "sync": False, "synced": None, "exported": None}, Readiness.NEVER_BUILT),
        ({"status": ""}, Readiness.UNKNOWN),
        ({"status": "building"}, Readiness.UNKNOWN),
        ({"status": "READY"}, Readiness.UNKNOWN),
        ({"status": "", "exported": None}, Readiness.UNKNOWN),
    ],
)
def test_readiness(given: dict[str, Any], expected: Readiness) -> None:
    assert index(**given).readiness is expected


@pytest.mark.parametrize("readiness", Readiness)
def test_only_what_certainly_cannot_answer_well_needs_a_tick(readiness: Readiness) -> None:
    assert readiness.needs_confirmation == (readiness in {Readiness.FAILED, Readiness.NEVER_BUILT})


def test_every_state_is_explained_in_words_of_its_own() -> None:
    assert len({state.explanation for state in Readiness}) == len({state.label for state in Readiness}) == 6


def test_documents_are_as_old_as_what_can_be_searched() -> None:
    assert index(synced=FRESH, exported=OLD).documents_at == OLD
    assert index(synced=FRESH, exported=None).documents_at == FRESH
    assert index(synced=None, exported=None).documents_at is None
