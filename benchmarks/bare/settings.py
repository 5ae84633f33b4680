"""Django with nothing switched on: no apps, no database, and no middleware but what a benchmark asks for."""

from __future__ import annotations

import os

SECRET_KEY = "nothing-is-signed-here"
ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = "benchmarks.bare.views"
MIDDLEWARE = os.environ.get("BARE_MIDDLEWARE", "").split()
INSTALLED_APPS: list[str] = []
USE_TZ = True

UPSTREAM = os.environ.get("UPSTREAM", "")
"""Address of the server calls are passed on to."""
