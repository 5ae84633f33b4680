"""From a bad answer to an error: the words kept, the secrets removed, the wait."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from requests.structures import CaseInsensitiveDict

from dashboard.upstream import UpstreamError, errors
from dashboard.upstream.failures import DETAIL_LIMIT, clean, error_for, retry_after

KEY = "llx-secret-of-the-team"


def error(status: int, body: Any = b"", **headers: str) -> UpstreamError:
    told = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = CaseInsensitiveDict({name.replace("_", "-"): value for name, value in headers.items()})
    return error_for(status, sent, told, secrets=(KEY, "api.upstream.example"))


@pytest.mark.parametrize(
    ("status", "kind", "outcome"),
    [
        (400, errors.BadRequest, "refused"),
        (401, errors.KeyRejected, "refused"),
        (402, errors.CreditsExhausted, "refused"),
        (403, errors.AccessRefused, "refused"),
        (404, errors.NotFound, "refused"),
        (405, errors.BadRequest, "refused"),
        (407, errors.Unreachable, "refused"),
        (408, errors.UpstreamFailed, "unknown"),
        (409, errors.Conflict, "refused"),
        (410, errors.NotFound, "refused"),
        (413, errors.Invalid, "refused"),
        (418, errors.BadRequest, "refused"),
        (422, errors.Invalid, "refused"),
        (429, errors.RateLimited, "refused"),
        (500, errors.UpstreamFailed, "unknown"),
        (502, errors.UpstreamFailed, "unknown"),
        (599, errors.UpstreamFailed, "unknown"),
    ],
)
def test_each_status_has_its_kind(status: int, kind: type[UpstreamError], outcome: str) -> None:
    failure = error(status, {"detail": "Because."})
    assert type(failure) is kind
    assert (failure.outcome, failure.upstream_status) == (outcome, status)
    assert failure.detail == f"LlamaCloud answered {status}: Because."


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"detail": "Session not found"}, "Session not found"),
        ({"detail": [{"loc": ["body", "index_ids", 0], "msg": "not text", "type": "x", "input": "private"}]},
         "body.index_ids.0: not text"),
        ({"detail": [{"msg": "a"}, {"loc": "odd", "msg": "b"}, "c", {"no": "message"}]}, 'a; b; c; {"no": "message"}'),
        ({"detail": {"directory_id": "dir-1"}}, '{"directory_id": "dir-1"}'),
        ({"detail": {"message": "nested"}}, "nested"),
        ({"detail": 7}, "7"),
        ({"detail": None, "message": "other service"}, "other service"),
        ({"error": {"code": 3}}, '{"code": 3}'),
        ({"detail": []}, '{"detail": []}'),
        ({}, ""),
        ([], ""),
        ("just text", "just text"),
        (b"upstream connect error", "upstream connect error"),
        (b"<html>nginx</html>", "a web page instead of data"),
        (b"", ""),
        (b"\xff\xfe", "\ufffd\ufffd"),
    ],
)  # fmt: skip
def test_the_detail_of_any_shape_is_told(body: Any, words: str) -> None:
    assert error(422, body).detail == "LlamaCloud answered 422" + (f": {words}" if words else "")


def test_the_request_id_is_kept_for_support() -> None:
    assert error(500, X_Request_ID="req-\x1b[7").detail == "LlamaCloud answered 500 (request req-[7)"


def test_long_words_are_shortened() -> None:
    detail = error(422, {"detail": "x" * 5000}).detail
    assert len(detail) < DETAIL_LIMIT + 40
    assert detail.endswith("…")


@pytest.mark.parametrize(
    "echo",
    [
        f"bad key {KEY}!",
        f"bad key {KEY.upper()}!",
        "bad key llx-sec\u200bret-of-the-team!",
        "bad key llx-sec\x00ret-of-the-team!",
        "bad key llx-sec***am!",
        "Authorization: Bearer abc.def!",
        "at https://api.upstream.example/v1?key=1 !",
        "host api.upstream.example !",
        "postgres://user:pass@db/x !",
    ],
)
def test_no_secret_and_no_address_survives(echo: str) -> None:
    shown = clean(echo, secrets=(KEY, "api.upstream.example"))
    assert "removed]" in shown
    for leak in ("secret", "SECRET", "***", "ret-of", "abc.def", "upstream.example", "pass", "://"):
        assert leak not in shown


def test_control_and_direction_characters_are_dropped() -> None:
    assert clean("a\r\nb\t\x1b[31mc\u202ed\u2066e\ud800f\u2028g") == "a b [31mcdef g"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "0.2"}, 0.2),
        ({"Retry-After": "3600"}, 60.0),
        ({"Retry-After": "-1"}, None),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "inf"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:00 -0000"}, 0.0),
        ({"Retry-After": "Wed, 99 Oct 2015 07:28:00 GMT"}, None),
        ({"retry-after-ms": "250", "Retry-After": "9"}, 0.25),
        ({"retry-after-ms": "odd", "Retry-After": "9"}, 9.0),
    ],
)
def test_the_wait_is_read_in_every_form(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(CaseInsensitiveDict(headers)) == seconds


def test_a_date_is_a_wait_from_now() -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    wait = retry_after(CaseInsensitiveDict({"Retry-After": soon}))
    assert wait is not None
    assert 20 < wait <= 30


def test_a_person_waits_whole_seconds() -> None:
    assert error(429, Retry_After="0.2").retry_after == 1
    assert error(503, Retry_After="7").retry_after == 7
    assert error(429).retry_after is None


def test_cleaning_takes_time_in_proportion_to_the_text() -> None:
    began = time.process_time()
    clean("a" * 10_000)
    assert time.process_time() - began < 0.5, "the square of it takes seconds"


@pytest.mark.parametrize("kind", [kind for kind in vars(errors).values() if isinstance(kind, type)])
def test_a_page_that_only_looked_hears_nothing_of_what_was_entered(kind: type) -> None:
    if issubclass(kind, UpstreamError):
        told = kind("").when_reading
        assert told.endswith(".")
        assert "you entered" not in told
        assert "nothing was" not in told
        assert len(told) < 130
