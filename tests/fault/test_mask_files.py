"""A mask file that a manifest names may be anything: it is an image, or a clear error."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sundog.core.errors import DataError
from sundog.data.image_files import read_file
from sundog.data.load import load_image_set
from sundog.data.mask_reader import ManifestMasks, read_mask


def _reader(folder: Path, mask: str) -> ManifestMasks:
    Image.fromarray(np.full((8, 8, 3), 99, np.uint8)).save(folder / "a.png")
    (folder / "m.csv").write_text(f"path,label,mask_path\na.png,x,{mask}\n")
    return ManifestMasks(load_image_set(folder / "m.csv"), folder, size=8)


def test_a_good_mask_is_read_from_a_relative_and_an_absolute_path(tmp_path: Path) -> None:
    wanted = np.zeros((8, 8), bool)
    wanted[2:4, 5:] = True
    Image.fromarray((wanted * 255).astype(np.uint8)).save(tmp_path / "mask.png")
    assert (_reader(tmp_path, "mask.png")([0])[0].numpy() == wanted).all()
    absolute = str(tmp_path / "mask.png")
    assert (read_mask(absolute, "/nowhere", size=(8, 8), resize="pad") == wanted).all()


@pytest.mark.parametrize("mask", ["missing.png", "text.txt", "empty.png", "/dev/zero", ".", "pipe"])
def test_what_is_no_image_is_a_clear_error_and_never_a_hang(tmp_path: Path, mask: str) -> None:
    (tmp_path / "text.txt").write_text("secret words")
    (tmp_path / "empty.png").write_bytes(b"")
    os.mkfifo(tmp_path / "pipe")
    reader = _reader(tmp_path, mask)
    with pytest.raises(DataError, match="a readable image") as raised:
        reader([0])
    regular = mask not in ("/dev/zero", ".", "pipe")
    assert regular != ("regular file" in raised.value.message)
    assert "mask_path" in raised.value.message
    assert "secret" not in raised.value.message


def test_a_decompression_bomb_is_refused(tmp_path: Path) -> None:
    Image.new("1", (12_000, 12_000)).save(tmp_path / "bomb.png")
    with pytest.raises(DataError, match="pixels"):
        _reader(tmp_path, "bomb.png")([0])


def test_a_null_character_in_a_path_is_no_crash(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not valid"):
        read_file(tmp_path / "a\x00b")


def test_an_image_path_that_is_a_pipe_or_device_is_skipped_and_reported(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "a.png")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "m.csv").write_text("path,label\na.png,x\npipe,x\n/dev/zero,x\n")
    found = load_image_set(tmp_path / "m.csv")
    assert len(found) == 1
    assert {s.source for s in found.skipped} == {"pipe", "/dev/zero"}
