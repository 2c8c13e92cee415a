"""The Python in the README and the how-to pages runs as it stands, page by page, in order."""

import contextlib
import io
import re
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs" / "howto").glob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_python_of_a_page_runs(page, tmp_path, monkeypatch):
    blocks = list(BLOCK.finditer(page.read_text(encoding="utf-8")))
    assert blocks, f"{page.name} shows no Python"
    monkeypatch.chdir(tmp_path)
    before = torch.random.get_rng_state()
    names = {"__name__": "page"}
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        for block in blocks:
            line = page.read_text(encoding="utf-8")[: block.start(1)].count("\n")
            code = compile("\n" * line + block.group(1), str(page), "exec")
            exec(code, names)  # noqa: S102
    assert printed.getvalue().strip()
    assert "nan" not in printed.getvalue().lower().split()
    if page.parent.name == "howto" and "torch.rand" not in page.read_text(encoding="utf-8"):
        assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("page", PAGES[1:], ids=lambda page: page.stem)
def test_the_options_of_a_page_exist(page):
    """Every ``sundog COMMAND --option`` in a console block is known to the command."""
    import typer.main

    from sundog.cli.main import app

    commands = typer.main.get_command(app).commands
    shown = [
        line
        for block in COMMAND.findall(page.read_text(encoding="utf-8"))
        for line in block.replace("\\\n", " ").splitlines()
        if line.startswith("sundog ")
    ]
    assert shown
    for line in shown:
        _, name, *words = line.split()
        known = {
            option
            for parameter in commands[name].params
            for option in (*parameter.opts, *parameter.secondary_opts)
        }
        assert {word for word in words if word.startswith("--")} <= known, line
