"""The bytes behind a presigned address (contract.md §8): fetched once, without the key, and never stored or logged."""

from __future__ import annotations

from dataclasses import dataclass

import requests

from dashboard.upstream.errors import AnswerLost, NotFound, UnreadableAnswer

MAX_BYTES = 20 * 1024 * 1024
TIMEOUT = (3.05, 10)


@dataclass(frozen=True)
class Content:
    """An attachment as the storage sent it."""

    content: bytes
    content_type: str


def fetch_presigned(url: str) -> Content:
    """Fetch an image.

    Args:
        url: a presigned address; its signature is its own authority, so nothing of ours goes along.

    Raises:
        NotFound: the storage has no such image.
        UnreadableAnswer: it is not an image, or too large, or leads elsewhere.
        AnswerLost: the storage did not answer.
    """
    if not url.startswith(("https://", "http://")):
        raise UnreadableAnswer("the attachment's address is not a web address")
    with requests.Session() as session:
        session.trust_env = False
        try:
            with session.get(url, stream=True, timeout=TIMEOUT, allow_redirects=False) as response:
                return _read(response)
        except requests.RequestException:
            # "from None": the address is in the exception's text.
            raise AnswerLost("the storage of page images did not answer") from None


def _read(response: requests.Response) -> Content:
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if response.status_code in (403, 404, 410):
        raise NotFound("the storage has no such page image")
    if response.status_code != 200 or not kind.startswith("image/"):
        raise UnreadableAnswer("the storage did not answer with an image")
    body = bytearray()
    for part in response.iter_content(64 * 1024):
        body += part
        if len(body) > MAX_BYTES:
            raise UnreadableAnswer("the page image is too large")
    return Content(bytes(body), kind)
