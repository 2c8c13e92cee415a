"""Write the notebooks from the scripts: ``python examples/make_notebooks.py``.

A script is cut at its ``# %%`` lines; a cell that begins with ``# %% [markdown]`` is text. The two
cannot drift apart: a test fails if a notebook is not what its script makes.
"""

import ast
import json
import re
from pathlib import Path

EXAMPLES = ("explain_photographs", "biased_model", "risk_faces", "inspect_digits")
FOLDER = Path(__file__).parent
_CUT = re.compile(r"^# %%(.*)$", re.MULTILINE)


def cells(script):
    """Return (kind, text) of each cell of a script; its docstring is the first, as a title."""
    docstring = ast.get_docstring(ast.parse(script))
    title, _, rest = docstring.partition("\n")
    found = [("markdown", f"# {title}\n{rest}".strip())]
    parts = _CUT.split(script)
    after = script.index('"""', 3) + 3
    found.append(("code", parts[0][after:].strip()))
    for kind, body in zip(parts[1::2], parts[2::2], strict=True):
        if "[markdown]" in kind:
            lines = [line.removeprefix("#").removeprefix(" ") for line in body.strip().splitlines()]
            found.append(("markdown", "\n".join(lines)))
        else:
            found.append(("code", body.strip()))
    return [(kind, text) for kind, text in found if text]


def notebook(script):
    """Return the notebook of a script as text, without outputs."""
    made = []
    for number, (kind, text) in enumerate(cells(script)):
        cell = {
            "cell_type": kind,
            "id": f"cell-{number}",
            "metadata": {},
            "source": text.splitlines(keepends=True),
        }
        if kind == "code":
            cell |= {"execution_count": None, "outputs": []}
        made.append(dict(sorted(cell.items())))
    whole = {
        "cells": made,
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"


def main():
    """Write all notebooks."""
    for name in EXAMPLES:
        script = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
        (FOLDER / f"{name}.ipynb").write_text(notebook(script), encoding="utf-8")
        print(FOLDER / f"{name}.ipynb")


if __name__ == "__main__":
    main()
