"""The command line end to end on small images made here: plant, train, compare, explain, score."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from sundog.cli.main import app, main
from sundog.report import page

COLOURS = {"red": (200, 40, 40), "green": (40, 200, 40), "blue": (40, 40, 200)}


def run(*arguments, code=0):
    result = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result.output


def failing(capsys, monkeypatch, *arguments):
    """Run as from a shell and return the one message on standard error."""
    monkeypatch.setattr(sys, "argv", ["sundog", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    return " ".join(capsys.readouterr().err.split())


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Noisy shapes in three classes that a small network learns in seconds; one file is broken."""
    root = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for split, count in (("train", 40), ("validation", 20)):
        for label, colour in COLOURS.items():
            folder = root / split / label
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 256, (32, 32, 3))
                pixels[8:24, 8:24] = 0.5 * pixels[8:24, 8:24] + 0.5 * np.array(colour)
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
    (root / "validation" / "red" / "broken.png").write_bytes(b"not an image")
    return root


@pytest.fixture(scope="module")
def runs(images, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs")
    common = ["--epochs", 6, "--size", 32, "--device", "cpu", "--batch-size", 16]
    for name, cue in (("biased", ["--train-cue", "patch:size=0.25"]), ("sound", [])):
        extra = cue or ["--eval-cue", "patch:size=0.25"]
        text = run("train", images, "--out", out / name, *common, *extra)
        assert "cue off: accuracy" in text
        assert "cue on : accuracy" in text
    return out


def test_training_writes_its_artefacts(runs):
    args = json.loads((runs / "biased" / "args.json").read_text())
    assert args["run_id"] == "biased"
    assert args["train_cue"] == "patch"
    assert json.loads((runs / "sound" / "args.json").read_text())["train_cue"] is None
    lines = [json.loads(x) for x in (runs / "biased" / "test.json").read_text().splitlines()]
    assert len(lines) == 12
    assert {line["cue_on"] for line in lines} == {False, True}
    assert all(line["n"] == 60 for line in lines)


def test_compare_says_what_the_predictions_say(runs, images, tmp_path):
    text = run(
        *("compare", runs / "biased", runs / "sound", "--data", images, "--split", "validation"),
        *("--cue", "recorded"),
        *("--size", 32, "--out", tmp_path / "c", "--map-images", 12),
        *("--methods", "gradient_x_input,grad_cam"),
    )
    assert "biased" in text
    found = json.loads((tmp_path / "c" / "comparison.json").read_text())
    table = pd.read_parquet(tmp_path / "c" / "tables" / "predictions.parquet")
    assert len(table) == 2 * 3 * 60
    for entry in found["runs"]:
        rows = table[(table["run_id"] == entry["run"]) & ~table["cue_on"]]
        right = (rows["label"] == rows["prediction"]).mean()
        assert entry["scores"]["off"]["accuracy"]["value"] == pytest.approx(right)
    maps = pd.read_parquet(tmp_path / "c" / "tables" / "maps.parquet")
    assert set(maps["method"]) == {"gradient_x_input", "grad_cam"}
    assert len(maps) == 2 * 2 * 12
    page = (tmp_path / "c" / "index.html").read_text()
    assert found["verdict"].split("'")[0][:20] in page


def test_compare_again_changes_nothing(runs, images, tmp_path):
    command = (
        *("compare", runs / "biased", runs / "sound", "--data", images, "--split", "validation"),
        *("--cue", "recorded"),
        *("--size", 32, "--out", tmp_path / "c", "--map-images", 0),
    )
    run(*command)
    first = (tmp_path / "c" / "comparison.json").read_bytes()
    run(*command)
    assert (tmp_path / "c" / "comparison.json").read_bytes() == first


def test_compare_looks_for_a_cue_that_nobody_named(runs, images, tmp_path):
    command = (
        *("compare", runs / "biased", f"second={runs / 'sound'}", "--data", images),
        *("--split", "validation", "--size", 32, "--out", tmp_path / "c", "--map-images", 0),
        *("--search-images", 24, "--no-hints", "--taggers", "none"),
    )
    text = run(*command)
    found = json.loads((tmp_path / "c" / "comparison.json").read_text())
    assert found["runs"] == ["biased", "second"]
    assert found["sentence"] in text
    for model, name in zip(found["models"], ("biased", "sound"), strict=True):
        last = pd.read_parquet(runs / name / "predictions.parquet")
        off = last[~last["cue_on"]]
        assert model["accuracy"]["value"] == (off["prediction"] == off["label"]).mean()
        assert model["images"] == 24
    # What the training runs recorded is shown beside, as the practical shows it.
    rows = {row["run"]: row for row in found["training"]}
    assert rows["biased"]["trained_with_cue"] is True
    assert rows["second"]["trained_with_cue"] is False
    assert rows["biased"]["arguments"]["epochs"] == "6"
    first = (tmp_path / "c" / "comparison.json").read_bytes()
    run(*command)
    assert (tmp_path / "c" / "comparison.json").read_bytes() == first


def test_explain_writes_maps_tables_and_a_page(runs, images, tmp_path):
    text = run(
        *("explain", images, "--split", "validation", "--model", runs / "sound", "--size", 32),
        *("--methods", "occlusion:grid=4,gradient_norm,integrated_gradients:n_steps=8,grad_cam"),
        *("--out", tmp_path / "e", "--batch-size", 16, "--figures", "svg"),
    )
    assert "60 images (60 labelled), 4 methods" in text
    assert "broken.png" in text
    predictions = pd.read_parquet(tmp_path / "e" / "tables" / "predictions.parquet")
    assert len(predictions) == 60
    from sundog.audit.explain_run import read_maps

    shapes = [{k: tuple(v.shape) for k, v in part.items()} for part in read_maps(tmp_path / "e")]
    assert sum(part["grad_cam"][0] for part in shapes) == 60
    assert set(shapes[0]) == {
        "occlusion:grid=4",
        "gradient_norm",
        "integrated_gradients:n_steps=8",
        "grad_cam",
    }
    drawn = list((tmp_path / "e" / "figures").glob("*.svg"))
    assert drawn
    assert all("<svg" in path.read_text()[:600] for path in drawn)
    page = (tmp_path / "e" / "index.html").read_text()
    assert "60 images explained with 4 methods" in page
    assert "<script" not in page


def test_faithfulness_prints_controls_and_paired_differences(runs, images, tmp_path):
    text = run(
        *("faithfulness", images, "--split", "validation", "--model", runs / "sound"),
        *("--size", 32, "--methods", "gradient_norm,occlusion:grid=4", "--steps", 5),
        *("--metrics", "deletion", "--fills", "black,mean", "--limit", 30, "--randomise", 6),
        *("--out", tmp_path / "f"),
    )
    for row in ("(random)", "(centre)", "(edge)", "(constant)", "minus random", "tau"):
        assert row in text
    summary = pd.read_csv(tmp_path / "f" / "tables" / "summary.csv")
    assert set(summary["fill"]) == {"black", "mean"}
    randomised = pd.read_csv(tmp_path / "f" / "tables" / "randomisation.csv")
    assert list(randomised["method"].unique()) == ["gradient_norm", "occlusion:grid=4"]
    assert (randomised["n"] + randomised["missing"] == 6).all()
    assert (randomised["mean"] < 0.95).all()
    assert list((tmp_path / "f" / "figures").glob("deletion-*.png"))
    assert (tmp_path / "f" / "index.html").stat().st_size < 5_000_000


def test_plant_then_score_against_the_masks(images, runs, tmp_path):
    text = run(
        *("plant", images, "--split", "validation", "--cue", "patch:size=0.25"),
        *("--out", tmp_path / "p", "--strength", 0.8),
    )
    assert "60 images with cue 'patch'" in text
    manifest = pd.read_csv(tmp_path / "p" / "manifest.csv")
    assert 0.55 < manifest["aligned"].mean() < 0.97
    text = run(
        *("faithfulness", tmp_path / "p" / "manifest.csv", "--model", runs / "biased"),
        *("--size", 32, "--methods", "gradient_x_input", "--metrics", "deletion,mass_lift"),
        *("--steps", 4, "--out", tmp_path / "f"),
    )
    assert "mass_lift" in text


def test_train_from_a_manifest_holds_images_out(images, tmp_path):
    run("plant", images, "--split", "train", "--cue", "border", "--out", tmp_path / "p")
    text = run(
        *("train", tmp_path / "p" / "manifest.csv", "--out", tmp_path / "run", "--epochs", 1),
        *("--size", 32, "--device", "cpu"),
    )
    assert "no validation split" in text
    assert "held out" in text


def test_list_shows_every_table():
    assert "integrated_gradients" in run("list")
    assert "1703.01365" in run("list", "methods").replace("\n", "")
    for kind, word in (
        ("cues", "pixel"),
        ("metrics", "deletion"),
        ("models", "efficientnet-lite0"),
        ("sets", "digits"),
    ):
        assert word in run("list", kind)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["list", "cue"], "Did you mean 'cues'"),
        (["explain", "no-such-folder", "--model", "small-cnn"], "no-such-folder"),
        (
            [
                "explain",
                "IMAGES",
                "--split",
                "validation",
                "--model",
                "RUN",
                "--methods",
                "gradcam",
            ],
            "'grad_cam'",
        ),
        (
            [
                "explain",
                "IMAGES",
                "--split",
                "validation",
                "--model",
                "RUN",
                "--methods",
                "occlusion:gird=3",
            ],
            "'grid'",
        ),
        (["explain", "IMAGES", "--split", "validation", "--model", "small-cn"], "'small-cnn'"),
        (
            ["explain", "IMAGES", "--split", "validation", "--model", "RUN", "--device", "cuda"],
            "cuda",
        ),
        (["explain", "IMAGES", "--split", "validation", "--model", "RUN", "--target", "7"], "0..2"),
        (
            ["explain", "IMAGES", "--split", "validation", "--model", "RUN", "--target", "gren"],
            "'green'",
        ),
        (
            [
                "explain",
                "IMAGES",
                "--split",
                "validation",
                "--model",
                "RUN",
                "--methods",
                "occlusion:grid=99",
            ],
            "grid",
        ),
        (
            [
                "explain",
                "IMAGES",
                "--split",
                "validation",
                "--model",
                "RUN",
                "--methods",
                "grad_cam:layer=conv9",
            ],
            "layer",
        ),
        (
            ["faithfulness", "IMAGES", "--split", "validation", "--model", "RUN", "--steps", "1"],
            "at least 2",
        ),
        (
            [
                "explain",
                "IMAGES",
                "--split",
                "validation",
                "--model",
                "resnet18",
                "--classes",
                "0,1000",
            ],
            "1000",
        ),
        (["compare", "RUN", "--images", "IMAGES", "--split", "validation"], "at least two"),
        (["compare", "RUN"], "--data"),
        (
            ["compare", "RUN", "--data", "IMAGES", "--split", "train", "--cue", "pach"],
            "'patch'",
        ),
        (["plant", "IMAGES", "--split", "train", "--cue", "pixl", "--out", "OUT"], "'pixel'"),
    ],
)
def test_mistakes_are_answered_in_plain_words(
    arguments, words, images, runs, tmp_path, capsys, monkeypatch
):
    names = {"IMAGES": images, "RUN": runs / "sound", "OUT": tmp_path / "p"}
    given = [names.get(a, a) for a in arguments]
    if arguments[0] in ("explain", "faithfulness", "compare"):
        given += ["--out", tmp_path / "o"]
    message = failing(capsys, monkeypatch, *given)
    assert message.startswith("Error:")
    assert words in message
    assert "Traceback" not in message


def test_labels_that_the_classifier_does_not_know_are_refused(
    images, runs, tmp_path, capsys, monkeypatch
):
    other = tmp_path / "other"
    for label in ("red", "green", "violet"):
        (other / label).mkdir(parents=True)
        Image.new("RGB", (32, 32), COLOURS["red"]).save(other / label / f"{label}.png")
    message = failing(
        capsys, monkeypatch, "explain", other, "--model", runs / "sound", "--out", tmp_path / "o"
    )
    assert "violet" in message


def test_a_killed_run_goes_on_and_gives_the_same_tables(images, runs, tmp_path, monkeypatch):
    # Its tables are compared; pages are drawn above.
    monkeypatch.setattr(page, "encode", lambda *_, **__: page.Encoded("data:,", 1, 1))

    def command(out):
        return [
            *("explain", str(images), "--split", "validation", "--limit", "32"),
            *("--model", str(runs / "sound"), "--size", "32", "--batch-size", "4"),
            *("--methods", "occlusion:grid=12,integrated_gradients:n_steps=20", "--out", str(out)),
        ]

    quiet = {**os.environ, "OMP_NUM_THREADS": "1"}
    killed = subprocess.Popen(
        [sys.executable, "-m", "sundog", *command(tmp_path / "k")],
        env=quiet,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    parts = tmp_path / "k" / "cells" / "predictions"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not list(parts.glob("*.parquet")):
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    for out in ("k", "whole"):
        run(*command(tmp_path / out))
    tables = [
        pd.read_parquet(Path(tmp_path) / out / "tables" / "predictions.parquet")
        for out in ("k", "whole")
    ]
    pd.testing.assert_frame_equal(*tables)
