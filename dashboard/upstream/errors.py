"""How a call to LlamaCloud fails, as types with words for people (contract.md §2).

Drawn as a tree; in brackets what is known of the work asked for::

    DashboardError
    └── UpstreamError
        ├── Refusal                [refused]  LlamaCloud answered, and the answer is no
        │   ├── BadRequest         400, and any other 4xx not named below
        │   ├── KeyRejected        401  bad, missing, revoked, or a key of the other region
        │   ├── CreditsExhausted   402
        │   ├── AccessRefused      403  project, role or plan
        │   ├── NotFound           404, 410
        │   ├── Conflict           409
        │   ├── Invalid            422, 413
        │   └── RateLimited        429  carries ``retry_after``
        ├── Unreachable            [refused]  no connection: nothing was sent
        ├── RedirectRefused        [refused, or unknown where the redirect may follow work done]
        ├── UpstreamFailed         [unknown]  5xx, 408
        ├── AnswerLost             [unknown]  sent, then silence or a cut
        └── UnreadableAnswer       [unknown]  answered, but not in words we can read

"Refused" means LlamaCloud certainly did not do it, "unknown" that it may have been done: a creation may only be tried
again blindly after the former.
"""

from __future__ import annotations

import re
from typing import Literal

from dashboard.errors import DashboardError

Outcome = Literal["refused", "unknown"]


class UpstreamError(DashboardError):
    """A call to LlamaCloud that brought no usable answer.

    Args:
        detail: the line for support: LlamaCloud's own words, status and request id, free of secrets and addresses.
        retry_after: whole seconds LlamaCloud asked us to wait, at most 60, or ``None``.
        upstream_status: the status LlamaCloud answered, or ``None`` when there was no answer.

    Attributes:
        outcome: ``"refused"`` (certainly not done) or ``"unknown"`` (may have been done).
    """

    code = "upstream_error"
    status = 502
    sentence = "LlamaCloud did not answer as expected. Nothing you entered is lost. Try again in a moment."
    outcome: Outcome = "unknown"

    def __init__(self, detail: str = "", *, retry_after: int | None = None, upstream_status: int | None = None) -> None:
        super().__init__(detail, retry_after=retry_after)
        self.upstream_status = upstream_status

    @property
    def when_reading(self) -> str:
        """What happened, for a page that only looked: nothing was entered, and nothing could have been done."""
        return re.split(r", so |, and it is not |\. ", self.sentence, maxsplit=1)[0] + "."


class Refusal(UpstreamError):
    """LlamaCloud answered that it would not do this, so it was not done."""

    code = "upstream_refused"
    outcome: Outcome = "refused"


class BadRequest(Refusal):
    """400, or a 4xx without a kind of its own: LlamaCloud did not accept the request as Corral wrote it."""

    code = "upstream_bad_request"
    sentence = (
        "LlamaCloud did not accept this request, so nothing was done. What you entered is kept. "
        "Check it and try again; if it keeps happening, show the details to your administrator."
    )


class KeyRejected(Refusal):
    """401: the key is wrong, missing, revoked, or belongs to the other region (contract.md §2)."""

    code = "upstream_key_rejected"
    sentence = (
        "LlamaCloud did not accept Corral's key, so nothing was done. What you entered is kept. "
        "Ask your administrator to check the key and its region."
    )


class CreditsExhausted(Refusal):
    """402: the account has no credits left, or the plan does not include this (contract.md §14.10)."""

    code = "upstream_credits_exhausted"
    status = 402
    sentence = (
        "Your organization's LlamaCloud credits are used up, so nothing was done. What you entered is kept. "
        "Ask your administrator to add credits, then try again."
    )


class AccessRefused(Refusal):
    """403: another project's resource, too low a role, or a plan without this (contract.md §2)."""

    code = "upstream_access_refused"
    status = 403
    sentence = (
        "LlamaCloud does not allow this for the project, role or plan that Corral's key belongs to, so nothing was "
        "done. What you entered is kept. Choose another project, or ask your administrator."
    )


class NotFound(Refusal):
    """404 or 410: unknown, deleted, or hidden from this key (contract.md §2)."""

    code = "upstream_not_found"
    status = 404
    sentence = (
        "LlamaCloud does not have this any more, or Corral's key cannot see it. "
        "Nothing was changed. Go back to the list and choose again."
    )


class Conflict(Refusal):
    """409: it clashes with something that is already so (contract.md §2, §7)."""

    code = "upstream_conflict"
    status = 409
    sentence = (
        "LlamaCloud refused because this clashes with something already going on or already fixed, so nothing was "
        "done. What you entered is kept. Look at the current state, then try again."
    )


class Invalid(Refusal):
    """422 or 413: a value LlamaCloud does not take (contract.md §2)."""

    code = "upstream_invalid"
    status = 422
    sentence = (
        "LlamaCloud did not accept one of the values, so nothing was done. What you entered is kept. "
        "Change it and try again; the details name the value."
    )


class RateLimited(Refusal):
    """429: too many requests; :attr:`retry_after` says when to come back, if LlamaCloud did."""

    code = "upstream_rate_limited"
    status = 429
    sentence = (
        "LlamaCloud is receiving too many requests right now, so nothing was done. What you entered is kept. "
        "Wait a little, then try again."
    )


class Unreachable(UpstreamError):
    """No connection (refused, unknown name, time-out, failed TLS): nothing was sent."""

    code = "upstream_unreachable"
    status = 503
    sentence = (
        "Corral could not reach LlamaCloud, so nothing was sent and nothing was done. What you entered is kept. "
        "Try again in a moment; if it keeps happening, ask your administrator."
    )
    outcome: Outcome = "refused"


class RedirectRefused(UpstreamError):
    """A redirect Corral does not follow: to another origin, or of anything but a read.

    Args:
        detail: as for every :class:`UpstreamError`.
        outcome: ``"unknown"`` when the request was no read and the redirect may be how LlamaCloud ends finished
            work (301, 302, 303); 307 and 308 ask for the same request elsewhere, so nothing was done.
        upstream_status: the redirect's status.
    """

    code = "upstream_redirected"
    sentence = (
        "LlamaCloud's address answered with a redirect that Corral does not follow, to keep its key safe. "
        "What you entered is kept. Ask your administrator to check the configured address."
    )
    outcome: Outcome = "refused"

    def __init__(self, detail: str = "", *, outcome: Outcome = "refused", upstream_status: int | None = None) -> None:
        super().__init__(detail, upstream_status=upstream_status)
        self.outcome = outcome


class UpstreamFailed(UpstreamError):
    """5xx or 408: LlamaCloud, or something in front of it, failed; the work may have been done before that."""

    code = "upstream_failed"
    sentence = (
        "LlamaCloud has a problem of its own right now, and it is not certain whether this was done. "
        "What you entered is kept. Wait a moment and check before you try again."
    )


class AnswerLost(UpstreamError):
    """The request went out, then came silence or a cut: it may have been done."""

    code = "upstream_answer_lost"
    status = 504
    sentence = (
        "LlamaCloud's answer did not arrive, so it is not certain whether this was done. "
        "What you entered is kept. Check before you try again."
    )


class UnreadableAnswer(UpstreamError):
    """LlamaCloud, or something in front of it, answered with what is not the documented JSON.

    Args:
        detail: as for every :class:`UpstreamError`.
        cut: the JSON does not parse, as when the connection ended early; a read may be tried again.
        upstream_status: the status of the answer.
    """

    code = "upstream_unreadable"
    sentence = (
        "LlamaCloud answered in a way Corral cannot read, so it is not certain whether this was done. "
        "What you entered is kept. Check before you try again; if it keeps happening, ask your administrator."
    )

    def __init__(self, detail: str = "", *, cut: bool = False, upstream_status: int | None = None) -> None:
        super().__init__(detail, upstream_status=upstream_status)
        self.cut = cut
