"""Every failure a person can meet, as a type.

A :class:`DashboardError` carries what a page needs to speak plainly and what support needs to help; nothing in it may
hold the API key, the upstream address or a stack trace, because all of it can be shown. The mapping to a page, a
fragment and a status is made once, in ``dashboard.web``.
"""

from __future__ import annotations


class DashboardError(Exception):
    """A failure with words for people.

    Args:
        detail: the technical line for "Details for support"; plain text, already free of secrets.
        retry_after: whole seconds after which trying again makes sense, or ``None`` when waiting does not help.

    Class attributes, overridden by each kind:
        code: stable machine name, written to the audit record.
        status: the HTTP status of *our* answer.
        sentence: what happened, what it means for the person's work and what to do next, in that order.
    """

    code = "error"
    status = 500
    sentence = "Corral could not do this. Nothing you entered is lost. Try again, or ask your administrator."

    def __init__(self, detail: str = "", *, retry_after: int | None = None) -> None:
        super().__init__(detail or self.sentence)
        self.detail = detail
        self.retry_after = retry_after
