"""The score cache under faults: kill -9, two writers at once, torn and altered blocks."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

from sundog.concepts.score_cache import ScoreCache
from sundog.core.errors import InputError, RunFolderError


def _open(folder, **given):
    values = {"name": "my tagger/1", "identity": {"version": 1}, "width": 3, **given}
    return ScoreCache(folder, **values)


def _row(i):
    return np.array([i, i / 7, np.nan if i % 5 == 0 else -i], np.float32)


def _fill(folder, numbers, **given):
    with _open(folder, **given) as cache:
        for i in numbers:
            cache.add([f"id{i}"], _row(i)[None])
    return cache


def test_what_was_written_comes_back_bit_for_bit(tmp_path):
    _fill(tmp_path, range(25), block_rows=10)
    assert len(list(tmp_path.rglob("*.safetensors"))) == 3
    scores, known = _open(tmp_path).read(["id24", "new", "id3", "id3"])
    assert known.tolist() == [True, False, True, True]
    expected = np.stack([_row(24), np.full(3, np.nan), _row(3), _row(3)]).astype(np.float32)
    assert np.array_equal(scores, expected, equal_nan=True)


def test_another_identity_shares_nothing(tmp_path):
    _fill(tmp_path, range(4))
    assert not _open(tmp_path, identity={"version": 2}).read(["id1"])[1].any()
    assert (_open(tmp_path).folder / "identity.json").read_text().split() == [
        *("{", '"version":', "1", "}")
    ]


def test_the_same_block_twice_is_one_file(tmp_path):
    _fill(tmp_path, range(4))
    _fill(tmp_path, range(4))
    assert len(list(tmp_path.rglob("*.safetensors"))) == 1


def _blocks(folder):
    return sorted(folder.rglob("*.safetensors"))


def _truncate(path):
    path.write_bytes(path.read_bytes()[:-5])


def _flip(path):
    data = bytearray(path.read_bytes())
    data[-3] ^= 4
    path.write_bytes(bytes(data))


def _empty(path):
    path.write_bytes(b"")


def _garbage(path):
    path.write_bytes(b"\xff" * 300)


def _other_shape(path):
    from safetensors.numpy import save

    path.write_bytes(save({"scores": np.zeros((1, 2), np.float32)}, {"ids": '["id0"]'}))


def _other_keys(path):
    from safetensors.numpy import save

    path.write_bytes(save({"scores": np.zeros((1, 3), np.float32)}))


@pytest.mark.parametrize("damage", [_truncate, _flip, _empty, _garbage, _other_shape, _other_keys])
def test_a_damaged_block_is_set_aside_and_the_others_are_used(tmp_path, damage):
    _fill(tmp_path, range(30), block_rows=10)
    victim = _blocks(tmp_path)[1]
    damage(victim)
    cache = _open(tmp_path)
    scores, known = cache.read([f"id{i}" for i in range(30)])
    assert known.sum() == 20
    assert cache.damaged == [victim.name]
    assert not victim.exists()
    assert victim.with_suffix(".damaged").exists()
    for i in np.flatnonzero(known):
        assert np.array_equal(scores[i], _row(i), equal_nan=True)
    _fill(tmp_path, [i for i in range(30) if not known[i]])
    again = _open(tmp_path)
    assert again.read([f"id{i}" for i in range(30)])[1].all()
    assert again.damaged == []


def test_unfinished_files_of_killed_writers_are_ignored_and_removed_after_a_day(tmp_path):
    folder = _fill(tmp_path, range(3)).folder
    old, young = folder / ".abc-1.safetensors", folder / ".abc-2.safetensors"
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 90_000,) * 2)
    cache = _open(tmp_path)
    assert cache.read(["id0", "id2"])[1].all()
    assert cache.damaged == []
    assert not old.exists()
    assert young.exists()


def _interrupted(cache):
    with cache:
        cache.add(["id1"], _row(1)[None])
        raise KeyboardInterrupt


def test_blocks_are_written_after_an_error_and_by_time(tmp_path):
    cache = _open(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        _interrupted(cache)
    assert _open(tmp_path).read(["id1"])[1].all()
    cache = _open(tmp_path, block_seconds=0.0)
    cache.add(["id2"], _row(2)[None])
    assert _open(tmp_path).read(["id2"])[1].all()


def test_bad_use_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"\(1, 3\)"):
        _open(tmp_path).add(["a"], np.zeros((1, 2), np.float32))
    with pytest.raises(InputError, match="block_rows"):
        _open(tmp_path, block_rows=0)
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunFolderError, match="can be written"):
        _open(tmp_path / "file")


WRITER = """
import sys, time
import numpy as np
from sundog.concepts.score_cache import ScoreCache
folder, first, last, pause = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
cache = ScoreCache(folder, name="t", identity={"v": 1}, width=64, block_rows=16)
with cache:
    for i in range(first, last):
        cache.add([f"id{i}"], np.full((1, 64), i, np.float32))
        sys.stdout.write(f"{i}\\n"); sys.stdout.flush()
        time.sleep(pause)
"""


def _writer(folder, first, last, pause):
    return subprocess.Popen(
        [
            sys.executable,
            "-c",
            textwrap.dedent(WRITER),
            str(folder),
            *map(str, (first, last, pause)),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )


def _check(folder, count):
    cache = ScoreCache(folder, name="t", identity={"v": 1}, width=64)
    scores, known = cache.read([f"id{i}" for i in range(count)])
    assert cache.damaged == []
    assert (scores[known] == np.flatnonzero(known)[:, None]).all()
    return known


def test_a_killed_writer_loses_at_most_one_block(tmp_path):
    process = _writer(tmp_path, 0, 100_000, 0.0005)
    for line in process.stdout:
        if int(line) >= 200:
            break
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    known = _check(tmp_path, 100_000)
    assert known[: 200 - 16].all()
    cache = ScoreCache(tmp_path, name="t", identity={"v": 1}, width=64)
    cache.add(["id99999"], np.full((1, 64), 99_999, np.float32))
    cache.flush()
    assert _check(tmp_path, 100_000)[99_999]


def test_two_processes_may_write_at_once(tmp_path):
    """The other begins, and this one writes beside it; 200 to 299 are written by both."""
    other = _writer(tmp_path, 200, 500, 0.001)
    assert other.stdout.readline() == "200\n"
    with ScoreCache(tmp_path, name="t", identity={"v": 1}, width=64, block_rows=16) as cache:
        for i in range(300):
            cache.add([f"id{i}"], np.full((1, 64), i, np.float32))
    other.communicate()
    assert other.returncode == 0
    assert _check(tmp_path, 500).all()
