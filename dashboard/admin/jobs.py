"""Background work: when each kind last ran, and what stopped it."""

from __future__ import annotations

from django.contrib import admin
from django.utils.safestring import SafeString

from dashboard.admin import shown
from dashboard.admin.readonly import ReadOnlyAdmin
from dashboard.jobs.models import Job


@admin.register(Job)
class JobAdmin(ReadOnlyAdmin):
    """A handful of rows, one for each kind of work."""

    list_display = ["name", "last_started_at", "last_finished_at", "next_run_at", "runs", "problem"]
    search_fields = ["name", "last_error"]
    not_in_lists = ("cursor",)
    fields = [
        "name", "next_run_at", "last_started_at", "last_finished_at", "runs", "error", "lease_holder", "lease_until",
        "heartbeat_at", "position",
    ]  # fmt: skip

    @admin.display(description="last error")
    def problem(self, job: Job) -> SafeString:
        return shown.line(job.last_error)

    @admin.display(description="last error")
    def error(self, job: Job) -> SafeString:
        return shown.lines(job.last_error)

    @admin.display(description="how far it has come")
    def position(self, job: Job) -> SafeString:
        return shown.verbatim(job.cursor)
