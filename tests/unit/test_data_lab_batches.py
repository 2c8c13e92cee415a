"""Batches as the face lab draws them: half and half, by weight, shuffled, the same for a seed."""

import numpy as np
import pytest

from sundog.core.errors import DataError, InputError
from sundog.data.arrays import from_arrays
from sundog.data.hdf5 import open_hdf5
from sundog.data.lab_batches import lab_batches

LABELS = np.array([0, 1, 0, 2, 1, 1, 0, -1, 0, 1, 0, 0])


def small(labels=LABELS):
    images = np.arange(len(labels) * 12, dtype=np.uint8).reshape(-1, 2, 2, 3)
    return from_arrays(images, labels, ("not a face", "face", "cat"))


def test_batches_are_half_positive_without_repeats_and_never_unlabelled():
    batches = list(lab_batches(small(), batch_size=4))
    assert len(batches) == 11 // 4
    for batch in batches:
        assert batch.dtype == np.int64
        assert len(set(batch.tolist())) == 4
        assert (LABELS[batch] == 1).sum() == 2
        assert (LABELS[batch] >= 0).all()


def test_batches_come_from_seed_and_epoch_and_are_shuffled():
    def drawn(**options):
        return np.concatenate(list(lab_batches(small(), batch_size=4, **options)))

    assert (drawn(seed=1) == drawn(seed=1)).all()
    assert (drawn(seed=1) != drawn(seed=2)).any()
    assert (drawn(seed=1) != drawn(seed=1, epoch=1)).any()
    patterns = {
        tuple((LABELS[batch] == 1).tolist())
        for epoch in range(40)
        for batch in lab_batches(small(), batch_size=4, epoch=epoch)
    }
    assert len(patterns) == 6  # every order of two and two: neither sorted nor positives first


def frequencies(**options):
    counts = np.zeros(len(LABELS))
    for epoch in range(1500):
        for batch in lab_batches(small(), batch_size=2, epoch=epoch, **options):
            counts[batch] += 1
    return counts


def test_p_pos_and_p_neg_are_the_frequencies_of_the_draws():
    p_pos, p_neg = np.array([1.0, 2, 3, 4]), np.array([5.0, 0, 1, 1, 1, 1, 1])
    counts = frequencies(p_pos=p_pos, p_neg=p_neg)
    positives, negatives = np.flatnonzero(LABELS == 1), np.array([0, 2, 3, 6, 8, 10, 11])
    np.testing.assert_allclose(counts[positives] / 7500, p_pos / 10, atol=0.025)
    np.testing.assert_allclose(counts[negatives] / 7500, p_neg / 10, atol=0.025)
    assert counts[2] == 0
    even = frequencies()
    np.testing.assert_allclose(even[positives] / 7500, 0.25, atol=0.025)


def test_tiny_weights_are_not_lost():
    # The seed adds 1e-7 to scores near 1e-16: nothing is left of their ratio.
    counts = frequencies(p_pos=np.array([1e-300, 3e-300, 0, 0]))
    assert counts[4] / counts[1] == pytest.approx(3, rel=0.15)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 3}, "even and >= 2; got 3"),
        ({"positive": 3}, r"a class in 0..2; got 3"),
        ({"epoch": -1}, ">= 0"),
        ({"p_pos": np.ones(5)}, r"shape \(4,\); got \(5,\)"),
        ({"p_pos": np.array([1, 1, np.nan, 1])}, "finite and >= 0"),
        ({"p_neg": -np.ones(7)}, "finite and >= 0"),
        ({"batch_size": 10}, "at most 8: half a batch is drawn from the 4 images"),
        ({"p_pos": np.array([1.0, 0, 0, 0]), "batch_size": 4}, "at most 2: .* the 1 images"),
        ({"p_pos": np.zeros(4), "batch_size": 2}, "at most 0"),
    ],
)
def test_bad_requests(options, message):
    with pytest.raises(InputError, match=message):
        list(lab_batches(small(), **{"batch_size": 2, **options}))


@pytest.mark.parametrize("label", [0, 1])
def test_one_kind_of_image_is_not_enough(label):
    with pytest.raises(DataError, match="with images"):
        list(lab_batches(small(np.full(6, label)), batch_size=2))


def test_the_labs_file_is_read_with_its_colours_and_its_column_of_labels(tmp_path):
    h5py = pytest.importorskip("h5py")
    pixels = np.random.default_rng(0).integers(0, 256, (4, 5, 6, 3), dtype=np.uint8)
    with h5py.File(tmp_path / "lab.h5", "w") as file:
        file["images"] = pixels[..., ::-1]
        file["labels"] = np.array([[0.0], [1.0], [1.0], [0.0]], dtype=np.float32)
        file["site"] = np.array([["x"], ["y"], ["x"], ["y"]], dtype="S1")
        file["alpha"] = np.concatenate([pixels[..., ::-1], np.full((4, 5, 6, 1), 255, "u1")], 3)
        file["grey"] = pixels[..., :1]
    found = open_hdf5(tmp_path / "lab.h5", class_names=("not a face", "face"), channels="bgr")
    assert found.labels.tolist() == [0, 1, 1, 0]
    assert found.metadata["site"].tolist() == ["x", "y", "x", "y"]
    assert found.ids == from_arrays(pixels).ids
    for i in range(4):
        np.testing.assert_array_equal(found.image(i), pixels[i])
    wrong = open_hdf5(tmp_path / "lab.h5", class_names=("not a face", "face"))
    np.testing.assert_array_equal(wrong.image(1), pixels[1][..., ::-1])
    assert set(wrong.ids).isdisjoint(found.ids)
    alpha = open_hdf5(tmp_path / "lab.h5", image_key="alpha", channels="bgr")
    np.testing.assert_array_equal(alpha.image(2), pixels[2])
    with pytest.raises(InputError, match="grey"):
        open_hdf5(tmp_path / "lab.h5", image_key="grey", channels="bgr")
    with pytest.raises(InputError, match="channels"):
        open_hdf5(tmp_path / "lab.h5", channels="RGB")
