"""Tag scores: presence, unknown images, selection, joining and dropping of useless tags."""

import numpy as np
import pytest

from sundog.concepts.tag_scores import TagScores, drop_useless, join_scores
from sundog.core.errors import InputError, UnknownNameError

NAN = np.nan


def _scores(names=("a", "b"), scores=((0.2, 0.9), (0.5, NAN), (0.8, 0.1)), **given):
    values = {
        "tagger": "one",
        "identity": "id1",
        "names": names,
        "thresholds": np.full(len(names), 0.5, np.float32),
        "scores": np.array(scores, np.float32),
        "ids": tuple(f"i{i}" for i in range(len(scores))),
    }
    return TagScores(**{**values, **given})


def test_present_is_at_or_above_the_threshold_and_unknown_is_absent():
    found = _scores()
    assert found.present().tolist() == [[False, True], [True, False], [True, False]]
    assert found.present(0.85).tolist() == [[False, True], [False, False], [False, False]]
    limits = np.array([0.6, 0.05], np.float32)
    assert found.present(limits).tolist() == [[False, True], [False, False], [True, True]]
    assert found.unknown.tolist() == [0, 1]
    assert len(found) == 3


def test_infinite_thresholds_switch_a_tag_off_or_on():
    found = _scores(thresholds=np.array([np.inf, -np.inf], np.float32))
    assert found.present().tolist() == [[False, True], [False, False], [False, True]]


def test_select_and_rows_keep_what_belongs_together():
    picture = np.zeros((2, 2, 3), np.uint8)
    found = _scores(previews={"b": picture}, thresholds=np.array([0.1, 0.2], np.float32))
    chosen = found.select(["b"]).rows([2, 0])
    assert chosen.names == ("b",)
    assert chosen.ids == ("i2", "i0")
    assert chosen.scores[:, 0] == pytest.approx([0.1, 0.9])
    assert chosen.thresholds == pytest.approx([0.2])
    assert chosen.previews["b"] is picture
    assert found.select(["a"]).previews == {}
    assert found.column("b")[2] == pytest.approx(0.1)
    assert found.rows([]).present().shape == (0, 2)
    with pytest.raises(UnknownNameError, match="'dark'"):
        _scores(names=("dark", "b")).select(["drak"])
    with pytest.raises(InputError, match=r"0\.\.2"):
        found.rows([3])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"names": ("a", "a")}, "distinct"),
        ({"names": ("a", " ")}, "empty name"),
        ({"ids": ("x",)}, "scores"),
        ({"thresholds": np.zeros(3, np.float32)}, "thresholds"),
        ({"thresholds": np.array([0.1, NAN], np.float32)}, "NaN"),
        ({"scores": np.full((3, 2), np.inf)}, "infinity"),
        ({"previews": {"c": np.zeros((1, 1, 3), np.uint8)}}, "'c'"),
    ],
)
def test_what_does_not_fit_is_refused(given, message):
    with pytest.raises(InputError, match=message):
        _scores(**given)


def test_present_refuses_thresholds_that_do_not_fit():
    with pytest.raises(InputError, match="one per tag"):
        _scores().present(np.zeros(3, np.float32))
    with pytest.raises(InputError, match="NaN"):
        _scores().present(float("nan"))


def test_join_prefixes_equal_names_and_keeps_the_others():
    picture = np.zeros((2, 2, 3), np.uint8)
    first = _scores(names=("fence", "dark"), previews={"fence": picture}, notes=("left out",))
    second = _scores(names=("fence", "snow"), tagger="two", identity="id2")
    joined = join_scores([first, second, second])
    assert joined.names == (
        "one: fence",
        "dark",
        "two: fence",
        "two: snow",
        "two: fence (2)",
        "two: snow (2)",
    )
    assert joined.tagger == "one + two"
    assert np.array_equal(joined.scores[:, 2:4], second.scores, equal_nan=True)
    assert joined.thresholds.shape == (6,)
    assert list(joined.previews) == ["one: fence"]
    assert joined.notes == ("one: left out",)
    assert join_scores([first]) is first
    assert joined.identity != join_scores([second, first, second]).identity


def test_join_never_makes_a_name_that_a_third_tagger_has():
    first = _scores(names=("x", "two: x"))
    second = _scores(names=("x", "y"), tagger="two")
    assert join_scores([first, second]).names == ("one: x", "two: x", "two: x (2)", "y")


def test_join_refuses_nothing_and_other_images():
    with pytest.raises(InputError, match="at least one"):
        join_scores([])
    with pytest.raises(InputError, match="same images"):
        join_scores([_scores(), _scores().rows([2, 1, 0])])


def test_tags_on_all_or_no_image_are_dropped_and_reported():
    scores = _scores(
        names=("all", "none", "half", "rare"),
        scores=[(1, 0, 1, 0), (1, 0, 1, 0), (1, NAN, 0, 0), (1, 0, 0, 1)],
    )
    kept, present, dropped = drop_useless(scores)
    assert kept.names == ("half", "rare")
    assert present.tolist() == [[True, False], [True, False], [False, False], [False, True]]
    assert [(d.name, d.support, d.images, d.unknown) for d in dropped] == [
        ("all", 4, 4, 0),
        ("none", 0, 4, 1),
    ]
    assert "0 of 4 images lack it" in dropped[0].reason
    assert "0 of 4 images carry it" in dropped[1].reason
    kept, present, dropped = drop_useless(scores, min_support=2)
    assert kept.names == ("half",)
    assert [d.name for d in dropped] == ["all", "none", "rare"]
    other = np.zeros((4, 4), bool)
    other[0, 1] = True
    assert drop_useless(scores, other)[0].names == ("none",)
    with pytest.raises(InputError, match="min_support"):
        drop_useless(scores, min_support=0)
    with pytest.raises(InputError, match="bool"):
        drop_useless(scores, scores.scores)
