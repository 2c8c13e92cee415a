"""Every fault that is planted in a folder of images is found; a sound folder has none."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

import sundog
from sundog.audit.doctor import diagnose
from sundog.cli.main import app
from sundog.core.errors import UnknownNameError
from sundog.data.image_set import ImageSet

QUICK = {"methods": ("gradient_norm",), "progress": False}
CLASSES = ("cat", "dog")


def picture(rng, shape=(40, 40)):
    return Image.fromarray(rng.integers(0, 256, (*shape, 3), dtype=np.uint8))


def sound(root, *, each=12, parts=("",)):
    rng = np.random.default_rng(0)
    for part in parts:
        for name in CLASSES:
            folder = root / part / name
            folder.mkdir(parents=True)
            for number in range(each):
                picture(rng).save(folder / f"{number}.png")
    return rng


@pytest.fixture(scope="module")
def classifier():
    """Its weights are random: these are checks of images."""
    return sundog.get_model("small-cnn", class_names=CLASSES, input_size=32)


def look(classifier, source, **options):
    return diagnose(classifier, source, **QUICK, **options)


def test_a_sound_folder_has_no_fault_of_its_images(classifier, tmp_path):
    sound(tmp_path / "set")
    found = look(classifier, tmp_path / "set")
    areas = [c for c in found.checks if c.area in ("images", "labels")]
    doubted = [c.name for c in areas if c.status not in ("ok", "skipped")]
    # The network is random: nothing can be said of its order.
    assert set(doubted) <= {"labels: order"}
    assert len(areas) >= 12


def broken(root, _rng):
    (root / "cat" / "x.jpg").write_bytes(b"no image")


def truncated(root, rng):
    picture(rng).save(root / "cat" / "x.jpg")
    data = (root / "cat" / "x.jpg").read_bytes()
    (root / "cat" / "x.jpg").write_bytes(data[: len(data) // 2])


def tiny(root, rng):
    picture(rng, (6, 40)).save(root / "cat" / "x.png")


def one_colour(root, _rng):
    Image.new("RGB", (40, 40), (128, 128, 128)).save(root / "cat" / "x.png")


def alpha(root, rng):
    image = picture(rng).convert("RGBA")
    image.putalpha(100)
    image.save(root / "cat" / "x.png")


def grey_among_colour(root, rng):
    picture(rng).convert("L").save(root / "cat" / "x.png")


def sixteen_bits(root, rng):
    pixels = rng.integers(0, 65536, (40, 40), dtype=np.uint16)
    Image.fromarray(pixels).save(root / "cat" / "x.png")


def cmyk(root, rng):
    picture(rng).convert("CMYK").save(root / "cat" / "x.jpg")


def turned(root, rng):
    exif = Image.Exif()
    exif[0x0112] = 6
    picture(rng).save(root / "cat" / "x.jpg", exif=exif)


def copied(root, _rng):
    (root / "cat" / "x.png").write_bytes((root / "cat" / "1.png").read_bytes())


def contradictory(root, _rng):
    (root / "cat" / "x.png").write_bytes((root / "dog" / "1.png").read_bytes())


def long_images(root, rng):
    for number in range(6):
        picture(rng, (20, 120)).save(root / "cat" / f"x{number}.png")


def empty_class(root, _rng):
    (root / "owl").mkdir()


def few(root, _rng):
    for number in range(5):
        (root / "dog" / f"{number}.png").unlink()


def unbalanced(root, rng):
    for number in range(10):
        (root / "dog" / f"{number}.png").unlink()
    for number in range(12):
        picture(rng).save(root / "cat" / f"x{number}.png")


IMAGE_FAULTS = {
    "no image": (broken, "images: readable", "warn", "x.jpg"),
    "truncated": (truncated, "images: readable", "warn", "x.jpg"),
    "tiny": (tiny, "images: sizes", "warn", "1 with a side below 16"),
    "one colour": (one_colour, "images: one colour", "warn", "x.png"),
    "transparent": (alpha, "images: pixels", "warn", "1 alpha"),
    "grey among colour": (grey_among_colour, "images: pixels", "warn", "1 grey"),
    "16 bits": (sixteen_bits, "images: pixels", "warn", "1 16 bit"),
    "CMYK": (cmyk, "images: pixels", "warn", "1 cmyk"),
    "turned": (turned, "images: rotation", "warn", "1 of 25 files"),
    "copied": (copied, "images: duplicates", "warn", "cat/1.png = cat/x.png"),
    "contradictory": (contradictory, "labels: contradictions", "fail", "2 of 25"),
    "much is lost": (long_images, "images: resizing", "warn", "more than 40%"),
    "an empty class": (empty_class, "labels: classes", "warn", "without an image: owl"),
    "few of a class": (few, "labels: classes", "warn", "dog (7)"),
    "out of balance": (unbalanced, "labels: balance", "warn", "12 times"),
}


@pytest.mark.parametrize("fault", IMAGE_FAULTS)
def test_a_fault_of_the_images_is_found(classifier, tmp_path, fault):
    plant, name, status, words = IMAGE_FAULTS[fault]
    root = tmp_path / "set"
    plant(root, sound(root))
    found = look(classifier, root)
    check = found.check(name)
    assert (check.status, words in check.found) == (status, True), str(found)
    assert check.try_
    others = {"labels: order", name, "images: duplicates" if "contra" in fault else name}
    doubted = {c.name for c in found.of_status("fail", "warn") if c.area == "images"}
    assert doubted <= others, doubted


def test_an_image_in_two_parts_is_found(classifier, tmp_path):
    root = tmp_path / "set"
    rng = sound(root, parts=("train", "val"))
    assert look(classifier, root).check("images: leakage").status == "ok"
    for number in range(3):
        name = f"copy{number}.png"
        (root / "val" / "dog" / name).write_bytes(
            (root / "train" / "dog" / f"{number}.png").read_bytes()
        )
    found = look(classifier, root)
    check = found.check("images: leakage")
    assert check.status == "fail"
    assert "3 of 27 of validation are also in train" in check.found
    assert found.check("images: split").try_ == "--split validation"
    assert found.images == 27
    assert look(classifier, root, split="train").images == 24
    assert "one of train, validation" in look(classifier, root, split="test").checks[0].found
    picture(rng).save(root / "val" / "dog" / "more.png")
    rows = [
        {"path": str(p.relative_to(root)), "label": p.parent.name, "split": p.parts[-3]}
        for p in sorted(root.rglob("*.png"))
    ]
    pd.DataFrame(rows).to_csv(root / "all.csv", index=False)
    found = look(classifier, root / "all.csv", split="val")
    assert "3 of 28 of validation" in found.check("images: leakage").found


def test_unlabelled_and_unreadable_sets(classifier, tmp_path):
    sound(tmp_path / "set")
    found = look(classifier, tmp_path / "set" / "cat")
    assert found.check("labels: there").status == "warn"
    assert found.check("labels: names").status == "skipped"
    (tmp_path / "bad").mkdir()
    for number in range(3):
        Path(tmp_path / "bad" / f"{number}.png").write_bytes(b"")
    found = look(classifier, tmp_path / "bad")
    assert found.check("images: opened").status == "fail"
    assert found.exit_code == 1
    images = sundog.load_image_set(tmp_path / "set", limit=6)

    def never(_row):
        raise sundog.core.errors.DataError("broken")

    unreadable = ImageSet(
        name="unreadable",
        class_names=CLASSES,
        labels=images.labels,
        ids=images.ids,
        sources=images.sources,
        read=never,
    )
    found = look(classifier, unreadable)
    assert found.check("images: readable").status == "fail"
    assert "not one can be decoded" in found.check("images: readable").found


def test_the_command_prints_words_and_writes_json(tmp_path):
    root = tmp_path / "set"
    sound(root)
    (root / "cat" / "[red]x[.jpg").write_bytes(b"no image")
    arguments = ["doctor", "small-cnn", str(root), "--class-names", "cat,dog", "--size", "32"]
    arguments += ["--methods", "gradient_norm", "--json", str(tmp_path / "found.json")]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 1
    assert "fail: model: weights: --checkpoint FILE" in result.output
    assert "[red]x[.jpg" in result.output
    assert re.search(r"^warn +images: readable", result.output, re.MULTILINE)
    written = json.loads((tmp_path / "found.json").read_text())
    assert written["format"] == "sundog-diagnosis"
    assert written["status"] == "fail"
    rows = {row["name"]: row for row in written["checks"]}
    assert rows["images: one colour"]["measured"]["one colour"]["n"] == 24
    assert rows["images: one colour"]["measured"]["one colour"]["high"] > 0
    for row in written["checks"]:
        assert set(row) == {"name", "status", "found", "expected", "try", "measured"}
        assert row["try"] or row["status"] not in ("fail", "warn"), row
    commands = typer.main.get_command(app).commands
    assert "doctor" in commands


def test_a_diagnosis_is_shown_as_text_and_as_a_table(classifier, tmp_path):
    sound(tmp_path / "set")
    (tmp_path / "set" / "cat" / "<b>.jpg").write_bytes(b"no image")
    found = look(classifier, tmp_path / "set")
    assert "&lt;b&gt;.jpg" in found._repr_html_()
    assert "<b>.jpg" in str(found)
    assert found.headline() in str(found)
    assert sum(found.counts.values()) == len(found.checks)
    with pytest.raises(UnknownNameError, match="images: readable"):
        found.check("images: readible")
