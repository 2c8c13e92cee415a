"""A planted stamp becomes a tag that carries it and nothing else; clean images give no such tag."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage
from scipy.stats import fisher_exact

from sundog.concepts.patches import PatchTagger
from sundog.concepts.tag_images import tag_images
from sundog.concepts.tagger import rows_of
from sundog.core.errors import DataError, InputError, ModelStateError
from sundog.data.arrays import from_arrays
from sundog.data.load import load_image_set
from sundog.data.planting import make_cue

SIDE = 56
CLASSES = ("a", "b", "c")
LABELS = np.arange(150) % 3


def clean(count=150, *, side=SIDE, seed=0):
    """Smooth random fields with grain, in [0, 255]: as much repetition as photographs have."""
    rng = np.random.default_rng(seed)
    images = []
    for _ in range(count):
        field = ndimage.gaussian_filter(rng.normal(size=(side, side, 3)), (6, 6, 0), mode="wrap")
        field = 120 + field / field.std() * 45 + rng.normal(0, 4, field.shape)
        images.append(np.clip(field, 0, 255).astype(np.uint8))
    return np.stack(images)


def image_set(pixels, labels=LABELS):
    return from_arrays(pixels, labels, CLASSES)


def plant(pixels, kind, shown, **parameters):
    cue = make_cue(kind, class_count=3, **parameters)
    planted = pixels.copy()
    rows = np.flatnonzero(shown)
    batch = torch.from_numpy(pixels[rows]).permute(0, 3, 1, 2).float() / 255
    result = cue.plant_as(batch, torch.from_numpy(LABELS[rows]), [str(r) for r in rows])
    planted[rows] = (result.images * 255).round().byte().permute(0, 2, 3, 1).numpy()
    return planted


def best_tag(present, truth):
    """Return (precision, recall) of the tag that agrees best with the truth."""
    agreement = []
    for column in present.T:
        both = (column & truth).sum()
        pair = (both / max(column.sum(), 1), both / truth.sum())
        agreement.append((2 * both / (column.sum() + truth.sum()), pair))
    return max(agreement)[1] if agreement else (0.0, 0.0)


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [
        ("patch", {}),
        ("patch", {"corner": "random"}),
        ("pixel", {"side": 112}),
        ("border", {}),
        ("background", {}),
        ("text", {}),
    ],
)
def test_the_cue_of_each_class_becomes_a_tag(kind, parameters):
    shown = np.random.default_rng(1).random(150) < 0.5
    given = {"side": SIDE, **parameters}
    pixels = clean(side=given.pop("side"))
    images = image_set(plant(pixels, kind, shown, **given))
    tagger = PatchTagger().fit(images)
    scores = tag_images(images, [tagger], workers=0)
    assert len(scores.names) <= 16
    for label in range(3):
        ours = label == LABELS
        precision, recall = best_tag(scores.present()[ours], shown[ours])
        assert precision == 1
        assert recall >= 0.95
    assert set(tagger.previews) == set(tagger.tag_names)
    assert all(p.dtype == np.uint8 and p.shape[2] == 3 for p in tagger.previews.values())


def test_a_stamp_in_one_class_among_many_images_and_its_name():
    pixels = clean()
    shown = np.zeros(150, bool)
    shown[np.flatnonzero(LABELS == 1)[:12]] = True
    rng = np.random.default_rng(2)
    for i in np.flatnonzero(shown):
        row, column = rng.integers(38, 48, 2)
        pixels[i, row : row + 6, column : column + 6] = (255, 140, 0)
    tagger = PatchTagger().fit(image_set(pixels))
    assert tagger.tag_names == ("patch 1: orange block, lower right",)
    present = tag_images(image_set(pixels), [tagger], workers=0).present()
    assert present[:, 0].tolist() == shown.tolist()
    middle = tagger.previews[tagger.tag_names[0]]
    height, width = middle.shape[:2]
    assert middle[height // 2, width // 2].tolist() == [255, 140, 0]


def test_clean_images_give_no_tag_and_none_that_speaks_of_a_random_half():
    refused = 0
    for seed in range(4):
        images = image_set(clean(seed=seed))
        tagger = PatchTagger().fit(images, seed=seed)
        assert len(tagger.tag_names) <= 1
        assert "learned from 150 of 150 images" in tagger.notes[0]
        present = tag_images(images, [tagger], workers=0).present()
        right = np.random.default_rng(seed).random(150) < 0.5
        for column in present.T:
            table = [[(column & right).sum(), (column & ~right).sum()]]
            table.append([(~column & right).sum(), (~column & ~right).sum()])
            refused += fisher_exact(table)[1] < 0.01
    assert refused == 0


def test_compressed_patches_are_still_found(tmp_path):
    shown = np.random.default_rng(1).random(150) < 0.5
    pixels = plant(clean(), "patch", shown, size=0.2)
    for i, picture in enumerate(pixels):
        folder = tmp_path / CLASSES[LABELS[i]]
        folder.mkdir(exist_ok=True)
        Image.fromarray(picture).save(folder / f"{i:03d}.jpg", quality=90)
    images = load_image_set(tmp_path)
    truth = np.array([shown[int(s.rsplit("/")[-1][:3])] for s in images.sources])
    tagger = PatchTagger().fit(images)
    present = tag_images(images, [tagger], workers=0).present()
    for label in range(3):
        ours = images.labels == label
        precision, recall = best_tag(present[ours], truth[ours])
        assert precision >= 0.95
        assert recall >= 0.8


def test_same_seed_same_dictionary_and_scores_of_an_image_alone():
    shown = np.arange(150) % 2 == 0
    images = image_set(plant(clean(), "text", shown))
    first, second = PatchTagger().fit(images, seed=3), PatchTagger().fit(images, seed=3)
    assert first.identity() == second.identity()
    json.dumps(first.identity(), allow_nan=False)
    together = first.score(rows_of(images, range(20), [images.image(i) for i in range(20)]))
    assert together.dtype == np.float32
    for i in (0, 7, 19):
        alone = second.score(rows_of(images, [i], [images.image(i)]))
        np.testing.assert_array_equal(alone[0], together[i])
    assert ((together >= 0) & (together <= 1)).all()
    other = PatchTagger().fit(image_set(plant(clean(), "patch", shown)), seed=3)
    assert other.identity() != first.identity()


def test_a_sample_is_enough_and_fit_returns_a_new_tagger():
    shown = np.arange(150) % 2 == 0
    images = image_set(plant(clean(), "patch", shown))
    plain = PatchTagger(sample=90, max_tags=2)
    fitted = plain.fit(images)
    assert not plain.fitted
    assert fitted.fitted
    assert len(fitted.tag_names) == 2
    assert "learned from 90 of 150 images" in fitted.notes[0]
    with pytest.raises(ModelStateError, match="must be fitted"):
        plain.identity()
    with pytest.raises(ModelStateError, match="must be fitted"):
        plain.score(rows_of(images, [0], [images.image(0)]))


def test_images_of_all_sizes_and_none_breaks_it():
    shown = np.arange(150) % 2 == 0
    tagger = PatchTagger().fit(image_set(plant(clean(), "text", shown)))
    odd = [
        np.zeros((1, 1, 3), np.uint8),
        np.full((3, 200, 3), 255, np.uint8),
        clean(1, side=20)[0],
        np.tile(clean(1)[0], (20, 20, 1)),
    ]
    images = image_set(clean()[:4], LABELS[:4])
    scores = tagger.score(rows_of(images, range(4), odd))
    assert np.isfinite(scores).all()
    assert scores.max() < tagger.thresholds.min()


def test_hard_sets():
    unlabelled = from_arrays(clean(30), np.full(30, -1), ())
    assert len(PatchTagger().fit(unlabelled).tag_names) <= 1
    one = PatchTagger().fit(image_set(clean(1), LABELS[:1]))
    assert one.tag_names == ()
    assert one.score(rows_of(image_set(clean(1), LABELS[:1]), [0], [clean(1)[0]])).shape == (1, 0)
    assert "no patch recurs" in one.notes[0]
    same = np.repeat(clean(1, side=20), 12, axis=0)
    alike = PatchTagger(max_tags=5).fit(image_set(same, LABELS[:12]))
    assert len(alike.tag_names) <= 1  # what all images share splits nothing
    with pytest.raises(DataError, match="non-empty"):
        PatchTagger().fit(image_set(clean(3), LABELS[:3]).subset([]))
    for bad in ({"max_tags": 0}, {"sample": 0}):
        with pytest.raises(InputError, match=">= 1"):
            PatchTagger(**bad)


def test_images_that_cannot_be_decoded_are_left_out(tmp_path):
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        for i, picture in enumerate(clean(10)):
            Image.fromarray(picture).save(tmp_path / label / f"{i}.png")
    whole = (tmp_path / "a" / "0.png").read_bytes()
    (tmp_path / "a" / "0.png").write_bytes(whole[: len(whole) // 2])
    tagger = PatchTagger().fit(load_image_set(tmp_path))
    assert "learned from" in tagger.notes[0]
    for path in tmp_path.rglob("*.png"):
        path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataError, match="readable"):
        PatchTagger().fit(load_image_set(tmp_path))
