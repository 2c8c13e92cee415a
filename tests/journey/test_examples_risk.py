"""The examples run as they stand, in their quick form."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.py"))
SAID = {
    "risk_faces": ["least to most represented", "effective size", "before", "after"],
    "debias_digits": ["reweighting", "projection", "worst_group", "index.html"],
}


def test_every_example_is_known():
    assert {example.stem for example in EXAMPLES} == set(SAID)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs(example, tmp_path):
    extra = ["--out", str(tmp_path / "run")] if example.stem == "debias_digits" else []
    done = subprocess.run(
        [sys.executable, "-W", "error", str(example), "--quick", *extra],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    for words in SAID[example.stem]:
        assert words in done.stdout
    if extra:
        assert (tmp_path / "run" / "index.html").is_file()
    else:
        assert not list(tmp_path.iterdir())
