"""What this machine has beside Python: Chromium, nginx and PostgreSQL.

Tests that need one are skipped with the reason where it is missing, unless ``CORRAL_REQUIRE`` (a comma list) names it:
then its absence is a failure. ``python -m tests.engines postgres`` says the same by its exit status, 0 for present,
77 for skipped and 1 for required but missing.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from functools import cache

SKIPPED = 77
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def chromium() -> str | None:
    """Answer the path of the system's Chromium."""
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


def chromium_without_screen() -> str | None:
    """Answer the path of the one that draws for no screen, if it is here, or of the other.

    It is the same browser without what belongs to a desktop, such as notifications, and takes a third of the time.
    """
    return shutil.which("chromium-headless-shell") or chromium()


def nginx() -> str | None:
    """Answer the path of nginx, which Debian keeps out of people's search path."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


@cache
def postgres() -> str | None:
    """Answer ``CORRAL_TEST_POSTGRES``, the address of a database whose owner may create others, if it answers."""
    url = os.environ.get("CORRAL_TEST_POSTGRES")
    if not url:
        return None
    import psycopg

    try:
        psycopg.connect(url, connect_timeout=5).close()
    except psycopg.OperationalError:
        return None
    return url


ENGINES: dict[str, tuple[Callable[[], str | None], str]] = {
    "chromium": (
        chromium,
        "no Chromium on this machine (Debian: apt-get install chromium chromium-headless-shell)",
    ),
    "nginx": (nginx, "no nginx on this machine (Debian: apt-get install nginx-light)"),
    "postgres": (postgres, "no PostgreSQL answers at CORRAL_TEST_POSTGRES"),
}


def why_missing(engine: str) -> str:
    """Answer why ``engine`` cannot be used, or an empty text."""
    find, reason = ENGINES[engine]
    return "" if find() else reason


def is_required(engine: str) -> bool:
    """Say whether a missing ``engine`` is a failure."""
    return engine in os.environ.get("CORRAL_REQUIRE", "").replace(" ", "").split(",")


def main(engine: str) -> int:
    """Tell a script whether to go on."""
    reason = why_missing(engine)
    if not reason:
        return 0
    required = is_required(engine)
    print(f"{'Required but missing' if required else 'Skipped'}: {reason}", flush=True)  # noqa: T201
    return 1 if required else SKIPPED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
