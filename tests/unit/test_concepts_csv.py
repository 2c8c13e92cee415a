"""A person's own tags: both layouts, matching of rows with images, and all that can be wrong."""

import numpy as np
import pandas as pd
import pytest

from sundog.concepts.csv_tags import CsvTagger
from sundog.concepts.match_rows import match_rows
from sundog.concepts.tag_images import tag_images
from sundog.core.errors import DataError, InputError, ModelStateError, UnknownNameError
from sundog.data.image_set import ImageSet

SOURCES = ("cat/1.jpg", "cat/2.jpg", "dog/1.jpg", "dog/3.jpg")
NAN = np.nan


def _set(sources=SOURCES):
    def read(index):
        raise AssertionError("no image may be decoded")

    return ImageSet(
        name="made",
        class_names=("cat", "dog"),
        labels=np.arange(len(sources)) % 2,
        ids=[f"{i:032x}" for i in range(len(sources))],
        sources=sources,
        read=read,
    )


def _tag(tmp_path, text, images=None, **given):
    path = tmp_path / "tags.csv"
    path.write_text(text, encoding="utf-8")
    return tag_images(images or _set(), [CsvTagger(path, **given)])


def test_a_column_of_tags(tmp_path):
    found = _tag(
        tmp_path, "path,tags\ncat/1.jpg,night|snow\ncat/2.jpg,\ndog/1.jpg, snow | Schnee ü\n"
    )
    assert found.names == ("Schnee ü", "night", "snow")
    expected = [[0, 1, 1], [0, 0, 0], [1, 0, 1], [NAN] * 3]
    assert np.array_equal(found.scores, np.array(expected, np.float32), equal_nan=True)
    assert found.present().tolist()[3] == [False] * 3
    assert found.unknown.tolist() == [1, 1, 1]
    assert found.notes == ("1 of 4 images have no row (first: 'dog/3.jpg')",)


def test_one_column_per_tag_with_scores_words_and_gaps(tmp_path):
    found = _tag(
        tmp_path,
        "path,night,snow,fence,remark\n"
        "cat/1.jpg,1,0.8,yes,fine\ncat/2.jpg,0,,No,\n"
        "dog/1.jpg,0,0.2,TRUE,x\ndog/3.jpg,1,-2,false,y\n",
        threshold=0.6,
    )
    assert found.names == ("night", "snow", "fence")
    expected = [[1, 0.8, 1], [0, NAN, 0], [0, 0.2, 1], [1, -2, 0]]
    assert np.array_equal(found.scores, np.array(expected, np.float32), equal_nan=True)
    assert found.present()[:, 1].tolist() == [True, False, False, False]
    assert found.notes == ("column 'remark' holds text: left out",)


def test_both_layouts_separators_and_chosen_columns(tmp_path):
    text = "path,tags,night\ncat/1.jpg,a;b,1\ndog/3.jpg,b,0\n"
    assert _tag(tmp_path, text, separator=";").names == ("night", "a", "b")
    assert _tag(tmp_path, text, columns=["night"]).names == ("night",)
    assert _tag(tmp_path, text, columns=["tags"]).names == ("a;b", "b")


def test_ids_and_parquet(tmp_path):
    path = tmp_path / "tags.parquet"
    table = pd.DataFrame(
        {"id": [f"{i:032x}" for i in (2, 0)], "night": [True, False], "x": [1, None]}
    )
    table.to_parquet(path)
    found = tag_images(_set(), [CsvTagger(path)])
    assert found.names == ("night", "x")
    expected = [[0, NAN], [NAN, NAN], [1, 1], [NAN, NAN]]
    assert np.array_equal(found.scores, np.array(expected, np.float32), equal_nan=True)


def test_paths_match_by_an_unambiguous_end(tmp_path):
    found = _tag(
        tmp_path,
        "path,night\n/home/me/cat/1.jpg,1\n2.jpg,0\nx\\dog\\3.jpg,1\nbird/9.jpg,1\n",
    )
    assert found.scores[:, 0].tolist()[:2] == [1, 0]
    assert found.scores[3, 0] == 1
    assert found.notes == (
        "1 of 4 rows have no image (first: 'bird/9.jpg')",
        "1 of 4 images have no row (first: 'dog/1.jpg')",
    )
    with pytest.raises(DataError, match=r"row 1.*fits 2: 'cat/1.jpg', 'dog/1.jpg'"):
        _tag(tmp_path, "path,night\n1.jpg,1\n")


def test_matching_prefers_the_exact_text_and_never_half_a_name():
    pairs, notes = match_rows(["1.jpg", "a/1.jpg"], ["1.jpg", "a/1.jpg"], subject="Table")
    assert pairs == [(0, "1.jpg"), (1, "a/1.jpg")]
    assert notes == ()
    with pytest.raises(DataError, match="not one fits"):
        match_rows(["1.jpg"], ["11.jpg", "a1.jpg"], subject="Table")
    pairs, _ = match_rows(["a"], ["a", "a", "b"], subject="Table")
    assert pairs == [(0, "a")]


def test_repeated_rows_may_agree_but_not_differ(tmp_path):
    same = "path,night\ncat/1.jpg,1\ncat/1.jpg,1\nx/cat/1.jpg,1\n"
    assert _tag(tmp_path, same).scores[0, 0] == 1
    with pytest.raises(DataError, match="rows 1 and 2 that differ"):
        _tag(tmp_path, "path,night\ncat/1.jpg,1\ncat/1.jpg,0\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "readable table"),
        ("path,night\n", "with rows"),
        ("file,night\na,1\n", "column path or id"),
        ("path\ncat/1.jpg\n", "columns of numbers"),
        ("path,remark\ncat/1.jpg,hello\n", "columns of numbers"),
        ("path,night\nbird.jpg,1\n", "not one fits"),
        ("path,night\ncat/1.jpg,inf\n", "finite"),
        ("path,night,tags\ncat/1.jpg,1,night\n", "each tag once"),
    ],
)
def test_bad_tables_are_clear_errors(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        _tag(tmp_path, text)


def test_bad_arguments_are_refused(tmp_path):
    good = "path,night,remark\ncat/1.jpg,1,x\n"
    with pytest.raises(DataError, match="existing file"):
        CsvTagger(tmp_path / "none.csv")
    with pytest.raises(UnknownNameError, match="'night'"):
        _tag(tmp_path, good, columns=["nigth"])
    with pytest.raises(DataError, match="numbers, or yes and no"):
        _tag(tmp_path, good, columns=["remark"])
    with pytest.raises(InputError, match="key"):
        _tag(tmp_path, good, key="name")
    with pytest.raises(DataError, match="'id'"):
        _tag(tmp_path, good, key="id")
    with pytest.raises(InputError, match="separator"):
        _tag(tmp_path, good, separator="")
    with pytest.raises(ModelStateError, match="fitted"):
        CsvTagger(tmp_path / "tags.csv").score(None)
    (tmp_path / "tags.txt").write_text(good)
    with pytest.raises(DataError, match=r"\.csv or \.parquet"):
        CsvTagger(tmp_path / "tags.txt")


def test_the_identity_follows_the_content(tmp_path):
    one = _tag(tmp_path, "path,night\ncat/1.jpg,1\n")
    same = _tag(tmp_path, "path,night\ncat/1.jpg,1.0\n")
    other = _tag(tmp_path, "path,night\ncat/1.jpg,0\n")
    assert one.identity == same.identity != other.identity
