"""``manage.py doctor``: is this installation healthy, in words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import requests
from django.conf import settings
from django.core.management.base import BaseCommand
from django.utils import timezone

from dashboard.config import upstream_client
from dashboard.errors import DashboardError
from dashboard.management import database, static_files

MAX_SKEW = timedelta(seconds=60)
"""Further apart, ages shown on pages and signed links with an expiry become wrong."""
MAX_SILENCE = timedelta(minutes=10)
"""A worker that did nothing for longer is not running: its most frequent work is due far more often."""


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    healthy: bool
    words: str


Findings = Iterator[Finding]


class Command(BaseCommand):
    """Look at everything Corral needs and say what is broken; change nothing."""

    help = "Checks key, LlamaCloud, clock, database, worker and static files. Exits 1 if something is broken."
    # The checks below say the same in plainer words, and go on after the first problem.
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        """Print one line a finding."""
        all_healthy = True
        looks: tuple[Callable[[], Findings], ...] = (_key, _upstream, _clock, _database, _static_files)
        for look in looks:
            for finding in look():
                all_healthy &= finding.healthy
                self.stdout.write(f"{'ok    ' if finding.healthy else 'BROKEN'}  {finding.words}")
        if not all_healthy:
            raise SystemExit(1)


def _key() -> Findings:
    yield Finding(True, "The API key is set (it is never shown).")


def _upstream() -> Findings:
    wanted = settings.CORRAL.llama_cloud_project_id
    try:
        projects = upstream_client().projects().items
    except DashboardError as error:
        yield Finding(False, f"LlamaCloud: {error.sentence} {error.detail}".strip())
        return
    yield Finding(True, "LlamaCloud answers and accepts the key.")
    names = {project.id: project.name or project.id for project in projects}
    if wanted and wanted not in names:
        yield Finding(False, "The key does not see the project that LLAMA_CLOUD_PROJECT_ID names.")
    elif wanted:
        yield Finding(True, f"Project: {names[wanted]}.")
    elif names:
        yield Finding(True, f"Projects the key sees: {', '.join(sorted(names.values()))}.")
    else:
        yield Finding(False, "The key sees no project. Set LLAMA_CLOUD_PROJECT_ID, or use another key.")


def _clock() -> Findings:
    """Compare with the upstream's ``Date`` header, asked for without the key."""
    proxy = settings.CORRAL.llama_cloud_proxy
    with requests.Session() as http:
        http.trust_env = False
        if proxy:
            http.proxies = {"all": proxy.get_secret_value()}
        try:
            answer = http.get(settings.CORRAL.llama_cloud_base_url, timeout=5, stream=True, allow_redirects=False)
            theirs = parsedate_to_datetime(answer.headers["Date"])
        except (requests.RequestException, KeyError, ValueError):
            yield Finding(True, "This machine's clock could not be compared: LlamaCloud told no time.")
            return
    if theirs.tzinfo is None:  # "-0000" in a Date header: UTC, said in the mail dialect
        theirs = theirs.replace(tzinfo=UTC)
    skew = abs(datetime.now(UTC) - theirs)
    if skew > MAX_SKEW:
        yield Finding(False, f"This machine's clock differs from LlamaCloud's by {skew.total_seconds():.0f} seconds.")
    else:
        yield Finding(True, "This machine's clock agrees with LlamaCloud's.")


def _database() -> Findings:
    if problem := database.problem():
        yield Finding(False, problem)
        return
    yield Finding(True, "The database answers and has this version's tables.")
    yield _worker()


def _worker() -> Finding:
    from dashboard.jobs.models import Job

    last = Job.objects.exclude(heartbeat_at=None).order_by("-heartbeat_at").first()
    if last is None or last.heartbeat_at is None:
        return Finding(False, "No worker has run yet. Start one: python manage.py worker")
    silence = timezone.now() - last.heartbeat_at
    if silence > MAX_SILENCE:
        minutes = silence.total_seconds() // 60
        return Finding(False, f"No worker seems to run: the last sign of one is {minutes:.0f} minutes old.")
    return Finding(True, "A worker runs.")


def _static_files() -> Findings:
    if settings.DEBUG or static_files.are_current():
        yield Finding(True, "The static files are collected.")
    else:
        yield Finding(False, static_files.NOT_COLLECTED)
