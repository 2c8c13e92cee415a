"""A command that fails before it wrote anything does not reserve its folder."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from sundog.core.errors import InputError, RunFolderError
from sundog.core.run_folder import RunFolder


def _fail(folder: Path, arguments: dict[str, object], *, write: bool = False) -> None:
    with RunFolder.open(folder, kind="risk", arguments=arguments) as run:
        if write:
            run.append("risks", "0", pd.DataFrame({"a": [1]}))
        raise InputError("k", expected="less", got="more")


def test_the_corrected_command_may_use_the_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        _fail(tmp_path / "run", {"k": 50})
    with RunFolder.open(tmp_path / "run", kind="risk", arguments={"k": 5}) as run:
        run.finish()
    assert RunFolder.read(tmp_path / "run").manifest.arguments == {"k": 5}


def test_a_run_that_wrote_something_keeps_its_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        _fail(tmp_path / "run", {"k": 50}, write=True)
    with (
        pytest.raises(RunFolderError, match="continued with the arguments"),
        RunFolder.open(tmp_path / "run", kind="risk", arguments={"k": 5}),
    ):
        pass


def test_a_failed_continuation_does_not_lose_the_earlier_run(tmp_path: Path) -> None:
    with RunFolder.open(tmp_path / "run", kind="risk", arguments={"k": 5}):
        pass
    with pytest.raises(InputError):
        _fail(tmp_path / "run", {"k": 5})
    assert RunFolder.read(tmp_path / "run").manifest.arguments == {"k": 5}


def test_another_ones_folder_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").write_bytes(b"x")
    with pytest.raises(RunFolderError, match="other files"):
        _fail(tmp_path, {})
    assert (tmp_path / "holiday.jpg").exists()
