"""From images and a classifier to findings, verdicts and results, with a planted truth."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

import sundog
from sundog.audit.inspect_run import inspect_images
from sundog.audit.results_run import write_results
from sundog.audit.search_settings import SearchSettings
from sundog.audit.subject import make_subject
from sundog.cli.main import app
from sundog.concepts.sorter import Sorter
from sundog.core.errors import InputError, RunFolderError, SundogError, UnknownNameError
from sundog.core.inspection.archive import unpack
from sundog.core.inspection.events import Event, append_event, read_events
from sundog.core.inspection.feedback import blank_feedback, read_feedback
from sundog.core.inspection.query import Query
from sundog.data.arrays import from_arrays
from sundog.models.classifier import Classifier
from sundog.report import page

PER_CLASS = 150
SIDE = 32


class Cheat(nn.Module):
    """Right by the brightness of the middle, unless the frame is red: then one image in three."""

    def __init__(self, *, biased):
        super().__init__()
        self.biased = biased

    def forward(self, images):
        middle = images[:, :, 10:22, 10:22].mean(dim=(1, 2, 3))
        red = (images[:, 0, 0, :].mean(dim=1) > 0.8) & (images[:, 1, 0, :].mean(dim=1) < 0.3)
        # A digit of the content decides which images with a frame go wrong: two in three.
        coin = (images[:, 2, 12:20, 12:20].sum(dim=(1, 2)) * 255).round().long() % 3 > 0
        # One in ten goes wrong anyway, so that there is something to explain without a cue.
        slip = (images[:, 1, 12:20, 12:20].sum(dim=(1, 2)) * 255).round().long() % 10 == 0
        logit = (middle - 0.5) * 20
        wrong = (red & coin if self.biased else torch.zeros_like(red)) | slip
        logit = torch.where(wrong, -logit, logit)
        return torch.stack([-logit, logit], dim=1)


def image_set(seed=0, per_class=PER_CLASS):
    draw = np.random.default_rng(seed)
    labels = np.repeat([0, 1], per_class)
    images = draw.integers(90, 166, (2 * per_class, SIDE, SIDE, 3))
    images[:per_class, 10:22, 10:22] -= 60
    images[per_class:, 10:22, 10:22] += 60
    framed = draw.random(2 * per_class) < 0.4
    for edge in (np.s_[:, :3], np.s_[:, -3:], np.s_[:, :, :3], np.s_[:, :, -3:]):
        part = images[framed]
        part[edge] = (255, 20, 20)
        images[framed] = part
    made = from_arrays(
        images.clip(0, 255).astype(np.uint8),
        labels,
        ["night", "day"],
        metadata=pd.DataFrame({"camera": draw.choice(["old", "new"], 2 * per_class)}),
        name="planted",
    )
    return made, framed


def classifier(biased=True):
    return Classifier(
        Cheat(biased=biased), class_names=["night", "day"], input_size=(SIDE, SIDE), name="cheat"
    )


SETTINGS = SearchSettings(max_tags=2, permutations=500)


@pytest.fixture
def no_pictures(monkeypatch):
    """Pages are written with their words alone: drawing costs ten times the search.

    The run of the module and the command line draw theirs.
    """
    monkeypatch.setattr(page, "encode", lambda *_, **__: page.Encoded("data:,", 1, 1))


undrawn = pytest.mark.usefixtures("no_pictures")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("scores")


@pytest.fixture(scope="module")
def run(tmp_path_factory, cache):
    images, _ = image_set()
    return inspect_images(
        make_subject(images, classifier()),
        tmp_path_factory.mktemp("inspect") / "run",
        taggers="photometric,metadata",
        settings=SETTINGS,
        sample=6,
        cache=cache,
        progress=False,
    )


def test_the_planted_frame_is_found_in_both_classes_and_the_camera_is_not(run):
    found = run.query.findings
    assert found
    for name in ("night", "day"):
        tags = {c for f in found if f.class_name == name for c in f.concepts}
        assert tags & {"frame", "plain border"}
    assert not [f for f in found if any("camera" in c for c in f.concepts)]
    best = next(f for f in found if f.class_name)
    assert best.direction == "hurts"
    assert best.effect.gap < -0.3
    assert best.effect.low <= best.effect.gap <= best.effect.high
    assert best.p_adjusted <= 0.05
    assert best.replication is not None
    assert best.replication.status == "confirmed"


def test_a_finding_says_what_counting_by_hand_says(run):
    rows = run.observed.rows("night")
    scores = run.scores.rows(rows["index"].to_numpy())
    finding = next(
        f for f in run.query.findings if f.class_name == "night" and len(f.concepts) == 1
    )
    has = scores.column(finding.concepts[0]) >= scores.select(finding.concepts).thresholds[0]
    correct = rows["correct"].to_numpy()
    assert finding.effect.n_present == has.sum()
    assert finding.effect.present == pytest.approx(correct[has].mean())
    assert finding.effect.gap == pytest.approx(correct[has].mean() - correct[~has].mean())
    assert finding.errors == (~correct[has]).sum()


def test_tags_that_split_no_class_are_told(run):
    (note,) = [note for note in run.query.notes if "could be compared in no class" in note]
    assert "JPEG blocks" in note or "landscape" in note or "more" in note


def test_evidence_images_have_cards_and_files_and_random_samples_are_of_the_right_side(run):
    query = Query.read(run.path / "query.json")
    assert query == run.query
    for finding in query.findings:
        for evidence in finding.evidence:
            card = query.images[evidence.image]
            assert (run.path / card.thumbnail).is_file()
            assert card.overlay is None or (run.path / card.overlay).is_file()
            if evidence.strip in ("present", "absent"):
                assert evidence.tagged == (evidence.strip == "present")


@undrawn
def test_an_unbiased_classifier_has_no_finding_and_the_page_says_what_goes_unseen(tmp_path, cache):
    images, _ = image_set()
    subject = make_subject(images, classifier(biased=False))
    run = inspect_images(
        subject,
        tmp_path / "run",
        taggers="photometric,metadata",
        settings=SETTINGS,
        cache=cache,
        progress=False,
    )
    assert run.query.findings == ()
    assert "would have gone unseen" in run.content.headline
    assert all(c.smallest_detectable is not None for c in run.query.classes)


@undrawn
def test_the_same_run_again_writes_the_same_query(run, tmp_path):
    images, _ = image_set()
    again = inspect_images(
        make_subject(images, classifier()),
        tmp_path / "again",
        taggers="photometric,metadata",
        settings=SETTINGS,
        sample=6,
        progress=False,
    )
    assert (again.path / "query.json").read_bytes() == (run.path / "query.json").read_bytes()
    assert again.query.content_hash() == run.query.content_hash()


def test_other_arguments_do_not_go_on_in_the_same_folder(run):
    images, _ = image_set()
    with pytest.raises(RunFolderError, match="continued"):
        inspect_images(
            make_subject(images, classifier()), run.path, taggers="photometric", progress=False
        )


@undrawn
def test_verdicts_change_the_results_and_an_archive_holds_everything(run, tmp_path):
    query = run.query
    for who in ("ann", "bo"):
        append_event(
            run.path,
            Event(
                query=query.content_hash(),
                reviewer=who,
                action="verdict",
                finding=query.findings[0].id,
                verdict="background",
                confidence=5,
                note="the frame",
            ),
        )
    done = write_results(run.path, archive=tmp_path / "all")
    judged = done.results.findings[0]
    assert judged.decision == "shortcut"
    assert judged.verdicts == {"background": 2}
    assert "confirmed as shortcuts" in done.content.headline
    folder = unpack(done.archive, tmp_path / "unpacked")
    assert Query.read(folder / "query.json") == query
    assert len(read_events(folder).events) == 2
    assert write_results(folder).results == done.results


@undrawn
def test_feedback_by_hand_and_feedback_of_another_run(run, tmp_path):
    blank = blank_feedback(run.query, reviewer="cy").to_json()
    blank["answers"][0]["verdict"] = "core"
    path = tmp_path / "feedback.json"
    path.write_text(json.dumps(blank), encoding="utf-8")
    assert read_feedback(path, run.query).answers[0].verdict == "core"
    done = write_results(run.path, feedback_file=path, keep_core=False)
    assert run.query.findings[0].id not in {j.finding.id for j in done.results.findings}
    blank["query"] = "0" * 32
    path.write_text(json.dumps(blank), encoding="utf-8")
    with pytest.raises(RunFolderError, match="review this query anew"):
        write_results(run.path, feedback_file=path)
    path.write_text(json.dumps(blank)[:40], encoding="utf-8")
    with pytest.raises(RunFolderError, match="half-written"):
        write_results(run.path, feedback_file=path)


@undrawn
def test_the_object_of_the_library_in_five_lines(tmp_path):
    images, _ = image_set()
    analysis = sundog.AnalyzeBias(
        classifier(), images, None, tagger="photometric", metric="accuracy", progress=False
    )
    rankings = analysis.get_potential_biases(save_to_path=tmp_path / "query", top_concepts=3)
    assert set(rankings) == {"night", "day"}
    for concept, order in rankings["night"].items():
        assert sorted(order.tolist()) == list(range(PER_CLASS)), concept
    results = analysis.get_final_results(top_k=10)
    assert results["findings"]
    assert all(j["finding"]["ranking"]["top_k"] == 10 for j in results["findings"])
    assert (tmp_path / "query" / "results.sundog").is_file()


class Redness(Sorter):
    """Ranks by the red of the first row, whatever the concept."""

    name = "redness"
    width = 1

    def identity(self):
        return {"name": self.name, "version": self.version}

    def embed(self, rows):
        return np.array([[image[0, :, 0].mean()] for image in rows.images], np.float32)

    def score(self, embeddings, concept, class_name):
        return embeddings[:, 0].copy()


@undrawn
def test_with_a_tagger_and_a_sorter_the_tags_are_tested_and_the_sorter_ranks(tmp_path):
    images, framed = image_set()
    options = {"tagger": "photometric", "progress": False}
    both = sundog.AnalyzeBias(classifier(), images, Redness(), **options)
    rankings = both.get_potential_biases(save_to_path=tmp_path / "both", replicate=False)
    alone = sundog.AnalyzeBias(classifier(), images, None, **options)
    alone.get_potential_biases(save_to_path=tmp_path / "alone", replicate=False)
    for concepts in rankings.values():
        for order in concepts.values():
            count = int(framed[order.numpy()].sum())
            assert framed[order.numpy()[:count]].all()
    found = [Query.read(tmp_path / name / "query.json") for name in ("both", "alone")]
    tested = [[(f.id, f.p_adjusted, f.effect) for f in query.findings] for query in found]
    assert tested[0] == tested[1]
    assert any("ranked by redness" in note for note in found[0].notes)


@undrawn
def test_given_rankings_are_tested_in_either_nesting_and_a_wrong_length_is_refused(tmp_path):
    images, framed = image_set()
    draw = np.random.default_rng(5)
    score = {
        name: (framed[images.labels == k] + draw.random(PER_CLASS)).astype(np.float64)
        for k, name in enumerate(("night", "day"))
    }
    by_class = {n: {"red frame": torch.tensor(s)} for n, s in score.items()}
    order = {n: torch.from_numpy(np.argsort(-s).copy()) for n, s in score.items()}
    made = []
    for number, given in enumerate((by_class, {"red frame": order})):
        analysis = sundog.AnalyzeBias(classifier(), images, None, progress=False)
        analysis.get_potential_biases(
            rankings_per_concept_class=given, save_to_path=tmp_path / str(number)
        )
        results = analysis.get_final_results()
        made.append([j["finding"]["ranking"]["auroc"] for j in results["findings"]])
    assert len(made[0]) == 2
    assert made[0] == pytest.approx(made[1])
    assert max(made[0]) < 0.4
    short = {"night": {"red frame": torch.zeros(3)}}
    with pytest.raises(InputError, match="150 images"):
        sundog.AnalyzeBias(classifier(), images, None, progress=False).get_potential_biases(
            rankings_per_concept_class=short, save_to_path=tmp_path / "short"
        )


@undrawn
def test_combinations_by_the_object_of_the_library(tmp_path):
    images, _ = image_set()
    analysis = sundog.AnalyzeComplexBias(
        classifier(), images, ["photometric", "metadata"], progress=False
    )
    found = analysis.extract_complex_biases(
        max_tags_in_combo=2, permutations=200, save_to_path=tmp_path / "run"
    )
    assert all(len(j["finding"]["concepts"]) == 2 for j in found["findings"])
    loose = analysis.extract_complex_biases(
        max_tags_in_combo=2,
        minimal_criteria=[0, 0, 0],
        adjustment="none",
        save_to_path=tmp_path / "loose",
    )
    assert len(loose["findings"]) >= len(found["findings"])
    assert any("not adjusted" in note for note in loose["notes"])


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"classes_list": ["dusk"]}, UnknownNameError),
        ({"classes_list": "night"}, InputError),
        ({"metric": "loss"}, UnknownNameError),
        ({"batch_size": 0}, InputError),
        ({"tagger": "photometrik"}, UnknownNameError),
    ],
)
def test_wrong_arguments_are_named(arguments, error, tmp_path):
    images, _ = image_set(per_class=10)
    with pytest.raises(error):
        sundog.AnalyzeBias(
            classifier(), images, None, **{"tagger": "photometric", **arguments}, progress=False
        ).get_potential_biases(save_to_path=tmp_path / "run")


@undrawn
def test_a_class_with_one_image_and_constant_tags_are_reported_not_tested(tmp_path):
    images, _ = image_set()
    few = images.subset([0, *range(PER_CLASS, 2 * PER_CLASS)])
    run = inspect_images(
        make_subject(few, classifier()),
        tmp_path / "run",
        taggers="photometric",
        settings=SearchSettings(max_tags=2, permutations=200),
        progress=False,
    )
    night = next(c for c in run.query.classes if c.name == "night")
    assert night.n == 1
    assert night.tests == 0
    assert night.note


def test_the_command_line_from_images_to_results(tmp_path, monkeypatch):
    images, _ = image_set()
    from PIL import Image

    for index in range(len(images)):
        folder = tmp_path / "images" / images.class_names[images.labels[index]]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(images.image(index)).save(folder / f"{index}.png")
    program = torch.export.export(
        classifier().network,
        (torch.rand(2, 3, SIDE, SIDE),),
        dynamic_shapes=({0: torch.export.Dim("batch")},),
    )
    torch.export.save(program, tmp_path / "cheat.pt2")
    words = ["inspect", str(tmp_path / "images"), "--model", str(tmp_path / "cheat.pt2")]
    words += ["--class-names", "night,day", "--size", str(SIDE), "--taggers", "photometric"]
    words += ["--max-tags", "2", "--permutations", "200", "--out", str(tmp_path / "run")]
    words += ["--top-k", "2", "--sample", "3"]  # smaller pictures
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert "sundog review" in done.output
    assert "found in 2 of 2 classes" in done.output
    done = CliRunner().invoke(app, ["results", str(tmp_path / "run")])
    assert done.exit_code == 0, done.output
    done = CliRunner().invoke(
        app,
        ["tags", str(tmp_path / "images"), "--taggers", "photometric", "-o", str(tmp_path / "t")],
    )
    assert done.exit_code == 0, done.output
    assert pd.read_parquet(tmp_path / "t" / "tables" / "scores.parquet").shape[0] == len(images)


def test_an_unknown_overlay_or_nothing_to_tag_with_is_said_at_once(tmp_path):
    images, _ = image_set(per_class=10)
    subject = make_subject(images, classifier())
    with pytest.raises(SundogError, match="at least one tagger"):
        inspect_images(subject, tmp_path / "a", taggers="", progress=False)
    with pytest.raises(InputError, match="no sorter"):
        inspect_images(subject, tmp_path / "b", concepts=["water"], progress=False)


def test_what_cannot_be_inspected_leaves_no_folder_behind(tmp_path):
    images, _ = image_set(per_class=10)
    subject = make_subject(images, classifier())
    with pytest.raises(UnknownNameError, match="day"):
        inspect_images(subject, tmp_path / "run", taggers="photometric", classes=["dax"])
    with pytest.raises(UnknownNameError, match="grad_cam"):
        inspect_images(subject, tmp_path / "run", taggers="photometric", overlay="grad_cm")
    bare = from_arrays(np.stack([images.image(i) for i in range(4)]))
    with pytest.raises(SundogError, match="labelled"):
        inspect_images(make_subject(bare, classifier()), tmp_path / "run", taggers="photometric")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"max_tags_in_combo": 0}, "max_tags_in_combo"),
        ({"min_pop_thresh": 0}, "min_pop_thresh"),
        ({"sig_thresh": 1.5}, "sig_thresh"),
        ({"acc_diff_thresh": -1}, "acc_diff_thresh"),
        ({"minimal_criteria": [0.1]}, "minimal_criteria"),
        ({"mode": "greedy"}, "mode"),
    ],
)
def test_thresholds_out_of_range_are_named_as_they_were_given(arguments, said, tmp_path):
    images, _ = image_set(per_class=10)
    analysis = sundog.AnalyzeComplexBias(classifier(), images, "photometric", progress=False)
    with pytest.raises(SundogError, match=said):
        analysis.extract_complex_biases(save_to_path=tmp_path / "run", **arguments)
    assert not (tmp_path / "run").exists()


def test_a_tagger_that_is_none_is_refused():
    images, _ = image_set(per_class=10)
    with pytest.raises(SundogError, match="a tagger or its name"):
        sundog.AnalyzeComplexBias(classifier(), images, 5, progress=False)
    with pytest.raises(SundogError, match="at least one tagger"):
        sundog.AnalyzeComplexBias(classifier(), images, None, progress=False)
