"""Production's settings in the tests' environment, with three changes, each said below."""

from __future__ import annotations

from tests.env import scratch_folder, set_environment

set_environment()

from dashboard.settings import *  # noqa: E402, F403
from dashboard.settings import DATABASES  # noqa: E402

# PBKDF2 is slow on purpose; every test that makes people would pay for it.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

# Django would test SQLite in memory, where threads share one connection and no lock is like in production.
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    DATABASES["default"]["TEST"] = {"NAME": scratch_folder() / "test.sqlite3"}

# Every test client is a new web server, and each would list all static files first: 60 ms a client.
WHITENOISE_AUTOREFRESH = True
