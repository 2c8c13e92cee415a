"""Images that a debiasing run cannot be made from, or can although something is missing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from sundog.audit.debias_open import open_debias
from sundog.audit.debias_sources import open_sources
from sundog.core.errors import DataError, InputError
from sundog.report.debias_content import DebiasPage, MethodResult
from sundog.report.debias_headline import answer


def _manifest(folder: Path, rows: list[tuple[str, str]], name: str = "m.csv") -> str:
    """Write an image of noise per (label, split)."""
    draw = np.random.default_rng(len(rows))
    written = []
    for i, (label, split) in enumerate(rows):
        pixels = draw.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{name}-{i}.png")
        written.append((f"{name}-{i}.png", label, split, i % 2))
    table = pd.DataFrame(written, columns=["path", "label", "split", "place"])
    table.to_csv(folder / name, index=False)
    return str(folder / name)


def _rows(train: str, held: str, count: int = 12) -> list[tuple[str, str]]:
    return [(c, "train") for c in train * count] + [(c, "validation") for c in held * count]


def test_a_class_that_the_validation_images_lack_keeps_the_numbers_of_the_others(
    tmp_path: Path,
) -> None:
    found = open_sources(_manifest(tmp_path, _rows("abc", "ca")))
    assert found.train.class_names == ("a", "b", "c")
    for part in (found.validation, found.test):
        assert part.class_names == ("a", "b", "c")
        assert set(part.labels.tolist()) <= {0, 2}
        truth = part.metadata["label"].map({"a": 0, "c": 2})
        assert part.labels.tolist() == truth.tolist()


def test_a_class_that_the_training_images_lack_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="of the training set's classes"):
        open_sources(_manifest(tmp_path, _rows("ab", "abc")))


def test_too_few_images_to_be_halved_say_so(tmp_path: Path) -> None:
    rows = [*_rows("ab", "", 6), ("a", "validation")]
    with pytest.raises(DataError, match="enough to be halved") as raised:
        open_sources(_manifest(tmp_path, rows))
    assert "--test" in raised.value.message


def test_images_without_labels_say_so(tmp_path: Path) -> None:
    source = _manifest(tmp_path, _rows("ab", "ab"))
    table = pd.read_csv(source).drop(columns="label")
    table.to_csv(source, index=False)
    with pytest.raises(DataError, match="must be with labels"):
        open_debias(source, network="small-cnn")


def test_the_label_is_not_its_own_attribute(tmp_path: Path) -> None:
    source = _manifest(tmp_path, _rows("ab", "ab"))
    with pytest.raises(InputError, match="the label itself"):
        open_debias(source, network="small-cnn", group_column="label")
    with pytest.raises(InputError, match="the label itself"):
        open_debias(source, network="small-cnn", label_column="place", group_column="place")


def test_plain_training_is_never_called_the_best_repair() -> None:
    def row(name: str, worst: float) -> MethodResult:
        return MethodResult(name=name, scores={"worst_group": worst, "average": 0.9}, seeds=1)

    page = DebiasPage(
        title="x",
        outcome="no method helped",
        baseline=row("before", 0.5),
        methods=[row("erm", 0.9), row("group_dro", 0.6)],
        chosen="",
        reason="",
    )
    said = str(answer(page))
    assert "group_dro" in said
    assert "erm" not in said
