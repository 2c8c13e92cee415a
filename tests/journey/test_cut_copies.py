"""A planted copy that was cut to size is shown to the classifier as it was planted."""

import json

import pytest
import torch
from PIL import Image

from sundog.audit.cut_already import resize_left
from sundog.audit.debias_open import open_debias
from sundog.audit.subject import open_subject
from sundog.cli.main import app
from sundog.core.errors import DataError


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    from typer.testing import CliRunner

    root = tmp_path_factory.mktemp("cut")
    draw = torch.Generator().manual_seed(0)
    for name in ("a", "b"):
        (root / "set" / name).mkdir(parents=True)
        for number in range(24):
            pixels = (torch.rand(40, 52, 3, generator=draw) * 255).byte().numpy()
            Image.fromarray(pixels).save(root / "set" / name / f"{number}.png")
    run = CliRunner()
    given = ["--size", "32", "--resize", "crop"]
    train = ["train", str(root / "set"), *given, "--epochs", "1", "--out", str(root / "run")]
    plant = ["plant", str(root / "set"), *given, "--cue", "pixel", "--out", str(root / "copy")]
    for arguments in (train, plant):
        done = run.invoke(app, arguments)
        assert done.exit_code == 0, done.output
    return root


def test_a_copy_that_was_cut_is_not_cut_again(copy):
    manifest = str(copy / "copy" / "manifest.csv")
    subject = open_subject(manifest, model=str(copy / "run"), resize="crop")
    batch = next(iter(subject.image_set.batches(size=subject.size, resize=subject.resize)))
    files = sorted((copy / "copy" / "images").rglob("*.png"))
    assert len(files) == len(subject.image_set) == 48
    with Image.open(files[0]) as image:
        stored = torch.tensor(list(image.convert("RGB").tobytes())).reshape(32, 32, 3)
    assert torch.allclose(batch.images[0].permute(1, 2, 0) * 255, stored.float(), atol=1e-3)
    opened = open_debias(manifest, model=str(copy / "run"), resize="crop")
    assert opened.data.train.images.resize == "stretch"


def test_other_images_are_cut_as_asked(copy):
    assert open_subject(str(copy / "set"), model=str(copy / "run"), resize="crop").resize == "crop"
    manifest = copy / "copy" / "manifest.csv"
    assert resize_left([manifest], resize="crop", size=(64, 64)) == "crop"
    assert resize_left([manifest, copy / "set"], resize="crop", size=(32, 32)) == "crop"
    assert resize_left([manifest], resize="pad", size=(32, 32)) == "pad"
    assert resize_left([manifest], resize="crop", size=None) == "crop"
    assert resize_left([copy / "copy"], resize="crop", size=(32, 32)) == "stretch"


def test_a_broken_record_is_an_error(tmp_path):
    (tmp_path / "cue.json").write_text(json.dumps({"resize": "crop"}))
    with pytest.raises(DataError, match=r"cue.json.*Write the copy again"):
        resize_left([tmp_path], resize="crop", size=(32, 32))
