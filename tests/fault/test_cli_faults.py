"""What the command line does with odd names, mismatched models and folders it cannot write."""

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
from typer.testing import CliRunner

from sundog import from_arrays, get_model, make_subject, save_classifier, train_classifier
from sundog.audit.requests import parse_methods
from sundog.audit.subject import open_subject
from sundog.audit.training import open_train_validation
from sundog.cli.main import app, main
from sundog.cli.say import next_command
from sundog.core.errors import CheckpointError, DataError, InputError, first_line
from sundog.data.load import load_image_set

NAMES = ("röd ❤", "gre en", "[bold]blue")


def failing(capsys, monkeypatch, *arguments, code=2):
    monkeypatch.setattr(sys, "argv", ["sundog", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == code
    return capsys.readouterr().err


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    root = tmp_path_factory.mktemp("odd [x] ü")
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        for name in NAMES:
            folder = root / split / name / "deeper still"
            folder.mkdir(parents=True)
            for number in range(3):
                pixels = rng.integers(0, 256, (32, 32, 3)).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f"im [{number}] ü.png")
    (root / "val" / NAMES[0] / "[red]broken.png").write_bytes(b"no image")
    return root


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    model = get_model("small-cnn", class_names=NAMES, input_size=32)
    return save_classifier(model, tmp_path_factory.mktemp("model [y]"))


def test_odd_names_are_printed_as_they_are(images, saved, tmp_path):
    out = tmp_path / "out [z] ü"
    result = CliRunner().invoke(
        app,
        [
            *("explain", str(images), "--split", "val", "--model", str(saved)),
            *("--methods", "gradient_norm", "--out", str(out)),
        ],
        catch_exceptions=False,
    )
    assert result.exit_code == 0, result.output
    assert f"Page: {out / 'index.html'}" in result.output
    assert "[red]broken.png" in result.output
    expected = next_command(
        "faithfulness", str(images), options={"--model": str(saved), "--split": "val"}
    )
    assert expected in result.output
    assert "9 images (9 labelled), 1 method, 1 left out" in result.output


def test_a_printed_command_can_be_pasted():
    text = next_command("train", "a b", options={"--out": "c [d]", "--split": None, "--size": 3})
    assert text == "sundog train 'a b' --out 'c [d]' --size 3"


def test_a_saved_classifier_does_not_ignore_what_it_is_given(saved):
    for given in ({"ckpt_path": saved}, {"mean": (0.5,) * 3}, {"output": "probabilities"}):
        with pytest.raises(InputError, match="left out for a saved classifier"):
            get_model(saved, **given)


def test_a_saved_classifier_keeps_the_columns_asked_for(saved, tmp_path):
    whole = get_model(saved)
    pictures = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    logits = whole.predict(pictures)
    part = get_model(saved, classes=[2, 0])
    assert part.class_names == (NAMES[2], NAMES[0])
    assert torch.equal(part.predict(pictures), logits[:, [2, 0]])
    again = get_model(save_classifier(part, tmp_path / "part"), classes=[NAMES[0]])
    assert again.class_names == (NAMES[0],)
    assert torch.equal(again.predict(pictures), logits[:, [0]])
    renamed = get_model(saved, class_names=["a", "b", "c"])
    assert renamed.class_names == ("a", "b", "c")
    assert torch.equal(renamed.predict(pictures), logits)
    with pytest.raises(InputError, match=r"one per class \(3\)"):
        get_model(saved, class_names=["a", "b"])
    with pytest.raises(InputError, match=r"0\.\.2"):
        get_model(saved, classes=[0, 3])


def test_an_exported_program_says_its_size_and_needs_a_free_batch(tmp_path):
    network = get_model("small-cnn", class_names=NAMES).network.eval()
    batch = ({0: torch.export.Dim("batch", min=1, max=64)},)
    pictures = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    torch.export.save(
        torch.export.export(network, (pictures,), dynamic_shapes=batch), tmp_path / "free.pt2"
    )
    torch.export.save(torch.export.export(network, (pictures,)), tmp_path / "fixed.pt2")
    assert get_model(tmp_path / "free.pt2").input_size == (32, 32)
    with pytest.raises(CheckpointError, match="batches of 2"):
        get_model(tmp_path / "fixed.pt2")


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (["--size", "1"], "made for 32 x 32 px"),
        (["--size", "200000"], "size must be one that"),
        (["--palette", "rainbow"], "red_blue"),
        (["--mean", "a,b"], "--mean must be one number, or three"),
        (["--mean", "0.5"], "mean must be left out"),
        (["--network-output", "probs"], "probabilities"),
        (["--label-column", "class"], "label_column"),
    ],
)
def test_values_out_of_range_are_refused(
    extra, words, images, saved, tmp_path, capsys, monkeypatch
):
    message = failing(
        *(capsys, monkeypatch, "explain", images, "--split", "val", "--model", saved),
        *("--methods", "gradient_norm", "--out", tmp_path / "o", *extra),
    )
    assert message.startswith("Error:")
    assert words in message
    assert not (tmp_path / "o").exists()


def test_a_folder_that_cannot_be_made_is_refused(images, saved, tmp_path, capsys, monkeypatch):
    (tmp_path / "file").write_text("x")
    message = failing(
        *(capsys, monkeypatch, "explain", images, "--split", "val", "--model", saved),
        *("--methods", "gradient_norm", "--out", tmp_path / "file" / "sub"),
    )
    assert "can be written" in message
    message = failing(
        *(capsys, monkeypatch, "plant", images, "--split", "val", "--cue", "patch"),
        *("--out", tmp_path / "file" / "sub"),
    )
    assert message.startswith("Error:")


def test_an_unexpected_error_is_one_message_and_a_way_to_see_more(capsys, monkeypatch):
    def broken(*_arguments, **_options):
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr("sundog.audit.catalog.catalog", broken)
    message = failing(capsys, monkeypatch, "list", code=1)
    assert "ZeroDivisionError: a defect" in message
    assert "SUNDOG_TRACEBACK=1" in message
    monkeypatch.setenv("SUNDOG_TRACEBACK", "1")
    with pytest.raises(ZeroDivisionError):
        main()


def test_an_interrupted_run_says_that_it_goes_on(images, saved, tmp_path):
    command = [
        *(sys.executable, "-m", "sundog", "explain", str(images), "--split", "val"),
        *("--model", str(saved), "--methods", "integrated_gradients:n_steps=4000"),
        *("--batch-size", "1", "--out", str(tmp_path / "o")),
    ]
    running = subprocess.Popen(
        command,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (tmp_path / "o" / "manifest.json").exists():
        time.sleep(0.02)
    running.send_signal(signal.SIGINT)
    _, message = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "Interrupted; run the same command again" in message
    assert "Traceback" not in message


def test_a_manifest_may_call_its_split_val(images, tmp_path):
    rows = [
        (str(path), path.parent.parent.name, path.relative_to(images).parts[0])
        for path in sorted(images.rglob("im*.png"))
    ]
    table = pd.DataFrame(rows, columns=["path", "class", "split"])
    table.to_csv(tmp_path / "m.csv", index=False)
    held = load_image_set(tmp_path / "m.csv", split="validation", label_column="class")
    assert len(held) == 9
    assert all("/val/" in source for source in held.sources)
    train, held, split = open_train_validation(str(tmp_path / "m.csv"), label_column="class")
    assert (len(train), len(held)) == (9, 9)
    assert "(validation)" in split


def test_training_with_other_images_takes_the_train_split_only(images, tmp_path):
    train, held, _ = open_train_validation(str(images), str(images))
    assert not set(train.ids) & set(held.ids)
    for name in NAMES:
        (tmp_path / "broken" / "train" / name).mkdir(parents=True)
        (tmp_path / "broken" / "val" / name).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(tmp_path / "broken" / "train" / name / "a.png")
        (tmp_path / "broken" / "val" / name / "a.png").write_bytes(b"")
    with pytest.raises(DataError, match="the file is empty"):
        open_train_validation(str(tmp_path / "broken"))


def test_messages_hold_no_terminal_codes():
    assert first_line(ValueError("\x1b[1mbold\x1b[0m\ttext\nmore")) == "ValueError: bold text"


def test_a_network_trained_at_the_images_own_size_is_asked_at_that_size(tmp_path):
    digits = load_image_set("digits", split="train", limit=40)
    run = train_classifier("small-cnn", digits, epochs=1, out_dir=tmp_path / "run", device="cpu")
    assert run.classifier.input_size == (28, 28)
    subject = make_subject(digits, get_model(tmp_path / "run"))
    assert subject.size == (28, 28)
    logits = torch.cat([subject.classifier.predict(batch.images) for batch in subject.batches()])
    right = float((logits.argmax(1) == torch.from_numpy(digits.labels)).float().mean())
    assert right == pytest.approx(run.history["accuracy"].iloc[-1])


def test_validation_images_of_another_size_need_a_size():
    draw = np.random.default_rng(0)
    small, large = (
        from_arrays(
            draw.integers(0, 256, (8, side, side, 3), dtype=np.uint8), np.arange(8) % 2, ("a", "b")
        )
        for side in (28, 32)
    )
    with pytest.raises(InputError, match="different sizes"):
        train_classifier("small-cnn", small, validation_set=large, epochs=1, device="cpu")


def test_the_seed_reaches_the_methods_that_draw():
    found = parse_methods("rise:n_samples=8,grad_cam,gradient_shap:seed=2", seed=5)
    assert [given for _, given in found.values()] == [
        {"seed": 5, "n_samples": 8},
        {},
        {"seed": 2},
    ]
    assert parse_methods("rise")["rise"] == ("rise", {})


def test_a_run_is_asked_with_the_resizing_it_was_trained_with(tmp_path):
    digits = load_image_set("digits", split="train", limit=40)
    train_classifier(
        "small-cnn", digits, epochs=1, size=32, resize="crop", out_dir=tmp_path / "r", device="cpu"
    )
    with pytest.raises(InputError, match="resize must be 'crop'"):
        open_subject("digits", model=tmp_path / "r", limit=10)
    assert open_subject("digits", model=tmp_path / "r", limit=10, resize="crop").resize == "crop"


@pytest.mark.filterwarnings(
    "ignore:.*torch.jit:FutureWarning", "ignore:.*torch.jit:DeprecationWarning"
)
def test_random_weights_and_missing_normalisation_are_said(tmp_path):
    network = get_model("small-cnn", class_names=NAMES).network.eval()
    torch.jit.trace(network, torch.zeros(1, 3, 32, 32)).save(str(tmp_path / "m.ts"))
    for model, words in (("small-cnn", "random weights"), (tmp_path / "m.ts", "--mean and --std")):
        result = CliRunner().invoke(
            app,
            [
                *("explain", "photos", "--limit", "1", "--model", str(model), "--size", "32"),
                *("--class-names", "a,b,c", "--methods", "gradient_norm"),
                *("--out", str(tmp_path / words)),
            ],
            catch_exceptions=False,
        )
        assert words in result.output
