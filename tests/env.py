"""The environment every test runs in: production's settings over plain HTTP, with a key worth leaking."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

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

    ``DATABASE_URL`` alone is kept: it chooses the engine of the run, and tests make a database of their own there.
    """
    from dashboard.config import Config

    for field in Config.model_fields:
        if field != "database_url":
            os.environ.pop(field.upper(), None)
            os.environ.pop(f"{field.upper()}_FILE", None)
    os.environ.update(ENVIRONMENT)


def scratch_folder() -> Path:
    """Answer a folder for this run's databases; parallel workers share it, parallel runs do not."""
    if "CORRAL_TEST_FOLDER" not in os.environ:
        os.environ["CORRAL_TEST_FOLDER"] = made = tempfile.mkdtemp(prefix="corral-test-")
        atexit.register(shutil.rmtree, made, ignore_errors=True)
    return Path(os.environ["CORRAL_TEST_FOLDER"])
