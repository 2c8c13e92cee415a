"""Plant a cue in a share of the images only; the rest stays clean and is recorded so."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from sundog.cli.main import app
from sundog.core.errors import InputError, RunFolderError
from sundog.data.arrays import from_arrays
from sundog.data.load import load_image_set
from sundog.data.planted_set import write_planted
from sundog.data.planting import make_cue


def images(count=60, *, order=None):
    pixels = np.random.default_rng(0).integers(0, 256, (count, 20, 20, 3), dtype=np.uint8)
    labels = np.arange(count) % 3
    chosen = np.arange(count) if order is None else order
    return from_arrays(pixels[chosen], labels[chosen], ["cat", "dog", "ox"])


def cue(**options):
    return make_cue("patch", **{"class_count": 3, "seed": 3, **options})


def read(folder, name):
    return np.array(Image.open(folder / name))


def drawn_by_hand(seed, name, image_id):
    """BLAKE2b of (seed, "presence", cue, id), each part after its length, seeds a uniform draw."""
    digest = hashlib.blake2b(str(seed).encode(), digest_size=8)
    for part in (b"presence", name.encode(), image_id.encode()):
        digest.update(len(part).to_bytes(8, "little") + part)
    state = torch.Generator().manual_seed(int.from_bytes(digest.digest(), "little") >> 1)
    return float(torch.rand(1, generator=state, dtype=torch.float64))


def test_half_carry_the_cue_and_the_others_are_as_before(tmp_path):
    source = images()
    written = write_planted(source, cue(), tmp_path / "out", presence=0.5)
    table = pd.read_csv(written.manifest, keep_default_na=False)
    assert table["present"].tolist() == [drawn_by_hand(3, "patch", i) < 0.5 for i in source.ids]
    assert 15 < table["present"].sum() < 45
    assert (table["aligned"] == table["present"]).all()  # strength 1: where there is one, it agrees
    assert (table["cue_class"] == np.where(table["present"], table["label"], "")).all()
    for i, row in enumerate(table.itertuples()):
        mask = read(tmp_path / "out", row.mask_path) > 0
        assert mask.any() == row.present
        changed = (read(tmp_path / "out", row.path) != source.image(i)).any(axis=2)
        assert not (changed & ~mask).any()
        assert changed.any() == row.present


def test_with_strength_the_draws_are_two_separate_ones(tmp_path):
    source = images(240)
    all_of_them = write_planted(source, cue(strength=0.6), tmp_path / "all")
    some = write_planted(source, cue(strength=0.6), tmp_path / "some", presence=0.5)
    whole, part = (pd.read_csv(w.manifest, keep_default_na=False) for w in (all_of_them, some))
    kept = part["present"]
    assert part["cue_class"][kept].tolist() == whole["cue_class"][kept].tolist()
    assert part["aligned"].tolist() == (whole["aligned"] & kept).tolist()
    share = part["aligned"][kept].mean()
    assert abs(share - 0.6) < 4 * np.sqrt(0.24 / kept.sum())


def test_a_target_class_is_shown_in_a_share_of_its_images(tmp_path):
    written = write_planted(images(), cue(target_class=1), tmp_path / "out", presence=0.5)
    table = pd.read_csv(written.manifest, keep_default_na=False)
    assert set(table["label"][table["present"]]) == {"dog"}
    assert 3 < table["present"].sum() < 17
    clean = table["cue_class"] == ""
    assert not table["present"][clean].any()
    assert not table["aligned"][clean].any()


def test_order_does_not_matter_and_more_presence_only_adds(tmp_path):
    present = {}
    order = np.random.default_rng(1).permutation(60)
    for name, share, chosen in (("a", 0.3, None), ("b", 0.3, order), ("c", 0.7, None)):
        written = write_planted(
            images(order=chosen), cue(), tmp_path / name, presence=share, batch_size=7
        )
        table = pd.read_csv(written.manifest)
        present[name] = dict(zip(table["source_id"], table["present"], strict=True))
    assert present["a"] == present["b"]
    assert all(present["c"][key] for key, shown in present["a"].items() if shown)
    assert sum(present["c"].values()) > sum(present["a"].values())


def test_none_and_all_and_bad_values(tmp_path):
    none = write_planted(images(), cue(), tmp_path / "none", presence=0)
    assert not pd.read_csv(none.manifest)["present"].any()
    write_planted(images(), cue(), tmp_path / "all")
    assert "presence" not in json.loads((tmp_path / "all" / "cue.json").read_text())
    again = write_planted(images(), cue(), tmp_path / "all", presence=1.0)
    assert again.resumed == 60  # a folder of a version without presence is the same run
    with pytest.raises(RunFolderError, match="presence"):
        write_planted(images(), cue(), tmp_path / "all", presence=0.5)
    for bad in (-0.1, 1.1, float("nan")):
        with pytest.raises(InputError, match="presence must be a probability"):
            write_planted(images(), cue(), tmp_path / "bad", presence=bad)
    assert not (tmp_path / "bad").exists()


def test_resumed_to_the_same_bytes(tmp_path):
    write_planted(images(), cue(), tmp_path / "whole", presence=0.5)
    write_planted(images(), cue(), tmp_path / "torn", presence=0.5)
    (tmp_path / "torn" / "manifest.csv").unlink()
    for path in sorted((tmp_path / "torn" / "images").rglob("*.png"))[10:30]:
        path.unlink()
    write_planted(images(), cue(), tmp_path / "torn", presence=0.5)
    for path in (tmp_path / "whole").rglob("*.*"):
        other = tmp_path / "torn" / path.relative_to(tmp_path / "whole")
        assert other.read_bytes() == path.read_bytes()


def test_from_the_command_line_and_back(tmp_path):
    for label in ("a", "b"):
        (tmp_path / "in" / label).mkdir(parents=True)
        for i in range(12):
            pixels = np.random.default_rng([i, ord(label)]).integers(0, 256, (16, 16, 3))
            Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "in" / label / f"{i}.png")
    out = tmp_path / "out"
    asked = ["plant", str(tmp_path / "in"), "--cue", "patch", "--presence", "0.5"]
    result = CliRunner().invoke(app, [*asked, "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert "presence 0.5" in result.output
    table = load_image_set(out / "manifest.csv").metadata
    assert 0 < table["present"].sum() < 24
    assert json.loads((out / "cue.json").read_text())["presence"] == 0.5
    refused = CliRunner().invoke(app, [*asked[:-1], "1.5", "--out", str(tmp_path / "no")])
    assert refused.exit_code == 2
