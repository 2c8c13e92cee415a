"""What an audit computes, and what it does not compute twice: exact numbers."""

from dataclasses import replace
from html import unescape

import pytest
from tests.audit_subjects import Counted, cheat, images, timeless

from sundog.audit.audit_plan import AuditPlan
from sundog.audit.audit_run import audit_classifier
from sundog.audit.audit_settings import AuditSettings
from sundog.audit.search_settings import SearchSettings
from sundog.audit.subject import make_subject
from sundog.core.audit.summary import AuditSummary
from sundog.core.errors import DataError, RunFolderError
from sundog.core.inspection.query import Query
from sundog.report.audit_headline import headline as page_headline
from sundog.review.open_run import open_run

SEARCH = SearchSettings(max_tags=1, permutations=200)
SETTINGS = AuditSettings(
    stages=("performance", "findings", "risk"),
    taggers="metadata",
    group_column="camera",
    search=SEARCH,
    risk_methods=("knn",),
    shown=4,
)
NO_PLAN = AuditPlan(())


@pytest.fixture(scope="module")
def counted():
    return Counted(images(), cheat())


@pytest.fixture(scope="module")
def run(counted, tmp_path_factory):
    return audit_classifier(
        counted.subject,
        tmp_path_factory.mktemp("audit") / "run",
        settings=SETTINGS,
        plan=NO_PLAN,
        progress=False,
    )


def test_every_image_is_decoded_once_and_predicted_once(run, counted):
    """Beside the one pass only the overlays of the evidence images ask the classifier."""
    assert run.failed == ()
    ids = set(counted.subject.image_set.ids)
    query = Query.read(run.path / "inspect" / "query.json")
    assert set(query.images) < ids
    assert counted.decoded == dict.fromkeys(ids, 1)
    expected = {i: 1 + (i in query.images) for i in ids}
    first = next(i for i in counted.subject.image_set.ids if i in query.images)
    expected[first] += 3  # how much memory an explanation needs is tried out on it
    assert counted.forwards == expected


def test_an_audit_that_is_done_computes_nothing_again(run, counted):
    counted.reset()
    before = timeless(run.path / "audit.json")
    again = audit_classifier(counted.subject, run.path, settings=SETTINGS, progress=False)
    assert counted.decoded == {}
    assert counted.rows == 0
    assert timeless(run.path / "audit.json") == before
    assert all(stage.done for stage in again.plan.stages)
    assert again.plan.total == 0


def test_more_stages_may_follow_in_the_same_folder(tmp_path):
    counted = Counted(images(20), cheat())
    first = AuditSettings(stages=("performance",), taggers="metadata")
    audit_classifier(counted.subject, tmp_path, settings=first, plan=NO_PLAN, progress=False)
    more = replace(first, stages=("concepts",))
    done = audit_classifier(counted.subject, tmp_path, settings=more, plan=NO_PLAN, progress=False)
    assert {s.name for s in done.summary.stages if s.status == "done"} == {
        "performance",
        "concepts",
    }
    assert set(counted.forwards.values()) == {1}
    assert "search for findings and for cues, in the same folder" in done.summary.answer[2]
    with pytest.raises(RunFolderError, match=r"settings\.seed"):
        audit_classifier(counted.subject, tmp_path, settings=replace(more, seed=1), plan=NO_PLAN)


def test_without_memory_the_pass_still_decodes_once(tmp_path):
    """Predictions, features and tags come from one pass, also of images that are not kept."""
    counted = Counted(images(30), cheat())
    settings = AuditSettings(stages=("performance", "concepts"), taggers="photometric")
    audit_classifier(
        counted.subject, tmp_path, settings=settings, plan=NO_PLAN, memory=0, progress=False
    )
    ids = counted.subject.image_set.ids
    assert counted.decoded == dict.fromkeys(ids, 1)
    assert counted.forwards == dict.fromkeys(ids, 1)


def test_the_plan_asks_for_eight_images_and_the_summary_tells_planned_and_real(run, tmp_path):
    counted = Counted(images(30), cheat())
    settings = AuditSettings(stages=("performance",))
    done = audit_classifier(counted.subject, tmp_path, settings=settings, progress=False)
    (planned,) = done.plan.stages
    stage = next(s for s in done.summary.stages if s.name == "performance")
    assert stage.planned_seconds == planned.seconds
    assert stage.planned_seconds > 0
    assert stage.seconds > 0
    assert stage.peak_mib > 50
    assert sorted(set(counted.forwards.values())) == [1, 1 + 3 * 4 + 3]  # a batch of 32 from 8
    assert sum(count > 1 for count in counted.forwards.values()) == 8
    assert set(counted.decoded.values()) == {1}


def test_what_is_planted_is_found_and_can_be_reviewed(run):
    summary = AuditSummary.read(run.path / "audit.json")
    assert summary == run.summary
    assert summary.verdict == "bias found"
    assert {c.partition(" ")[0].strip(":") for f in summary.findings for c in f.concepts} == {
        "frame"
    }
    assert {f.class_name for f in summary.findings} >= {"night"}
    assert "error is higher on night images with" in summary.answer[1]
    folder, query = open_run(run.path)
    assert folder == run.path / "inspect"
    assert [f.id for f in query.findings if f.significant] == [f.id for f in summary.findings]
    assert summary.pictures
    for files in summary.pictures.values():
        assert all((run.path / file).is_file() for file in files)
    for suspect in (*summary.risk.outliers, *summary.risk.label_errors):
        assert (run.path / suspect.thumbnail).is_file()
    assert (run.path / "index.html").is_file()
    assert page_headline(run.summary) in unescape(run._repr_html_())
    assert repr(run).startswith("AuditRun(The model")
    assert (run.path / "audit.md").read_text(encoding="utf-8").startswith("#")


def test_performance_is_what_counting_by_hand_says(run, counted):
    from sundog.core.statistics import wilson_interval

    subject = counted.subject
    frame = run.summary.performance
    labels = subject.labels
    batch = next(subject.image_set.batches(size=32, batch_size=200))
    predicted = subject.classifier.predict(batch.images)
    right = predicted.argmax(dim=1).numpy() == labels
    whole = wilson_interval(int(right.sum()), len(right))
    assert (frame.accuracy.value, frame.accuracy.low, frame.accuracy.high) == pytest.approx(
        (whole.value, whole.low, whole.high)
    )
    camera = subject.image_set.metadata["camera"].to_numpy()
    groups = {
        ("class", name): labels == index for index, name in enumerate(subject.class_names)
    } | {
        ("camera", f"{name} x {value}"): (labels == index) & (camera == value)
        for index, name in enumerate(subject.class_names)
        for value in ("new", "old")
    }
    assert {(g.column, g.name): (g.n, g.accuracy.value) for g in frame.groups} == {
        key: (rows.sum(), pytest.approx(right[rows].mean())) for key, rows in groups.items()
    }
    large = {key: right[rows].mean() for key, rows in groups.items() if rows.sum() >= 30}
    lowest = min((value, key) for key, value in large.items() if key[0] == "camera")
    assert (frame.worst.column, frame.worst.name) == lowest[1]
    plain = next(g for g in frame.groups if g.name == frame.worst.name)
    assert frame.worst.accuracy.low <= plain.accuracy.low  # chosen as the worst: wider
    assert sum(count for *_, count in frame.confusions) == (~right).sum()


def test_an_image_that_cannot_be_read_is_told_also_by_a_run_that_goes_on(tmp_path):
    def broken():
        made = images(20)
        read = made._read

        def torn(row):
            if row == 3:
                raise DataError("the file is torn")
            return read(row)

        made._read = torn
        return make_subject(made, cheat())

    settings = AuditSettings(stages=("performance",))
    first = audit_classifier(broken(), tmp_path, settings=settings, progress=False).summary
    before = timeless(tmp_path / "audit.json")
    audit_classifier(broken(), tmp_path, settings=settings, progress=False)
    assert timeless(tmp_path / "audit.json") == before
    assert first.performance.accuracy.n == 39
    assert first.facts["left out"] == "1 unreadable"
    assert "1 images could not be read and were left out." in first.limits
