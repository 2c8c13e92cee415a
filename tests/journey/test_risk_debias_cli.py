"""sundog risk and sundog debias end to end, on images made here."""

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
from typer.testing import CliRunner

from sundog.cli.main import app, main
from sundog.models.zoo import get_model
from sundog.report import page
from sundog.risk.store import load_risk_model

COLOURS = {"red": (200, 40, 40), "green": (40, 200, 40)}
QUICK = ["--epochs", 3, "--batch-size", 16, "--size", 24]


def run(*arguments, code=0):
    result = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result.output


def failing(capsys, monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["sundog", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    return " ".join(capsys.readouterr().err.split())


@pytest.fixture
def no_pictures(monkeypatch):
    """Pages are written with their words alone, where no test looks at pictures."""
    monkeypatch.setattr(page, "encode", lambda *_, **__: page.Encoded("data:,", 1, 1))


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Noisy squares of two colours, a place column by manifest, one broken file."""
    root = tmp_path_factory.mktemp("risk_images")
    rng = np.random.default_rng(0)
    rows = []
    for split, count in (("train", 60), ("validation", 60)):
        for label, colour in COLOURS.items():
            folder = root / split / label
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 256, (24, 24, 3))
                strength = 0.15 if number % 3 else 0.4
                pixels[6:18, 6:18] = (1 - strength) * pixels[6:18, 6:18] + strength * np.array(
                    colour
                )
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
                rows.append(
                    (split, f"{split}/{label}/{number}.png", label, ("in", "out")[number % 2])
                )
    (root / "validation" / "red" / "broken.png").write_bytes(b"not an image")
    for split in ("train", "validation"):
        part = [row[1:] for row in rows if row[0] == split]
        frame = pd.DataFrame(part, columns=["path", "label", "place"])
        if split == "validation":
            frame.loc[len(frame)] = ["validation/red/broken.png", "red", "in"]
        frame.to_csv(root / f"{split}.csv", index=False)
    return root


@pytest.fixture(scope="module")
def model(images, tmp_path_factory):
    out = tmp_path_factory.mktemp("risk_model") / "model"
    run("train", images, "--out", out, *QUICK, "--device", "cpu")
    return out


def test_risk_scores_every_image_and_says_what_was_left_out(images, model, tmp_path):
    said = run(
        *("risk", images / "validation.csv", "--fit", images / "train.csv", "--model", model),
        *("--methods", "laplace,knn:k=5,evidential", "--group-column", "place", "--epochs", 2),
        *("--out", tmp_path / "r", "--windows", 4, "--shown", 5, "--only-classes", "red"),
    )
    assert "fitted on 120 images" in said
    assert "Accuracy along representation" in said
    assert "broken.png" in said
    table = pd.read_parquet(tmp_path / "r" / "tables" / "risks.parquet")
    assert len(table) == 120
    assert set(table["group"]) == {"red x in", "red x out", "green x in", "green x out"}
    stored = load_risk_model(tmp_path / "r" / "model")
    classifier = get_model(model)
    pixels = np.asarray(Image.open(images / table["source"][7])) if (
        images / table["source"][7]
    ).exists() else None  # fmt: skip
    if pixels is not None:
        image = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255
        output = stored(image, return_risk=True)
        assert torch.equal(output.prediction, classifier(image))
        assert float(output.representation) == pytest.approx(table["representation"][7], rel=1e-4)
    windows = pd.read_parquet(tmp_path / "r" / "tables" / "windows.parquet")
    for field, part in windows.groupby("field"):
        assert part["n"].sum() == 120, field
        right = (part["accuracy"] * part["n"]).sum()
        assert right == pytest.approx(table["correct"].sum())
    metrics = pd.read_parquet(tmp_path / "r" / "tables" / "metrics.parquet")
    whole = metrics[(metrics["group"] == "all") & (metrics["metric"] == "accuracy")]
    assert whole["value"].iloc[0] == pytest.approx(table["correct"].mean())
    correlations = pd.read_parquet(tmp_path / "r" / "tables" / "correlations.parquet")
    assert {"representation", "epistemic", "aleatoric"} <= set(correlations["a"]) | set(
        correlations["b"]
    )
    page = (tmp_path / "r" / "index.html").read_text()
    assert "red x in" in page
    assert "least represented" in page.lower()


@pytest.mark.usefixtures("no_pictures")
def test_risk_is_repeated_from_its_folder_and_refuses_other_arguments(
    images, model, tmp_path, capsys, monkeypatch
):
    asked = ["risk", images, "--split", "validation", "--model", model, "--methods", "knn:k=5"]
    run(*asked, "--out", tmp_path / "r")
    first = pd.read_parquet(tmp_path / "r" / "tables" / "risks.parquet")
    (tmp_path / "r" / "index.html").unlink()
    said = run(*asked, "--out", tmp_path / "r")
    assert "split 'train'" in said
    again = pd.read_parquet(tmp_path / "r" / "tables" / "risks.parquet")
    pd.testing.assert_frame_equal(first, again)
    message = failing(capsys, monkeypatch, *asked, "--windows", 3, "--out", tmp_path / "r")
    assert "windows" in message


def test_risk_says_what_is_wrong(images, model, tmp_path, capsys, monkeypatch):
    asked = ["risk", images, "--split", "validation", "--model", model, "--out", tmp_path / "r"]
    assert "knn" in failing(capsys, monkeypatch, *asked, "--methods", "knnn")
    assert "place" in failing(
        capsys, monkeypatch, "risk", images / "validation.csv", "--model", model,
        "--group-column", "plaec", "--out", tmp_path / "q",
    )  # fmt: skip
    assert "several classifiers" in failing(
        capsys, monkeypatch, *asked[:-1], tmp_path / "e", "--methods", "ensemble"
    )


@pytest.mark.usefixtures("no_pictures")
def test_an_ensemble_from_the_command_line(images, model, tmp_path):
    other = tmp_path / "other"
    run("train", images, "--out", other, *QUICK, "--device", "cpu", "--seed", 7)
    run(
        *("risk", images, "--split", "validation", "--model", model, "--members", other),
        *("--methods", "ensemble,knn:k=5", "--out", tmp_path / "r"),
    )
    table = pd.read_parquet(tmp_path / "r" / "tables" / "risks.parquet")
    assert {"representation", "epistemic", "aleatoric"} <= set(table.columns)
    assert (table["epistemic"] >= 0).all()
    assert table["epistemic"].max() > 0


def test_debias_mends_a_planted_shortcut_and_leaves_a_sound_model(images, tmp_path):
    common = [*QUICK, "--seeds", 2, "--device", "cpu", "--learning-rate", 0.003]
    said = run(
        *("debias", images, "--network", "small-cnn", "--cue", "patch:size=0.3"),
        *("--strength", 1.0, "--methods", "cue_augmentation,group_reweighting,dfr,jtt"),
        *("--probe", "tint", "--out", tmp_path / "d", *common),
    )
    found = json.loads((tmp_path / "d" / "debias.json").read_text())
    assert found["outcome"] == "improved"
    refused = {row["name"]: row["gate"] for row in found["refused"]}
    assert refused["group_reweighting"] == "alignment"
    assert refused["jtt"] == "alignment"
    assert "Refused group_reweighting (alignment)" in said
    table = pd.read_parquet(tmp_path / "d" / "tables" / "scores.parquet")
    flips = table[table["score"] == "flip_rate"].set_index("method")["value"]
    assert flips["before"] > 0.5
    assert flips["cue_augmentation"] < 0.15
    worst = table[table["score"] == "worst_group"].set_index("method")
    assert worst.loc[found["chosen"], "value"] > worst.loc["before", "value"] + 0.3
    assert worst.loc["cue_augmentation", "change_low"] > 0
    assert (table["n"].dropna() > 0).all()
    mended = get_model(tmp_path / "d" / "mended")
    assert mended.class_names == ("green", "red")
    probes = list((tmp_path / "d" / "cells" / "probes").glob("*.parquet"))
    assert len(probes) == 2 * 3
    assert "Did mending one shortcut feed another" in (tmp_path / "d" / "index.html").read_text()

    said = run(
        *("debias", images, "--network", "small-cnn", "--cue", "patch:size=0.3"),
        *("--strength", 0.5, "--methods", "cue_augmentation,dfr", "--out", tmp_path / "n"),
        *common,
    )
    found = json.loads((tmp_path / "n" / "debias.json").read_text())
    assert found["outcome"] in ("nothing changed", "no method helped")
    assert found["chosen"] == ""
    assert not (tmp_path / "n" / "mended").exists()


def test_debias_of_a_given_model_by_a_metadata_column(images, model, tmp_path):
    run(
        *("debias", images / "train.csv", "--validation", images / "validation.csv"),
        *("--model", model, "--group-column", "place", "--methods", "dfr,group_reweighting"),
        *("--force", "--out", tmp_path / "d", "--epochs", 1, "--seeds", 1, "--size", 24),
    )
    table = pd.read_parquet(tmp_path / "d" / "tables" / "scores.parquet")
    assert set(table["method"]) == {"before", "erm", "dfr", "group_reweighting"}
    groups = pd.read_parquet(tmp_path / "d" / "tables" / "groups.parquet")
    assert groups["train"].sum() == 120


def test_debias_says_what_is_wrong(images, model, tmp_path, capsys, monkeypatch):
    asked = ["debias", images, "--out", tmp_path / "d"]
    assert "one of the two" in failing(capsys, monkeypatch, *asked)
    assert "dfr" in failing(capsys, monkeypatch, *asked, "--model", model, "--methods", "dffr")
    said = run(*asked, "--model", model, "--methods", "cue_augmentation,group_dro", "--size", 24,
               "--force", "--seeds", 1)  # fmt: skip
    assert "Refused cue_augmentation (needs)" in said
    assert "Refused group_dro (needs)" in said


def test_a_killed_debias_run_goes_on(images, tmp_path):
    def command(out):
        return [
            *("debias", str(images), "--network", "small-cnn"),
            *("--cue", "patch:size=0.3", "--methods", "dfr,cue_augmentation", "--seeds", "1"),
            *("--epochs", "2", "--size", "24", "--batch-size", "16", "--out", str(out), "--force"),
        ]

    quiet = {**os.environ, "OMP_NUM_THREADS": "1"}
    killed = subprocess.Popen(
        [sys.executable, "-m", "sundog", *command(tmp_path / "k")],
        env=quiet,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    parts = tmp_path / "k" / "cells" / "answers"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and len(list(parts.glob("*.parquet"))) < 2:
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    for out in ("k", "whole"):
        run(*command(tmp_path / out))
    tables = [
        pd.read_parquet(tmp_path / out / "tables" / "scores.parquet").query("score != 'seconds'")
        for out in ("k", "whole")
    ]
    pd.testing.assert_frame_equal(*tables)
