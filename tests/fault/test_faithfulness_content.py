"""Scores are never mixed: an id stands for one picture and one mask, in a call and in a folder."""

import numpy as np
import pytest
import torch
from torch import nn

from sundog.core.errors import InputError, RunFolderError
from sundog.core.run_folder import RunFolder
from sundog.faithfulness.run import evaluate_faithfulness
from sundog.faithfulness.similarity import spearman, structural_similarity
from sundog.models.classifier import Classifier

IDS = ("a", "b", "c", "d")
IMAGES = torch.rand(4, 3, 6, 6, generator=torch.Generator().manual_seed(0))
MASKS = {one: np.eye(6, dtype=bool) for one in IDS}
EXPLAINERS = {"bright": lambda images: images.mean(dim=1)}


def make_classifier():
    torch.manual_seed(1)
    return Classifier(nn.Sequential(nn.Flatten(), nn.Linear(108, 3)))


def evaluate(images=IMAGES, ids=IDS, *, size=4, explainers=EXPLAINERS, **more):
    parts = [(images[k : k + size], ids[k : k + size]) for k in range(0, len(ids), size)]
    return evaluate_faithfulness(
        make_classifier(), parts, explainers, metrics=("deletion",), controls=False, **more
    )


def test_one_id_for_two_pictures_is_refused():
    """Numbers that begin anew in each batch would drop every batch but the first."""
    with pytest.raises(InputError, match="ids must be one per picture; got 'a' for two"):
        evaluate(ids=("a", "b", "a", "b"), size=2)
    twice = torch.cat([IMAGES, IMAGES[:2]])
    table = evaluate(twice, (*IDS, "a", "b"), size=3)
    assert table.notes == ("2 repeated images counted once.",)
    assert table.summary["n"].tolist() == [4]


@pytest.mark.parametrize("size", [2, 4])
def test_a_folder_refuses_another_picture_under_a_known_id(tmp_path, size):
    with RunFolder.open(tmp_path / "run", kind="faithfulness") as folder:
        first = evaluate(folder=folder, size=2)
    changed = IMAGES.clone()
    changed[3] = changed[3].flip(-1)
    with (
        RunFolder.open(tmp_path / "run", kind="faithfulness") as folder,
        pytest.raises(RunFolderError, match="another picture or mask for image 'd' now"),
    ):
        evaluate(changed, folder=folder, size=size)
    with RunFolder.open(tmp_path / "run", kind="faithfulness") as folder:
        again = evaluate(folder=folder, size=size)
    np.testing.assert_array_equal(again.scores["value"], first.scores["value"])
    assert "content" not in again.scores


def test_a_folder_refuses_another_mask(tmp_path):
    with RunFolder.open(tmp_path / "run", kind="faithfulness") as folder:
        evaluate(folder=folder, masks=MASKS)
    for masks in ({**MASKS, "b": ~MASKS["b"]}, {k: MASKS[k] for k in "acd"}):
        with (
            RunFolder.open(tmp_path / "run", kind="faithfulness") as folder,
            pytest.raises(RunFolderError, match="another picture or mask for image 'b' now"),
        ):
            evaluate(folder=folder, masks=masks)


def test_a_mask_of_another_size_is_refused():
    with pytest.raises(InputError, match=r"The mask of image 'c' must be .* \(6, 6\) like"):
        evaluate(masks={**MASKS, "c": np.ones((3, 3), dtype=bool)})


def test_a_method_without_a_score_is_not_among_the_best():
    lost = {**EXPLAINERS, "lost": lambda images: images.mean(dim=1) * torch.nan}
    table = evaluate(explainers=lost)
    assert table.summary.set_index("method").loc["lost", "missing"] == 4
    assert table.best("deletion") == ("bright",)


@pytest.mark.parametrize("fault", [torch.inf, -torch.inf, torch.nan])
def test_similarity_of_maps_that_are_not_finite(fault):
    a = IMAGES[:, 0].clone()
    b = a.clone()
    b[1, 2, 3] = fault
    for found in (
        structural_similarity(a, b),
        structural_similarity(b, a),
        spearman(a, b),
        spearman(a, b, absolute=True),
    ):
        assert np.isnan(found[1])
        np.testing.assert_allclose(found[[0, 2, 3]], 1)
