"""``sundog audit`` as it is typed: plan, run, failing stages, repetition, exit codes."""

import json

import pytest
import torch
from tests.audit_subjects import timeless
from typer.testing import CliRunner

import sundog
from sundog.cli.main import app
from sundog.core.audit.summary import AuditSummary
from sundog.core.errors import InputError, SundogError, UnknownNameError
from sundog.core.run_folder import read_manifest

FEW = ["--limit", "60", "--permutations", "100", "--taggers", "metadata", "--max-tags", "1"]
STAGES = ["--stages", "findings,explanations", "--explained", "4", "--methods", "gradient_norm"]


def invoke(*words):
    return CliRunner().invoke(app, ["audit", *map(str, words)])


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "small"
    sundog.train_classifier(
        "small-cnn",
        sundog.load_image_set("digits", split="train", limit=200),
        epochs=1,
        size=28,
        device="cpu",
        out_dir=folder,
        progress=False,
    )
    return folder


@pytest.fixture(scope="module")
def done(model, tmp_path_factory):
    """A run whose answers were given, and what was printed."""
    root = tmp_path_factory.mktemp("audit")
    (root / "answers.json").write_text('{"purpose": "sorting mail"}', encoding="utf-8")
    words = [model, "digits", "--split", "validation", *FEW, *STAGES]
    result = invoke(*words, "--out", root / "run", "--answers", root / "answers.json")
    return root / "run", result


def test_a_plan_is_printed_first_and_then_what_was_found(done):
    run, result = done
    assert result.exit_code == 0, result.output
    plan, _, rest = result.output.partition("on this machine")
    for stage in ("performance", "concepts", "findings", "explanations"):
        assert f" {stage} " in plan
        assert f"{stage}: " in rest
    assert "planned" in rest
    summary = AuditSummary.read(run / "audit.json")
    assert all(sentence in rest for sentence in summary.answer)
    assert {s.name: s.status for s in summary.stages}["cues"] == "skipped"
    assert summary.duties == {"purpose": "sorting mail"}
    assert summary.explanations.images == 4
    manifest = read_manifest(run)
    assert manifest.status == "complete"
    assert summary.manifest["weights"] == manifest.model_fingerprint
    assert summary.manifest["data"] == manifest.data_fingerprint
    assert len(summary.manifest["code"]) == 32
    assert summary.manifest["arguments"]["data"] == "digits"


def test_plan_only_writes_nothing(model, tmp_path):
    result = invoke(model, "digits", *FEW, *STAGES, "--out", tmp_path / "run", "--plan-only")
    assert result.exit_code == 0, result.output
    assert "explanations" in result.output
    assert not (tmp_path / "run").exists()


def test_a_past_audit_is_repeated_to_the_last_digit(done, tmp_path):
    run, _ = done
    result = invoke("--from", run, "--out", tmp_path / "again")
    assert result.exit_code == 0, result.output
    assert timeless(tmp_path / "again" / "audit.json") == timeless(run / "audit.json")
    names = ("inspect/query.json", "tables/predictions.parquet")
    for name in names:
        assert (tmp_path / "again" / name).read_bytes() == (run / name).read_bytes()


def test_other_weights_images_or_code_are_no_repetition_unless_it_is_allowed(done, model, tmp_path):
    run, _ = done
    other = tmp_path / "other"
    changed = sundog.get_model(model)
    with torch.no_grad():
        next(changed.parameters()).add_(0.01)
    sundog.save_classifier(changed, other)
    again = [other, "digits", "--from", run, "--out", tmp_path / "again"]
    with pytest.raises(InputError, match=r"the weights \(\w+ there, \w+ now\).*--allow-changes"):
        CliRunner().invoke(app, ["audit", *map(str, again)], catch_exceptions=False)
    assert not (tmp_path / "again").exists()
    result = invoke(*again, "--allow-changes", "--plan-only")
    assert result.exit_code == 0, result.output
    assert "changed since" in result.output
    old = tmp_path / "old"
    old.mkdir()
    told = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    told["environment"]["code"] = "0" * 32
    (old / "manifest.json").write_text(json.dumps(told), encoding="utf-8")
    with pytest.raises(InputError, match="code"):
        CliRunner().invoke(
            app, ["audit", "--from", str(old), "--out", str(tmp_path / "b")], catch_exceptions=False
        )


def test_a_stage_that_fails_is_told_the_others_finish_and_the_exit_code_is_1(model, tmp_path):
    tags = tmp_path / "tags.csv"
    words = [model, "digits", *FEW[:4], "--taggers", f"csv:path={tags}"]
    words += ["--stages", "performance,findings", "--out", tmp_path / "run"]
    result = invoke(*words)
    assert result.exit_code == 1, result.output
    summary = AuditSummary.read(tmp_path / "run" / "audit.json")
    stages = {stage.name: stage for stage in summary.stages}
    assert stages["performance"].status == "done"
    assert stages["concepts"].status == "failed"
    assert "tags.csv" in stages["concepts"].message
    assert (stages["findings"].status, stages["findings"].message) == ("skipped", "needs concepts")
    assert summary.verdict == "cannot tell"
    assert "stage concepts" in result.output
    assert "concepts" in (tmp_path / "run" / "index.html").read_text(encoding="utf-8")
    assert "Traceback" in (tmp_path / "run" / "stages" / "concepts.json").read_text(
        encoding="utf-8"
    )
    assert read_manifest(tmp_path / "run").status == "running"

    digits = sundog.load_image_set("digits", limit=60)
    rows = [f"{source},{i % 2}" for i, source in enumerate(digits.sources)]
    tags.write_text("path,odd\n" + "\n".join(rows) + "\n", encoding="utf-8")
    again = invoke(*words)  # only what failed is done again
    assert again.exit_code == 0, again.output
    mended = {s.name: s for s in AuditSummary.read(tmp_path / "run" / "audit.json").stages}
    assert mended["performance"] == stages["performance"]
    assert mended["findings"].status == "done"


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ([], InputError),
        (["--stages", "finding"], UnknownNameError),
        (["--alpha", "2"], InputError),
        (["--answers", "nothing.json"], SundogError),
        (["--taggers", "photometrik"], UnknownNameError),
        (["--methods", "grad"], UnknownNameError),
        (["--risk-methods", "kn"], UnknownNameError),
        (["--group-column", "camera"], UnknownNameError),
        (["--before", "nothing"], SundogError),
        (["--from", "nothing"], SundogError),
        (["--from", "nothing", "--limit", "3"], InputError),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(words, error, model, tmp_path):
    names = [] if not words or words[0] == "--from" else [str(model), "digits", "--limit", "20"]
    with pytest.raises(error):
        CliRunner().invoke(
            app,
            ["audit", *names, *words, "--out", str(tmp_path / "run")],
            catch_exceptions=False,
        )
    assert not (tmp_path / "run").exists()
