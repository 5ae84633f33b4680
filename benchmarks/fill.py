"""Fill a migrated database with sessions as a busy team would have them; run with the dashboard's environment.

``python benchmarks/fill.py SESSIONS INDEXES`` prints one JSON line: the ids of the indexes and a place in the middle of
the list, the way the pager writes it.
"""

from __future__ import annotations

import json
import os
import random
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import django

BATCH = 2_000
SOURCES_EACH = 3
PEOPLE = 20
TOPICS = (
    "supplier contract", "annual report", "travel policy", "incident review", "onboarding handbook", "price list",
    "security audit", "maintenance manual", "tender answer", "board minutes", "clinical protocol", "lease terms",
)  # fmt: skip
ASKED = ("What does the {} say about", "Summarise the {} for", "Compare the {} with", "Which deadlines in the {} touch")
ABOUT = ("cancellation", "liability", "overtime", "data retention", "warranty", "renewal", "travel costs", "delivery")
RARE = "zeppelin"
"""A word in one title only, three quarters down the list."""


def fill(sessions: int, indexes: int) -> dict[str, Any]:
    """Make people, one project, its indexes and the sessions over them; the same every time."""
    from django.contrib.auth.models import User

    from dashboard.catalog.models import Index, Project

    now = datetime.now(UTC)
    project = Project.objects.create(id="prj-main", name="Main", is_default=True, synced_at=now)
    Index.objects.bulk_create(
        Index(
            id=f"idx-{number:04}",
            project=project,
            name=f"{TOPICS[number % len(TOPICS)].title()} {2000 + number}",
            description=f"Every {TOPICS[number % len(TOPICS)]} of department {number}, as scanned and corrected.",
            status="ready",
            last_synced_at=now - timedelta(hours=2),
            last_exported_at=now - timedelta(hours=1),
            synced_at=now,
        )
        for number in range(indexes)
    )
    User.objects.bulk_create(User(username=f"member{number}") for number in range(PEOPLE))
    owners = list(User.objects.values_list("pk", flat=True))
    index_ids = [f"idx-{number:04}" for number in range(indexes)]
    _fill_sessions(sessions, owners, index_ids, now)
    return {"index_ids": index_ids, "middle": _middle(sessions)}


def _fill_sessions(sessions: int, owners: list[int], index_ids: list[str], now: datetime) -> None:
    from dashboard.chats.models import ChatSession, SessionSource

    dice = random.Random(20)
    for start in range(0, sessions, BATCH):
        numbers = range(start, min(start + BATCH, sessions))
        rows = ChatSession.objects.bulk_create(
            ChatSession(**_session(number, sessions, owners, now, dice)) for number in numbers
        )
        SessionSource.objects.bulk_create(
            SessionSource(session=row, index_id=index_id, position=position)
            for row in rows
            if row.is_bound
            for position, index_id in enumerate(dice.sample(index_ids, min(SOURCES_EACH, len(index_ids))))
        )


def _session(number: int, total: int, owners: list[int], now: datetime, dice: random.Random) -> dict[str, Any]:
    """One session's columns: 7 of 10 were asked something, 1 in 20 failed, 1 in 100 is gone, 1 in 20 is unbound."""
    asked = dice.random() < 0.7
    title = f"{dice.choice(ASKED)} {dice.choice(ABOUT)} in case {number}?".format(dice.choice(TOPICS))
    if number == total // 4:
        title = f"Lease of the {RARE} hangar"
    session_id = f"ses-{number:08x}{dice.getrandbits(64):016x}"
    failed = asked and dice.random() < 0.07
    # Listed newest first, while the rows were made oldest first, a few minutes apart.
    at = now - timedelta(minutes=(total - number) * 3 + dice.random())
    return {
        "session_id": session_id,
        "project_id": "prj-main",
        "generated_title": title if asked else "",
        "title": f"{dice.choice(TOPICS).title()} {number}" if dice.random() < 0.1 else "",
        "shared_access": "read_only",
        "is_bound": dice.random() > 0.05,
        "last_updated_at": at,
        "job_turns": dice.randint(1, 9) if asked else None,
        "job_duration_ms": dice.uniform(800, 20_000) if asked else None,
        "job_is_error": failed if asked else None,
        "job_error": "The model gave no answer." if failed else "",
        "job_input_tokens": dice.randint(500, 50_000) if asked else None,
        "job_output_tokens": dice.randint(50, 3_000) if asked else None,
        "questions": dice.randint(1, 9) if asked else 0,
        "owner_id": dice.choice(owners),
        "raw": {"session_id": session_id, "generated_title": title, "shared_access": "read_only", "padding": "x" * 200},
        "first_seen_at": at,
        "synced_at": now,
        "gone_at": now if dice.random() < 0.01 else None,
    }


def _middle(sessions: int) -> str:
    from dashboard.chats.models import ChatSession

    if not sessions:
        return ""
    row = ChatSession.objects.newest_first()[sessions // 2]
    return f"{row.last_updated_at.isoformat()}~{row.pk}"


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dashboard.settings")
    django.setup()
    print(json.dumps(fill(int(sys.argv[1]), int(sys.argv[2]))))
