"""The one-time link that makes the first administrator of a new instance."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.core import signing
from django.urls import reverse

SALT = "corral.setup"
LASTS = 24 * 3600
"""Seconds a set-up link is good for; a restart prints a new one."""


def is_needed() -> bool:
    """Whether nobody can sign in yet."""
    return not User.objects.exists()


def setup_path() -> str:
    """The path of a fresh set-up link. It works only while there is no user, so it works once."""
    return reverse("setup", args=[signing.dumps("first administrator", salt=SALT)])


def key_is_good(key: str) -> bool:
    """Whether this key was made by this instance within the last day."""
    try:
        signing.loads(key, salt=SALT, max_age=LASTS)
    except signing.BadSignature:
        return False
    return True
