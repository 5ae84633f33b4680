"""What a single environment value may look like, and the words for one that does not.

Every function takes the text of one variable and answers the value to use, or raises ``ValueError`` with words that
continue the sentence "<VARIABLE> …". The words never hold the value.
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from urllib.parse import SplitResult, urlsplit
from zoneinfo import ZoneInfo

import dj_database_url

MIN_SECRET_KEY = 32
"""Characters: below this, Django's signatures can be guessed offline."""
DATABASES = ("sqlite", "postgres", "postgresql")

Network = IPv4Network | IPv6Network


def comma_list(text: str | tuple[str, ...]) -> tuple[str, ...]:
    """Split a comma list; blanks around and between entries do not matter."""
    parts = text.split(",") if isinstance(text, str) else text
    return tuple(part.strip() for part in parts if part.strip())


def _split_url(text: str) -> SplitResult:
    if any(character.isspace() for character in text):
        raise ValueError("holds a blank or a line break, which an address cannot have.")
    try:
        url = urlsplit(text)
        _ = url.port  # a port that is no number is only found when it is asked for
    except ValueError:
        raise ValueError("is not an address.") from None
    if not url.hostname:
        raise ValueError("names no host.")
    return url


def is_loopback(host: str) -> bool:
    """Say whether ``host`` is this machine, so that plain HTTP to it crosses no wire."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def header_safe(key: str) -> str:
    """Accept what can be sent in an ``Authorization`` header: visible ASCII only."""
    if not all("!" <= character <= "~" for character in key):
        raise ValueError("holds a blank, a line break or a character outside ASCII; copy the key again, alone.")
    return key


def upstream_url(text: str, *, plain_http: bool) -> str:
    """Read the address of LlamaCloud: ``https://`` is added when no scheme is given, a closing ``/`` is dropped."""
    text = text if "://" in text else f"https://{text}"
    url = _split_url(text)
    if url.scheme not in {"http", "https"}:
        raise ValueError("must begin with https://.")
    if url.username or url.password or url.query or url.fragment:
        raise ValueError("must be a plain address: no user name, no ? and no #.")
    if url.scheme == "http" and not plain_http and not is_loopback(url.hostname or ""):
        raise ValueError("is plain http, which would send the key in the clear; use https://.")
    return text.rstrip("/")


def proxy_url(text: str) -> str:
    """Read the address of the HTTP proxy on the way to LlamaCloud; it may hold a user name and a password."""
    if _split_url(text).scheme not in {"http", "https"}:
        raise ValueError("must begin with http:// or https://.")
    return text


def database_url(text: str) -> str:
    """Read a database address: ``sqlite:///file`` or ``postgres://user:password@host/name``."""
    scheme = text.partition("://")[0]
    if "://" not in text or scheme not in DATABASES:
        raise ValueError("must begin with sqlite:/// or postgres://.")
    try:
        parsed = dj_database_url.parse(text)
    except (ValueError, dj_database_url.ParseError):
        raise ValueError("is not a database address.") from None
    if not parsed.get("NAME"):
        raise ValueError("names no database.")
    return text


def long_enough(key: str) -> str:
    """Refuse a signing key short enough to be guessed."""
    if len(key) < MIN_SECRET_KEY:
        raise ValueError(f"is shorter than {MIN_SECRET_KEY} characters.")
    return key


def host_names(text: str | tuple[str, ...]) -> tuple[str, ...]:
    """Read host names as people type them in a browser: no scheme, no port, no path."""
    hosts = comma_list(text)
    for host in hosts:
        inner = host[1:-1] if host.startswith("[") and host.endswith("]") else host.replace(":", "/")
        if "/" in inner or any(character.isspace() for character in host):
            raise ValueError("must list bare host names: no https://, no port, no path.")
        if host == "*":
            raise ValueError("may not be *: any site could then pose as this one. List the names.")
    return hosts


def origins(text: str | tuple[str, ...]) -> tuple[str, ...]:
    """Read origins: scheme and host (and port), nothing behind."""
    listed = comma_list(text)
    for origin in listed:
        url = _split_url(origin)
        if url.scheme not in {"http", "https"}:
            raise ValueError("must list addresses that begin with https://.")
        if url.path or url.query or url.fragment or url.username:
            raise ValueError("must list scheme and host only, with nothing behind the host.")
    return listed


def networks(text: str | tuple[str, ...]) -> tuple[Network, ...]:
    """Read a list of addresses or networks in CIDR notation."""
    try:
        return tuple(ip_network(entry) for entry in comma_list(text))
    except ValueError:
        raise ValueError("must list addresses or networks, and a network's host bits must be zero.") from None


def url_prefix(text: str) -> str:
    """Read the folder Corral lives under, as ``/folder`` without a closing slash; ``/`` alone means none."""
    path = "/" + text.strip("/")
    if path == "/":
        return ""
    if not all(part and part.replace("-", "").replace("_", "").isalnum() for part in path[1:].split("/")):
        raise ValueError("may hold only letters, digits, - and _ between its slashes.")
    return path


def time_zone(text: str) -> str:
    """Accept a name from the time zone database."""
    try:
        ZoneInfo(text)
    except (KeyError, ValueError, OSError):
        raise ValueError("is not a time zone's name.") from None
    return text
