"""Where requests go and with what: the address, the key, the session, the request itself (contract.md §1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from http.cookiejar import DefaultCookiePolicy
from importlib.metadata import PackageNotFoundError, version
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.auth import AuthBase

from dashboard.upstream.connections import Adapter


@dataclass(frozen=True)
class Request:
    """What to ask for.

    Args:
        method: ``GET``, ``POST`` or ``DELETE``.
        template: the path with its variables in braces, which is what the log shows.
        values: the variables, already percent-encoded.
        query: parameters; a ``None`` is left out.
        body: the JSON body, or ``None`` for none.
        accept: the media types asked for.
    """

    method: str
    template: str
    values: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str | int | None] = field(default_factory=dict)
    body: Any = None
    accept: str = "application/json"

    @property
    def is_read(self) -> bool:
        """Whether the request may be repeated."""
        return self.method == "GET"


@dataclass(frozen=True)
class Answer:
    """A success: its status and its body, whole."""

    status: int
    body: bytes


class _Bearer(AuthBase):
    """Adds the key at the last moment and never shows it."""

    def __init__(self, key: str) -> None:
        self._header = f"Bearer {key}"

    def __call__(self, prepared: requests.PreparedRequest) -> requests.PreparedRequest:
        prepared.headers["Authorization"] = self._header
        return prepared

    def __repr__(self) -> str:
        return "<API key>"


def new_session(key: str, pool_size: int) -> requests.Session:
    session = requests.Session()
    # Otherwise a .netrc entry replaces our bearer token and the environment chooses a proxy.
    session.trust_env = False
    session.auth = _Bearer(key)
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
    session.headers.clear()
    # gzip only: of what urllib3 may decode it is the one whose output it bounds in every version we accept.
    session.headers.update({"User-Agent": f"Corral/{_version()}", "Accept-Encoding": "gzip"})
    adapter = Adapter(pool_connections=4, pool_maxsize=pool_size, max_retries=0, pool_block=False)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def _version() -> str:
    try:
        return version("corral")
    except PackageNotFoundError:
        return "source"


def normalised(base_url: str) -> str:
    url = base_url.strip().rstrip("/")
    if "://" not in url:
        url = f"https://{url}"
    parts = urlsplit(url)
    if (
        parts.scheme not in ("http", "https")
        or not parts.hostname
        or parts.query
        or parts.fragment
        or "@" in parts.netloc
    ):
        raise ValueError("The LlamaCloud address must be http(s)://host, without a user name, a query or a fragment.")
    return url


def origin(url: str) -> tuple[str, str | None, int | None]:
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return ("", None, None)
    return (parts.scheme, parts.hostname, port)
