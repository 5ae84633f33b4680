"""What a browser loads: small, ours or vendored unchanged, readable in both themes, and without inline code."""

from __future__ import annotations

import gzip
import hashlib
import re
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.template import Context, Template

from dashboard.static_bundle import scripts_of
from dashboard.templatetags.corral import LOCK_ICONS, READINESS_MARKS, RUN_MARKS

STATIC = settings.BASE_DIR / "static"
TEMPLATES = sorted((settings.BASE_DIR / "templates").rglob("*.html"))
OURS = [path for path in TEMPLATES if "admin" not in path.parts]
PARTIALS = [path for path in OURS if path.name.startswith("_")]
SCRIPTS = sorted((STATIC / "js").glob("*.js"))

COLD_LOAD = 55_000
"""Bytes, compressed part by part, of everything static a first visit can load (as one sheet and one script it is
less); the limit for a page with its HTML is 60,000."""


def name(path: Path) -> str:
    """A test's id for a file."""
    return str(path.relative_to(settings.BASE_DIR))


# --- Vendored files -------------------------------------------------------------------------------------------------


def test_vendored_files_are_the_ones_the_table_names() -> None:
    table = re.findall(
        r"^\| (\S+\.js) \|.*\| ([0-9a-f]{64}) \|$", (STATIC / "vendor/README.md").read_text(), re.MULTILINE
    )
    assert {file for file, _ in table} == {path.name for path in (STATIC / "vendor").glob("*.js")}
    for file, checksum in table:
        assert hashlib.sha256((STATIC / "vendor" / file).read_bytes()).hexdigest() == checksum


def test_the_table_names_the_version_that_the_file_has() -> None:
    version = re.search(r'this\.version="([^"]+)"', (STATIC / "vendor/htmx.min.js").read_text())
    assert version
    assert f"| {version[1]} |" in (STATIC / "vendor/README.md").read_text()


# --- Nothing inline, nothing evaluated, nothing from elsewhere --------------------------------------------------------


@pytest.mark.parametrize("path", TEMPLATES, ids=name)
def test_a_template_holds_no_inline_code_or_style(path: Path) -> None:
    text = path.read_text()
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|hx-on|javascript:|[\"']js:", text)
    assert not re.search(r"<script(?![^>]*\ssrc=)", text)


@pytest.mark.parametrize("path", OURS, ids=name)
def test_no_trigger_needs_an_evaluated_filter(path: Path) -> None:
    assert not re.search(r'hx-trigger="[^"]*\[', path.read_text())


@pytest.mark.parametrize("path", OURS, ids=name)
def test_a_template_loads_nothing_from_elsewhere(path: Path) -> None:
    assert not re.search(r'(?:src|href|action)="(?:https?:)?//', path.read_text())


@pytest.mark.parametrize("path", SCRIPTS, ids=name)
def test_a_script_builds_no_html_from_text(path: Path) -> None:
    assert not re.search(
        r"[.\[]\s*[\"']?(inner|outer)HTML|insertAdjacentHTML|document\.write|\beval\(|new Function", path.read_text()
    )


def test_a_page_carries_no_script_but_the_few_lines_that_fetch_them_all() -> None:
    tags = [tag for path in OURS for tag in re.findall(r"<script[^>]*>", path.read_text())]
    assert not tags, "scripts are named in js/app.js, and {% scripts %} writes the tags"
    starter = Template("{% load corral %}{% scripts %}").render(Context())
    assert starter.startswith("<script>Promise.all(")
    assert re.search(r'import\("/static/js/app\.[0-9a-f]{12}\.js"\)', starter)
    assert len(starter) < 400


# --- Sizes ----------------------------------------------------------------------------------------------------------


def test_the_first_cold_load_is_light() -> None:
    # Part by part, which is more than the one sheet and the one script that are sent.
    files = [path for path in STATIC.rglob("*") if path.suffix in (".css", ".js", ".svg")]
    assert sum(len(gzip.compress(path.read_bytes())) for path in files) < COLD_LOAD


@pytest.mark.parametrize(
    ("paths", "most"),
    [(PARTIALS, 55), (SCRIPTS, 80), (sorted((STATIC / "css").rglob("*.css")), 150), (OURS, 120)],
    ids=["partials", "behaviours", "style sheets", "pages"],
)
def test_a_file_can_be_read_at_a_glance(paths: list[Path], most: int) -> None:
    assert not [name(path) for path in paths if len(path.read_text().splitlines()) > most]


@pytest.mark.parametrize("path", PARTIALS, ids=name)
def test_a_partial_begins_with_the_variables_it_takes(path: Path) -> None:
    assert path.read_text().startswith("{% comment %}\n")


# --- Drawings -------------------------------------------------------------------------------------------------------


def test_every_drawing_that_is_named_exists_and_every_one_that_exists_is_named() -> None:
    drawn = set(re.findall(r'<symbol id="([\w-]+)"', (settings.BASE_DIR / "templates/shared/icons.svg").read_text()))
    text = "".join(path.read_text() for path in OURS)
    named = set(re.findall(r'{% icon "([\w-]+)"', text)) | set(re.findall(r'icon_name="([\w-]+)"', text))
    named |= set(LOCK_ICONS.values()) | {drawing for drawing, _ in [*READINESS_MARKS.values(), *RUN_MARKS.values()]}
    assert drawn == named | {"gone"}


# --- Contrast -------------------------------------------------------------------------------------------------------


def pairs() -> dict[str, tuple[str, str]]:
    """Each colour token with its light and its dark value."""
    tokens = (STATIC / "css/tokens.css").read_text()
    return {
        token: (light, dark) for token, light, dark in re.findall(r"--([\w-]+): light-dark\((#\w+), (#\w+)\)", tokens)
    }


def luminance(colour: str) -> float:
    """WCAG's relative luminance of ``#rgb`` or ``#rrggbb``."""
    digits = colour[1:] if len(colour) == 7 else "".join(digit * 2 for digit in colour[1:])
    channels = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """WCAG's contrast ratio of two colours."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


SURFACES = ["page", "sunken", "raised", "hover", "accent-soft"]
TEXTS = ["ink", "ink-soft", "ink-quiet", "accent"]
READ = [
    *product(TEXTS, SURFACES),
    *[("bad", surface) for surface in ("page", "raised", "hover", "bad-soft", "accent-soft")],
    *[("warn", surface) for surface in ("page", "warn-soft")],
    *[("ink", surface) for surface in ("warn-soft", "bad-soft")],
    ("on-accent", "accent"),
    ("on-accent", "accent-strong"),
]
DRAWN = [*product(["control", "good", "info", "warn"], ["page", "raised"])]


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(("front", "back", "least"), [(*pair, 4.5) for pair in READ] + [(*pair, 3.0) for pair in DRAWN])
def test_colours_can_be_told_apart(front: str, back: str, least: float, theme: int) -> None:
    colours = pairs()
    assert contrast(colours[front][theme], colours[back][theme]) >= least


def test_the_bundle_names_every_behaviour_once() -> None:
    named = scripts_of("js/app.js", (STATIC / "js/app.js").read_text())
    own = {f"js/{path.name}" for path in (STATIC / "js").glob("*.js")} - {"js/app.js", "js/start.js"}
    assert sorted(named) == sorted({*own, *(f"vendor/{path.name}" for path in (STATIC / "vendor").glob("*.js"))})


def test_while_debugging_each_behaviour_is_fetched_by_itself(settings: Any) -> None:
    assert Template("{% load corral %}{% scripts %}").render(Context()).count("<script") == 1
    settings.DEBUG = True
    assert Template("{% load corral %}{% scripts %}").render(Context()).count("<script") > 10
