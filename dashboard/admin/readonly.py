"""What every noun of the admin has in common: it is looked at, by anybody with the ``view`` permission."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin import ShowFacets
from django.contrib.admin.views.main import ChangeList
from django.db.models import Model, QuerySet
from django.db.models.constants import LOOKUP_SEP
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from dashboard.admin.paging import CappedPaginator, LeanChangeList
from dashboard.admin.shown import list_url
from dashboard.templatetags.wording import visible

if TYPE_CHECKING:
    AnyModelAdmin = admin.ModelAdmin[Any]
else:
    AnyModelAdmin = admin.ModelAdmin

SEARCHED = 200
"""Characters of a search that count; each word costs the database a condition."""


class ReadOnlyAdmin(AnyModelAdmin):
    """A noun that is searched, filtered and read, quickly however many rows there are.

    Attributes:
        not_in_lists: columns a list never reads; big JSON above all.
        audit_type: the noun's ``subject_type`` in the record, if actions on it are recorded.
    """

    actions = None
    paginator = CappedPaginator
    list_per_page = 50
    show_full_result_count = False
    show_facets = ShowFacets.NEVER  # a facet is a full count for each choice of each filter
    change_form_template = "admin/dashboard/page.html"

    not_in_lists: tuple[str, ...] = ()
    audit_type = ""

    # Nobody adds, changes or deletes here, whatever their permissions: the rooms below have verbs for that.
    def has_add_permission(self, request: HttpRequest) -> bool:
        """Answer no."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Answer no."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Answer no."""
        return False

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """Use the list that leaves out what is not shown."""
        return LeanChangeList

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Whether an address may ask for this: declared filters aside, a column's value, as Corral's own links do."""
        return LOOKUP_SEP not in lookup and super().lookup_allowed(lookup, value, request)

    def for_list(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        """Narrow ``rows`` to what a list needs of them."""
        return rows.defer(*self.not_in_lists)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Search as the noun says; never with rows twice."""
        term = search_term.strip()[:SEARCHED]
        return (self.found_by(queryset, term) if term else queryset), False

    def found_by(self, rows: QuerySet[Any], term: str) -> QuerySet[Any]:
        """The rows with ``term`` in one of ``search_fields``; a noun with a better idea overrides this."""
        return super().get_search_results(None, rows, term)[0]  # type: ignore[arg-type]  # the request decides nothing

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Name the page by a short, harmless form of the row's name, and point at what was done to it."""
        context["subtitle"] = visible(str(context["original"]), 80)
        context["audit_url"] = self.audit_url(context["original"])
        return super().render_change_form(request, context, *args, **kwargs)

    def audit_url(self, row: Any) -> str:
        """The audit entries about ``row``; none about a noun on which no action is recorded."""
        if not self.audit_type:
            return ""
        return list_url("auditentry", subject_type=self.audit_type, subject_id=row.audit_id)

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        """Answer Django's "History" with the audit entries: its own log is empty, as nothing is changed here."""
        row = self.get_object(request, object_id)
        return redirect((row and self.audit_url(row)) or list_url("auditentry"))
