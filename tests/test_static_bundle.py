"""Many small style sheets become one, and nothing in them breaks by the move."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from django.core.management import call_command
from pytest_django import Settings


@pytest.fixture
def source(settings: Settings, tmp_path: Path) -> Path:
    """A source folder as in the project."""
    folder = tmp_path / "source"
    files = {
        "css/app.css": '@layer base, parts;\n@import url("base.css") layer(base);\n@import url(parts/all.css);\n',
        "css/base.css": "body { color: black }",
        "css/parts/all.css": "@import url('button.css') layer(parts);",
        "css/parts/button.css": (
            'b { background: url("../../icons/dot.svg") } i { background: url(data:image/png;base64,AA==) }'
        ),
        "icons/dot.svg": "<svg/>",
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    settings.STATICFILES_DIRS = [folder]
    settings.INSTALLED_APPS = ["django.contrib.staticfiles"]
    settings.STATIC_ROOT = tmp_path / "collected"
    return folder


def collected(settings: Settings) -> tuple[str, str]:
    """Collect; answer the hashed name and the text of the one style sheet."""
    call_command("collectstatic", interactive=False, verbosity=0)
    root = Path(settings.STATIC_ROOT)
    name = json.loads((root / "staticfiles.json").read_text())["paths"]["css/app.css"]
    return name, (root / name).read_text()


def test_imports_are_written_in_place_within_their_layers(source: Path, settings: Settings) -> None:
    _, text = collected(settings)

    assert "@import" not in text
    assert text.startswith("@layer base, parts;")
    assert "@layer base {\nbody { color: black }\n}" in text
    assert "@layer parts {\nb {" in text


def test_what_only_people_need_stays_in_the_source(source: Path, settings: Settings) -> None:
    (source / "css/base.css").write_text("/* why,\n   in two lines */\nbody {\n  color: black;\n\n  --a: '  b';\n}\n")

    _, text = collected(settings)

    assert "@layer base {\nbody {\ncolor: black;\n--a: '  b';\n}\n}" in text


def test_addresses_of_pictures_still_lead_to_them(source: Path, settings: Settings) -> None:
    _, text = collected(settings)

    hashed = next(Path(settings.STATIC_ROOT, "icons").glob("dot.????????????.svg"))
    assert f'url("../icons/{hashed.name}")' in text
    assert "url(data:image/png;base64,AA==)" in text


def test_a_changed_part_changes_the_sheet_and_its_name(source: Path, settings: Settings) -> None:
    before, _ = collected(settings)
    (source / "css/base.css").write_text("body { color: navy }")

    after, text = collected(settings)

    assert after != before
    assert "navy" in text


def test_an_import_of_a_missing_file_fails_the_collection_by_name(source: Path, settings: Settings) -> None:
    (source / "css/app.css").write_text('@import url("no-such.css") layer(base);')

    with pytest.raises(ValueError, match=r"no-such\.css"):
        collected(settings)


def test_scripts_named_by_the_bundle_become_one_each_in_a_block_of_its_own(source: Path, settings: Settings) -> None:
    scripts = {"js/app.js": '// all\nimport "../vendor/lib.js";\nimport "one.js";\n'}
    scripts |= {"vendor/lib.js": "var lib = 1;", "js/one.js": "const lib2 = lib;"}
    for name, text in scripts.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(text)

    call_command("collectstatic", interactive=False, verbosity=0)

    root = Path(settings.STATIC_ROOT)
    name = json.loads((root / "staticfiles.json").read_text())["paths"]["js/app.js"]
    assert (root / name).read_text() == "{\nvar lib = 1;\n}\n{\nconst lib2 = lib;\n}\n"
