"""The examples of the four seeds run, cell by cell, and their notebooks are the scripts."""

import contextlib
import importlib.util
import io
import json
import runpy
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "examples"
_spec = importlib.util.spec_from_file_location("make_notebooks", FOLDER / "make_notebooks.py")
make_notebooks = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(make_notebooks)

SAID = {
    "explain_photographs": ["integrated gradients", "No other method is shown", "centre"],
    "biased_model": ["square shown", "relies on the cue", "cues claimed of"],
    "risk_faces": ["From least to most represented", "as many equal ones", "All windows:"],
    "inspect_digits": ["images, accuracy", "findings. Page:"],
}
PICTURES = {
    "explain_photographs": {"maps.png", "curves.png", "deletion.png"},
    "biased_model": {"maps.png"},
    "risk_faces": {"rare-faces.png", "representation.png", "epistemic.png"},
    "inspect_digits": {"digits.png"},
}


def test_every_example_is_known():
    others = {"make_notebooks", "debias_digits"}
    assert {path.stem for path in FOLDER.glob("*.py")} - others == set(SAID)
    assert {path.stem for path in FOLDER.glob("*.ipynb")} == set(SAID)
    assert set(make_notebooks.EXAMPLES) == set(SAID)


@pytest.mark.parametrize("name", SAID)
def test_a_notebook_is_what_its_script_makes(name):
    script = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
    text = (FOLDER / f"{name}.ipynb").read_text(encoding="utf-8")
    assert text == make_notebooks.notebook(script), "run python examples/make_notebooks.py"
    cells = json.loads(text)["cells"]
    assert cells[0]["cell_type"] == "markdown"
    assert cells[0]["source"][0].startswith("# ")
    assert all(cell["outputs"] == [] for cell in cells if cell["cell_type"] == "code")
    code = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code")
    body = script[script.index('"""', 3) + 3 :]
    assert _statements(code) == _statements(body)


def _statements(code):
    return [line for line in code.splitlines() if line and not line.startswith("#")]


@pytest.mark.parametrize("name", SAID)
def test_the_cells_of_a_notebook_run(name, tmp_path, monkeypatch):
    """In one namespace and in order, as in a kernel: no ``__file__``, files where it stands."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SUNDOG_SHORT", "1")
    cells = json.loads((FOLDER / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]
    names = {"__name__": "__main__"}
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        for number, cell in enumerate(cells):
            if cell["cell_type"] == "code":
                code = compile("".join(cell["source"]), f"{name}, cell {number}", "exec")
                exec(code, names)  # noqa: S102
    for words in SAID[name]:
        assert words in printed.getvalue()
    (out,) = tmp_path.iterdir()
    assert out.name == name.replace("_", "-")
    assert PICTURES[name] <= {path.name for path in out.glob("*.png")}


def test_a_script_writes_into_the_folder_it_is_told(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SUNDOG_SHORT", "1")
    script = str(FOLDER / "risk_faces.py")
    monkeypatch.setattr(sys, "argv", [script, "here"])
    runpy.run_path(script, run_name="__main__")
    assert "All windows:" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["here"]
    assert PICTURES["risk_faces"] <= {path.name for path in (tmp_path / "here").iterdir()}
