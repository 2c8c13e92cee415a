"""Bad input to the head refits and cue methods: a clear error that says what to try."""

import json

import numpy as np
import pytest
import torch

from sundog.core.errors import InputError, LayerError
from sundog.data.arrays import from_arrays
from sundog.data.mask_reader import ArrayMasks
from sundog.data.planting import make_cue
from sundog.debias.afr import afr
from sundog.debias.cue_augmentation import CueAugmentation
from sundog.debias.dfr import dfr
from sundog.debias.head_fit import HeadFit
from sundog.debias.head_selection import choose, judge, no_selection
from sundog.debias.inpaint import inpaint
from sundog.debias.low_spuriosity import low_spuriosity, lowest_per_class
from sundog.debias.mask_editor import MaskEditor
from sundog.debias.masked_pairs import masked_pairs
from sundog.debias.moves import Moves
from sundog.debias.planted_editor import PlantedEditor
from sundog.debias.projection import projection
from sundog.debias.right_reasons import RightReasons
from sundog.debias.softmax_regression import softmax_regression
from sundog.models.feature_table import table_from_arrays
from sundog.models.head import Head
from sundog.models.nets import SmallCNN
from sundog.models.prepared import PreparedImages
from sundog.models.zoo import get_model

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 5))
Y = np.arange(40) % 2
TABLE = table_from_arrays(X, np.zeros((40, 2)), Y)
HEAD = Head("head", torch.zeros(2, 5), torch.zeros(2))


def test_dfr_refuses_an_empty_group_by_name():
    names = ["a/left", "a/right", "b/left", "b/right"]
    with pytest.raises(InputError, match=r"none in b/right.*projection or cue augmentation"):
        dfr(TABLE, np.array([0, 2, 1, 2] * 10), group_names=names)
    with pytest.raises(InputError, match="none in 1"):
        dfr(TABLE, Y * 2)


def test_dfr_refuses_bad_groups():
    with pytest.raises(InputError, match="40 whole numbers"):
        dfr(TABLE, Y[:5])
    with pytest.raises(InputError, match="40 whole numbers"):
        dfr(TABLE, Y.astype(float))
    with pytest.raises(InputError, match="0 of 40"):
        dfr(TABLE, np.full(40, -1))
    with pytest.raises(InputError, match="below 1"):
        dfr(TABLE, Y, group_names=["one"])
    with pytest.raises(InputError, match="none of class 2"):
        dfr(table_from_arrays(X, np.zeros((40, 3)), Y), Y)
    with pytest.raises(InputError, match="refits"):
        dfr(TABLE, Y, refits=0)
    with pytest.raises(InputError, match="strength"):
        dfr(TABLE, Y, strength=-1.0)


def test_afr_and_low_spuriosity_refuse_what_does_not_fit():
    with pytest.raises(InputError, match="5 features"):
        afr(TABLE, Head("head", torch.zeros(2, 4), torch.zeros(2)), validation=TABLE)
    one = table_from_arrays(X, np.zeros((40, 2)), np.zeros(40, int))
    with pytest.raises(InputError, match="none of class 1"):
        afr(one, HEAD, validation=TABLE)
    with pytest.raises(InputError, match="0 usable of 40"):
        afr(TABLE, HEAD, validation=table_from_arrays(X, np.zeros((40, 2))))
    with pytest.raises(InputError, match="gammas"):
        afr(TABLE, HEAD, validation=TABLE, gammas=[-1.0])
    with pytest.raises(InputError, match="pulls"):
        afr(TABLE, HEAD, validation=TABLE, pulls=[0.0])
    scores = RNG.random(40)
    scores[Y == 1] = np.nan
    with pytest.raises(InputError, match="none of class 1"):
        low_spuriosity(TABLE, scores, HEAD)
    with pytest.raises(InputError, match="one per image"):
        low_spuriosity(TABLE, scores[:3], HEAD)
    with pytest.raises(InputError, match="per_class"):
        low_spuriosity(TABLE, RNG.random(40), HEAD, per_class=0)


def test_low_spuriosity_takes_the_lowest_and_reports_what_it_lacks():
    scores = np.array([5.0, 1, np.nan, 2, 4, 3, 0, 9])
    labels = np.array([0, 0, 0, 1, 1, 1, -1, 0])
    found = lowest_per_class(scores, labels, classes=2, per_class=2)
    assert found.tolist() == [0, 1, 3, 5]
    fit = low_spuriosity(TABLE, RNG.random(40), HEAD, per_class=30)
    assert "fewer than 30" in fit.warnings[0]
    assert fit.settings["images"] == 40


def test_projection_refuses_pairs_of_other_images_or_without_a_difference():
    other = TABLE.rows(np.arange(40)[::-1].copy())
    with pytest.raises(InputError, match="row by row"):
        projection(TABLE, other, TABLE)
    with pytest.raises(InputError, match="nothing to project out"):
        projection(TABLE, TABLE, TABLE)
    moved = table_from_arrays(X + 1, np.zeros((40, 2)), Y)
    with pytest.raises(InputError, match="directions"):
        projection(TABLE, moved, TABLE, directions=0)
    with pytest.raises(InputError, match="refit=False"):
        projection(TABLE, moved, TABLE, refit=False)
    with pytest.raises(InputError, match="none of class 1"):
        projection(table_from_arrays(X, np.zeros((40, 2)), np.zeros(40, int)), moved, TABLE)
    wide = table_from_arrays(RNG.normal(size=(40, 6)), np.zeros((40, 2)), Y)
    with pytest.raises(InputError, match="with 6 features"):
        projection(wide, moved, TABLE)


def test_the_solver_refuses_bad_arguments():
    with pytest.raises(InputError, match="finite"):
        softmax_regression(np.full((3, 2), np.nan), [0, 1, 0], classes=2, decay=1.0)
    with pytest.raises(InputError, match=r"in 0\.\.1"):
        softmax_regression(np.zeros((3, 2)), [0, 1, -1], classes=2, decay=1.0)
    with pytest.raises(InputError, match="decay"):
        softmax_regression(np.zeros((3, 2)), [0, 1, 0], classes=2, decay=0.0)
    with pytest.raises(InputError, match="n and d > 0"):
        softmax_regression(np.zeros((0, 2)), [], classes=2, decay=1.0)
    with pytest.raises(InputError, match="not all 0"):
        softmax_regression(np.zeros((2, 2)), [0, 1], classes=2, decay=1.0, sample_weight=[0.0, 0.0])
    with pytest.raises(InputError, match="centre"):
        softmax_regression(
            np.zeros((2, 2)), [0, 1], classes=2, decay=1.0, centre=(np.zeros((2, 3)), np.zeros(2))
        )


def test_a_fit_is_checked_kept_as_json_and_refused_by_another_classifier():
    fit = HeadFit("dfr", np.zeros((2, 3)), np.zeros(2), {"a": 1}, no_selection(), ("w",), 0.1)
    assert json.loads(json.dumps(fit.to_dict(), allow_nan=False))["settings"] == {"a": 1}
    with pytest.raises(InputError, match="finite"):
        HeadFit("dfr", np.full((2, 3), np.nan), np.zeros(2), {}, no_selection(), (), 0.1)
    classifier = get_model(SmallCNN(2), class_names=["a", "b"], input_size=(12, 12))
    with pytest.raises(InputError, match="The new head"):
        fit.apply(classifier)
    classifier.feature_layer = None
    with pytest.raises(LayerError):
        fit.apply(classifier)


def test_every_fit_is_json_with_its_table():
    scores = RNG.random(40)
    fits = [
        dfr(TABLE, Y),
        afr(TABLE, HEAD, validation=TABLE),
        low_spuriosity(TABLE, scores, HEAD, validation=TABLE),
        projection(TABLE, table_from_arrays(X + RNG.random((40, 5)), X[:, :2], Y), TABLE),
    ]
    for fit in fits:
        json.dumps(fit.to_dict(), allow_nan=False)
        assert fit.weight.dtype == np.float64


def test_ties_are_broken_by_the_average_then_by_the_order_and_equal_logits_are_wrong():
    labels, groups = np.array([0, 1, 1, 1]), np.array([0, 1, 1, 1])
    zero = judge(np.zeros((4, 2)), labels, groups)
    assert (zero.worst, zero.average, zero.n) == (0.0, 0.0, 4)
    all_one = judge(np.tile([0.0, 1.0], (4, 1)), labels, groups)
    assert (all_one.worst, all_one.average) == (0.0, 0.75)
    best, table = choose([{"c": 1}, {"c": 2}, {"c": 3}], [zero, all_one, all_one])
    assert best == 1
    assert table["chosen"].tolist() == [False, True, False]


def images_and_masks(n=6, masked=True):
    pixels = RNG.integers(0, 255, (n, 12, 12, 3), dtype=np.uint8)
    masks = np.zeros((n, 12, 12), bool)
    if masked:
        masks[:, 2:4, 2:4] = True
    source = from_arrays(pixels, np.arange(n) % 2, ["a", "b"])
    return PreparedImages(source, size=12), ArrayMasks(masks)


def test_no_mask_anywhere_is_refused():
    images, masks = images_and_masks(masked=False)
    with pytest.raises(InputError, match="6 empty masks"):
        MaskEditor(images, masks)
    with pytest.raises(InputError, match="6 empty masks"):
        RightReasons(masks)


def test_masks_of_other_images_are_refused():
    images, _ = images_and_masks()
    _, others = images_and_masks(n=4)
    with pytest.raises(InputError, match="6 of 12 x 12 pixels"):
        MaskEditor(images, others)
    with pytest.raises(InputError, match="6 of 12 x 12 pixels"):
        MaskEditor(images, ArrayMasks(np.ones((6, 8, 12), bool)))


def test_unknown_options_are_refused():
    images, masks = images_and_masks()
    with pytest.raises(InputError, match="swap"):
        MaskEditor(images, masks, swap="erase")
    with pytest.raises(InputError, match="place"):
        MaskEditor(images, masks, place="left")
    editor = MaskEditor(images, masks)
    with pytest.raises(InputError, match="probability"):
        CueAugmentation(editor, probability=0.0)
    with pytest.raises(InputError, match="modes"):
        CueAugmentation(editor, modes=())
    with pytest.raises(InputError, match="modes"):
        CueAugmentation(editor, modes=("recolour",))
    with pytest.raises(InputError, match="strength"):
        RightReasons(masks, strength=float("nan"))
    with pytest.raises(InputError, match="penalty"):
        RightReasons(masks, penalty="cosine")
    with pytest.raises(InputError, match="3 classes"):
        PlantedEditor(images, make_cue("patch", class_count=3))
    with pytest.raises(InputError, match="masks"):
        inpaint(torch.zeros(2, 3, 4, 4), torch.zeros(2, 4, 5, dtype=torch.bool))
    with pytest.raises(InputError, match="one per move"):
        Moves.none(3).images(torch.zeros(2, 3, 4, 4))


def test_an_edit_that_changes_nothing_gives_no_pairs():
    rng = np.random.default_rng(0)
    flat = np.repeat(rng.integers(0, 255, (4, 1, 1, 3), dtype=np.uint8), 144, axis=1)
    images = PreparedImages(
        from_arrays(flat.reshape(4, 12, 12, 3), [0, 1, 0, 1], ["a", "b"]), size=12
    )
    masks = np.zeros((4, 12, 12), bool)
    masks[0, 3:5, 3:5] = True
    editor = MaskEditor(images, ArrayMasks(masks))
    classifier = get_model(SmallCNN(2), class_names=["a", "b"], input_size=(12, 12))
    with pytest.raises(InputError, match="without a changed pixel"):
        masked_pairs(classifier, images, editor, shown="own")
    with pytest.raises(InputError, match="shown"):
        masked_pairs(classifier, images, editor, shown="both")
