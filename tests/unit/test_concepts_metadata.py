"""Metadata columns, folders and EXIF become tags; what is left out is said."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from sundog.concepts.column_tags import ColumnTag, plan_column
from sundog.concepts.metadata import MetadataTagger
from sundog.concepts.tag_images import tag_images
from sundog.core.errors import InputError, ModelStateError, UnknownNameError
from sundog.data.image_set import ImageSet
from sundog.data.load import load_image_set


def _set(metadata=None, sources=None, labels=None, count=40):
    def read(index):
        raise AssertionError("no image may be decoded")

    return ImageSet(
        name="made",
        class_names=("a", "b"),
        labels=np.arange(count) % 2 if labels is None else labels,
        ids=[f"id{i}" for i in range(count)],
        sources=[f"made[{i}]" for i in range(count)] if sources is None else sources,
        read=read,
        metadata=None if metadata is None else pd.DataFrame(metadata),
    )


def _tag(images, **given):
    found = tag_images(images, [MetadataTagger(**given)])
    return found, dict(zip(found.names, found.scores.T, strict=True))


def test_categories_become_values_and_missing_is_a_tag_of_its_own():
    weather = ["sun", "rain", None, " sun "] * 10
    found, scores = _tag(_set({"weather": weather}))
    assert found.names == ("weather = sun", "weather = rain", "weather missing")
    assert scores["weather = sun"][:4].tolist()[:2] == [1, 0]
    assert np.isnan(scores["weather = sun"][2])
    assert scores["weather = sun"][3] == 1
    assert scores["weather missing"].tolist() == [0, 0, 1, 0] * 10
    assert found.present().sum(axis=0).tolist() == [20, 10, 10]
    assert found.unknown.tolist() == [10, 10, 0]


def test_numbers_become_quartiles():
    age = np.arange(40, dtype=float)
    age[7] = np.nan
    age[8] = np.inf
    _, scores = _tag(_set({"age": age}))
    known = np.delete(np.arange(40), [7, 8])
    limits = [np.quantile(age[known], q, method="higher") for q in (0.25, 0.5, 0.75)]
    names = [f"age < {limits[0]:g}", f"age >= {limits[1]:g}", f"age >= {limits[2]:g}"]
    assert list(scores) == [*names, "age missing"]
    assert np.array_equal(scores[names[0]][known], age[known] < limits[0])
    assert np.array_equal(scores[names[2]][known], age[known] >= limits[2])
    assert np.isnan(scores[names[1]][[7, 8]]).all()
    assert scores["age missing"].sum() == 2


def test_few_numbers_and_booleans_are_values():
    found, _ = _tag(
        _set({"floor": [1.0, 1.0, 2.0, 2.0] * 10, "night": [True, False, False, False] * 10})
    )
    assert found.names == ("floor = 1", "floor = 2", "night = False", "night = True")


def test_skewed_numbers_never_put_all_images_on_one_side():
    _, scores = _tag(_set({"views": [0] * 30 + list(range(1, 11))}), max_values=5)
    assert list(scores) == ["views >= 1"] or all(0 < s.sum() < 40 for s in scores.values())


def test_dates_become_year_month_and_hour():
    when = pd.to_datetime(["2019-05-01 07:00", "2020-05-02 22:30"] * 20)
    found, scores = _tag(_set({"when": when}, labels=np.arange(40) // 20))
    assert found.names == ("when year = 2019", "when year = 2020")
    assert scores["when year = 2019"].sum() == 20
    assert any("says the same as" in note for note in found.notes)  # hour, the same split
    assert any("when month" in note and "one value" in note for note in found.notes)


def test_what_is_useless_is_left_out_and_said():
    found, _ = _tag(
        _set(
            {
                "patient": [f"p{i}" for i in range(40)],
                "class": ["x", "y"] * 20,
                "site": ["here"] * 40,
                "empty": [None] * 40,
                "copy": ["u", "u", "v", "v"] * 10,
                "copied": ["u", "u", "v", "v"] * 10,
                "path": [f"made[{i}]" for i in range(40)],
            }
        )
    )
    assert found.names == ("copy = u", "copy = v")
    notes = " | ".join(found.notes)
    for part in (
        "'patient' has 40 values, like an id",
        "'class' says the same as the label",
        "'site' has the one value 'here'",
        "'empty' is empty",
        "'copied' says the same as 'copy'",
    ):
        assert part in notes
    assert "path" not in notes


def test_many_values_keep_the_frequent_ones_if_they_cover_half():
    camera = ["A"] * 16 + ["B"] * 10 + [f"c{i}" for i in range(14)]
    found, _ = _tag(_set({"camera": camera}), max_values=5)
    assert found.names == ("camera = A", "camera = B")
    assert "2 of its 16 values" in found.notes[0]
    plan = plan_column("camera", pd.Series(["A"] * 5 + [f"c{i}" for i in range(35)]), max_values=5)
    assert plan.tags == ()
    assert "like an id" in plan.note


def test_folders_without_the_class_folder_and_the_common_root():
    sources = [f"data/{'north' if i % 4 < 2 else 'south'}/{'ab'[i % 2]}/{i}.jpg" for i in range(40)]
    found, scores = _tag(_set(sources=sources))
    assert found.names == ("folder = north", "folder = south")
    assert scores["folder = north"].tolist() == [1, 1, 0, 0] * 10
    assert any("'folder 2' says the same as the label" in note for note in found.notes)
    assert _tag(_set(sources=sources), folders=False)[0].names == ()


def test_a_fitted_tagger_works_on_another_set():
    fitted = MetadataTagger().fit(_set({"weather": ["sun", "rain"] * 20, "x": ["p", "q"] * 20}))
    assert fitted.tag_names == ()  # both say the same as the label
    labels = np.arange(40) // 20
    fitted = MetadataTagger().fit(_set({"weather": ["sun", "rain"] * 20}, labels=labels))
    assert fitted.tag_names == ("weather = rain", "weather = sun")
    other = _set({"weather": ["rain", "snow"], "y": [1, 2]}, count=2)
    assert tag_images(other, [fitted]).scores.tolist() == [[1, 0], [0, 0]]
    bare = tag_images(_set(count=2), [fitted])
    assert np.isnan(bare.scores).all()


def _photo(path, seed, exif):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    header = Image.Exif()
    for tag, value in exif.items():
        if tag in (0x9003, 0x9209):
            header.get_ifd(0x8769)[tag] = value
        else:
            header[tag] = value
    Image.fromarray(pixels).save(path, exif=header)


def test_exif_of_files(tmp_path):
    for i in range(24):
        exif = {
            0x010F: "Canon " if i % 3 else "Nikon\x00",
            0x0112: 1,
            0x9003: f"20{10 + i % 2}:05:01 {7 + i % 4:02d}:00:00",
            0x9209: 25 if i % 4 < 2 else 24,
        }
        _photo(tmp_path / "ab"[i % 2] / f"{i}.jpg", i, {} if i == 5 else exif)
    images = load_image_set(tmp_path)
    found, scores = _tag(images, root=tmp_path)
    number = np.array([int(s.split("/")[1].split(".")[0]) for s in images.sources])
    known = number != 5
    assert np.array_equal(scores["EXIF make = Nikon"][known], (number % 3 == 0)[known])
    assert np.isnan(scores["EXIF make = Nikon"][~known]).all()
    assert np.array_equal(scores["EXIF flash = fired"][known], (number % 4 < 2)[known])
    assert np.array_equal(scores["EXIF hour = 8"][known], (number % 4 == 1)[known])
    assert scores["EXIF make missing"].tolist() == (~known).astype(float).tolist()
    assert not any("model" in name or "software" in name for name in found.names)
    assert "EXIF orientation missing" not in dict.fromkeys(
        n for n in found.names if n.startswith("EXIF orientation =")
    )
    assert any("'EXIF year' says the same as the label" in note for note in found.notes)
    assert not any(n.startswith("EXIF") for n in _tag(images, root=tmp_path, exif=False)[0].names)
    assert not any(n.startswith("EXIF") for n in _tag(images)[0].names)  # relative to nowhere
    assert "has EXIF" in _tag(images, root=tmp_path / "gone")[0].notes[0]


def test_odd_values_do_not_break_it():
    odd = [["list"], {"a": 1}, 3, "x", None, float("nan"), "", b"raw"] * 5
    found, scores = _tag(_set({"odd": odd, "mixed": [1, "1"] * 20}))
    assert scores["odd missing"].sum() == 15
    assert "odd = ['list']" in found.names
    assert "column 'mixed' has the one value '1'" in found.notes
    assert _tag(_set({"a": ["x"]}, count=1))[0].names == ()


def test_bad_use_is_refused():
    with pytest.raises(UnknownNameError, match="'weather'"):
        MetadataTagger(columns=["wether"]).fit(_set({"weather": ["a", "b"] * 20}))
    with pytest.raises(InputError, match="max_values"):
        MetadataTagger(max_values=1)
    with pytest.raises(InputError, match="quantiles"):
        MetadataTagger(quantiles=(0.0,))
    with pytest.raises(ModelStateError, match="fitted"):
        MetadataTagger().score(None)


def test_names_of_conditions():
    assert ColumnTag("age", ">=", 41.0).name == "age >= 41"
    assert ColumnTag("age", "<", 0.25).name == "age < 0.25"
    assert ColumnTag("age", "missing").name == "age missing"
