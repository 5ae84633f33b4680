"""The kinds of filter the nouns share; those of sessions call a word of their queryset."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date, datetime, time, timedelta
from typing import Any, cast

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.contrib.auth.models import User
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.dateparse import parse_date

from dashboard.admin.readonly import SEARCHED

NOBODY = "(nobody)"
"""Chooses rows without a person; no user name holds a parenthesis."""


def _carried(changelist: ChangeList, *dropped: str) -> list[tuple[str, str]]:
    """The rest of the list's address, which a form has to carry along."""
    return [
        (name, value) for name, values in changelist.filter_params.items() if name not in dropped for value in values
    ]


class ChoiceFilter(admin.SimpleListFilter):
    """A handful of links. An address with an unknown choice is refused, not ignored: an auditor must not be misled."""

    options: Iterable[tuple[str, Any]]

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[Any]) -> Iterable[tuple[str, Any]]:
        """Offer ``options``."""
        return self.options

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Narrow by the chosen one."""
        value = self.value()
        if value is None:
            return queryset
        if value not in dict(self.options):
            raise IncorrectLookupParameters(value)
        narrowed: QuerySet[Any] = self.narrowed(queryset, value)
        return narrowed

    def narrowed(self, rows: Any, value: str) -> Any:
        """The rows with this choice."""
        raise NotImplementedError


class TextFilter(admin.SimpleListFilter):
    """A field to type into, for what there may be a thousand of.

    Attributes:
        hint: what may be typed.
        shortcut: a value offered as a link, with its words.
    """

    template = "admin/dashboard/text_filter.html"
    hint = "Name or ID"
    shortcut: tuple[str, str] | None = None

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[Any]) -> Iterable[tuple[str, Any]]:
        """Offer nothing to choose from."""
        return ()

    def has_output(self) -> bool:
        """Show the field always."""
        return True

    def text(self) -> str:
        """What was typed."""
        return (self.value() or "").strip()[:SEARCHED]

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        """Describe the form to the template, in one item."""
        name = cast(str, self.parameter_name)
        shortcut = self.shortcut and (changelist.get_query_string({name: self.shortcut[0]}), self.shortcut[1])
        yield {
            "name": name,
            "value": self.text(),
            "hint": self.hint,
            "shortcut": shortcut,
            "shortcut_chosen": self.shortcut is not None and self.text() == self.shortcut[0],
            "carried": _carried(changelist, name),
            "all": changelist.get_query_string({name: None}),
        }

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Narrow by what was typed."""
        narrowed: QuerySet[Any] = self.narrowed(queryset, self.text()) if self.text() else queryset
        return narrowed

    def narrowed(self, rows: Any, text: str) -> Any:
        """The rows that go with ``text``."""
        raise NotImplementedError


class DateFilter(admin.ListFilter):
    """From one day to another, both included, in the dashboard's time zone; with links for the usual stretches.

    Not Django's date hierarchy: that asks the database for every year or day that occurs, which reads all rows.

    Attributes:
        column: the moment that is compared.
    """

    template = "admin/dashboard/date_filter.html"
    column: str

    def __init__(
        self, request: HttpRequest, params: dict[str, list[str]], model: type[Model], model_admin: admin.ModelAdmin[Any]
    ) -> None:
        super().__init__(request, params, model, model_admin)
        for name in self.expected_parameters():
            if name in params:
                self.used_parameters[name] = params.pop(name)[-1]

    def expected_parameters(self) -> list[Any]:
        """The two ends, as they stand in the address."""
        return [f"{self.column}_from", f"{self.column}_to"]

    def has_output(self) -> bool:
        """Show the fields always."""
        return True

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        """Describe the form to the template, in one item."""
        first, last = self.expected_parameters()
        today = timezone.localdate()
        stretches = [("Today", 0), ("Last 7 days", 6), ("Last 30 days", 29), ("Last 365 days", 364)]
        yield {
            "ends": [(first, "From", self._typed(first)), (last, "To", self._typed(last))],
            "links": [
                {
                    "url": changelist.get_query_string(
                        {first: (start := str(today - timedelta(days=days))), last: None}
                    ),
                    "words": words,
                    "chosen": self._typed(first) == start and not self._typed(last),
                }
                for words, days in stretches
            ],
            "carried": _carried(changelist, first, last),
            "all": changelist.get_query_string({first: None, last: None}),
            "any": bool(self._typed(first) or self._typed(last)),
        }

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Narrow by the ends that are given."""
        first, last = (self._day(name) for name in self.expected_parameters())
        if first:
            queryset = queryset.filter(**{f"{self.column}__gte": _midnight(first)})
        if last:
            queryset = queryset.filter(**{f"{self.column}__lt": _midnight(last + timedelta(days=1))})
        return queryset

    def _typed(self, name: str) -> str:
        return str(self.used_parameters.get(name, ""))

    def _day(self, name: str) -> date | None:
        typed = self._typed(name)
        if not typed:
            return None
        try:
            day = parse_date(typed)
        except ValueError:
            day = None
        if day is None or not 1900 <= day.year <= 9000:
            raise IncorrectLookupParameters(typed)
        return day


def _midnight(day: date) -> datetime:
    return timezone.make_aware(datetime.combine(day, time.min))


def people_called(text: str) -> QuerySet[User]:
    """The person of exactly this user name, or all whose names hold every word."""
    words = Q()
    for word in text.split():
        words &= Q(username__icontains=word) | Q(first_name__icontains=word) | Q(last_name__icontains=word)
    exact = User.objects.filter(username=text)
    return exact if exact.exists() else User.objects.filter(words)


class PersonFilter(TextFilter):
    """Whose it is, by name.

    Attributes:
        column: the key to the person.
    """

    hint = "User name or name"
    column: str

    def narrowed(self, rows: Any, text: str) -> Any:
        """Those of the people called so, or of nobody."""
        if text == NOBODY:
            return rows.filter(**{self.column: None})
        return rows.filter(**{f"{self.column}__in": people_called(text)})
