"""The environment every test runs in: production's settings over plain HTTP, with a key worth leaking."""

from __future__ import annotations

import os

API_KEY = "llx-Zk7TestKeyThatMustNeverBeSeenAnywhere0123456789"
"""Looks like a real key; crawling tests search pages, headers and logs for it."""

ENVIRONMENT = {
    "LLAMA_CLOUD_API_KEY": API_KEY,
    "LLAMA_CLOUD_BASE_URL": "http://127.0.0.1:9",  # the discard port: a test that needs an upstream says so
    "SECRET_KEY": "only-for-tests-only-for-tests-only-for-tests",
    "ALLOWED_HOSTS": "localhost,127.0.0.1,testserver",
    "INSECURE_HTTP": "1",
}


def set_environment() -> None:
    """Make this process's environment the tests' one, whatever the developer's shell holds.

    ``CORRAL_TEST_DATABASE_URL`` may name another database engine for the whole run.
    """
    from dashboard.config import Config

    for field in Config.model_fields:
        os.environ.pop(field.upper(), None)
        os.environ.pop(f"{field.upper()}_FILE", None)
    os.environ.update(ENVIRONMENT)
    if chosen := os.environ.get("CORRAL_TEST_DATABASE_URL"):
        os.environ["DATABASE_URL"] = chosen
