"""Two audits side by side: what is matched, what changed, and what the page and terminal say."""

import json

import numpy as np
import pandas as pd
import pytest
from tests.audit_summaries import around, cue, finding, summary, write_audit
from typer.testing import CliRunner

from sundog.audit.compare_audits import compare_audits, unpaired_difference
from sundog.audit.training_rows import training_rows
from sundog.cli.main import app
from sundog.core.audit.matching import box_overlap, jaccard, match_cues, match_findings
from sundog.core.errors import RunFolderError
from sundog.core.inspection.finding import Evidence
from sundog.core.inspection.query import QUERY_FILE, Query


def ids(first, last):
    return frozenset(f"i{i}" for i in range(first, last))


def test_findings_are_matched_by_id_then_by_images():
    a = [finding("red"), finding("blur"), finding("dark")]
    b = [finding("soft"), finding("red"), finding("night"), finding("blur", direction="helps")]
    images_a = {a[1].id: ids(0, 10), a[2].id: ids(20, 30)}
    images_b = {b[0].id: ids(0, 12), b[2].id: ids(20, 24)}
    found = match_findings(a, b, images_a=images_a, images_b=images_b)
    assert [(x.concepts, y.concepts) for x, y in found.shared] == [
        (("red",), ("red",)),
        (("blur",), ("soft",)),
    ]
    assert found.only_a == (a[2],)
    assert found.only_b == (b[2], b[3])


def test_findings_of_other_classes_never_match():
    a, b = finding("red", class_name="cat"), finding("crimson", class_name="dog")
    shown = tuple(Evidence(image=i, strip="present", tagged=True) for i in sorted(ids(0, 5)))
    a, b = (f.model_copy(update={"evidence": shown}) for f in (a, b))
    assert match_findings([a], [b]).shared == ()
    same = b.model_copy(update={"class_name": "cat"})
    assert match_findings([a], [same]).shared == ((a, same),)


def test_matching_leaves_nobody_out_and_nobody_twice():
    random = np.random.default_rng(0)
    for _ in range(50):
        a = [finding(f"a{i}") for i in range(random.integers(0, 6))]
        b = [finding(f"b{i}") for i in range(random.integers(0, 6))]
        given = [
            {f.id: ids(*sorted(random.integers(0, 20, 2).tolist())) for f in side}
            for side in (a, b)
        ]
        found = match_findings(a, b, images_a=given[0], images_b=given[1])
        turned = match_findings(b, a, images_a=given[1], images_b=given[0])
        assert sorted(f.id for f in (*[x for x, _ in found.shared], *found.only_a)) == sorted(
            f.id for f in a
        )
        assert sorted(f.id for f in (*[y for _, y in found.shared], *found.only_b)) == sorted(
            f.id for f in b
        )
        assert len(found.shared) == len(turned.shared)
        for x, y in found.shared:
            assert jaccard(given[0][x.id], given[1][y.id]) >= 0.5


def test_cues_are_matched_by_place_whatever_their_family():
    near = cue("stamp", number=5, family="stamp", box=(0.72, 0.7, 0.2, 0.2))
    far = cue("patch left", number=6, box=(0.7, 0.1, 0.2, 0.2))
    other = cue("patch", number=7, classes=("dog",))
    tint = cue("tint", number=8, family="colour", kind="whole").model_copy(update={"box": None})
    found = match_cues([cue(), tint], [far, other, near, tint.model_copy(update={"id": "9" * 16})])
    assert [(x.name, y.name) for x, y in found.shared] == [("patch", "stamp"), ("tint", "tint")]
    assert [y.name for y in found.only_b] == ["patch left", "patch"]


def test_overlap_of_boxes_by_hand():
    assert box_overlap((0, 0, 0.2, 0.2), (0.1, 0.1, 0.2, 0.2)) == pytest.approx(0.01 / 0.07)
    assert box_overlap((0, 0, 0.2, 0.2), (0.5, 0.5, 0.2, 0.2)) == 0
    assert box_overlap((0, 0, 0.2, 0.2), (0, 0, 0.2, 0.2)) == pytest.approx(1)


def test_an_unpaired_difference_joins_the_nearer_ends():
    before, after = around(0.5, 0.03), around(0.2, 0.04)
    found = unpaired_difference(before, after)
    assert found.value == pytest.approx(-0.3)
    assert (found.low, found.high) == pytest.approx((-0.35, -0.25))


@pytest.fixture
def audits(tmp_path):
    right = np.ones(200, dtype=bool)
    right[:40] = False
    better = right.copy()
    better[:30] = True
    first = summary(
        title="before",
        findings=(finding("red"), finding("blur")),
        cues=(cue(excess=0.6), cue("frame", number=2, box=(0.0, 0.0, 1.0, 1.0))),
    )
    second = summary(
        title="after <mended>", findings=(finding("blur"), finding("dark")), cues=(cue(excess=0.2),)
    )
    return (
        write_audit(tmp_path / "before", first, right=right),
        write_audit(tmp_path / "after", second, right=better),
    )


def test_what_is_gone_remains_and_is_new(audits, tmp_path):
    run = compare_audits(*audits, tmp_path / "out")
    found = run.comparison
    assert [f.concepts for f in found.findings.fixed] == [("red",)]
    assert [a.concepts for a, _ in found.findings.remaining] == [("blur",)]
    assert [f.concepts for f in found.findings.new] == [("dark",)]
    assert [c.name for c in found.cues.fixed] == ["frame"]
    assert [a.name for a, _ in found.cues.remaining] == ["patch"]
    assert (found.outcome, found.same_images) == ("mixed", True)
    accuracy = next(c for c in found.changes if c.what == "accuracy")
    assert (accuracy.before.value, accuracy.after.value) == pytest.approx((0.8, 0.95))
    assert accuracy.difference.low > 0
    flips = next(c for c in found.changes if c.what == "flips that follow patch")
    assert flips.difference.high < 0
    assert "80.0\u00a0% to 95.0\u00a0% on the same 200 images" in found.sentence
    assert "findings: 1 gone, 1 remain, 1 new; cues: 1 gone, 1 remain, 0 new" in found.sentence
    page = run.page.read_text(encoding="utf-8")
    assert "after &lt;mended&gt;" in page
    assert json.loads((run.path / "comparison.json").read_text())["outcome"] == "mixed"
    again = compare_audits(*audits, tmp_path / "out")
    assert again.comparison == found


def test_an_audit_against_itself_shows_no_change(audits, tmp_path):
    found = compare_audits(audits[0], audits[0], tmp_path / "out").comparison
    assert found.outcome == "no change shown"
    assert all(c.difference.value == pytest.approx(0) for c in found.changes)
    turned = compare_audits(*reversed(audits), tmp_path / "turned").comparison
    assert (len(turned.findings.fixed), len(turned.findings.new)) == (1, 1)
    assert [c.name for c in turned.cues.new] == ["frame"]


def test_two_audits_need_no_images_on_the_command_line(audits, tmp_path):
    def run(*arguments):
        given = ["compare", *map(str, arguments), "--out", str(tmp_path / "out")]
        return CliRunner().invoke(app, given)

    done = run(*audits)
    assert done.exit_code == 0, done.output
    assert "Before and after" in done.output
    assert "findings: 1 gone" in done.output
    for wrong in ([audits[0], tmp_path], [audits[0], audits[1], f"c={audits[0]}"]):
        assert run(*wrong).exit_code != 0
    with pytest.raises(RunFolderError, match="audit"):
        compare_audits(audits[0], tmp_path, tmp_path / "other")


def test_training_runs_are_shown_as_they_recorded_themselves(tmp_path):
    folder = tmp_path / "biased"
    folder.mkdir()
    args = {"network": "cnn5", "epochs": 3, "size": [64, 64], "train_cue": "pixel", "extra": 1}
    (folder / "args.json").write_text(json.dumps({**args, "versions": {}}))
    lines = [
        {"epoch": epoch, "cue_on": on, "n": 50, "accuracy": 0.1 * epoch + 0.4 * on, "loss": 1.0}
        for epoch in (1, 2)
        for on in (False, True)
    ]
    (folder / "test.json").write_text("".join(json.dumps(line) + "\n" for line in lines))
    found, empty = training_rows({"biased": folder, "other": tmp_path / "net.onnx"})
    assert found.arguments == {"network": "cnn5", "epochs": "3", "size": "64 x 64"}
    assert (found.cue, found.trained_with_cue, found.n) == ("pixel", True, 50)
    assert (found.accuracy_off, found.accuracy_on) == pytest.approx((0.2, 0.6))
    assert (empty.arguments, empty.cue, empty.accuracy_on) == ({}, None, None)
    (folder / "test.json").write_text("{half")
    with pytest.raises(RunFolderError, match=r"test\.json"):
        training_rows({"biased": folder})


def test_slices_that_an_audit_kept_are_read(tmp_path):
    from sundog.audit.audit_folder import read_slices

    frame = pd.DataFrame(
        {"finding": ["a", "a", "b"], "image": ["x", "y", "x"], "present": [True, False, True]}
    )
    folder = write_audit(tmp_path / "run", summary(), slices=frame)
    assert read_slices(folder) == {"a": {"x"}, "b": {"x"}}
    assert read_slices(tmp_path) == {}
    (folder / "tables" / "slices.parquet").write_bytes(b"torn")
    with pytest.raises(RunFolderError, match="slices"):
        read_slices(folder)


def test_a_search_that_one_audit_did_not_make_mends_nothing_and_brings_nothing_new(tmp_path):
    found = summary(findings=(finding("red"),), cues=(cue(),))
    bare = summary(skipped=("findings", "cues"), cue_tests=())
    a, b = (write_audit(tmp_path / n, s) for n, s in (("found", found), ("bare", bare)))
    for number, (before, after) in enumerate(((a, b), (b, a))):
        told = compare_audits(before, after, tmp_path / f"out{number}").comparison
        assert told.outcome == "no change shown"
        assert "Findings: not looked for in both audits" in told.sentence
        assert (told.findings.fixed, told.findings.new, told.cues.fixed, told.cues.new) == ((),) * 4
        which = ("second", "first")[number]
        assert any(
            note.startswith(f"The {which} audit did not look for cues") for note in told.notes
        )


def test_classes_in_another_order_are_not_taken_for_each_other(tmp_path):
    right = np.ones(200, dtype=bool)
    a = write_audit(tmp_path / "a", summary(), right=right)
    b = write_audit(tmp_path / "b", summary(class_names=("dog", "cat")), right=~right)
    for folder in (a, b):  # what before_and_after looks at, where there is an inspection
        (folder / "inspect").mkdir()
        query = Query(title="t", classifier="c", image_set="i", metric="accuracy")
        query.write(folder / "inspect" / QUERY_FILE)
    changes = compare_audits(a, b, tmp_path / "out").comparison.changes
    assert not [change for change in changes if change.what.startswith("accuracy")]
