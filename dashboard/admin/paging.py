"""Pages of a list that may be very long: rows are counted up to a limit and never beyond."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property

COUNTED = 10_000
"""Rows counted at most, and so the deepest a list can be paged; beyond it one narrows the list by its filters."""


class AtLeast(int):
    """A count that was cut off; reads ``10,000+``."""

    def __str__(self) -> str:
        return f"{int(self):,}+"


if TYPE_CHECKING:
    AnyPaginator = Paginator[Any]
else:
    AnyPaginator = Paginator


class CappedPaginator(AnyPaginator):
    """Counts no further than ``COUNTED``: on PostgreSQL a full count reads every row the filters let through."""

    @cached_property
    def count(self) -> int:
        """The number of rows, or ``AtLeast(COUNTED)``."""
        assert isinstance(self.object_list, QuerySet)  # noqa: S101  # what the admin pages through
        found = self.object_list.order_by()[: COUNTED + 1].count()
        return AtLeast(COUNTED) if found > COUNTED else found


class LeanChangeList(ChangeList):
    """Reads only the columns the list shows."""

    def get_queryset(self, request: HttpRequest, exclude_parameters: list[str | None] | None = None) -> QuerySet[Any]:
        """Filter, search and order as Django does, then leave out what ``for_list`` leaves out."""
        found: QuerySet[Any] = self.model_admin.for_list(super().get_queryset(request, exclude_parameters))  # type: ignore[attr-defined]  # only ReadOnlyAdmin uses this class
        return found
