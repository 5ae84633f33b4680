"""Values as the admin shows them. Upstream text is hostile until shown by one of these."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.http import urlencode
from django.utils.safestring import SafeString

from dashboard.templatetags.wording import NOTHING, visible

IN_A_LIST = 80
ON_A_PAGE = 2_000


def line(text: object, limit: int = IN_A_LIST) -> SafeString:
    """One line of foreign text that can neither turn its neighbours around nor push them away."""
    return format_html('<bdi class="foreign">{}</bdi>', visible(str(text), limit) or NOTHING)


def lines(text: object) -> SafeString:
    """Foreign text with its line breaks."""
    return format_html(
        '<bdi class="foreign foreign-lines">{}</bdi>', visible(str(text), ON_A_PAGE, lines=True) or NOTHING
    )


def link(url: str, text: object) -> SafeString:
    """A link named by foreign text."""
    return format_html('<a href="{}">{}</a>', url, line(text))


def list_url(noun: str, **query: str) -> str:
    """The address of the list of ``noun`` (a model's name in lower case), narrowed by ``query``."""
    url = reverse(f"admin:dashboard_{noun}_changelist")
    return f"{url}?{urlencode(query)}" if query else url


def page_url(noun: str, pk: object) -> str:
    """The address of one row's page."""
    return reverse(f"admin:dashboard_{noun}_change", args=[pk])


def verbatim(value: Any) -> SafeString:
    """JSON, indented and complete. Characters one cannot see are spelled out instead of dropped: this is evidence."""
    text = json.dumps(value, ensure_ascii=False, indent=2)
    return format_html('<pre class="foreign verbatim">{}</pre>', "".join(map(_spelled_out, text)))


def _spelled_out(character: str) -> str:
    if character == "\n" or not unicodedata.category(character).startswith("C"):
        return character
    return json.dumps(character)[1:-1]


def facts(values: Mapping[str, Any]) -> SafeString | str:
    """A flat object as lines of ``name: value``."""
    return _list((name.replace("_", " "), _plain(value)) for name, value in values.items())


def _plain(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ", ".join(value) or "none"
    words = {None: "none", True: "yes", False: "no"}
    return words[value] if value is None or isinstance(value, bool) else json.dumps(value, ensure_ascii=False)


def _list(rows: Iterable[tuple[str, str]]) -> SafeString | str:
    items = format_html_join("", "<li>{}: {}</li>", ((line(name), line(value, 500)) for name, value in rows))
    return format_html('<ul class="facts">{}</ul>', items) if items else ""
