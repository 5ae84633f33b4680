"""What is shipped beside the code says true things: image, locks, Makefile, CI script."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import distributions, requires, version
from importlib.util import find_spec
from pathlib import Path

import pytest
from django.core.management import get_commands, load_command_class
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.env import ENVIRONMENT
from tests.processes import ROOT, environment, manage

LOCKS = ("requirements.lock", "requirements-dev.lock")


def pinned(lock: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9-]+)(?:\[\S+\])?==(\S+)", (ROOT / lock).read_text(), re.MULTILINE))


def declared(*extras: str) -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *(one for extra in extras for one in project["optional-dependencies"][extra])]
    return {re.split(r"[\[<>=]", one)[0].lower() for one in wanted}


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_pins_everything_by_hash_and_names_no_package_index(lock: str) -> None:
    text = (ROOT / lock).read_text()

    blocks = re.split(r"^(?=[a-z0-9-]+(?:\[\S+\])?==)", text, flags=re.MULTILINE)[1:]
    assert all("--hash=sha256:" in block for block in blocks)
    assert "://" not in text
    assert "index-url" not in text


def test_locks_hold_what_the_project_declares_in_the_same_versions() -> None:
    runtime, development = (pinned(lock) for lock in LOCKS)

    assert declared("postgres") <= set(runtime)
    assert declared("postgres", "dev") <= set(development)
    assert runtime.items() <= development.items()


def test_a_package_asked_for_with_an_extra_is_pinned_with_it() -> None:
    # pip takes `name==1` for no pin of `name[extra]`: it refuses to install the day a newer `name` comes out.
    text = (ROOT / LOCKS[1]).read_text()
    asked = {
        (canonicalize_name(wanted.name), extra)
        for name in pinned(LOCKS[1])
        if any(distributions(name=name))  # what only other systems need is not installed
        for wanted in map(Requirement, requires(name) or ())
        if wanted.marker is None or wanted.marker.evaluate({"extra": ""})
        for extra in wanted.extras
    }

    assert ("coverage", "toml") in asked
    for name, extra in asked:
        assert re.search(rf"^{name}\[\S*\b{extra}\b\S*\]==", text, re.MULTILINE), f"{name}[{extra}] is not pinned"


def test_the_tests_run_on_the_pinned_versions() -> None:
    assert version("django") == pinned("requirements.lock")["django"]


class TestImage:
    """The Dockerfile, as far as it can be followed without building it."""

    text = re.sub(r"^#.*$", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)

    def test_every_command_in_it_exists(self) -> None:
        called = re.findall(r'manage\.py"?,? "?([a-z_]+)([^&"\n]*)', self.text)

        assert {name for name, _ in called} >= {"collectstatic", "migrate", "serve"}
        for name, options in called:
            parser = load_command_class(get_commands()[name], name).create_parser("manage.py", name)
            parser.parse_args(options.split())

    def test_its_health_check_exists(self) -> None:
        assert re.search(r'HEALTHCHECK .*CMD \["python", "-m", "dashboard\.probe"\]', self.text)
        assert find_spec("dashboard.probe")

    def test_it_does_not_run_as_root(self) -> None:
        after_user = self.text.split("USER corral")[1]

        assert "RUN" not in after_user
        assert "CMD" in after_user

    def test_what_it_copies_is_enough_to_collect_the_static_files_without_secrets(self, tmp_path: Path) -> None:
        lines = (ROOT / ".dockerignore").read_text().splitlines()
        for name in (line[1:] for line in lines if line.startswith("!")):
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, tmp_path / name)
        # Without coverage too: a copy's lines are not the project's.
        bare = {n: value for n, value in environment().items() if n not in ENVIRONMENT and "COVERAGE" not in n}

        command = [sys.executable, "manage.py", "collectstatic", "--noinput", "--verbosity=0"]
        done = subprocess.run(
            command,
            cwd=tmp_path,
            env=bare,
            capture_output=True,
            text=True,
            check=False,
        )

        assert done.returncode == 0, done.stderr
        assert "css/app.css" in json.loads((tmp_path / "staticfiles" / "staticfiles.json").read_text())["paths"]


def test_every_target_the_makefile_explains_can_be_made() -> None:
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    targets = re.findall(r"^make (\w+)", shown, re.MULTILINE)

    assert {"demo", "test", "lint", "system", "bench", "lock"} <= set(targets)
    for target in targets:
        subprocess.run(["make", "--dry-run", target], cwd=ROOT, capture_output=True, check=True)


def test_the_ci_script_is_a_script() -> None:
    assert (ROOT / ".ci/run").stat().st_mode & 0o111
    subprocess.run(["bash", "-n", ".ci/run"], cwd=ROOT, check=True)


def test_migrations_describe_the_models() -> None:
    done = manage("makemigrations", "--check", "--dry-run")

    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("required", "status"), [("", 77), ("chromium", 77), ("postgres", 1), ("chromium, postgres", 1)]
)
def test_an_engine_that_is_required_but_missing_is_a_failure(required: str, status: int) -> None:
    changes = {"CORRAL_REQUIRE": required, "CORRAL_TEST_POSTGRES": "postgres://nobody@127.0.0.1:9/none"}
    command = [sys.executable, "-m", "tests.engines", "postgres"]

    done = subprocess.run(command, cwd=ROOT, env=environment(**changes), capture_output=True, text=True, check=False)

    assert done.returncode == status
    assert "no PostgreSQL answers" in done.stdout
