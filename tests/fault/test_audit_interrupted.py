"""An audit that stops between its searches and its report, and one whose earlier audit is poor."""

import json
import shutil
from pathlib import Path

import pytest
from tests.audit_subjects import cheat, images, timeless
from tests.cue_records import cue_record, write_cues

from sundog.audit import audit_report, audit_stages
from sundog.audit.audit_run import audit_classifier
from sundog.audit.audit_settings import AuditSettings
from sundog.audit.search_settings import SearchSettings
from sundog.audit.subject import make_subject
from sundog.core.errors import RunFolderError

FULL = AuditSettings(
    stages=("findings", "cues", "explanations"),
    taggers="photometric:tail=0.3",
    search=SearchSettings(permutations=100, max_tags=1),
    cue_images=60,
    explained=4,
    methods="gradient_norm",
)
BARE = AuditSettings(stages=("performance",))


def audit(folder, settings=FULL, **more):
    subject = make_subject(images(40), cheat())
    return audit_classifier(subject, folder, settings=settings, progress=False, **more)


@pytest.fixture(scope="module", autouse=True)
def quick():
    """A search for cues that claims one at once."""

    def cues(work):
        write_cues(work.path / "cues", cue_record(classes=("day",)))
        return {}

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(audit_stages.RUN, "cues", cues)
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return audit(tmp_path_factory.mktemp("whole") / "run").path


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    def interrupt(_):
        raise KeyboardInterrupt

    folder = tmp_path_factory.mktemp("interrupted") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(audit_stages.RUN, "explanations", interrupt)
        with pytest.raises(KeyboardInterrupt):
            audit(folder)
    return folder


def same(run, whole):
    assert timeless(run / "audit.json") == timeless(whole / "audit.json")
    query = [json.loads((r / "inspect" / "query.json").read_text("utf-8")) for r in (run, whole)]
    assert query[0] == query[1]
    assert any(finding["kind"] == "cue" for finding in query[0]["findings"])
    for name in ("frozen_slices.parquet", "frozen_pairs.parquet"):
        assert (run / name).read_bytes() == (whole / name).read_bytes()


@pytest.fixture
def stopped(interrupted, tmp_path):
    """A copy of an audit that was interrupted when both searches were done."""
    return Path(shutil.copytree(interrupted, tmp_path / "run"))


def test_an_audit_interrupted_after_its_searches_still_puts_the_cues_before_people(whole, stopped):
    assert not (stopped / "audit.json").exists()
    assert audit(stopped).failed == ()
    same(stopped, whole)


def test_a_report_that_failed_is_made_whole_by_the_same_command(whole, stopped, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(audit_report, "freeze_slices", full)
        assert [stage.name for stage in audit(stopped).failed] == ["report"]
    assert audit(stopped).failed == ()
    same(stopped, whole)


def test_an_earlier_audit_without_a_search_is_compared_by_its_accuracy(tmp_path):
    before = audit(tmp_path / "before", BARE).path
    after = audit(tmp_path / "after", BARE, before=before)
    assert after.failed == ()
    assert [change.what for change in after.summary.changes][:1] == ["accuracy"]


def test_a_damaged_earlier_audit_is_refused_before_anything_is_computed(whole, tmp_path):
    before = audit(tmp_path / "before", BARE).path
    (before / "inspect").mkdir()
    query = (whole / "inspect" / "query.json").read_bytes()
    (before / "inspect" / "query.json").write_bytes(query[: len(query) // 2])
    with pytest.raises(RunFolderError, match=r"query\.json"):
        audit(tmp_path / "after", BARE, before=before)
    assert not (tmp_path / "after").exists()


def test_an_earlier_audit_that_is_gone_is_told_before_more_stages_are_run(tmp_path):
    before = audit(tmp_path / "before", BARE).path
    audit(tmp_path / "after", BARE, before=before)
    for file in sorted(before.rglob("*"), reverse=True):
        file.unlink() if file.is_file() else file.rmdir()
    more = AuditSettings(stages=("performance", "concepts"), taggers="photometric")
    with pytest.raises(RunFolderError, match="audit"):
        audit(tmp_path / "after", more)
    assert not (tmp_path / "after" / "stages" / "concepts.json").exists()
