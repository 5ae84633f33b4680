"""Creation attempts: one for each submission of the form, and what became of it."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.utils.safestring import SafeString

from dashboard.admin import shown
from dashboard.admin.filters import ChoiceFilter, DateFilter, PersonFilter, TextFilter
from dashboard.admin.readonly import ReadOnlyAdmin
from dashboard.chats.models import ChatSession, CreationAttempt
from dashboard.templatetags.wording import NOTHING


class ActorFilter(PersonFilter):
    title = "person"
    parameter_name = "actor"
    column = "actor"


class StateFilter(ChoiceFilter):
    title = "state"
    parameter_name = "state"
    options = CreationAttempt.State.choices

    def narrowed(self, rows: Any, value: str) -> Any:
        """Those that stand there."""
        return rows.filter(state=value)


class ErrorFilter(TextFilter):
    title = "error"
    parameter_name = "error"
    hint = "Code of the failure"

    def narrowed(self, rows: Any, text: str) -> Any:
        """Those that failed so."""
        return rows.filter(error_code__icontains=text)


class StartFilter(DateFilter):
    title = "start"
    column = "started_at"


@admin.register(CreationAttempt)
class AttemptAdmin(ReadOnlyAdmin):
    """Who tried to create what, when, and with which outcome."""

    list_display = ["started_at", "actor", "state", "session_link", "error_code", "finished_at"]
    list_filter = [ActorFilter, StateFilter, ErrorFilter, StartFilter]
    list_select_related = ["actor", "session"]
    ordering = ["-id"]  # the order of starting, and indexed
    sortable_by = ()
    search_fields = ["token", "session__session_id"]
    search_help_text = "A whole token or session ID"
    not_in_lists = (
        "index_ids", "confirmed_not_ready", "error_detail",
        "actor__password", "session__raw", "session__job_export_config_ids", "session__job_error",
    )  # fmt: skip
    fields = [
        "token", "state", "actor", "started_at", "finished_at", "session_link", "project_id", "chosen",
        "confirmed", "shared_access", "predecessor", "error_code", "detail",
    ]  # fmt: skip

    def found_by(self, rows: QuerySet[Any], term: str) -> QuerySet[Any]:
        """By token or session; one index of the database serves each."""
        return rows.filter(Q(token=term) | Q(session__in=ChatSession.objects.filter(session_id=term).values("pk")))

    @admin.display(description="session")
    def session_link(self, attempt: CreationAttempt) -> SafeString | str:
        return _link(attempt.session)

    @admin.display(description="successor of")
    def predecessor(self, attempt: CreationAttempt) -> SafeString | str:
        return _link(attempt.follows)

    @admin.display(description="chosen indexes")
    def chosen(self, attempt: CreationAttempt) -> SafeString:
        if attempt.index_ids is None:
            return shown.line("None: sources are chosen with each question")
        return shown.line(", ".join(attempt.index_ids), shown.ON_A_PAGE)

    @admin.display(description="confirmed although not ready")
    def confirmed(self, attempt: CreationAttempt) -> SafeString:
        return shown.line(", ".join(attempt.confirmed_not_ready), shown.ON_A_PAGE)

    @admin.display(description="error in detail")
    def detail(self, attempt: CreationAttempt) -> SafeString:
        return shown.lines(attempt.error_detail)


def _link(session: ChatSession | None) -> SafeString | str:
    if session is None:
        return NOTHING
    return shown.link(shown.page_url("chatsession", session.pk), session.display_title)
