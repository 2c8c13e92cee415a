"""Broken checkpoints, tag lists and arguments of the RAM taggers give a clear error."""

import json
import pickle
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from sundog.concepts.ram import load_ram
from sundog.concepts.ram.architecture import RamArchitecture
from sundog.concepts.ram.network import RamNetwork
from sundog.concepts.tagger import Rows
from sundog.core.errors import CheckpointError, DataError, InputError, UnknownNameError

SIZES = RamArchitecture(
    embed_dim=4,
    depths=(1, 1),
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


def _state(kind="ram", tags=4):
    net = RamNetwork(SIZES, kind=kind, tags=tags)
    return {name: torch.full(v.shape, 0.1) for name, v in net.state_dict().items()}


@pytest.fixture
def folder(tmp_path):
    torch.save({"model": _state()}, tmp_path / "ram.pth")
    torch.save({"model": _state("ram++")}, tmp_path / "plus.pth")
    (tmp_path / "ram_tag_list.txt").write_text("a\nb\nc\nd\n")
    (tmp_path / "ram_tag_list_threshold.txt").write_text("0.6\n0.7\n0.8\n0.9\n")
    return tmp_path


@pytest.mark.parametrize(
    ("args", "name", "place"),
    [
        (("swin_l", "ram_swin_large_14m"), "ram_swin_large_14m.pth", "huggingface.co/spaces"),
        (("ram", "swin_l", "x/y.pth"), "ram_swin_large_14m.pth", "Recognize_Anything-Tag2Text"),
        (("ram++", "swin_l", "x"), "ram_plus_swin_large_14m.pth", "recognize-anything-plus-model"),
    ],
)
def test_a_name_that_is_no_file_says_where_the_weights_are(args, name, place):
    with pytest.raises(CheckpointError, match="got none there") as caught:
        load_ram(*args)
    assert name in str(caught.value)
    assert place in str(caught.value)


def test_a_folder_is_no_checkpoint(folder):
    with pytest.raises(CheckpointError, match="got a folder"):
        load_ram(folder)


@pytest.mark.parametrize("kept", [0, 10, 0.5, 0.99])
def test_a_truncated_file_is_refused(folder, kept):
    data = (folder / "ram.pth").read_bytes()
    (folder / "cut.pth").write_bytes(
        data[: kept if isinstance(kept, int) else int(len(data) * kept)]
    )
    with pytest.raises(CheckpointError, match=r"Is the download complete\?"):
        load_ram(SIZES, folder / "cut.pth")


def test_other_files_are_refused(folder):
    (folder / "page.pth").write_text("<!doctype html><title>Sign in</title>")
    with pytest.raises(CheckpointError, match="plain tensors"):
        load_ram(SIZES, folder / "page.pth")
    (folder / "page.safetensors").write_text("version https://git-lfs.github.com/spec/v1")
    with pytest.raises(CheckpointError, match="plain tensors"):
        load_ram(SIZES, folder / "page.safetensors")
    torch.save({"model": {}, "epoch": 3}, folder / "empty.pth")
    with pytest.raises(CheckpointError, match="table of tensors"):
        load_ram(SIZES, folder / "empty.pth")
    torch.save([1, 2], folder / "list.pth")
    with pytest.raises(CheckpointError, match="got list"):
        load_ram(SIZES, folder / "list.pth")


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return (open, (str(self.target), "w"))


@pytest.mark.parametrize("how", ["torch", "pickle"])
def test_code_in_a_checkpoint_is_refused_and_not_run(folder, how):
    target, file = folder / "was_run", folder / "bomb.pth"
    content = {"model": _state(), "config": Bomb(target)}
    if how == "torch":
        torch.save(content, file)
    else:
        file.write_bytes(pickle.dumps(content))
    with pytest.raises(CheckpointError, match="Files with code in them are not opened"):
        load_ram(SIZES, file)
    assert not target.exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"embed_dim": 8}, "Misshapen: visual_encoder"),
        ({"depths": (2, 1)}, "Missing: visual_encoder.layers.0.blocks.1"),
        ({"inner_size": 12}, r"intermediate.dense.weight \(10, 8\) instead of \(12, 8\)"),
        ({"head_layers": 2}, "Missing: tagging_head.encoder.layer.1"),
        ({"hidden_size": 6}, "Unexpected: wordvec_proj.weight"),
        ({"num_heads": (2, 2)}, "relative_position_bias_table"),
    ],
)
def test_another_architecture_is_refused_with_examples(folder, change, message):
    with pytest.raises(CheckpointError, match=message) as caught:
        load_ram(replace(SIZES, **change), folder / "ram.pth")
    assert "swin_l" in str(caught.value)


def test_the_published_architecture_does_not_take_a_small_file(folder):
    with pytest.raises(CheckpointError, match=r"'label_embed' of shape \(texts, 512\)"):
        load_ram("swin_l", folder / "ram.pth")


def test_another_network_is_refused(folder):
    torch.save({"model": {"conv1.weight": torch.zeros(3)}}, folder / "resnet.pth")
    with pytest.raises(CheckpointError, match="Tag2Text and other networks"):
        load_ram(SIZES, folder / "resnet.pth")


def test_the_other_kind_is_named(folder):
    with pytest.raises(CheckpointError, match=r"Pass kind='ram\+\+'"):
        load_ram(SIZES, folder / "plus.pth")
    with pytest.raises(CheckpointError, match="Pass kind='ram'"):
        load_ram("ram++", SIZES, folder / "ram.pth")


def test_names_that_nobody_knows_are_refused_until_they_are_ignored(folder):
    state = {**_state(), "adapter.weight": torch.zeros(2), "fc.extra": torch.zeros(1)}
    torch.save({"model": state}, folder / "more.pth")
    with pytest.raises(CheckpointError, match=r"2 unexpected.*adapter.weight.*ignore=\["):
        load_ram(SIZES, folder / "more.pth")
    tagger = load_ram(SIZES, folder / "more.pth", ignore=["adapter.", "fc.extra"])
    assert "Left out of the checkpoint: adapter (1 tensors)" in tagger.notes


def test_missing_weights_are_named(folder):
    state = _state()
    del state["fc.bias"], state["image_proj.weight"]
    torch.save({"model": state}, folder / "less.pth")
    with pytest.raises(CheckpointError, match=r"2 missing.*image_proj\.weight, fc\.bias"):
        load_ram(SIZES, folder / "less.pth")


def test_weights_that_are_not_numbers_are_refused(folder):
    state = _state()
    state["fc.weight"][0, 3] = torch.nan
    torch.save({"model": state}, folder / "nan.pth")
    with pytest.raises(CheckpointError, match=r"NaN or inf in fc\.weight"):
        load_ram(SIZES, folder / "nan.pth")


@pytest.mark.parametrize("name", ["ram_tag_list.txt", "ram_tag_list_threshold.txt"])
def test_a_missing_text_file_says_what_to_put_where(folder, name):
    (folder / name).unlink()
    with pytest.raises(DataError) as caught:
        load_ram(SIZES, folder / "ram.pth")
    for part in ("ram_tag_list.txt", "ram_tag_list_threshold.txt", str(folder), "github.com"):
        assert part in str(caught.value)


def test_a_tag_list_of_another_length_is_refused(folder):
    (folder / "ram_tag_list.txt").write_text("a\nb\nc")
    with pytest.raises(CheckpointError, match=r"\(4 tags\); got 3 names"):
        load_ram(SIZES, folder / "ram.pth", threshold=0.5)
    with pytest.raises(CheckpointError, match=r"\(4 tags\); got 3 names"):
        load_ram("ram++", SIZES, folder / "plus.pth", threshold=0.5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\n\nc\nd", "Tag 2 .* not empty"),
        ("a\nb\na\nd", "Tag 3 .*'a', as in 1"),
        ("", "a list of names"),
        ("\n\n", "a list of names"),
    ],
)
def test_a_broken_tag_list_is_refused(folder, text, message):
    (folder / "ram_tag_list.txt").write_text(text)
    with pytest.raises(DataError, match=message):
        load_ram(SIZES, folder / "ram.pth")


def test_text_files_that_cannot_be_read_are_named(folder):
    with pytest.raises(DataError, match="tag_list must be a text file"):
        load_ram(SIZES, folder / "ram.pth", tag_list=folder / "none.txt")
    (folder / "latin.txt").write_bytes("Café".encode("latin-1"))
    with pytest.raises(DataError, match="UnicodeDecodeError"):
        load_ram(SIZES, folder / "ram.pth", tag_list=folder / "latin.txt")


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"thresholds": [0.1, 0.2]}, DataError, r"one per tag \(4\); got 2"),
        ({"thresholds": [0.1, 0.2, 0.3, 1.5]}, InputError, "Threshold 4 .* 1.5"),
        ({"thresholds": [0.1, float("nan"), 0.3, 1]}, InputError, "Threshold 2"),
        ({"threshold": -0.1}, InputError, r"in \[0, 1\]; got -0.1"),
        ({"threshold": "high"}, InputError, "got 'high'"),
    ],
)
def test_thresholds_that_are_no_probabilities_are_refused(folder, given, error, message):
    with pytest.raises(error, match=message):
        load_ram(SIZES, folder / "ram.pth", **given)


def test_a_broken_threshold_file_names_its_line(folder):
    (folder / "ram_tag_list_threshold.txt").write_text("0.6\nzero\n0.8\n0.9")
    with pytest.raises(InputError, match=r"Threshold 2 in .*'zero'"):
        load_ram(SIZES, folder / "ram.pth")


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        ("{", DataError, "JSON"),
        ("[1]", DataError, "a table; got list"),
        (json.dumps({"tag": ["a"]}), UnknownNameError, "'tags'"),
        (json.dumps({"tags": "abcd"}), DataError, "a list of names"),
        (json.dumps({"thresholds": [1, 2, 3, 4]}), InputError, "Threshold 2"),
        (json.dumps({"architecture": "swin_m"}), UnknownNameError, "'swin_b'"),
    ],
)
def test_a_broken_json_file_is_refused(folder, content, error, message):
    (folder / "ram.json").write_text(content)
    with pytest.raises(error, match=message):
        load_ram(folder / "ram.pth")


@pytest.mark.parametrize(
    ("args", "given", "error", "message"),
    [
        ((), {}, InputError, "got no checkpoint"),
        (("ram", {"embed_dim": 4}), {}, InputError, "got no checkpoint"),
        (("ram", "swin_l", "a", "b"), {}, InputError, "one too many: 'a'"),
        (("swin_x", "a.pth"), {}, UnknownNameError, "Did you mean 'swin_l'|'swin_b'"),
        (("tag2text", "swin_l", "a"), {}, UnknownNameError, "kind must be .*'tag2text'"),
        (("a",), {"kind": "tag2text"}, UnknownNameError, "kind must be"),
    ],
)
def test_wrong_arguments(args, given, error, message):
    with pytest.raises(error, match=message):
        load_ram(*args, **given)


@pytest.mark.parametrize(
    ("architecture", "given", "error", "message"),
    [
        ("swin_x", {}, UnknownNameError, "'swin_l'"),
        ("swin_l", {"image_size": 400}, InputError, "multiple of 32"),
        (SIZES, {"image_size": 20}, InputError, "multiple of 8 pixels"),
        ({"embed_dims": 4}, {}, UnknownNameError, "'embed_dim'"),
        ({"embed_dim": 4, "depths": [1], "num_heads": [1]}, {}, InputError, "'window_size'"),
        ({**vars(SIZES), "depths": [0, 1]}, {}, InputError, "depths must be whole, above 0"),
        ({**vars(SIZES), "embed_dim": 4.0}, {}, InputError, "embed_dim"),
        ({**vars(SIZES), "num_heads": [1]}, {}, InputError, r"one per stage \(2\)"),
        ({**vars(SIZES), "num_heads": [3, 2]}, {}, InputError, "numbers of heads"),
        ({**vars(SIZES), "window_size": 3}, {}, InputError, "whole windows"),
        (SIZES, {"batch_size": 0}, InputError, "batch_size"),
    ],
)
def test_wrong_sizes(folder, architecture, given, error, message):
    with pytest.raises(error, match=message):
        load_ram(architecture, folder / "ram.pth", **given)


def test_rows_without_images_are_refused(folder):
    tagger = load_ram(SIZES, folder / "ram.pth")
    rows = Rows(
        images=(),
        ids=("x",),
        indices=np.arange(1),
        sources=("",),
        labels=np.zeros(1, dtype=np.int64),
        metadata=pd.DataFrame(index=range(1)),
    )
    with pytest.raises(InputError, match="1 decoded images; got 0"):
        tagger.score(rows)
