"""The record of who did what."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.utils.safestring import SafeString

from dashboard.admin import shown
from dashboard.admin.filters import ChoiceFilter, DateFilter, TextFilter
from dashboard.admin.readonly import ReadOnlyAdmin
from dashboard.audit.actions import AuditAction, Outcome
from dashboard.audit.models import AuditEntry


class ActionFilter(ChoiceFilter):
    title = "action"
    parameter_name = "action"
    options = AuditAction.choices

    def narrowed(self, rows: Any, value: str) -> Any:
        """Those that tell of it."""
        return rows.filter(action=value)


class OutcomeFilter(ChoiceFilter):
    title = "outcome"
    parameter_name = "outcome"
    options = Outcome.choices

    def narrowed(self, rows: Any, value: str) -> Any:
        """Those that ended so."""
        return rows.filter(outcome=value)


class ActorFilter(TextFilter):
    """By the copied name, so that people whose account is gone are found too."""

    title = "actor"
    parameter_name = "actor"
    hint = "User name"

    def narrowed(self, rows: Any, text: str) -> Any:
        """Those of people whose user name holds the text."""
        return rows.filter(actor_name__icontains=text)


class MomentFilter(DateFilter):
    title = "date"
    column = "at"


@admin.register(AuditEntry)
class AuditAdmin(ReadOnlyAdmin):
    """Every entry, newest first; what an entry is about leads to all about the same."""

    list_display = ["at", "actor_name", "action", "outcome", "subject", "ip"]
    list_filter = [ActorFilter, ActionFilter, OutcomeFilter, MomentFilter]
    sortable_by = ["at"]
    search_fields = ["subject_id__exact", "request_id__exact", "actor_name__iexact"]
    search_help_text = "A whole session ID, request ID or user name"
    not_in_lists = ("details",)
    fields = [
        "at", "actor_name", "actor_id", "action", "outcome", "subject", "subject_type", "subject_id", "choices",
        "request_id", "ip",
    ]  # fmt: skip
    readonly_fields = ["actor_id"]

    @admin.display(description="about")
    def subject(self, entry: AuditEntry) -> SafeString | str:
        if not entry.subject_id:
            return ""
        url = shown.list_url("auditentry", subject_type=entry.subject_type, subject_id=entry.subject_id)
        return shown.link(url, entry.subject_label or entry.subject_id)

    @admin.display(description="details")
    def choices(self, entry: AuditEntry) -> SafeString | str:
        return shown.facts(entry.details)
