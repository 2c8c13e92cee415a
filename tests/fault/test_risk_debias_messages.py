"""What a person reads when a model, a folder or a file does not fit: what to try is in it."""

from __future__ import annotations

import json
import shlex
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from typer.testing import CliRunner

from sundog.cli.main import app
from sundog.core.errors import CheckpointError, InputError, LayerError
from sundog.models.classifier import Classifier
from sundog.models.store import load_classifier, save_classifier
from sundog.models.zoo import get_model
from sundog.report.debias_content import DebiasPage, MethodResult
from sundog.report.debias_headline import answer
from sundog.risk import wrap
from sundog.risk.store import RISK_FILE, load_risk_model, save_risk_model


class Single(nn.Module):
    """One logit for two classes."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(48, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the logit."""
        return self.head(nn.functional.adaptive_avg_pool2d(images, 4).flatten(1))


def _file(folder: Path) -> Path:
    torch.manual_seed(0)
    place = folder / "single.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is on its way out; files of it are not
        torch.jit.trace(Single().eval(), torch.zeros(2, 3, 8, 8)).save(str(place))
    return place


def _images(folder: Path) -> Path:
    draw = np.random.default_rng(0)
    for i in range(12):
        place = folder / "images" / "ab"[i % 2] / f"{i}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(place)
    return folder / "images"


def test_one_logit_for_two_names_says_which_option(tmp_path: Path) -> None:
    place = _file(tmp_path)
    with pytest.raises(InputError, match="--network-output binary_logit"):
        get_model(place, class_names=["a", "b"])
    found = get_model(place, class_names=["a", "b"], output="binary_logit")
    with pytest.raises(LayerError, match="msp and entropy"):
        wrap(found, "knn").fit(torch.rand(8, 3, 8, 8))


def test_the_next_command_opens_the_same_model_and_images(tmp_path: Path) -> None:
    typed = {
        "--model": str(_file(tmp_path)),
        "--class-names": "a,b",
        "--network-output": "binary_logit",
        "--size": "8",
    }
    words = [str(_images(tmp_path)), *(part for pair in typed.items() for part in pair)]
    result = CliRunner().invoke(
        app, ["risk", *words, "--methods", "msp", "--out", str(tmp_path / "run")]
    )
    assert result.exit_code == 0, result.output
    told = shlex.split(result.output.replace("\n", " ").split("Mend it:")[1].split("  ")[0])
    assert told[:3] == ["sundog", "debias", words[0]]
    given = dict(zip(told[3::2], told[4::2], strict=True))
    assert given == typed


@pytest.mark.parametrize("name", ["sha256", "methods", "classifier"])
def test_a_risk_model_without_a_field_is_a_clear_error(tmp_path: Path, name: str) -> None:
    classifier = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(48, 2)), input_size=(4, 4)).eval()
    model = wrap(classifier, "msp").fit(torch.rand(8, 3, 4, 4))
    save_risk_model(model, tmp_path)
    about = json.loads((tmp_path / RISK_FILE).read_text())
    del about[name]
    (tmp_path / RISK_FILE).write_text(json.dumps(about))
    with pytest.raises(CheckpointError, match=f"without {name}"):
        load_risk_model(tmp_path, classifier=classifier)


def test_a_classifier_without_a_field_is_a_clear_error(tmp_path: Path) -> None:
    save_classifier(get_model("small-cnn", class_names=["a", "b"]), tmp_path)
    (tmp_path / "classifier.json").write_text('{"format": 1}')
    with pytest.raises(CheckpointError, match="without sha256, recipe"):
        load_classifier(tmp_path)


def test_the_reason_of_an_improvement_is_a_sentence_of_its_own() -> None:
    def row(name: str, worst: float) -> MethodResult:
        return MethodResult(name=name, scores={"worst_group": worst}, seeds=1)

    page = DebiasPage(
        title="x",
        outcome="improved",
        baseline=row("before", 0.1),
        methods=[row("dfr", 0.9)],
        chosen="dfr",
        reason="on the validation images dfr is best",
    )
    assert ". On the validation images dfr is best." in answer(page).lead
