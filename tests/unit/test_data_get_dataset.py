"""Image sets by kind, path and split."""

import numpy as np
import pytest
from PIL import Image

import sundog
from sundog.core.errors import InputError, UnknownNameError


def test_a_folder_with_a_split_is_what_load_image_set_reads(tmp_path):
    for split, count in (("train", 3), ("val", 2)):
        for name in ("cat", "dog"):
            folder = tmp_path / split / name
            folder.mkdir(parents=True)
            for index in range(count):
                pixels = np.full((8, 8, 3), 40 * index + len(name), dtype=np.uint8)
                pixels[0, 0] = (index, len(split), ord(name[0]))
                Image.fromarray(pixels).save(folder / f"{index}.png")
    found = sundog.get_dataset("imagefolder", tmp_path, "val")
    assert found.ids == sundog.load_image_set(tmp_path, split="validation").ids
    assert found.class_names == ("cat", "dog")
    assert len(found) == 4


def test_a_source_without_a_path():
    assert len(sundog.get_dataset("digits", split="validation", limit=20)) == 20


def test_mistakes_are_named():
    with pytest.raises(UnknownNameError, match="imagefolder"):
        sundog.get_dataset("imagefoldr", "/nowhere")
    with pytest.raises(InputError, match="given a path"):
        sundog.get_dataset("imagefolder")
