"""The comparison without a named cue, on networks whose reasons are written down."""

import json
import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from tests.audit_subjects import NAMES as FRAMES
from tests.audit_subjects import cheat
from tests.audit_subjects import images as frames
from tests.audit_summaries import around, share
from torch import nn

from sundog.audit.compare_run import compare_runs
from sundog.audit.compare_unknown import compare_unknown
from sundog.audit.pair_looks import look_at_pairs
from sundog.audit.pair_records import right_answers
from sundog.audit.pair_searches import folder_names
from sundog.audit.requests import parse_methods
from sundog.audit.runs import name_models
from sundog.audit.subject import make_subject
from sundog.bias.confidence import FEATURES, Calibration
from sundog.core.audit.cues import CueRecord, Cues, CueTest
from sundog.core.errors import InputError, ModelStateError
from sundog.core.run_folder import RunFolder
from sundog.data.arrays import from_arrays
from sundog.data.planting import make_cue
from sundog.models.classifier import Classifier

NAMES = ("red", "green", "blue")
CORNER = {"top": 0.0, "left": 0.0, "tall": 0.25, "wide": 0.25}


class Reads(nn.Module):
    """Logits are the mean colours of one part of the image: nothing else can matter."""

    def __init__(self, rows, columns):
        super().__init__()
        self.rows, self.columns = rows, columns
        self.scale = nn.Parameter(torch.tensor(20.0))

    def forward(self, images):
        return self.scale * images[:, :, self.rows, self.columns].mean(dim=(2, 3))


def network(rows, columns, name):
    return Classifier(Reads(rows, columns), class_names=NAMES, input_size=(16, 16), name=name)


@pytest.fixture(scope="module")
def image_set():
    """The class is the colour of the middle, and a stamp in the corner has it too."""
    random = np.random.default_rng(0)
    labels = np.arange(60) % 3
    images = random.integers(0, 60, (60, 16, 16, 3)).astype(np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[6:10, 6:10, label] = 200
        image[:4, :4, label] = 250
    return from_arrays(images, labels, list(NAMES))


@pytest.fixture(scope="module")
def subjects(image_set):
    made = {
        "corner": network(slice(0, 4), slice(0, 4), "corner"),
        "middle": network(slice(6, 10), slice(6, 10), "middle"),
    }
    return {
        name: make_subject(image_set, model, size=16, batch_size=25) for name, model in made.items()
    }


def claim(name="patch, upper left", component=None, **changes):
    return CueRecord(
        **{
            "id": "a" * 16,
            "family": "window",
            "kind": "local",
            "name": name,
            "classes": NAMES,
            "flip": share(40, 40),
            "control": share(0, 40),
            "excess": around(1.0, 0.1),
            "p": 1e-9,
            "p_adjusted": 1e-7,
            "intact": share(40, 40),
            "swapped": share(0, 40),
            "reliance": around(1.0, 0.1),
            "component": component or {"family": "window", "parameters": CORNER},
            "box": (0.0, 0.0, 0.25, 0.25),
            **changes,
        }
    )


def made_tests(claimed):
    rows = [("patch, upper left", 0.9, claimed, 0.08), ("frame", 0.0, False, 0.06)]
    return tuple(
        CueTest(
            family="window",
            name=name,
            class_name="",
            excess=around(pull, 0.05),
            pull=around(pull, 0.05),
            margin=margin,
            p=0.5,
            p_adjusted=1e-7 if found else 1.0,
            claimed=found,
            detectable=0.2,
        )
        for name, pull, found, margin in rows
    )


def searching(claims, *, stop_at=None, asked=None):
    """A search that finds what it is told: run -> claimed cues."""

    def search(subject, out_dir, **given):
        name = subject.classifier.name
        if asked is not None:
            asked.append((name, given["alpha"], given["limit"]))
        if name == stop_at:
            raise KeyboardInterrupt
        found = claims.get(name, ())
        cues = Cues(
            smallest=0.05,
            alpha=given["alpha"],
            images=60,
            tests=2,
            claimed=found,
            tested=made_tests(bool(found)),
        )
        return SimpleNamespace(cues=cues, path=out_dir)

    return search


def compare(subjects, out, search, **changes):
    return compare_unknown(
        subjects,
        out,
        **{
            "methods": parse_methods("gradient_x_input"),
            "map_images": 12,
            "shown": 2,
            "limit": 60,
            "taggers": None,
            "progress": False,
            "search": search,
            **changes,
        },
    )


def test_the_numbers_of_the_crossed_cue_are_those_of_the_networks(subjects, tmp_path):
    asked = []
    run = compare(subjects, tmp_path / "c", searching({"corner": (claim(),)}, asked=asked))
    found = run.comparison
    assert asked == [("corner", 0.025, 60), ("middle", 0.025, 60)]
    assert (found.decision, found.biased, found.more) == ("one", ("corner",), "corner")
    corner, middle = found.crossed[0].models
    assert (corner.flip.value, corner.control.value, corner.swapped.value) == (1.0, 0.0, 0.0)
    assert (middle.flip.value, middle.swapped.value, middle.reliance.value) == (0.0, 1.0, 0.0)
    assert corner.pull.value > 0.8
    assert middle.pull.value <= 0  # parts elsewhere hit the middle now and then, the corner never
    assert found.crossed[0].margin == 0.08
    assert [m.accuracy.value for m in found.models] == [1.0, 1.0]
    assert found.accuracy["corner − middle"].value == 0
    assert found.models[1].strongest.name == "patch, upper left"
    # Both networks look at 16 pixels in one place; the maps cannot tell which place is wrong.
    (agree,) = found.maps.likeness
    assert agree.overlap.value < 0.05
    places = {m.run: m.mean.value for m in found.maps.means if m.measure == "centre_spread"}
    assert max(places.values()) < 0.001
    page = " ".join(run.page.read_text(encoding="utf-8").split())
    worth = r"held-out settings, cross-fitted, its Brier score was 0\.\d+ \[0\.\d+, 0\.\d+\]"
    assert re.search(worth, page)
    rows = pd.read_parquet(run.path / "tables" / "predictions.parquet")
    assert len(rows) == 2 * 60


def test_masks_and_windows_move_the_same(subjects, tmp_path):
    kept = tmp_path / "kept"
    kept.mkdir()
    mask = np.zeros((16, 16), dtype=np.uint8)
    mask[:4, :4] = 255
    Image.fromarray(mask).save(kept / "one.png")
    ids = list(subjects["corner"].image_set.ids)
    pd.DataFrame({"id": ids, "mask_path": "one.png"}).to_parquet(kept / "all.parquet")
    masked = claim(component={"family": "masked", "parameters": {}}, masks_table="all.parquet")
    outcomes = []
    for name, record in (("masked", masked), ("window", claim())):
        inner = searching({"corner": (record,)})

        def search(subject, _, inner=inner, **given):
            return SimpleNamespace(cues=inner(subject, kept, **given).cues, path=kept)

        run = compare(subjects, tmp_path / name, search, methods={}, map_images=0)
        (crossed,) = run.comparison.crossed
        outcomes.append([(m.flip.value, m.swapped.value) for m in crossed.models])
    assert outcomes[0] == outcomes[1] == [(1.0, 0.0), (0.0, 1.0)]


def test_one_claim_of_two_models_is_crossed_once(subjects, tmp_path):
    both = {"corner": (claim(),), "middle": (claim(id="b" * 16),)}
    found = compare(subjects, tmp_path / "c", searching(both), methods={}, map_images=0).comparison
    (crossed,) = found.crossed
    assert crossed.claimed_in == ("corner", "middle")
    assert (found.decision, found.more) == ("all", "corner")


def test_an_interrupted_comparison_goes_on_and_says_the_same(subjects, tmp_path):
    claims = {"corner": (claim(),)}
    whole = compare(subjects, tmp_path / "whole", searching(claims))
    with pytest.raises(KeyboardInterrupt):
        compare(subjects, tmp_path / "parts", searching(claims, stop_at="middle"))
    kept = {p: p.stat().st_mtime_ns for p in (tmp_path / "parts" / "cells").rglob("*.parquet")}
    assert kept
    parts = compare(subjects, tmp_path / "parts", searching(claims))
    assert {p: p.stat().st_mtime_ns for p in kept} == kept
    assert parts.comparison == whole.comparison
    one, two = ((run.path / "comparison.json").read_bytes() for run in (whole, parts))
    assert one == two


def test_numbers_do_not_depend_on_the_batch_size(image_set, tmp_path):
    found = []
    for size in (7, 60):
        made = {
            "corner": make_subject(
                image_set, network(slice(0, 4), slice(0, 4), "corner"), size=16, batch_size=size
            ),
            "middle": make_subject(
                image_set, network(slice(6, 10), slice(6, 10), "middle"), size=16, batch_size=size
            ),
        }
        run = compare(made, tmp_path / str(size), searching({"corner": (claim(),)}), shown=0)
        found.append(json.loads((run.path / "comparison.json").read_text()))
    assert close(found[0], found[1])


def close(a, b):
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(close(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(close(x, y) for x, y in zip(a, b, strict=True))
    return a == pytest.approx(b, abs=1e-5) if isinstance(a, float) else a == b


def test_a_calibrated_map_gives_each_model_its_probability(subjects, tmp_path):
    weights = [0.0] * len(FEATURES)
    weights[FEATURES.index("claimed")] = 4.0
    calibration = Calibration(
        FEATURES,
        (0.0,) * len(FEATURES),
        (1.0,) * len(FEATURES),
        tuple(weights),
        -2.0,
        {
            "settings": 60,
            "held_out": {"settings": 40, "brier": 0.05, "brier_low": 0.02, "brier_high": 0.09},
        },
    )
    run = compare(
        subjects,
        tmp_path / "c",
        searching({"corner": (claim(),)}),
        methods={},
        map_images=0,
        calibration=calibration,
    )
    given = [model.confidence for model in run.comparison.models]
    assert given == pytest.approx([1 / (1 + np.exp(-2)), 1 / (1 + np.exp(2))])
    page = " ".join(run.page.read_text(encoding="utf-8").split())
    assert "P(biased)" in page
    assert "On 40 held-out settings, its Brier score was 0.050 [0.020, 0.090]" in page
    assert "not calibrated" not in page


def test_findings_of_the_models_are_laid_side_by_side(subjects, tmp_path):
    run = compare(
        subjects, tmp_path / "c", searching({}), methods={}, map_images=0, taggers="photometric"
    )
    (lists,) = run.comparison.findings
    assert (lists.first, lists.second) == ("corner", "middle")
    assert (lists.shared, lists.only_first, lists.only_second) == ((), (), ())
    assert "No significant finding in either." in run.page.read_text(encoding="utf-8")
    assert (run.path / "inspect" / "middle" / "query.json").is_file()


def test_models_that_cannot_be_compared_are_refused(subjects, tmp_path):
    one = {"corner": subjects["corner"]}
    with pytest.raises(InputError, match="two"):
        compare(one, tmp_path / "c", searching({}))
    other = make_subject(
        subjects["middle"].image_set.subset(range(30)), subjects["middle"].classifier, size=16
    )
    with pytest.raises(InputError, match="images"):
        compare({**one, "middle": other}, tmp_path / "c", searching({}))


def test_folders_have_distinct_harmless_names():
    names = folder_names(["../up", "a/b", "a b", "a-b", "é", ""])
    assert len(set(names.values())) == 6
    assert all(name and "/" not in name and not name.startswith(".") for name in names.values())


def test_a_model_that_is_there_is_no_name_whatever_its_folder_is_called(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for rate in ("0.1", "0.01"):
        (tmp_path / f"lr={rate}").mkdir()
    assert name_models(["lr=0.1", "lr=0.01"]) == {"lr=0.1": "lr=0.1", "lr=0.01": "lr=0.01"}
    assert name_models(["a=lr=0.1", "b=timm:x"]) == {"a": "lr=0.1", "b": "timm:x"}
    with pytest.raises(InputError, match="twice"):
        name_models(["a=lr=0.1", "a=lr=0.01"])


def copied(times=3):
    one = frames(20)
    pixels = np.stack([one.image(i) for i in range(len(one))])
    labels = np.concatenate([one.labels] * times)
    labels[-1] = 1 - labels[-1]  # one copy contradicts the others
    return from_arrays(np.concatenate([pixels] * times), labels, FRAMES, layout="NHWC")


def test_copies_count_once_and_contradicting_ones_not_at_all(tmp_path):
    subjects = {n: make_subject(copied(), cheat(biased=n == "a"), batch_size=16) for n in "ab"}
    given = {"gxi": ("gradient_x_input", {})}
    with RunFolder.open(tmp_path / "run", kind="test") as folder:
        looks = look_at_pairs(folder, subjects, methods=given, map_images=120, shown=1)
    assert looks.predictions.groupby("run_id").size().to_dict() == {"a": 39, "b": 39}
    assert looks.statistics.groupby(["run_id", "method"]).size().tolist() == [40, 40]
    assert len(looks.agreement) == 40
    assert looks.notes == (
        "3 copies of 1 images with contradicting labels were left out of the accuracies.",
        "78 copies of other images were counted once.",
    )
    right = right_answers(looks.predictions, frames(20).ids)
    assert all(len(found) == 40 and not found[-1] for found in right.values())


def test_a_model_that_answers_nan_is_named(tmp_path):
    broken = cheat()
    with torch.no_grad():
        broken.network.head.weight.fill_(float("nan"))
    subjects = {n: make_subject(frames(20), m) for n, m in (("good", cheat()), ("bad", broken))}
    cue = make_cue("patch", class_count=2)
    for compare in (
        lambda out: compare_runs(subjects, cue, out, methods={}, map_images=0),
        lambda out: compare_unknown(subjects, out, methods={}, map_images=0),
    ):
        with pytest.raises(ModelStateError, match=r"output of 'bad' must be finite"):
            compare(tmp_path / "run")
