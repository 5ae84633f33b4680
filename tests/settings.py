"""Production's settings in the tests' environment, with one change: passwords are hashed quickly."""

from __future__ import annotations

from tests.env import set_environment

set_environment()

from dashboard.settings import *  # noqa: E402, F403

# PBKDF2 is slow on purpose; every test that makes people would pay for it.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
