"""A run folder: what it writes, what it continues, what it refuses."""

import json
import subprocess
import sys

import pandas as pd
import pytest

from sundog.core.errors import RunFolderError
from sundog.core.records import SCHEMA_VERSION, Manifest, package_versions
from sundog.core.run_folder import RunFolder, read_manifest

ARGUMENTS = {"steps": 10, "fills": ("black", "mean"), "nested": {"a": None}}


def _open(path, **changes):
    given = {"kind": "test", "arguments": ARGUMENTS, "seeds": {"seed": 0}, **changes}
    return RunFolder.open(path, **given)


def test_parts_come_back_sorted_by_key_and_typed(tmp_path):
    with _open(tmp_path / "deep" / "run") as folder:
        folder.append("scores", "b/2", pd.DataFrame({"id": ["y"], "value": [2.0], "c": [[1.0]]}))
        folder.append("scores", "a/1", pd.DataFrame({"id": ["x"], "value": [1.0], "c": [[]]}))
        folder.append("other", "a/1", pd.DataFrame({"z": [1]}))
        assert list(folder.parts("scores")) == ["a/1", "b/2"]
        assert folder.part("scores", "a/1")["value"].tolist() == [1.0]
        assert folder.part("scores", "missing") is None
        folder.append("scores", "a/1", pd.DataFrame({"id": ["x"], "value": [5.0], "c": [[2.0]]}))
        assert folder.table("scores")["value"].tolist() == [5.0, 2.0]
        assert folder.table("none").empty
        assert folder.damaged == []


def test_same_arguments_continue_and_the_status_is_kept(tmp_path):
    with _open(tmp_path / "run") as folder:
        folder.append("scores", "k", pd.DataFrame({"v": [1]}))
        created = folder.manifest.created
        assert folder.manifest.status == "running"
        folder.finish()
    with _open(tmp_path / "run") as folder:
        assert folder.manifest.status == "complete"
        assert folder.manifest.created == created
        assert folder.part("scores", "k")["v"].tolist() == [1]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"kind": "other"}, 'kind = "test" there, "other" now'),
        ({"arguments": {**ARGUMENTS, "steps": 12}}, "arguments.steps = 10 there, 12 now"),
        ({"arguments": {**ARGUMENTS, "nested": {"a": 1}}}, "arguments.nested.a = null there"),
        ({"seeds": {"seed": 1}}, "seeds.seed = 0 there, 1 now"),
        ({"data_fingerprint": "ab"}, 'data_fingerprint = null there, "ab" now'),
        ({"model_fingerprint": "ab"}, "model_fingerprint"),
    ],
)
def test_another_run_is_refused_by_name(tmp_path, changes, named):
    _open(tmp_path).close()
    with pytest.raises(RunFolderError) as error:
        _open(tmp_path, **changes)
    assert named in str(error.value)
    assert "Choose another folder" in str(error.value)
    _open(tmp_path).close()  # the refusal freed the lock


def test_tables_keep_their_specification(tmp_path):
    with _open(tmp_path) as folder:
        folder.bind("scores", {"steps": 10, "fills": ("black",)})
        folder.bind("scores", {"steps": 10, "fills": ["black"]})
        with pytest.raises(RunFolderError, match=r"steps = 10 there, 8 now"):
            folder.bind("scores", {"steps": 8, "fills": ["black"]})


def test_reading_changes_nothing(tmp_path):
    with _open(tmp_path) as folder:
        folder.append("scores", "k", pd.DataFrame({"v": [1]}))
        folder.write_result("summary", pd.DataFrame({"mean": [0.5]}))
        reader = RunFolder.read(tmp_path)  # while the writer holds the lock
        assert reader.table("scores")["v"].tolist() == [1]
        assert reader.read_result("summary")["mean"].tolist() == [0.5]
        for write in (
            lambda: reader.append("scores", "k", pd.DataFrame({"v": [2]})),
            lambda: reader.write_result("summary", pd.DataFrame()),
            lambda: reader.bind("scores", {}),
            reader.finish,
        ):
            with pytest.raises(RunFolderError, match="open for writing"):
                write()
        with pytest.raises(RunFolderError, match="Present: summary"):
            reader.read_result("sumary")


def test_two_writers_are_refused(tmp_path):
    with _open(tmp_path), pytest.raises(RunFolderError, match="one process at a time"):
        _open(tmp_path)
    _open(tmp_path).close()


def test_foreign_folders_and_files_are_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("x")
    with pytest.raises(RunFolderError, match=r"1 other files \(such as 'thesis.txt'\)"):
        _open(tmp_path)
    with pytest.raises(RunFolderError, match="must be a directory"):
        _open(tmp_path / "thesis.txt")
    with pytest.raises(RunFolderError, match=r"without manifest\.json"):
        RunFolder.read(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "must be readable JSON; got JSONDecodeError"),
        ("[]", "must be a JSON object; got list"),
        ('{"schema_version": 99}', "of schema version 1; got version 99"),
        ('{"schema_version": 1}', "bad fields: kind"),
        ('{"schema_version": 1, "kind": "a", "x": 1, "status": "odd"}', "bad fields: status, x"),
    ],
)
def test_broken_manifests_are_named(tmp_path, text, message):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(RunFolderError) as error:
        _open(tmp_path)
    assert message in str(error.value)
    with pytest.raises(RunFolderError):
        read_manifest(tmp_path)


def test_arguments_must_be_json(tmp_path):
    with pytest.raises(RunFolderError, match="JSON values"):
        _open(tmp_path / "run", arguments={"f": object()})
    with pytest.raises(RunFolderError, match="JSON values"):
        _open(tmp_path / "run", arguments={"f": float("nan")})
    assert not (tmp_path / "run").exists()
    with _open(tmp_path / "run") as folder, pytest.raises(RunFolderError, match="an identifier"):
        folder.append("../escape", "k", pd.DataFrame({"v": [1]}))


def test_the_manifest_says_what_made_the_numbers(tmp_path):
    _open(tmp_path).close()
    raw = json.loads((tmp_path / "manifest.json").read_text())
    assert raw["schema_version"] == SCHEMA_VERSION
    assert raw["versions"] == package_versions()
    assert raw["versions"]["numpy"].count(".") >= 1
    assert Manifest.model_validate(raw).identity()["arguments"]["fills"] == ["black", "mean"]


def test_no_torch_is_imported():
    code = (
        "import sys, sundog.core.run_folder, sundog.core.records, sundog.core.statistics;"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
