"""Sorting the images of classes: order, cache, one look per image, unknown images."""

import numpy as np
import pytest

from sundog.concepts.clip_prompts import Templates
from sundog.concepts.sort_images import embed_images, sort_images
from sundog.concepts.sorter import Sorter, check_concept
from sundog.core.errors import DataError, InputError, UnknownNameError
from sundog.data.image_set import ImageSet

NAMES = ("cat", "dog", "empty")


class Brightness(Sorter):
    """Vector: mean of each channel. Score: the channel of the concept, less that of the class."""

    name = "brightness"
    width = 3

    def __init__(self):
        self.seen = []

    def identity(self):
        return {"name": self.name, "version": self.version}

    def embed(self, rows):
        self.seen.extend(rows.ids)
        return np.stack([p.mean(axis=(0, 1)) for p in rows.images]).astype(np.float32)

    def score(self, embeddings, concept, class_name):
        channel = {"red": 0, "green": 1, "blue": 2}[concept]
        return embeddings[:, channel] - embeddings[:, NAMES.index(class_name)]


def image_set(count=12, broken=(), seed=0):
    rng = np.random.default_rng(seed)
    pixels = [rng.integers(0, 256, (5 + i, 7, 3), dtype=np.uint8) for i in range(count)]

    def read(row):
        if row in broken:
            raise DataError("image", expected="readable", got="broken")
        return pixels[row]

    made = ImageSet(
        name="set",
        class_names=NAMES,
        labels=np.array([i % 2 for i in range(count)]),
        ids=[f"id{i}" for i in range(count)],
        sources=[f"{i}.png" for i in range(count)],
        read=read,
    )
    return made, np.stack([p.mean(axis=(0, 1)) for p in pixels]).astype(np.float32)


def test_scores_of_each_class_in_image_set_order():
    made, means = image_set()
    found = sort_images(made, Brightness(), {"dog": ["red", "blue"], "cat": ["green"]}, workers=0)
    assert list(found) == ["dog", "cat"]
    assert list(found["dog"]) == ["red", "blue"]
    np.testing.assert_allclose(found["dog"]["red"], (means[:, 0] - means[:, 1])[1::2])
    np.testing.assert_allclose(found["dog"]["blue"], (means[:, 2] - means[:, 1])[1::2])
    np.testing.assert_allclose(found["cat"]["green"], (means[:, 1] - means[:, 0])[0::2])
    assert found["cat"]["green"].dtype == np.float32


def test_only_the_classes_that_are_asked_for_are_looked_at_and_only_once(tmp_path):
    made, _ = image_set()
    sorter = Brightness()
    first = sort_images(made, sorter, {"dog": ["red", "blue"]}, cache=tmp_path, workers=2)
    assert sorted(sorter.seen) == sorted(f"id{i}" for i in range(1, 12, 2))
    again = Brightness()
    second = sort_images(made, again, {"dog": ["red"], "cat": ["red"]}, cache=tmp_path)
    assert sorted(again.seen) == sorted(f"id{i}" for i in range(0, 12, 2))
    np.testing.assert_array_equal(first["dog"]["red"], second["dog"]["red"])


def test_other_labels_than_the_sets():
    made, means = image_set()
    labels = np.array([-1, 0, 0, 1] * 3)
    found = sort_images(made, Brightness(), {"cat": ["blue"]}, class_labels=labels, workers=0)
    np.testing.assert_allclose(found["cat"]["blue"], (means[:, 2] - means[:, 0])[labels == 0])


def test_an_image_that_cannot_be_decoded_is_unknown_and_listed():
    made, means = image_set(broken=(3,))
    found = sort_images(made, Brightness(), {"dog": ["red"]}, workers=0)["dog"]["red"]
    assert np.isnan(found[1])
    assert np.isnan(found).sum() == 1
    expected = (means[:, 0] - means[:, 1])[1::2]
    np.testing.assert_allclose(np.delete(found, 1), np.delete(expected, 1))
    assert [s.source for s in made.skipped] == ["3.png"]


def test_a_class_without_images_has_empty_rankings():
    made, _ = image_set()
    found = sort_images(made, Brightness(), {"empty": ["red"], "dog": ["red"]}, workers=0)
    assert found["empty"]["red"].shape == (0,)
    assert len(found["dog"]["red"]) == 6


def test_a_class_with_one_image_and_a_class_without_concepts():
    made, _ = image_set(count=2)
    found = sort_images(made, Brightness(), {"dog": ["red"], "cat": []}, workers=0)
    assert found["dog"]["red"].shape == (1,)
    assert found["cat"] == {}
    assert sort_images(made, Brightness(), {}) == {}


def test_the_result_depends_neither_on_batches_nor_on_threads():
    made, _ = image_set()
    one = embed_images(made, Brightness(), batch_size=1, workers=0).scores
    for batch_size, workers in ((5, 2), (64, 1)):
        other = embed_images(made, Brightness(), batch_size=batch_size, workers=workers).scores
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("concepts", "error", "words"),
    [
        ({"cta": ["red"]}, UnknownNameError, "cat"),
        ({"cat": "red"}, InputError, "a list of texts"),
        ({"cat": [3]}, InputError, "got int"),
        ({"cat": ["  "]}, InputError, "letter or digit"),
        ({"cat": ["?!"]}, InputError, "letter or digit"),
        ({"cat": ["red", "red"]}, InputError, "distinct"),
        ({"cat": [None]}, InputError, "NoneType"),
    ],
)
def test_bad_concepts_are_refused_before_any_image_is_read(concepts, error, words):
    made, _ = image_set()
    sorter = Brightness()
    with pytest.raises(error, match=words):
        sort_images(made, sorter, concepts)
    assert sorter.seen == []


@pytest.mark.parametrize("labels", [np.zeros(3, int), np.zeros(12), np.zeros((12, 1), int)])
def test_bad_labels(labels):
    made, _ = image_set()
    with pytest.raises(InputError, match="class_labels"):
        sort_images(made, Brightness(), {"cat": ["red"]}, class_labels=labels)


def test_no_image_of_the_class_can_be_read():
    made, _ = image_set(broken=range(12))
    with pytest.raises(DataError, match="not one can be decoded"):
        sort_images(made, Brightness(), {"cat": ["red"]}, workers=0)


def test_words():
    assert check_concept("  garbage_truck \n at  night ") == "garbage truck at night"
    with pytest.raises(InputError, match="class_name"):
        check_concept(5, what="class_name")


def test_a_sorter_of_texts_proposes_nothing():
    assert Brightness().propose(np.zeros((1, 3), np.float32), np.zeros(1, int), ["cat"]) == {}
    assert Brightness().score_identity() == Brightness().identity()


def test_templates():
    filled = Templates((("{class}: {concept}", "{class}"),), (("{concept}", "it"),))
    assert filled.fill("a {b} c", "dog") == (["dog: a {b} c"], ["dog"])
    assert filled.fill("snow", None) == (["snow"], ["it"])
    with_concept, without = Templates().fill("snow", "church")
    assert len(with_concept) == len(without) == 4
    assert all(
        "snow" in w and "church" in w and "snow" not in o
        for w, o in zip(with_concept, without, strict=True)
    )


@pytest.mark.parametrize(
    "pairs",
    [
        (),
        (("{class} {concept}",),),
        (("{class} {concept}", "{class}", "x"),),
        (("{concept}", "{class}"),),
        (("{class} {concept}", "nothing"),),
        (("{class} {concept} {other}", "{class}"),),
        (("{class} {concept", "{class}"),),
        (("{class.__class__} {concept}", "{class}"),),
        (("{class} {concept} {}", "{class}"),),
    ],
)
def test_bad_templates(pairs):
    with pytest.raises(InputError, match="template"):
        Templates(in_class=pairs)
