"""sundog check: decisions follow the intervals, nothing passes unmeasured, JUnit holds any name."""

import json
import xml.etree.ElementTree as Xml

import numpy as np
import pytest
from tests.audit_summaries import around, cue, cue_test, finding, share, summary, write_audit
from typer.testing import CliRunner

from sundog.audit.check_run import check_audit
from sundog.cli.main import app
from sundog.core.audit.gate import at_level, judge_limit, magnitude, together
from sundog.core.audit.gates import Limits, limit_gates, rejected
from sundog.core.audit.measured import Measured
from sundog.core.errors import InputError, RunFolderError


def decisions(gates):
    return {gate.name: gate.decision for gate in gates}


@pytest.mark.parametrize(
    ("value", "bound", "decision"),
    [
        (around(0.20, 0.05), "at most", "fail"),
        (around(0.05, 0.04), "at most", "pass"),
        (around(0.12, 0.05), "at most", "inconclusive"),
        (around(0.05, 0.02), "at least", "fail"),
        (around(0.15, 0.02), "at least", "pass"),
        (around(0.10, 0.02), "at least", "inconclusive"),
        (Measured(value=0.9, n=5), "at most", "inconclusive"),
        (Measured(value=None, n=0), "at least", "inconclusive"),
    ],
)
def test_a_gate_decides_by_its_interval(value, bound, decision):
    assert judge_limit("limits", "x", value, limit=0.1, bound=bound).decision == decision


def test_the_size_of_a_gap_does_not_depend_on_its_sign():
    for gap in (around(-0.3, 0.1), around(0.3, 0.1)):
        size = magnitude(gap)
        assert (size.value, size.low, size.high) == pytest.approx((0.3, 0.2, 0.4))
    across = magnitude(around(-0.02, 0.05))
    assert (across.low, across.high) == pytest.approx((0.0, 0.07))


def test_intervals_of_several_numbers_hold_together():
    made = together([around(0.5, 0.1), around(0.5, 0.1, level=0.999)])
    # Quantiles of the normal distribution: 2.2414 at 97.5 %, 1.9600 at 95 %.
    assert made[0].high == pytest.approx(0.5 + 0.1 * 2.2414027 / 1.9599640)
    assert made[1] == around(0.5, 0.1, level=0.999)
    assert at_level(Measured(value=1.0, n=3), 0.99) == Measured(value=1.0, n=3)


def test_every_limit_looks_at_its_own_number():
    audit = summary(findings=(finding(),), cues=(cue(),))
    limits = Limits(
        max_gap=0.15, max_flip_rate=0.05, min_accuracy=0.75, min_group_accuracy=0.6, max_ece=0.01
    )
    assert decisions(limit_gates(audit, limits)) == {
        "accuracy": "pass",
        "accuracy of class cat": "pass",
        "accuracy of class dog": "pass",
        "expected calibration error": "fail",
        "gap between best and worst group": "pass",
        "gap of cat with red (accuracy)": "fail",
        "flip rate of cue patch (cat)": "fail",
        "flip rate of other components": "pass",
    }


def test_what_people_rejected_and_what_is_too_small_is_reported_and_not_judged():
    found = finding()
    audit = summary(findings=(found,), cues=(cue(),), verdicts={found.id: "core", cue().id: "core"})
    assert not rejected(summary(verdicts={found.id: "background"}), found.id)
    assert rejected(summary(judged_before={found.id: "core"}), found.id) == "core"
    judged = {"verdicts": {found.id: "background"}, "judged_before": {found.id: "core"}}
    assert not rejected(summary(**judged), found.id)
    small = audit.performance.groups[0].model_copy(update={"small": True, "accuracy": share(1, 5)})
    audit = audit.model_copy(
        update={"performance": audit.performance.model_copy(update={"groups": (small,)})}
    )
    given = decisions(
        limit_gates(audit, Limits(max_gap=0.2, max_flip_rate=0.1, min_group_accuracy=0.9))
    )
    assert given["gap of cat with red (accuracy)"] == "skipped"
    assert given["flip rate of cue patch (cat)"] == "skipped"
    assert given["accuracy of class cat"] == "skipped"


def test_a_limit_on_what_was_not_measured_does_not_pass():
    bare = summary(performance=None, cue_tests=(), skipped=("performance", "cues"))
    limits = Limits(max_gap=0.1, max_flip_rate=0.1, min_accuracy=0.1, max_ece=0.9)
    assert set(decisions(limit_gates(bare, limits)).values()) == {"fail"}
    tried = summary(performance=None, cue_tests=(), failed=("performance", "cues"))
    assert set(decisions(limit_gates(tried, limits)).values()) == {"inconclusive"}


def test_a_limit_on_the_gap_of_findings_fails_if_nobody_looked_for_any():
    def found(**kinds):
        gates = limit_gates(summary(**kinds), Limits(max_gap=0.9))
        return decisions(gates).get("gap of findings")

    assert found() is None
    assert found(skipped=("findings",)) == "fail"
    assert found(failed=("findings",)) == "inconclusive"


def test_a_search_that_only_the_baseline_made_fails(tmp_path):
    full = summary(findings=(finding("red"),), cues=(cue(),))
    bare = summary(skipped=("findings", "cues"), cue_tests=())
    old, new = (write_audit(tmp_path / n, s) for n, s in (("old", full), ("new", bare)))
    report = check_audit(new, baseline=old).report
    failed = [gate.name for gate in report.gates if gate.decision == "fail"]
    assert failed == ["findings of the baseline", "cues of the baseline"]
    both = decisions(check_audit(new, baseline=new).report.gates)
    assert both["cues of the baseline"] == both["findings of the baseline"] == "skipped"
    dark = write_audit(tmp_path / "dark", summary(performance=None, skipped=("performance",)))
    gates = decisions(check_audit(dark, baseline=old).report.gates)
    assert gates["accuracies of the baseline"] == "fail"
    told = {gate.name: gate.message for gate in check_audit(old, baseline=new).report.gates}
    assert "did not look for cues" in told["cues of the baseline"]


def test_what_people_rejected_is_not_held_against_the_baseline(tmp_path):
    one = finding("red", gap=-0.1, half=0.02)
    old = write_audit(
        tmp_path / "old", summary(findings=(one,), cues=(cue(excess=0.2, half=0.03),))
    )
    grown = {"findings": (finding("red", gap=-0.5, half=0.02),), "cues": (cue(excess=0.6),)}
    new = write_audit(tmp_path / "new", summary(**grown))
    said = {one.id: "core", cue().id: "concept absent"}
    judged = write_audit(tmp_path / "judged", summary(**grown, verdicts=said))
    names = ("gap of cat with red", "flip rate of cue patch")
    before, after = (
        decisions(check_audit(run, baseline=old).report.gates) for run in (new, judged)
    )
    assert [before[name] for name in names] == ["fail", "fail"]
    assert [after[name] for name in names] == ["skipped", "skipped"]


def test_images_are_not_paired_if_the_classes_have_another_order(tmp_path):
    right = np.ones(200, dtype=bool)
    old = write_audit(tmp_path / "old", summary(), right=right)
    new = write_audit(tmp_path / "new", summary(class_names=("dog", "cat")), right=~right)
    report = check_audit(new, baseline=old).report
    assert decisions(report.gates)["accuracy"] == "pass"  # the summaries say the same of both
    assert any("not paired" in note for note in report.notes)


def test_parts_without_a_claim_say_what_they_could_have_shown():
    def verdict(*detectable):
        tests = [cue_test().model_copy(update={"detectable": d, "excess": around(0.6, 0.1)})
                 for d in detectable]  # fmt: skip
        (gate,) = limit_gates(summary(cue_tests=tuple(tests)), Limits(max_flip_rate=0.05))
        return gate.decision

    # Moving the object flips predictions as well: the flips themselves are not judged.
    assert verdict(0.1, 0.2, 0.9) == "pass"
    assert verdict(0.1, 0.4, 0.9) == "pass"  # of two classes: 54 points are as much as 30 of ten
    assert verdict(0.1, 0.6, 0.9) == "inconclusive"
    assert verdict(0.1, None, None) == "inconclusive"


def test_a_limit_that_is_no_share_is_refused():
    with pytest.raises(InputError, match="max_gap"):
        Limits(max_gap=10)


def test_a_failed_stage_fails_the_check(tmp_path):
    good, bad = summary(), summary(failed=("risk",))
    assert check_audit(write_audit(tmp_path / "a", good)).report.passed
    report = check_audit(write_audit(tmp_path / "b", bad)).report
    assert not report.passed
    assert [g.name for g in report.gates if g.decision == "fail"] == ["stage risk"]


def test_strict_fails_what_cannot_be_told(tmp_path):
    folder = write_audit(tmp_path, summary())
    limits = Limits(min_accuracy=0.85)
    assert check_audit(folder, limits=limits).report.passed
    assert not check_audit(folder, limits=limits, strict=True).report.passed


def test_new_findings_and_cues_fail_against_a_baseline(tmp_path):
    old = write_audit(tmp_path / "old", summary(findings=(finding("red"),), cues=(cue(),)))
    new = write_audit(
        tmp_path / "new",
        summary(
            findings=(finding("red"), finding("blur")),
            cues=(cue("patch moved", box=(0.68, 0.7, 0.2, 0.2), number=9), cue("frame", number=3,
                  family="frame", box=(0.0, 0.0, 1.0, 1.0), component={})),
        ),
    )  # fmt: skip
    report = check_audit(new, baseline=old).report
    failed = [gate.name for gate in report.gates if gate.decision == "fail"]
    assert failed == ["new finding cat with blur", "new cue frame"]
    assert check_audit(old, baseline=old).report.passed
    assert check_audit(old, baseline=new).report.passed


def test_a_paired_loss_fails_where_two_apart_would_not(tmp_path):
    # 200 images, 12 of them lost and none gained: +-6 points apart, but clear when paired.
    right = np.ones(200, dtype=bool)
    right[:20] = False
    worse = right.copy()
    worse[180:192] = False
    old = write_audit(tmp_path / "old", summary(hits=(90, 90)), right=right)
    new = write_audit(tmp_path / "new", summary(hits=(90, 84)), right=worse)
    bare = write_audit(tmp_path / "bare", summary(hits=(90, 84)))
    found = decisions(check_audit(new, baseline=old).report.gates)
    assert found["accuracy"] == "fail"
    assert found["accuracy of class dog"] == "fail"
    assert found["accuracy of class cat"] == "pass"
    apart = decisions(check_audit(bare, baseline=old).report.gates)
    assert apart["accuracy"] == "pass"
    assert decisions(check_audit(old, baseline=new).report.gates)["accuracy"] == "pass"


def test_a_flip_rate_that_grew_fails(tmp_path):
    old = write_audit(tmp_path / "old", summary(cues=(cue(excess=0.2, half=0.03),)))
    new = write_audit(tmp_path / "new", summary(cues=(cue(excess=0.6, half=0.03),)))
    assert (
        decisions(check_audit(new, baseline=old).report.gates)["flip rate of cue patch"] == "fail"
    )


HOSTILE = [
    "<b>\"&'</b>",
    "tab\tnewline\nend",
    "null\x00bell\x07",
    "\ud7ff\ufffe",
    "]]>",
    "猫 🐈",
    "",
]


def test_junit_is_well_formed_whatever_the_names(tmp_path):
    audit = summary(
        findings=tuple(
            finding(name or "x", class_name=name or "y", id=f"{i:016x}")
            for i, name in enumerate(HOSTILE)
        ),
        title="<&\x00>",
        failed=("risk",),
    )
    folder = write_audit(tmp_path / "run", audit)
    done = check_audit(folder, limits=Limits(max_gap=0.1), junit=tmp_path / "out" / "junit.xml")
    root = Xml.fromstring(done.junit.read_bytes())  # noqa: S314
    names = [case.get("name") for case in root.iter("testcase")]
    assert len(names) == len(done.report.gates)
    assert "gap of <b>\"&'</b> with <b>\"&'</b> (accuracy)" in names
    assert "gap of 猫 🐈 with 猫 🐈 (accuracy)" in names
    assert any("null�bell�" in name for name in names)


def check_junit(root):
    """The structure that Jenkins' junit-10.xsd, GitLab and GitHub actions ask for."""
    assert root.tag == "testsuites"
    totals = dict.fromkeys(("tests", "failures", "errors"), 0)
    for suite in root:
        assert suite.tag == "testsuite"
        assert {"name", "tests", "failures", "errors", "skipped", "time"} <= set(suite.keys())
        assert suite[0].tag == "properties"
        assert all(set(p.keys()) == {"name", "value"} for p in suite[0])
        cases = suite.findall("testcase")
        assert len(suite) == 1 + len(cases)
        keys = [(case.get("classname"), case.get("name")) for case in cases]
        assert len(set(keys)) == len(keys)
        assert all(all(key) for key in keys)
        for case in cases:
            assert {child.tag for child in case} <= {"skipped", "failure", "system-out"}
            assert len(case.findall("failure")) + len(case.findall("skipped")) <= 1
            for failure in case.findall("failure"):
                assert failure.get("message")
                assert failure.get("type")
        assert int(suite.get("tests")) == len(cases)
        assert int(suite.get("failures")) == len(suite.findall(".//failure"))
        assert int(suite.get("skipped")) == len(suite.findall(".//skipped"))
        for name in totals:
            totals[name] += int(suite.get(name))
    assert {name: int(root.get(name)) for name in totals} == totals


def test_junit_has_the_structure_that_pipelines_read(tmp_path):
    old = write_audit(tmp_path / "old", summary())
    new = write_audit(
        tmp_path / "new", summary(findings=(finding(),), failed=("risk",), skipped=("cues",))
    )
    limits = Limits(max_gap=0.1, min_accuracy=0.85, min_group_accuracy=0.5)
    for strict in (False, True):
        first, again = (
            check_audit(
                new, limits=limits, baseline=old, strict=strict, junit=tmp_path / f"{name}.xml"
            )
            for name in ("first", "again")
        )
        root = Xml.fromstring(first.junit.read_bytes())  # noqa: S314
        check_junit(root)
        failures = [c.get("name") for c in root.iter("testcase") if c.find("failure") is not None]
        assert ("accuracy" in failures) is strict
        properties = {p.get("name"): p.get("value") for p in root[0][0]}
        assert properties["fingerprints.model"] == "ab12"
        assert properties["audit"] == first.report.audit
        assert properties["limit.max_gap"] == "0.1"
        assert again.junit.read_bytes() == first.junit.read_bytes()


def run(*arguments):
    return CliRunner().invoke(app, ["check", *map(str, arguments)])


def test_the_exit_code_says_what_happened(tmp_path):
    folder = write_audit(tmp_path / "run", summary())
    passed = run(folder, "--min-accuracy", 0.5, "--json", tmp_path / "check.json")
    assert passed.exit_code == 0
    assert "Passed: 7 gates passed, 0 failed." in passed.output
    written = json.loads((tmp_path / "check.json").read_text())
    assert written["format"] == "sundog-check"
    assert written["passed"] is True
    failed = run(folder, "--min-accuracy", 0.95, "--junit", tmp_path / "junit.xml")
    assert failed.exit_code == 3
    assert "Failed: 6 gates passed, 1 failed." in failed.output
    assert (tmp_path / "junit.xml").is_file()
    assert run(folder, "--max-gap", 3).exit_code == 2


def test_a_folder_that_is_no_audit_is_refused(tmp_path):
    for place in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(RunFolderError, match="audit"):
            check_audit(place)
    (tmp_path / "audit.json").write_text('{"format": "sundog-audit", "version": 1')
    with pytest.raises(RunFolderError, match="JSON"):
        check_audit(tmp_path)
