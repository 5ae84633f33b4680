"""The bytes behind a presigned address (contract.md §8): fetched once, without the key, and never stored or logged."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass

import requests
from urllib3.exceptions import HTTPError

from dashboard.upstream.connections import CONNECT_SECONDS, Adapter, Call
from dashboard.upstream.errors import AnswerLost, NotFound, UnreadableAnswer

MAX_BYTES = 20 * 1024 * 1024
SECONDS = 20.0
"""For all of it, from the connection to the last byte."""
GAP = 10.0
"""Seconds of silence after which it counts as lost."""
_KIND = re.compile(r"image/[a-z0-9.+-]{1,60}")


@dataclass(frozen=True)
class Content:
    """An attachment as the storage sent it."""

    content: bytes
    content_type: str


def fetch_presigned(url: str, *, proxies: Mapping[str, str] | None = None) -> Content:
    """Fetch an image.

    Args:
        url: a presigned address; its signature is its own authority, so nothing of ours goes along.
        proxies: by scheme, as for every other call; none means a direct connection.

    Raises:
        NotFound: the storage has no such image.
        UnreadableAnswer: it is not an image, or too large, or leads elsewhere.
        AnswerLost: the storage did not answer.
    """
    if not url.startswith(("https://", "http://")):
        raise UnreadableAnswer("the attachment's address is not a web address")
    with closing(Adapter()) as adapter, Call(SECONDS, safe=True) as call, call.on_this_thread():
        try:
            prepared = requests.Request("GET", url, headers={"Accept-Encoding": "identity"}).prepare()
            # Not by a session: even told not to follow, it would read a redirect's body whole, however long.
            with adapter.send(
                prepared, stream=True, timeout=(CONNECT_SECONDS, GAP), verify=True, proxies=dict(proxies or {})
            ) as response:
                return _read(response)
        except (requests.RequestException, HTTPError, OSError, ValueError):
            # "from None": the address is in the exception's text. An address that is none is a ValueError.
            raise AnswerLost("the storage of page images did not answer") from None


def _read(response: requests.Response) -> Content:
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if response.status_code in (403, 404, 410):
        raise NotFound("the storage has no such page image")
    encoded = response.headers.get("content-encoding", "identity").lower() != "identity"
    if response.status_code != 200 or encoded or not _KIND.fullmatch(kind):
        raise UnreadableAnswer("the storage did not answer with an image")
    body = bytearray()
    for part in response.iter_content(64 * 1024):
        body += part
        if len(body) > MAX_BYTES:
            raise UnreadableAnswer("the page image is too large")
    return Content(bytes(body), kind)
