"""Write a planted set, read it back, kill it half-way and resume."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from sundog.core.errors import DataError, RunFolderError
from sundog.data.arrays import from_arrays
from sundog.data.load import load_image_set
from sundog.data.planted_set import write_planted
from sundog.data.planting import make_cue


def images(count=12, side=24):
    rng = np.random.default_rng(0)
    return from_arrays(
        rng.integers(0, 256, (count, side, side, 3), dtype=np.uint8),
        np.arange(count) % 3,
        ["cat/small", "dog", "empty?", "never"],
        metadata=pd.DataFrame({"site": [f"s{i}" for i in range(count)], "label": range(count)}),
    )


def cue(**options):
    return make_cue("patch", **{"class_count": 4, "strength": 0.6, "seed": 3, **options})


def fingerprint(folder):
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


def test_what_is_written_is_what_was_planted_and_reads_back(tmp_path):
    source = images()
    written = write_planted(source, cue(), tmp_path / "out", size=32, batch_size=5)
    assert (written.count, written.resumed, written.skipped) == (12, 0, ())
    again = load_image_set(written.manifest)
    assert again.name == "out"
    assert again.class_names == source.class_names
    assert again.labels.tolist() == source.labels.tolist()
    (batch,) = source.batches(size=32)
    planted = cue().plant(batch.images, batch.labels, batch.ids)
    (read,) = again.batches(size=None)
    assert float((read.images - planted.images).abs().max()) <= 0.5 / 255 + 1e-6
    table = again.metadata
    for i in range(12):
        mask = np.array(Image.open(tmp_path / "out" / table["mask_path"][i]))
        np.testing.assert_array_equal(mask, planted.masks[i].numpy() * 255)
    names = np.array(source.class_names)
    assert table["cue_class"].tolist() == names[planted.cue_class.numpy()].tolist()
    assert table["aligned"].tolist() == planted.aligned.tolist()
    assert 0 < sum(table["aligned"]) < 12
    assert table["present"].all()
    assert table["site"].tolist() == [f"s{i}" for i in range(12)]
    assert table["original_label"].tolist() == list(range(12))
    assert table["source_id"].tolist() == list(source.ids)
    assert set(table["strength"]) == {0.6}
    assert set(table["cue"]) == {"patch"}
    plan = json.loads((tmp_path / "out" / "cue.json").read_text())
    assert plan["cue"]["parameters"] == {"size": 0.12, "corner": "bottom_right", "margin": 0.03}
    assert json.loads((tmp_path / "out" / "skipped.json").read_text()) == []


def test_binary_cue_and_own_sizes(tmp_path):
    written = write_planted(images(), cue(target_class=1), tmp_path / "out")
    table = pd.read_csv(written.manifest)
    assert (table["present"] == (table["cue_class"] == "dog")).all()
    for row in table.itertuples():
        mask = np.array(Image.open(tmp_path / "out" / row.mask_path))
        assert mask.shape == (24, 24)
        assert bool(mask.any()) == row.present


def test_the_result_does_not_depend_on_batches_or_workers(tmp_path):
    write_planted(images(), cue(), tmp_path / "a", size=20, batch_size=1)
    write_planted(images(), cue(), tmp_path / "b", size=20, batch_size=7, workers=3)
    assert fingerprint(tmp_path / "a") == fingerprint(tmp_path / "b")


def test_resumed_after_any_loss(tmp_path):
    out = tmp_path / "out"
    write_planted(images(), cue(), out, size=20)
    whole = fingerprint(out)
    paths = sorted(out.rglob("*.png"))
    for path in paths[3:9]:
        path.unlink()
    (out / "manifest.csv").unlink()
    torn = paths[0].with_name(f".{paths[0].stem[:40]}-abcd1234.png")
    torn.write_bytes(b"half")
    again = write_planted(images(), cue(), out, size=20, workers=2)
    assert 0 < again.resumed < 12
    assert fingerprint(out) == whole
    assert write_planted(images(), cue(), out, size=20).resumed == 12
    assert fingerprint(out) == whole


CHILD = """
import sys
from sundog.data.load import load_image_set
from sundog.data.planted_set import write_planted
from sundog.data.planting import make_cue
source = load_image_set(sys.argv[1])
print("ready", flush=True)
write_planted(source, make_cue("text", class_count=2, strength=0.5), sys.argv[2], size=96)
"""


@pytest.mark.parametrize("writes", [10])
def test_killed_and_run_again_gives_the_same_folder(tmp_path, writes):
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        (tmp_path / "in" / name).mkdir(parents=True)
        for i in range(60):
            pixels = rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "in" / name / f"{i}.png")
    out, good = tmp_path / "out", tmp_path / "good"
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path / "in"), str(out)])
    deadline = time.monotonic() + 60
    while len(list(out.glob("masks/*/[!.]*.png"))) < writes and time.monotonic() < deadline:
        time.sleep(0.001)
    os.kill(child.pid, signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    assert not (out / "manifest.csv").exists()
    source = load_image_set(tmp_path / "in")
    planted = make_cue("text", class_count=2, strength=0.5)
    resumed = write_planted(source, planted, out, size=96)
    assert writes <= resumed.resumed < 120
    write_planted(source, planted, good, size=96)
    assert fingerprint(out) == fingerprint(good)


def test_corrupt_images_are_listed_also_when_resumed(tmp_path):
    for name in ("a", "b"):
        for i in range(3):
            path = tmp_path / "in" / name / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.random.default_rng(i).integers(0, 256, (24, 24, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(path)
    broken = tmp_path / "in" / "b" / "1.png"
    broken.write_bytes(broken.read_bytes()[:900])
    two = make_cue("border", class_count=2)
    for _ in range(2):
        written = write_planted(load_image_set(tmp_path / "in"), two, tmp_path / "out", size=16)
        assert written.count == 5
        assert [s.source for s in written.skipped] == ["b/1.png"]
        listed = json.loads((tmp_path / "out" / "skipped.json").read_text())
        assert [row["source"] for row in listed] == ["b/1.png"]


def test_a_folder_of_something_else_is_refused(tmp_path):
    out = tmp_path / "out"
    write_planted(images(), cue(), out, size=20)
    before = fingerprint(out)
    for other, options, words in (
        (images(), {"size": 21}, "differs in size"),
        (images(6), {"size": 20}, "differs in image_set"),
    ):
        with pytest.raises(RunFolderError, match=words):
            write_planted(other, cue(), out, **options)
    with pytest.raises(RunFolderError, match="differs in cue"):
        write_planted(images(), cue(seed=4), out, size=20)
    assert fingerprint(out) == before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    with pytest.raises(RunFolderError, match="new or empty"):
        write_planted(images(), cue(), tmp_path / "mine")
    with pytest.raises(RunFolderError, match="a folder; got a file"):
        write_planted(images(), cue(), tmp_path / "mine" / "thesis.txt")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "x"


def test_sets_that_cannot_carry_a_cue_are_refused(tmp_path):
    flat = from_arrays(np.zeros((2, 8, 8, 3), np.uint8))
    with pytest.raises(DataError, match="2 unlabelled images of 2"):
        write_planted(flat, cue(), tmp_path / "out")
    with pytest.raises(DataError, match=r"that of the image set \(4\); got 5"):
        write_planted(images(), cue(class_count=5), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_folders_of_odd_class_names_stay_apart(tmp_path):
    source = from_arrays(
        np.zeros((4, 8, 8, 3), np.uint8), [0, 1, 2, 3], ["a/b", "a_b", "..", "A_B"]
    )
    written = write_planted(source, make_cue("tint", class_count=4), tmp_path / "out")
    folders = {p.name.casefold() for p in (tmp_path / "out" / "images").iterdir()}
    assert len(folders) == 4
    again = load_image_set(written.manifest)
    assert again.class_names == source.class_names
    assert again.labels.tolist() == [0, 1, 2, 3]
    assert torch.equal(torch.from_numpy(again.labels), torch.arange(4))
