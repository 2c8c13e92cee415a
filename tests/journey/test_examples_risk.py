"""The example of mending a model runs as it stands, in its quick form."""

import os
import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "debias_digits.py"


def test_the_example_runs(tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLE), "--quick", "--out", str(tmp_path / "run")],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    for words in ("reweighting", "projection", "worst_group", "index.html"):
        assert words in done.stdout
    assert (tmp_path / "run" / "index.html").is_file()
