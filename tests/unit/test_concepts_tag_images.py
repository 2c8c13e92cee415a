"""One pass for all taggers: decoded once, cached, resumable, independent of batches and threads."""

import numpy as np
import pandas as pd
import pytest

from sundog.concepts.tag_images import tag_images
from sundog.concepts.tagger import Rows, Tagger, identity_hash, rows_of
from sundog.core.errors import DataError, InputError
from sundog.data.image_set import ImageSet


class MeanTagger(Tagger):
    """The mean of each colour channel; counts what it is asked."""

    needs_images = True

    def __init__(self, name="mean", version=1):
        self.name = name
        self.version = version
        self.tag_names = ("red", "green", "blue")
        self.thresholds = np.full(3, 0.5, np.float32)
        self.asked = []

    def identity(self):
        return {"name": self.name, "version": self.version}

    def score(self, rows: Rows):
        self.asked.extend(rows.ids)
        return np.stack([p.mean(axis=(0, 1)) / 255 for p in rows.images]).astype(np.float32)


class ColumnTagger(Tagger):
    """A column of the metadata."""

    name = "column"
    needs_images = False
    tag_names = ("night",)
    thresholds = np.array([0.5], np.float32)
    notes = ("columns left out: id",)

    def identity(self):
        return {"name": self.name, "version": self.version}

    def score(self, rows):
        assert rows.images == ()
        return rows.metadata[["night"]].to_numpy(np.float32)


class FittedTagger(MeanTagger):
    """Learns the mean colour of the set at fit, and its thresholds from the scores."""

    fitted = False

    def fit(self, image_set, *, seed=0, progress=None):
        learned = FittedTagger(name=self.name)
        learned.fitted = True
        learned.seed = seed
        return learned

    def identity(self):
        return {**super().identity(), "seed": self.seed}

    def calibrate(self, scores):
        return np.nanmedian(scores, axis=0)


def _set(count=23, broken=(), same=()):
    draw = np.random.default_rng(7)
    images = [
        draw.integers(0, 256, (4 + i % 3, 5 + i % 4, 3), dtype=np.uint8) for i in range(count)
    ]
    ids = [f"id{i}" for i in range(count)]
    for a, b in same:
        images[b], ids[b] = images[a], ids[a]
    decoded = []

    def read(index):
        decoded.append(index)
        if index in broken:
            raise DataError(f"image {index} is torn")
        return images[index]

    found = ImageSet(
        name="made",
        class_names=("a", "b"),
        labels=np.arange(count) % 2,
        ids=ids,
        sources=[f"{i}.png" for i in range(count)],
        read=read,
        metadata=pd.DataFrame({"night": np.arange(count) % 3 == 0}),
    )
    expected = np.stack([p.mean(axis=(0, 1)) / 255 for p in images]).astype(np.float32)
    return found, expected, decoded


@pytest.mark.parametrize(("batch_size", "workers"), [(1, 0), (5, 2), (100, 3)])
def test_all_taggers_from_one_decoding(batch_size, workers):
    images, expected, decoded = _set()
    taggers = [MeanTagger(), ColumnTagger(), MeanTagger("other")]
    found = tag_images(images, taggers, batch_size=batch_size, workers=workers)
    assert found.names == (
        *("mean: red", "mean: green", "mean: blue", "night"),
        *("other: red", "other: green", "other: blue"),
    )
    assert np.array_equal(found.scores[:, :3], expected)
    assert np.array_equal(found.scores[:, 4:], expected)
    assert found.scores[:, 3].tolist() == [float(i % 3 == 0) for i in range(23)]
    assert sorted(decoded) == list(range(23))
    assert found.ids == images.ids
    assert found.notes == ("column: columns left out: id",)


def test_an_image_that_cannot_be_decoded_is_nan_and_listed():
    images, expected, _ = _set(broken=(3, 22))
    found = tag_images(images, [MeanTagger(), ColumnTagger()], batch_size=4)
    good = [i for i in range(23) if i not in (3, 22)]
    assert np.isnan(found.scores[[3, 22], :3]).all()
    assert np.array_equal(found.scores[good, :3], expected[good])
    assert not np.isnan(found.scores[:, 3]).any()
    assert found.unknown.tolist() == [2, 2, 2, 0]
    assert [s.source for s in images.skipped] == ["3.png", "22.png"]


def test_not_one_decodable_image_is_an_error_only_for_who_looks():
    images, _, _ = _set(4, broken=range(4))
    with pytest.raises(DataError, match="not one can be decoded"):
        tag_images(images, [MeanTagger()])
    assert tag_images(images, [ColumnTagger()]).scores.shape == (4, 1)


def test_identical_images_are_scored_once():
    images, expected, decoded = _set(same=((0, 5), (0, 9)))
    tagger = MeanTagger()
    found = tag_images(images, [tagger])
    assert np.array_equal(found.scores, expected)
    assert len(decoded) == 21
    assert tagger.asked.count("id0") == 1


def test_the_cache_saves_decoding_and_thresholds_are_no_part_of_it(tmp_path):
    images, _, decoded = _set(broken=(3,))
    first = tag_images(images, [MeanTagger()], cache=tmp_path)
    decoded.clear()
    again = MeanTagger()
    again.thresholds = np.zeros(3, np.float32)
    second = tag_images(images.subset([5, 3, 0]), [again, ColumnTagger()], cache=tmp_path)
    assert decoded == [3]
    assert again.asked == []
    assert np.array_equal(second.scores[:, :3], first.scores[[5, 3, 0]], equal_nan=True)
    assert second.present()[0, :3].all()
    decoded.clear()
    newer, other = MeanTagger(version=2), MeanTagger("other")
    tag_images(images.subset([5, 0]), [newer, MeanTagger(), other], cache=tmp_path)
    assert sorted(decoded) == [0, 5]
    assert newer.asked == other.asked == ["id5", "id0"]


def test_a_tagger_is_asked_only_for_what_it_does_not_know(tmp_path):
    images, expected, _ = _set()
    tag_images(images.subset(range(10)), [MeanTagger()], cache=tmp_path)
    tag_images(images.subset(range(5, 15)), [MeanTagger("other")], cache=tmp_path)
    known, other = MeanTagger(), MeanTagger("other")
    found = tag_images(images, [known, other], cache=tmp_path, batch_size=7)
    assert known.asked == [f"id{i}" for i in range(10, 23)]
    assert other.asked == [f"id{i}" for i in (*range(5), *range(15, 23))]
    assert np.array_equal(found.scores, np.hstack([expected, expected]))


def test_unfitted_taggers_are_fitted_and_thresholds_calibrated():
    images, expected, _ = _set()
    tagger = FittedTagger()
    found = tag_images(images, [tagger], seed=5)
    assert np.array_equal(found.thresholds, np.median(expected, axis=0))
    assert not tagger.fitted
    fitted = tagger.fit(images, seed=5)
    assert tag_images(images.subset([1, 2]), [fitted], seed=9).identity == found.identity
    assert tag_images(images, [tagger], seed=6).identity != found.identity


def test_bad_input_is_refused():
    images, _, _ = _set(3)
    with pytest.raises(InputError, match="at least one"):
        tag_images(images, [])
    with pytest.raises(DataError, match="non-empty"):
        tag_images(images.subset([]), [ColumnTagger()])
    with pytest.raises(InputError, match="batch_size"):
        tag_images(images, [MeanTagger()], batch_size=0)
    with pytest.raises(InputError, match="workers"):
        tag_images(images, [MeanTagger()], workers=-1)
    bad = MeanTagger()
    bad.tag_names = ("red", "green")
    with pytest.raises(InputError, match=r"\(3, 3\)"):
        tag_images(images, [bad])
    with pytest.raises(InputError, match="JSON"):
        identity_hash({"weights": {1, 2}})
    with pytest.raises(InputError, match="JSON"):
        identity_hash({"weights": float("nan")})


def test_rows_know_their_images():
    images, _, _ = _set(6)
    rows = rows_of(images, [4, 1], [images.image(4), images.image(1)])
    one = rows.take(np.array([1]))
    assert (one.ids, one.sources, one.indices.tolist()) == (("id1",), ("1.png",), [1])
    assert one.labels.tolist() == [1]
    assert one.metadata["night"].tolist() == [False]
    assert np.array_equal(one.images[0], images.image(1))
    with pytest.raises(InputError, match="none, or 2"):
        rows_of(images, [0, 1], [images.image(0)])
