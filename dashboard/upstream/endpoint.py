"""Where requests go and with what: the address, the key, the session, the request itself (contract.md §1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from http.cookiejar import DefaultCookiePolicy
from importlib.metadata import PackageNotFoundError, version
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
from requests.auth import AuthBase

from dashboard.upstream.connections import Adapter

_NO_ORIGIN = ("", "", 0)


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
        encoding: the compression asked for; a stream asks for none, because a compressor waits for more.
    """

    method: str
    template: str
    values: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str | int | None] = field(default_factory=dict)
    body: Any = None
    accept: str = "application/json"
    encoding: str = "gzip"

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
    session.headers.update({"User-Agent": f"Corral/{_version()}"})
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
    """The address with a scheme and without a trailing slash (contract.md §1).

    Raises:
        ValueError: it is none; the message does not repeat it.
    """
    url = base_url.strip()
    url = url if "://" in url else f"https://{url}"
    if origin(url) == _NO_ORIGIN or "@" in url or urlsplit(url).query or urlsplit(url).fragment:
        raise ValueError("The LlamaCloud address must be http(s)://host, without a user name, a query or a fragment.")
    return url.rstrip("/")


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port; one that equals no other when there is no such address."""
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    except (ValueError, KeyError):
        return _NO_ORIGIN
    return (parts.scheme, parts.hostname, port) if parts.hostname else _NO_ORIGIN


def target_of(url: str, location: str) -> str:
    """Where a redirect leads; ``""`` when that cannot be read."""
    try:
        return urljoin(url, location)
    except ValueError:
        return ""
