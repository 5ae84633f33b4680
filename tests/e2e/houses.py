"""Houses to visit with a browser: `manage.py serve` as in production, with a database and a LlamaCloud of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.localcloud.fixtures import DOCUMENTS, RunningLocalcloud
from tests.processes import PATIENCE, ROOT, Running, environment, free_port, manage, running

COOKIE = "corral_session"
HOSTILE = (
    "<script>alert(1)</script><img src=x onerror=alert(1)> [a](javascript:alert(1)) \u202eright to left\u202c "
    "zero\u200bwidth\u200d joined\ufeff \u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627 "
) + "W" * 10_000
SHELVES = {f"Shelf {number:02d}/note.txt": f"Note {number} of the shelves.\n" for number in range(1, 10)}
HOSTILE_NAME = "<b>bold<b> \u202ertl \u200bzero " + "w" * 180
"""A folder's name has room for 255 bytes."""
BROKEN = "Broken archive"
MAIN_DOCUMENTS: dict[str, str | bytes] = {
    **DOCUMENTS,
    **SHELVES,
    f"{BROKEN}/damaged.pdf": b"%PDF-1.7 and then nothing",
    f"{HOSTILE_NAME}/_description.txt": HOSTILE,
    f"{HOSTILE_NAME}/note.txt": "A note.",
}
"""Fourteen sources, so that more than the limit can be ticked; one cannot be read."""


@dataclass
class House:
    """One dashboard. ``cookies`` lets people in, ``sessions`` names the sessions it began with."""

    url: str
    process: Running
    cookies: Mapping[str, str] = field(default_factory=dict)
    sessions: Mapping[str, str] = field(default_factory=dict)

    def path(self, name: str, part: str = "") -> str:
        """The path of a session it began with, or of one of its pages."""
        return f"/sessions/{self.sessions[name]}/{part}"


@contextmanager
def house(
    folder: Path,
    cloud_url: str,
    key: str,
    *,
    sessions: Mapping[str, tuple[str, str]] | None = None,
    gone: Iterable[str] = (),
) -> Iterator[House]:
    """Start one.

    Args:
        folder: where its database goes.
        cloud_url: its LlamaCloud.
        key: the key for it.
        sessions: name → (owner, id) of sessions to know from the beginning; ``None`` leaves the house without people.
        gone: names of those that are deleted at LlamaCloud.
    """
    port = free_port()
    settings = {
        "LLAMA_CLOUD_BASE_URL": cloud_url,
        "LLAMA_CLOUD_API_KEY": key,
        "DATABASE_URL": f"sqlite:///{folder / 'corral.sqlite3'}",
    }
    known = {name: session_id for name, (_, session_id) in (sessions or {}).items()}
    cookies: dict[str, str] = {}
    if sessions is None:
        assert manage("migrate", "--verbosity=0", **settings).returncode == 0
    else:
        wishes = {"sessions": {pk: owner for owner, pk in sessions.values()}, "gone": [known[name] for name in gone]}
        cookies = _seed(wishes, settings)
    # One process: counters and caches live in its memory, so what a page says does not depend on who answers it.
    with running(folder, "serve", f"--port={port}", "--processes=1", **settings) as process:
        url = f"http://127.0.0.1:{port}"
        process.wait_for_answer(f"{url}/livez")
        yield House(url, process, cookies, known)


def _seed(wishes: Mapping[str, Any], settings: Mapping[str, str]) -> dict[str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.e2e.seed", json.dumps(wishes)],
        cwd=ROOT,
        env=environment(DJANGO_SETTINGS_MODULE="dashboard.settings", **settings),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    cookies: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return cookies


def plant(cloud: RunningLocalcloud) -> dict[str, tuple[str, str]]:
    """Put a session of every kind into ``cloud``; answers name → (owner, id)."""
    index = cloud.index_ids()
    ids = [index["Travel policy"], index["Garden notes"]]
    worked = {
        "turns": 1,
        "duration_ms": 8412.5,
        "is_error": False,
        "error": None,
        "total_input_tokens": 12480,
        "total_output_tokens": 640,
        "export_config_ids": [one.replace("idx", "exc", 1) for one in ids],
    }
    failed = {**worked, "is_error": True, "error": "The model was not available. " + HOSTILE}
    everything = [index[name] for name in sorted(index)][:10]
    return {
        "open": ("ada", cloud.plant_session(index_ids=ids)),
        "unbound": ("ada", cloud.plant_session()),
        "locked": (
            "ada",
            cloud.plant_session(generated_title="May I take the train?", index_ids=ids, job_metadata=worked),
        ),
        "failed": (
            "ada",
            cloud.plant_session(generated_title="When are roses pruned?", index_ids=ids[1:], job_metadata=failed),
        ),
        "gone": ("ada", cloud.plant_session(generated_title="An old question", index_ids=ids, job_metadata=worked)),
        "hostile": (
            "ada",
            cloud.plant_session(
                generated_title=HOSTILE, index_ids=[index[HOSTILE_NAME], "exc-" + "u" * 200], job_metadata=failed
            ),
        ),
        "full": ("ada", cloud.plant_session(generated_title="Over ten sources", index_ids=everything)),
        "bens": ("ben", cloud.plant_session(generated_title="Ben asked this", index_ids=ids, job_metadata=worked)),
    }
