#!/usr/bin/env python3
"""Corral's command line: ``./manage.py help`` lists what it can do."""

from __future__ import annotations

import os
import sys

from dashboard.config import ConfigError


def main() -> None:
    """Run one command; a bad environment ends it with words instead of a traceback."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dashboard.settings")
    from django.conf import settings
    from django.core.management import execute_from_command_line

    try:
        _ = settings.DEBUG  # reads the environment
    except ConfigError as problem:
        sys.exit(f"Corral cannot start:\n{problem}")
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
