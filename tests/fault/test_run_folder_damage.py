"""Killed writers and damaged parts."""

import os
import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from sundog.core.run_folder import RunFolder


def _frame():
    rng = np.random.default_rng(0)
    return pd.DataFrame({"id": [f"image {k}" for k in range(500)], "value": rng.random(500)})


def _only_part(path):
    (part,) = path.glob("cells/scores/*.parquet")
    return part


@pytest.mark.parametrize("damage", ["truncated", "empty", "middle", "other file", "no key"])
def test_a_damaged_part_is_set_aside_and_its_work_is_missing(tmp_path, damage):
    with RunFolder.open(tmp_path, kind="test") as folder:
        folder.append("scores", "k", _frame())
    part = _only_part(tmp_path)
    raw = part.read_bytes()
    if damage == "truncated":
        part.write_bytes(raw[: len(raw) // 2])
    elif damage == "empty":
        part.write_bytes(b"")
    elif damage == "middle":
        half = len(raw) // 3
        part.write_bytes(raw[:half] + bytes(64) + raw[half + 64 :])
    elif damage == "other file":
        part.write_bytes(b"PAR1 nonsense PAR1")
    else:
        _frame().to_parquet(part)
    reader = RunFolder.read(tmp_path)
    assert reader.parts("scores") == {}
    assert part.exists()  # a reader sets nothing aside
    with RunFolder.open(tmp_path, kind="test") as folder:
        assert folder.part("scores", "k") is None
        assert folder.damaged == [f"scores/{part.name}"]
        assert part.with_suffix(".damaged").exists()
        folder.append("scores", "k", _frame())
        pd.testing.assert_frame_equal(folder.part("scores", "k"), _frame())


def test_temporary_files_of_a_killed_writer_are_removed(tmp_path):
    with RunFolder.open(tmp_path, kind="test") as folder:
        folder.append("scores", "k", _frame())
    half = tmp_path / "cells" / "scores" / ".abc-123.parquet"
    half.write_bytes(b"PAR1")
    with RunFolder.open(tmp_path, kind="test") as folder:
        assert not half.exists()
        assert list(folder.parts("scores")) == ["k"]


def test_a_killed_process_frees_its_lock_and_leaves_whole_parts(tmp_path):
    code = f"""
import pandas as pd
from sundog.core.run_folder import RunFolder
folder = RunFolder.open({str(tmp_path / "run")!r}, kind="test")
for k in range(10**6):
    folder.append("scores", f"part {{k}}", pd.DataFrame({{"k": [k] * 2000}}))
    print(k, flush=True)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        for _ in range(5):
            process.stdout.readline()
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
    with RunFolder.open(tmp_path / "run", kind="test") as folder:
        parts = folder.parts("scores")
    assert len(parts) >= 5
    assert folder.damaged == []
    for key, part in parts.items():
        assert part["k"].tolist() == [int(key.split()[1])] * 2000
