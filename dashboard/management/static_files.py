"""Whether the static files are collected and still match their sources."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings
from django.core.management import call_command

from dashboard import static_bundle

NOT_COLLECTED = "The static files are not collected. Run: python manage.py collectstatic --noinput"


def _manifest() -> Path:
    return Path(settings.STATIC_ROOT) / "staticfiles.json"


def are_current() -> bool:
    """Say whether the collected files are there and no source is newer."""
    manifest = _manifest()
    if not manifest.is_file():
        return False
    collected_at = manifest.stat().st_mtime
    sources = [path for folder in settings.STATICFILES_DIRS for path in Path(folder).rglob("*") if path.is_file()]
    # How they are put together is a source too.
    sources.append(Path(static_bundle.__file__))
    return all(path.stat().st_mtime <= collected_at for path in sources)


def collect_if_needed() -> bool:
    """Collect the static files unless they are current; answer whether they can be served now."""
    if are_current():
        return True
    try:
        call_command("collectstatic", interactive=False, verbosity=0)
    except OSError:
        # Read-only. An image is built with its files collected; there, an older time stamp means nothing.
        return _manifest().is_file()
    return True
