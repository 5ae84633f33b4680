"""Sources: which session is bound to which index."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import OuterRef, Q, QuerySet, Subquery
from django.http import HttpRequest
from django.utils.safestring import SafeString

from dashboard.admin import shown
from dashboard.admin.filters import TextFilter
from dashboard.admin.readonly import ReadOnlyAdmin
from dashboard.catalog.models import Index
from dashboard.chats.models import ChatSession, SessionSource


def with_index_name(rows: QuerySet[SessionSource]) -> QuerySet[Any]:
    """Add ``index_name``, which is ``None`` for an index the catalog does not know."""
    return rows.annotate(index_name=Subquery(Index.objects.filter(pk=OuterRef("index_id")).values("name")[:1]))


def indexes_called(text: str) -> QuerySet[Any]:
    """The ids of the index with this id, or of all with these words in name or description."""
    return Index.objects.found_by(text, or_in=[text]).order_by().values("pk")


class SourceFilter(TextFilter):
    """Sessions over the indexes called so; an index the catalog no longer knows is still found by its id."""

    title = "source"
    parameter_name = "source"

    def narrowed(self, rows: Any, text: str) -> Any:
        """Those bound to one of them."""
        if SessionSource.objects.filter(index_id=text).exists():
            return self.over(rows, [text])
        return self.over(rows, indexes_called(text))

    def over(self, rows: Any, index_ids: Any) -> Any:
        """The rows over these ids."""
        return rows.over_any_source(index_ids)


class BoundIndexFilter(SourceFilter):
    """The same for the list of sources itself."""

    def over(self, rows: Any, index_ids: Any) -> Any:
        """The rows that name these ids."""
        return rows.filter(index_id__in=index_ids)


def index_link(source: Any) -> SafeString:
    """The index of a row that ``with_index_name`` completed."""
    if source.index_name is None:
        return shown.line("No longer listed")
    return shown.link(shown.page_url("index", source.index_id), source.index_name)


@admin.register(SessionSource)
class SourceAdmin(ReadOnlyAdmin):
    """Every binding of a session to an index."""

    list_display = ["session_title", "index", "shown_index_id", "position"]
    list_filter = [BoundIndexFilter]
    list_select_related = ["session"]
    ordering = ["-id"]  # the model's order sorts all sessions first
    sortable_by = ()
    search_fields = ["index_id", "session__session_id"]
    search_help_text = "An index’s or a session’s whole ID"
    not_in_lists = ("session__raw", "session__job_export_config_ids", "session__job_error")
    fields = ["session_title", "session_id", "index", "shown_index_id", "position"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """With names."""
        return with_index_name(super().get_queryset(request))

    def found_by(self, rows: QuerySet[Any], term: str) -> QuerySet[Any]:
        """By index or session; one index of the database serves each."""
        return rows.filter(Q(index_id=term) | Q(session__in=ChatSession.objects.filter(session_id=term).values("pk")))

    @admin.display(description="session")
    def session_title(self, source: SessionSource) -> SafeString:
        return shown.line(source.session.display_title)

    @admin.display(description="session ID")
    def session_id(self, source: SessionSource) -> SafeString:
        return shown.link(shown.page_url("chatsession", source.session.pk), source.session.session_id)

    @admin.display(description="index")
    def index(self, source: SessionSource) -> SafeString:
        return index_link(source)

    @admin.display(description="index ID")
    def shown_index_id(self, source: SessionSource) -> SafeString:
        return shown.line(source.index_id, 255)
