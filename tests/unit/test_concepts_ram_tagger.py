"""The RAM tagger: its arguments, its two text files, what its scores depend on."""

import importlib
import json
import os
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from sundog.concepts.ram import load_ram, network
from sundog.concepts.ram.architecture import ARCHITECTURES, RamArchitecture, choose_architecture
from sundog.concepts.tagger import Rows, identity_hash

SIZES = RamArchitecture(
    embed_dim=4,
    depths=(2, 2),
    num_heads=(1, 2),
    window_size=2,
    image_size=16,
    text_width=6,
    hidden_size=8,
    head_layers=1,
    head_heads=2,
    inner_size=10,
    descriptions=3,
)
NAMES = ("dog", "snow plow", "3D glasses", "grass", "Café")


def _state(kind="ram"):
    net = network.RamNetwork(SIZES, kind=kind, tags=len(NAMES))
    rng = torch.Generator().manual_seed(0)
    state = {}
    for name, v in net.state_dict().items():
        gain = 4 if name == "label_embed" else 1.5 if v.ndim > 1 else 0.3
        state[name] = gain * torch.randn(v.shape, generator=rng)
        if "norm" in name.lower() and name.endswith("weight"):
            state[name] += 1
    return state


def _write(folder, kind="ram", *, name="w.pth", files=True, state=None):
    file = folder / name
    torch.save({"model": _state(kind) if state is None else state}, file)
    if files:
        (folder / "ram_tag_list.txt").write_text("\n".join(NAMES), encoding="utf-8")
        (folder / "ram_tag_list_threshold.txt").write_text("0.65\n0.8\n1\n0.45\n0.9")
    return file


def _rows(count, seed=0):
    rng = np.random.default_rng(seed)
    pictures = [rng.integers(0, 256, (9 + i, 20, 3), dtype=np.uint8) for i in range(count)]
    return Rows(
        images=pictures,
        ids=tuple(map(str, range(count))),
        indices=np.arange(count),
        sources=("",) * count,
        labels=np.zeros(count, dtype=np.int64),
        metadata=pd.DataFrame(index=range(count)),
    )


def test_names_and_thresholds_come_from_the_files_beside_the_checkpoint(tmp_path):
    tagger = load_ram(SIZES, _write(tmp_path))
    assert tagger.name == "ram"
    assert tagger.tag_names == NAMES
    assert tagger.needs_images
    assert tagger.thresholds.dtype == np.float32
    expected = np.array([0.65, 0.8, 1, 0.45, 0.9], dtype=np.float32)
    np.testing.assert_array_equal(tagger.thresholds[[0, 1, 3, 4]], expected[[0, 1, 3, 4]])
    # 1 means never, also for a probability that float32 rounds to 1
    assert not np.float32(1) >= tagger.thresholds[2]
    assert any("3D glasses" in note and "threshold is 1" in note for note in tagger.notes)


def test_the_forms_of_the_arguments_agree(tmp_path):
    file = _write(tmp_path, "ram++")
    forms = [
        load_ram("ram++", SIZES, file),
        load_ram(SIZES, str(file), kind="ram++"),
        load_ram("ram_plus", SIZES, tmp_path / "w"),
        load_ram(kind="RAM++", architecture=SIZES, checkpoint=file),
        load_ram("ram", SIZES, file, kind="ram++"),  # "ram" is also the family's name
        load_ram("ram++", file, architecture={**vars(SIZES), "depths": [2, 2]}),
    ]
    rows = _rows(2)
    for tagger in forms:
        assert tagger.name == "ram++"
        assert tagger.identity() == forms[0].identity()
        np.testing.assert_array_equal(tagger.score(rows), forms[0].score(rows))


def test_a_json_file_goes_before_the_text_files_and_arguments_before_it(tmp_path):
    file = _write(tmp_path)
    other = [name.upper() for name in NAMES]
    content = {
        "tags": other,
        "thresholds": 0.7,
        "architecture": {**vars(SIZES), "image_size": 32},
        "image_size": 16,
    }
    (tmp_path / "w.json").write_text(json.dumps(content), encoding="utf-8")
    tagger = load_ram(file)
    assert tagger.tag_names == tuple(other)
    assert tagger.sizes == SIZES
    np.testing.assert_array_equal(tagger.thresholds, np.full(5, 0.7, dtype=np.float32))
    given = load_ram(file, tag_list=NAMES, thresholds=[0.1, 0.2, 0.3, 0.4, 0.5])
    assert given.tag_names == NAMES
    np.testing.assert_array_equal(given.thresholds, np.float32([0.1, 0.2, 0.3, 0.4, 0.5]))


def test_one_threshold_for_all_and_which_goes_first(tmp_path):
    file = _write(tmp_path)
    one = load_ram(SIZES, file, threshold=0.68)
    np.testing.assert_array_equal(one.thresholds, np.full(5, 0.68, dtype=np.float32))
    both = load_ram(SIZES, file, threshold=0.68, thresholds=tmp_path / "ram_tag_list_threshold.txt")
    np.testing.assert_array_equal(both.thresholds, load_ram(SIZES, file).thresholds)
    (tmp_path / "ram_tag_list_threshold.txt").unlink()
    assert load_ram(SIZES, file, threshold=0.5).thresholds.tolist() == [0.5] * 5


def test_files_with_a_byte_order_mark_and_windows_lines(tmp_path):
    file = _write(tmp_path)
    text = "\r\n".join(NAMES) + "\r\n"
    (tmp_path / "ram_tag_list.txt").write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert load_ram(SIZES, file).tag_names == NAMES


@pytest.mark.parametrize("kind", ["ram", "ram++"])
def test_a_score_depends_on_its_image_and_its_tag_alone(kind, tmp_path, monkeypatch):
    state = _state(kind)
    file = _write(tmp_path, kind, state=state)
    rows = _rows(5)
    whole = load_ram(kind, SIZES, file, batch_size=5).score(rows)
    assert whole.std() > 0.01
    single = load_ram(kind, SIZES, file, batch_size=1).score(rows)
    np.testing.assert_allclose(single, whole, atol=1e-6)
    alone = load_ram(kind, SIZES, file)  # one by one: the same to the last bit
    for i in range(5):
        row = replace(rows, images=rows.images[i : i + 1], ids=rows.ids[i : i + 1])
        np.testing.assert_array_equal(alone.score(row)[0], single[i])
    monkeypatch.setattr(network, "ROWS", 4)  # the head sees the tags in parts
    np.testing.assert_allclose(load_ram(kind, SIZES, file).score(rows), whole, atol=1e-6)
    per_tag = SIZES.descriptions if kind == "ram++" else 1
    kept = [4, 1]
    texts = state["label_embed"].view(5, per_tag, -1)[kept].flatten(0, 1)
    part = _write(tmp_path, name="part.pth", state={**state, "label_embed": texts}, files=False)
    few = load_ram(kind, SIZES, part, tag_list=["Café", "snow plow"], threshold=0.5)
    np.testing.assert_allclose(few.score(rows), whole[:, kept], atol=1e-6)


def test_identity_follows_weights_and_sizes_but_not_thresholds(tmp_path):
    file = _write(tmp_path)
    base = identity_hash(load_ram(SIZES, file).identity())
    assert identity_hash(load_ram(SIZES, file, threshold=0.1).identity()) == base
    assert identity_hash(load_ram(SIZES, file, batch_size=1).identity()) == base
    changed = _state()
    changed["fc.bias"] = changed["fc.bias"] + 1e-3
    other = _write(tmp_path, name="other.pth", state=changed)
    assert identity_hash(load_ram(SIZES, other).identity()) != base
    larger = load_ram(replace(SIZES, image_size=32), file)
    assert identity_hash(larger.identity()) != base


def test_safetensors_half_precision_and_old_names_load(tmp_path):
    from safetensors.torch import save_file

    state = _state()
    expected = load_ram(SIZES, _write(tmp_path, state=state)).score(_rows(2))
    save_file(state, tmp_path / "s.safetensors")
    np.testing.assert_array_equal(load_ram(SIZES, tmp_path / "s").score(_rows(2)), expected)
    old = {name.replace("tagging_head", "vision_multi"): v for name, v in state.items()}
    file = _write(tmp_path, name="old.pth", state=old)
    np.testing.assert_array_equal(load_ram(SIZES, file).score(_rows(2)), expected)
    half = {name: v.half() for name, v in state.items()}
    rounded = _write(tmp_path, name="r.pth", state={n: v.half().float() for n, v in state.items()})
    file = _write(tmp_path, name="half.pth", state=half)
    scores = load_ram(SIZES, file).score(_rows(2))
    np.testing.assert_array_equal(scores, load_ram(SIZES, rounded).score(_rows(2)))
    file = tmp_path / "legacy.pth"
    torch.save({"model": state}, file, _use_new_zipfile_serialization=False)
    np.testing.assert_array_equal(load_ram(SIZES, file).score(_rows(2)), expected)


def test_no_image_is_no_row_and_fit_returns_itself(tmp_path):
    tagger = load_ram(SIZES, _write(tmp_path))
    assert tagger.score(_rows(0)).shape == (0, 5)
    assert tagger.fitted
    assert not tagger.network.training


def test_loading_draws_no_random_numbers_and_copies_the_weights(tmp_path):
    file = _write(tmp_path)
    before = torch.get_rng_state()
    tagger = load_ram(SIZES, file)
    assert torch.equal(torch.get_rng_state(), before)
    scores = tagger.score(_rows(2))
    file.write_bytes(os.urandom(file.stat().st_size))  # the mapped file is no longer needed
    np.testing.assert_array_equal(tagger.score(_rows(2)), scores)


def test_published_sizes():
    large, base = ARCHITECTURES["swin_l"], ARCHITECTURES["swin_b"]
    with torch.device("meta"):
        ram = network.RamNetwork(large, kind="ram", tags=4585).state_dict()
        plus = network.RamNetwork(large, kind="ram++", tags=4585).state_dict()
    assert ram["label_embed"].shape == (4585, 512)
    assert plus["label_embed"].shape == (4585 * 51, 512)
    assert ram["image_proj.weight"].shape == (512, 1536)
    assert ram["wordvec_proj.weight"].shape == (768, 512)
    table = "visual_encoder.layers.2.blocks.17.attn.relative_position_bias_table"
    assert ram[table].shape == (23 * 23, 24)
    key = "tagging_head.encoder.layer.1.crossattention.self.key.weight"
    assert ram[key].shape == (768, 512)
    # Swin-L without its classifier has 195.0 million parameters (Liu et al., 2021, table 1: 197 M
    # with a head of 1536 x 1000)
    encoder = sum(v.numel() for n, v in ram.items() if n.startswith("visual_encoder."))
    assert encoder == 195_198_516
    assert base.vision_width == 1024
    small = choose_architecture("swin_l", image_size=224)
    assert (small.window_size, [small.side(i) for i in range(4)]) == (7, [56, 28, 14, 7])


def test_no_extra_package_is_needed(tmp_path, monkeypatch):
    file = _write(tmp_path)
    for name in ("timm", "transformers", "torchvision", "huggingface_hub", "open_clip"):
        monkeypatch.setitem(sys.modules, name, None)  # importing it now fails
    package = sys.modules["sundog.concepts"]
    monkeypatch.setattr(package, "ram", package.ram)  # put back afterwards, as the modules are
    for name in [name for name in sys.modules if name.startswith("sundog.concepts.ram")]:
        monkeypatch.delitem(sys.modules, name)
    fresh = importlib.import_module("sundog.concepts.ram")
    assert fresh.load_ram is not load_ram
    assert fresh.load_ram(vars(SIZES), file).score(_rows(1)).shape == (1, 5)
