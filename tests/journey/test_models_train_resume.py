"""A training run that was killed goes on and ends with the same bits."""

import json
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch

from sundog.core.errors import RunFolderError
from sundog.data.arrays import from_arrays
from sundog.data.planting import make_cue
from sundog.models import train
from sundog.models.train import train_classifier


def noise(count=40):
    random = np.random.default_rng(2)
    images = random.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    return from_arrays(images, np.arange(count) % 2, ("a", "b"))


OPTIONS = {
    "epochs": 4,
    "batch_size": 16,
    "augment": "flip-shift",
    "device": "cpu",
    "progress": False,
}

KILLED = """
import os, signal, sys
sys.path.insert(0, {here!r})
import torch
torch.set_num_threads(1)
from test_models_train_resume import OPTIONS, noise
from sundog.data.planting import Cue, make_cue
from sundog.models.train import train_classifier
plant, calls = Cue.plant, []
def counted(*args):
    calls.append(1)
    if len(calls) == {calls}:
        os.kill(os.getpid(), signal.SIGKILL)
    return plant(*args)
Cue.plant = counted
cue = make_cue("patch", class_count=2)
train_classifier("cnn5", noise(), train_cue=cue, out_dir={folder!r}, **OPTIONS)
"""


def files(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.name != "args.json"}


def test_a_killed_run_resumes_to_the_same_bits(tmp_path, request):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        folder = tmp_path / "run"
        # An epoch plants 3 batches in training and 3 in evaluation: call 16 is in epoch 3.
        script = KILLED.format(here=str(request.path.parent), calls=16, folder=str(folder))
        result = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
        assert result.returncode == -signal.SIGKILL, result.stderr.decode()
        assert len((folder / "test.json").read_text().splitlines()) == 4
        assert not (folder / "weights.safetensors").exists()
        cue = make_cue("patch", class_count=2)
        epochs = []
        original = train.TrainingLoop.epoch

        def watched(self, epoch):
            epochs.append(epoch)
            return original(self, epoch)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(train.TrainingLoop, "epoch", watched)
            resumed = train_classifier("cnn5", noise(), train_cue=cue, out_dir=folder, **OPTIONS)
        assert epochs == [2, 3]
        whole = train_classifier(
            "cnn5", noise(), train_cue=cue, out_dir=tmp_path / "other" / "run", **OPTIONS
        )
    finally:
        torch.set_num_threads(threads)
    ours, theirs = files(resumed.path), files(whole.path)
    assert ours.keys() == theirs.keys()
    assert ours["weights.safetensors"] == theirs["weights.safetensors"]
    assert ours["predictions.parquet"] == theirs["predictions.parquet"]
    assert resumed.history.drop(columns="unique_id").equals(whole.history.drop(columns="unique_id"))


class InterruptedHereError(Exception):
    pass


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("moment", ["epoch", "evaluation", "end"])
def test_an_error_at_any_moment_loses_at_most_an_epoch(tmp_path, monkeypatch, optimizer, moment):
    options = {**OPTIONS, "epochs": 3, "optimizer": optimizer}
    whole = train_classifier("small-cnn", noise(), out_dir=tmp_path / "a" / "run", **options)
    calls = []

    def failing(function, when):
        def wrapped(*args, **named):
            calls.append(1)
            if len(calls) == when:
                raise InterruptedHereError
            return function(*args, **named)

        return wrapped

    place, when = {
        "epoch": ("save_state", 2),
        "evaluation": ("evaluate_classifier", 3),
        "end": ("write_table", 1),
    }[moment]
    with monkeypatch.context() as patch:
        patch.setattr(train, place, failing(getattr(train, place), when))
        with pytest.raises(InterruptedHereError):
            train_classifier("small-cnn", noise(), out_dir=tmp_path / "b" / "run", **options)
    resumed = train_classifier("small-cnn", noise(), out_dir=tmp_path / "b" / "run", **options)
    for name in ("weights.safetensors", "predictions.parquet"):
        assert (whole.path / name).read_bytes() == (resumed.path / name).read_bytes()
    assert list(resumed.history["epoch"]) == [1, 2, 3]
    assert json.loads((resumed.path / "args.json").read_text())["finished"] is True


def test_a_damaged_checkpoint_is_refused_not_ignored(tmp_path, monkeypatch):
    def stop(*_args, **_named):
        raise InterruptedHereError

    with monkeypatch.context() as patch:
        patch.setattr(train, "write_table", stop)
        with pytest.raises(InterruptedHereError):
            train_classifier("small-cnn", noise(), out_dir=tmp_path / "run", **OPTIONS)
    checkpoint = tmp_path / "run" / "checkpoint.safetensors"
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    with pytest.raises(RunFolderError, match="resume=False"):
        train_classifier("small-cnn", noise(), out_dir=tmp_path / "run", **OPTIONS)
