"""``manage.py sync``: everything up to date, now."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from dashboard.config import upstream_client
from dashboard.errors import DashboardError
from dashboard.jobs.run import run_to_end
from dashboard.jobs.work import all_work


class Command(BaseCommand):
    """Do one complete pass of all background work and stop."""

    help = "Refreshes projects, sources and sessions from LlamaCloud once, then stops."

    def handle(self, *args: Any, **options: Any) -> None:
        """Run each kind of work to its end, saying what is done."""
        for work in all_work(upstream_client):
            try:
                run_to_end(work)
            except DashboardError as error:
                raise CommandError(f"{work.name}: {error.sentence} {error.detail}".strip()) from None
            self.stdout.write(f"{work.name}: up to date")
