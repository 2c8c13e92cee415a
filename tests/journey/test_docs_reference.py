"""The reference pages say what the code says; every method has a section, every link a target."""

import importlib.util
import re
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sundog.cli.main import app
from sundog.explain.registry import METHODS

DOCS = Path(__file__).parents[2] / "docs"


def generator():
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_here(command, *, env, **_options):
    """Run ``python -m sundog ...`` in this process: one start of Python per command costs most."""
    assert command[1:3] == ["-m", "sundog"]
    done = CliRunner().invoke(app, command[3:], prog_name="python -m sundog", env=env)
    return subprocess.CompletedProcess(command, done.exit_code, stdout=done.output)


@pytest.fixture(scope="module")
def built():
    """The generator, whose commands run in this process."""
    module = generator()
    with pytest.MonkeyPatch.context() as here:
        here.setattr(module.subprocess, "run", run_here)
        yield module


@pytest.mark.parametrize(
    "page",
    [
        *("reference/methods.md", "reference/cli.md", "reference/api.md", "reference/repairs.md"),
        "reference/concepts.md",
    ],
)
def test_reference_page_is_up_to_date(built, page):
    text = built.PAGES[page]()
    assert (DOCS / page).read_text(encoding="utf-8") == text, "run: make docs"


def test_every_method_has_a_section():
    text = (DOCS / "reference/methods.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (\w+)$", text, re.MULTILINE) == list(METHODS)


def test_every_name_is_described_once():
    """A second description is a second anchor of one name: ``mkdocs build --strict`` refuses it."""
    pages = sorted((DOCS / "reference").glob("*.md"))
    names = [
        name
        for page in pages
        for name in re.findall(r"^::: (\S+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    assert len(names) > 100
    assert sorted(names) == sorted(set(names))


def test_every_page_of_the_navigation_exists():
    nav = (DOCS.parent / "mkdocs.yml").read_text(encoding="utf-8")
    for page in re.findall(r": ([\w/]+\.md)$", nav, re.MULTILINE):
        assert (DOCS / page).is_file(), page


def test_links_and_pictures_lead_somewhere():
    for page in [*DOCS.rglob("*.md"), DOCS.parent / "README.md"]:
        text = page.read_text(encoding="utf-8")
        for link in re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)(?:#[^)]*)?\)", text):
            assert (page.parent / link).exists(), f"{page.name}: {link}"
