"""Before and after on frozen slices and pairs, against classifiers whose answers are known.

Class k has its object (the middle) and its cue (a corner) in channel k. One classifier reads the
corner alone, another the middle alone: every number of a comparison follows by hand.
"""

import math
import runpy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from sundog.audit import frozen_slices
from sundog.audit.audit_changes import before_and_after, changes_since
from sundog.audit.audit_changes_numbers import minus
from sundog.audit.frozen_slices import freeze_slices
from sundog.audit.subject import make_subject
from sundog.core.audit.cues import CUES_FILE, Cues
from sundog.core.files import write_table
from sundog.core.inspection.finding import Effect, Finding
from sundog.core.inspection.query import Query
from sundog.core.statistics import (
    Estimate,
    paired_proportions,
    proportion_difference,
    wilson_interval,
)
from sundog.data.arrays import from_arrays
from sundog.models.classifier import Classifier

HERE = Path(__file__).parents[1]
CUES = runpy.run_path(str(HERE / "cue_records.py"))
N, CLASSES, SIZE = 60, 3, 12
CORNER = {"family": "window", "parameters": {"top": 0.75, "left": 0.75, "tall": 0.25, "wide": 0.25}}
FRAME = {"family": "frame", "parameters": {"thick": 0.1}}


class Reads(torch.nn.Module):
    """Logits from the mean of each channel over a square."""

    def __init__(self, first, last):
        super().__init__()
        self.first, self.last = first, last

    def forward(self, images):
        return 20 * images[:, :, self.first : self.last, self.first : self.last].mean(dim=(2, 3))


def classifier(part):
    network = Reads(9, 12) if part == "corner" else Reads(4, 8)
    return Classifier(network.eval(), class_names=list("abc"), input_size=(SIZE, SIZE))


def pictures():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 30, (N, SIZE, SIZE, 3), dtype=np.uint8)
    labels = np.arange(N) % CLASSES
    for i, k in enumerate(labels):
        pixels[i, 4:8, 4:8, k] = 200
        pixels[i, 9:, 9:, k] = 220
    return pixels, labels


@pytest.fixture(scope="module")
def images():
    return from_arrays(*pictures(), list("abc"))


def write_audit(folder, subject, *records, findings=(), sides=None, predictions=None):
    """Write what an audit of the subject has on disk, as far as it is compared."""
    inspect = folder / "inspect"
    names = subject.class_names
    with torch.no_grad():
        said = torch.cat([subject.classifier(b.images) for b in subject.batches()])
    frame = pd.DataFrame(
        {
            "index": range(len(subject.labels)),
            "id": list(subject.image_set.ids),
            "source": list(subject.image_set.sources),
            "label": subject.labels,
            "prediction": said.argmax(1).numpy() if predictions is None else predictions,
            "confidence": said.softmax(1).max(1).values.numpy(),
        }
    )
    frame["correct"] = frame["label"] == frame["prediction"]
    write_table(inspect / "tables" / "predictions.parquet", frame)
    if sides is not None:
        write_table(inspect / "tables" / "slices.parquet", sides)
    Query(
        title="t", classifier="c", image_set="i", metric="accuracy", findings=tuple(findings)
    ).write(inspect / "query.json")
    (folder / "cues").mkdir(parents=True)
    cues = Cues(smallest=0.1, alpha=0.05, images=N, tests=9, claimed=records)
    cues.write(folder / "cues" / CUES_FILE)
    assert names == ("a", "b", "c")
    return folder


def corner_cue(**changes):
    return CUES["cue_record"](1, classes=("a", "b", "c"), component=CORNER, **changes)


def test_a_cue_is_measured_again_on_the_same_pairs(images, tmp_path):
    old, new = (make_subject(images, classifier(p), batch_size=16) for p in ("corner", "middle"))
    first = write_audit(tmp_path / "first", old, corner_cue())
    freeze_slices(first, old, seed=3)
    frozen = pd.read_parquet(first / "frozen_pairs.parquet")
    assert len(frozen) > 100
    assert frozen["flips"].all()
    assert frozen["intact"].all()
    assert not frozen[["control", "swapped"]].any().any()
    assert (frozen["label"] != frozen["goal"]).all()
    second = write_audit(tmp_path / "second", new)
    found = before_and_after(first, second, subject=new)
    follow, hangs = (c for c in found.changes if c.kind == "cue")
    n = len(frozen)
    assert (follow.before.value, follow.after.value, follow.difference.value) == (1, 0, -1)
    assert (hangs.before.value, hangs.after.value, hangs.difference.value) == (1, 0, -1)
    expected = paired_proportions([False] * n, [True] * n, level=1 - 0.05 / 2).difference
    assert follow.difference.low == pytest.approx(expected.low)
    assert follow.difference.high == pytest.approx(expected.high)
    assert follow.difference.level == pytest.approx(0.975)
    assert follow.difference.method == "newcombe, simultaneous over 2"
    assert follow.before == follow.before.of(wilson_interval(n, n))
    assert hangs.better == follow.better == "lower"
    assert found.notes == ("The earlier audit froze no slices; its findings are not compared.",)
    # The same pairs under the same classifier: nothing changes, and no interval says so.
    again = write_audit(tmp_path / "again", old)
    for change in changes_since(first, again, subject=old):
        assert change.difference.value == 0
        assert change.difference.low < 0 < change.difference.high


def test_pairs_do_not_depend_on_the_order_or_on_images_that_were_added(images, tmp_path):
    old = make_subject(images, classifier("corner"))
    first = write_audit(tmp_path / "first", old, corner_cue())
    freeze_slices(first, old)
    frozen = pd.read_parquet(first / "frozen_pairs.parquet")
    pixels, labels = pictures()
    extra = (
        np.full((4, SIZE, SIZE, 3), 9, np.uint8) + np.arange(4, dtype=np.uint8)[:, None, None, None]
    )
    order = np.random.default_rng(1).permutation(N)[: N - 6]  # six are gone
    other = from_arrays(
        np.concatenate([extra, pixels[order]]),
        np.concatenate([np.zeros(4, np.int64), labels[order]]),
        list("abc"),
    )
    new = make_subject(other, classifier("middle"))
    found = before_and_after(first, write_audit(tmp_path / "second", new), subject=new)
    there = set(other.ids)
    kept = frozen[[all(i in there for i in row) for row in
                   frozen[["image", "other", "same"]].itertuples(index=False)]]  # fmt: skip
    assert 0 < len(kept) < len(frozen)
    follow = next(c for c in found.changes if c.kind == "cue")
    assert follow.difference.n == len(kept)
    assert follow.difference.value == -1
    said = " ".join(found.notes)
    assert f"of {N} and {N - 2} images, of which {N - 6} are the same" in said
    assert f"Of {len(frozen)} pairs of the cue 'patch 1, lower right', {len(kept)} could" in said


def test_components_that_work_together_are_moved_together(images, tmp_path):
    pair = {**FRAME, "also": CORNER}
    old = make_subject(images, classifier("corner"))
    first = write_audit(
        tmp_path / "first", old, corner_cue().model_copy(update={"component": pair})
    )
    freeze_slices(first, old)
    assert pd.read_parquet(first / "frozen_pairs.parquet")["flips"].all()


def test_a_cue_that_masks_describe_is_pasted_by_them(images, tmp_path):
    old = make_subject(images, classifier("corner"))
    record = corner_cue().model_copy(
        update={"component": {"family": "masked", "parameters": {}}, "masks_table": "m.parquet"}
    )
    first = write_audit(tmp_path / "first", old, record)
    mask = np.zeros((SIZE, SIZE), np.uint8)
    mask[9:, 9:] = 255
    Image.fromarray(mask).save(first / "cues" / "m.png")
    carrying = list(images.ids)[: N // 2]
    write_table(first / "cues" / "m.parquet", pd.DataFrame({"id": carrying, "mask_path": "m.png"}))
    freeze_slices(first, old)
    frozen = pd.read_parquet(first / "frozen_pairs.parquet")
    assert set(frozen["other"]) <= set(carrying)
    assert frozen["flips"].all()
    new = make_subject(images, classifier("middle"))
    found = before_and_after(first, write_audit(tmp_path / "second", new), subject=new)
    assert [c.after.value for c in found.changes if c.kind == "cue"] == [0, 0]


def finding(identity, direction="hurts", metric="accuracy", class_name="all"):
    effect = Effect(
        metric=metric, present=0.5, absent=0.9, n_present=15, n_absent=45, gap=-0.4, low=-0.6,
        high=-0.2,
    )  # fmt: skip
    return Finding(
        id=identity, kind="hidden" if class_name else "across", class_name=class_name,
        concepts=("night",), direction=direction,
        effect=effect, significant=True,
    )  # fmt: skip


def sides_of(images, identity, present):
    return pd.DataFrame({"finding": identity, "image": list(images.ids), "present": present})


def test_slices_are_the_images_of_the_first_audit(images, tmp_path):
    subject = make_subject(images, classifier("middle"))
    night = np.arange(N) < 20
    labels = np.arange(N) % CLASSES
    wrong = (labels + 1) % CLASSES
    before = np.where(night & (np.arange(N) % 2 == 0), wrong, labels)  # 10 of 20 wrong at night
    after = np.where(night & (np.arange(N) % 10 == 0), wrong, labels)  # 2 of 20
    after[40:44] = wrong[40:44]  # 4 of 40 by day, none before
    sides = sides_of(images, "n" * 16, night)
    first = write_audit(tmp_path / "first", subject, findings=[finding("n" * 16)], sides=sides,
                        predictions=before)  # fmt: skip
    freeze_slices(first)
    second = write_audit(tmp_path / "second", subject, predictions=after)
    found = before_and_after(first, second)
    accuracy, gap = (c for c in found.changes if c.kind == "slice")
    right = [(p == labels) for p in (before, after)]
    assert accuracy.what == "accuracy of all images with night"
    assert (accuracy.before.value, accuracy.after.value) == (0.5, 0.9)
    paired = paired_proportions(right[1][night], right[0][night], level=0.975).difference
    assert (accuracy.difference.low, accuracy.difference.high) == (paired.low, paired.high)
    assert gap.what == "gap in accuracy against all images with night"
    assert gap.better == "lower"
    old_gap = proportion_difference(10, 20, 40, 40)
    assert gap.before.value == pytest.approx(0.5)
    assert gap.before.high == pytest.approx(-old_gap.low)
    assert gap.after.value == pytest.approx(0.0)
    assert gap.difference.value == pytest.approx(-0.5)
    day = paired_proportions(right[1][~night], right[0][~night], level=0.975).difference
    assert gap.difference.low == pytest.approx(
        -0.5 - math.hypot(day.value - day.low, paired.high - paired.value)
    )
    overall = next(c for c in found.changes if c.kind == "overall")
    assert overall.difference.value == pytest.approx((54 - 50) / N)
    assert {c.what for c in found.changes if c.kind == "group"} == set()  # 20 images each: too few
    assert "cues" not in " ".join(found.notes)


def test_a_slice_of_all_classes_is_compared_inside_each_class(images, tmp_path):
    """Night is common in class a, which is hard: within the classes it changes nothing."""
    subject = make_subject(images, classifier("middle"))
    labels, row = np.arange(N) % CLASSES, np.arange(N)
    night = (labels == 0) & (row < 45) | (labels > 0) & (row < 15)  # 15 of a, 5 of b, 5 of c
    hard = (labels == 0) & (row // CLASSES % 2 == 0)  # half of class a, by night and by day
    before = np.where(hard, 1, labels)
    first = write_audit(tmp_path / "first", subject, findings=[finding("a" * 16, class_name="")],
                        sides=sides_of(images, "a" * 16, night), predictions=before)  # fmt: skip
    freeze_slices(first, subject)
    second = write_audit(tmp_path / "second", subject, predictions=labels)
    accuracy, gap = (c for c in changes_since(first, second) if c.kind == "slice")
    assert accuracy.before.value == pytest.approx(1 - 8 / 25)
    wrong = [8 / 15, 2 / 5]  # of class a, by night and by day; no other class errs
    weights = [15 * 5 / 20, 5 * 15 / 20, 5 * 15 / 20]
    expected = weights[0] * (wrong[0] - wrong[1]) / sum(weights)
    assert gap.what == "gap in accuracy against images with night"
    assert gap.before.value == pytest.approx(expected)
    assert gap.after.value == 0
    assert gap.difference.value == pytest.approx(-expected)
    assert gap.difference.low < -expected < 0 < gap.difference.high


def test_a_confidence_slice_is_compared_by_confidence(images, tmp_path):
    old, new = (make_subject(images, classifier(p)) for p in ("corner", "middle"))
    present = np.arange(N) % 2 == 0
    first = write_audit(
        tmp_path / "first", old, findings=[finding("c" * 16, metric="confidence")],
        sides=sides_of(images, "c" * 16, present),
    )  # fmt: skip
    freeze_slices(first, old)
    second = write_audit(tmp_path / "second", new)
    changes = [c for c in changes_since(first, second, subject=new) if c.kind == "slice"]
    tables = [pd.read_parquet(f / "inspect/tables/predictions.parquet") for f in (first, second)]
    delta = (tables[1]["confidence"] - tables[0]["confidence"]).to_numpy()
    assert changes[0].difference.value == pytest.approx(delta[present].mean())
    assert changes[1].difference.value == pytest.approx(
        delta[~present].mean() - delta[present].mean()
    )


def test_what_is_frozen_is_bounded_and_stays_as_it_is(images, tmp_path, monkeypatch):
    monkeypatch.setattr(frozen_slices, "MOST_IMAGES", 12)
    subject = make_subject(images, classifier("corner"))
    first = write_audit(tmp_path / "first", subject, corner_cue(), findings=[finding("n" * 16)],
                        sides=sides_of(images, "n" * 16, np.arange(N) < 20))  # fmt: skip
    files = freeze_slices(first, subject)
    assert [file.name for file in files] == ["frozen_slices.parquet", "frozen_pairs.parquet"]
    table = pd.read_parquet(files[0])
    assert table.groupby("present").size().tolist() == [12, 12]
    assert set(table["label"]) == {"a", "b", "c"}
    content = [file.read_bytes() for file in files]
    assert freeze_slices(first, make_subject(images, classifier("middle")), seed=9) == files
    assert [file.read_bytes() for file in files] == content


def test_audits_of_other_classes_are_not_compared(images, tmp_path):
    subject = make_subject(images, classifier("corner"))
    first = write_audit(tmp_path / "first", subject, corner_cue())
    freeze_slices(first, subject)
    pixels, labels = pictures()
    renamed = from_arrays(pixels, labels, list("xyz"))
    other = make_subject(
        renamed,
        Classifier(Reads(4, 8).eval(), class_names=list("xyz"), input_size=(SIZE, SIZE)),
    )
    second = tmp_path / "second"
    write_table(
        second / "inspect/tables/predictions.parquet",
        pd.read_parquet(first / "inspect/tables/predictions.parquet"),
    )
    found = before_and_after(first, second, subject=other)
    assert [c for c in found.changes if c.kind == "cue"] == []
    assert "0 could be measured again; that is too few" in " ".join(found.notes)


def test_differences_of_estimates_join_their_intervals():
    a, b = Estimate(0.5, 0.4, 0.7, 10, 0.95, "x"), Estimate(0.2, 0.1, 0.6, 10, 0.95, "x")
    found = minus(a, b)
    assert found.value == pytest.approx(0.3)
    assert found.low == pytest.approx(0.3 - math.hypot(0.1, 0.4))
    assert found.high == pytest.approx(0.3 + math.hypot(0.2, 0.1))
