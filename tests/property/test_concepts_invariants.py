"""What must hold for any scores and any image."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from sundog.concepts.photometric import upper_tail
from sundog.concepts.photometric_table import MEASURES, measure_image
from sundog.concepts.tag_scores import TagScores, drop_useless, join_scores

SCORES = npst.arrays(
    np.float32,
    npst.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=8),
    elements=st.one_of(st.just(float("nan")), st.floats(-1, 2, width=32)),
)


def _tag_scores(scores, tagger="one"):
    rows, tags = scores.shape
    return TagScores(
        tagger=tagger,
        identity="x",
        names=tuple(f"t{i}" for i in range(tags)),
        thresholds=np.full(tags, 0.5, np.float32),
        scores=scores,
        ids=tuple(f"i{i}" for i in range(rows)),
    )


@given(SCORES, st.floats(-1, 2, width=32), st.floats(0, 1, width=32))
def test_a_higher_threshold_never_adds_a_tag(scores, low, step):
    found = _tag_scores(scores)
    assert not (found.present(low + step) & ~found.present(low)).any()
    assert (found.present(low).sum(axis=0) + found.unknown <= len(found)).all()


@given(SCORES)
def test_joining_and_selecting_are_inverse(scores):
    first, second = _tag_scores(scores), _tag_scores(scores[:, ::-1].copy(), "two")
    joined = join_scores([first, second])
    tags = scores.shape[1]
    for part, names in ((first, joined.names[:tags]), (second, joined.names[tags:])):
        assert np.array_equal(joined.select(names).scores, part.scores, equal_nan=True)
    assert len(set(joined.names)) == 2 * tags


@given(SCORES, st.integers(1, 4))
def test_every_tag_is_kept_or_dropped_for_its_support(scores, least):
    found = _tag_scores(scores)
    kept, present, dropped = drop_useless(found, min_support=least)
    assert {*kept.names, *(d.name for d in dropped)} == set(found.names)
    assert len(kept.names) + len(dropped) == len(found.names)
    support = present.sum(axis=0)
    assert (np.minimum(support, len(found) - support) >= least).all()
    for tag in dropped:
        assert min(tag.support, tag.images - tag.support) < least


@given(
    npst.arrays(np.float32, st.integers(1, 60), elements=st.floats(-3, 3, width=32)),
    st.floats(0.01, 0.5),
)
def test_an_upper_tail_holds_less_than_half_and_a_tail_without_ties(scores, tail):
    carried = scores >= np.float32(upper_tail(scores, tail))
    assert 2 * carried.sum() <= len(scores)
    if len(set(scores.tolist())) == len(scores) > 2:
        assert abs(carried.sum() - tail * len(scores)) <= 1


IMAGES = npst.arrays(
    np.uint8,
    st.tuples(st.integers(1, 48), st.integers(1, 48), st.just(3)),
    elements=st.integers(0, 255),
)
SAME_WHEN_FLIPPED = set(MEASURES) - {"edges", "strokes"}


@settings(max_examples=40)
@given(IMAGES)
def test_measures_ignore_flips_and_shares_sum_to_one(pixels):
    found = measure_image(pixels)
    for flipped in (pixels[::-1], pixels[:, ::-1]):
        other = measure_image(np.ascontiguousarray(flipped))
        for name in SAME_WHEN_FLIPPED:
            assert other[name] == pytest.approx(found[name], rel=1e-4, abs=1e-5, nan_ok=True), name
    shares = [value for name, value in found.items() if name.startswith("share of")]
    assert sum(shares) == pytest.approx(1)
    for name in ("lightness", "shadows", "highlights", "frame", "bars", "plain border", "strokes"):
        assert -1e-6 <= found[name] <= 1 + 1e-6, name
