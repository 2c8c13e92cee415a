"""The parts of an audit that can be looked at alone: memory, files, settings, answer, verdict."""

import dataclasses
import mmap
from collections import Counter

import numpy as np
import pytest
from tests.audit_subjects import cheat, images

from sundog.audit.audit_answer import Facts, answer, decide
from sundog.audit.audit_cost import measured
from sundog.audit.audit_explanations import choose_methods, most_faithful, sample_subject
from sundog.audit.audit_open import read_past_audit
from sundog.audit.audit_plan import duration
from sundog.audit.audit_risk import risk_methods
from sundog.audit.audit_settings import STAGES, AuditSettings, read_stages
from sundog.audit.audit_tags import load_tags, save_tags
from sundog.audit.search_settings import SearchSettings
from sundog.audit.subject import make_subject
from sundog.concepts.tag_scores import TagScores
from sundog.core.audit.cues import CueRecord, Cues, CueTest
from sundog.core.audit.measured import Measured
from sundog.core.audit.summary import Explanations, MethodScore, Performance, Stage
from sundog.core.errors import InputError, RunFolderError, UnknownNameError
from sundog.core.inspection.finding import Effect, Finding
from sundog.core.inspection.wording import images_of
from sundog.core.run_folder import RunFolder
from sundog.data.image_set import ImageSet
from sundog.data.remembered_set import remember_images
from sundog.models.classifier import Classifier
from sundog.models.feature_table import table_from_arrays


def counting_set(count=5, side=10):
    seen = Counter()

    def read(row):
        seen[row] += 1
        return np.full((side, side, 3), row, np.uint8)

    ids = [f"{i}" for i in range(count - 1)] + ["0"]  # the last is a copy of the first
    made = ImageSet(
        name="counted",
        class_names=["a"],
        labels=np.zeros(count, np.int64),
        ids=ids,
        sources=[f"{i}.png" for i in range(count)],
        read=read,
    )
    return made, seen


def test_an_image_that_fits_is_decoded_once_also_by_subsets_and_copies():
    made, seen = counting_set()
    kept = remember_images(made)
    for _ in range(2):
        assert [int(kept.image(i).flat[0]) for i in range(5)] == [0, 1, 2, 3, 0]
    assert [int(kept.subset([3, 1]).image(i).flat[0]) for i in range(2)] == [3, 1]
    assert seen == {0: 1, 1: 1, 2: 1, 3: 1}
    assert kept.held_bytes == 4 * 300
    assert remember_images(kept) is kept


def test_what_does_not_fit_is_decoded_again_and_the_first_ones_stay():
    made, seen = counting_set()
    kept = remember_images(made, budget=650)
    for _ in range(3):
        for i in range(4):
            kept.image(i)
    assert seen == {0: 1, 1: 1, 2: 3, 3: 3}
    assert kept.held_bytes == 600
    with pytest.raises(InputError, match="budget"):
        remember_images(made, budget=-1)


def test_tag_scores_come_back_and_altered_ones_do_not(tmp_path):
    scores = TagScores(
        tagger="a + b",
        identity="0f",
        names=("dark", "odd name: x"),
        thresholds=np.array([0.5, np.inf], np.float32),
        scores=np.array([[0.1, np.nan], [0.9, 3.0]], np.float32),
        ids=("x", "y"),
        previews={"dark": np.full((4, 5, 3), 7, np.uint8)},
        notes=("one",),
    )
    assert load_tags(tmp_path) is None
    save_tags(scores, tmp_path, notes=("left out",))
    found, notes = load_tags(tmp_path)
    assert notes == ("left out",)
    for field in dataclasses.fields(TagScores):
        if field.name != "previews":
            np.testing.assert_equal(getattr(found, field.name), getattr(scores, field.name))
    np.testing.assert_array_equal(found.previews["dark"], scores.previews["dark"])
    numbers = tmp_path / "tags.safetensors"
    raw = numbers.read_bytes()
    numbers.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
    assert load_tags(tmp_path) is None
    numbers.write_bytes(raw[: len(raw) // 2])
    assert load_tags(tmp_path) is None


def test_settings_go_to_json_and_back_and_stages_bring_what_they_need():
    given = AuditSettings(
        stages=("findings",),
        group_column="camera",
        search=SearchSettings(minimal_criteria=(0.1, 0.2), minimality="prime"),
        risk_methods=("knn",),
    )
    assert AuditSettings.from_dict(given.to_dict()) == given
    assert AuditSettings.from_dict(AuditSettings().to_dict()) == AuditSettings()
    assert given.wanted() == ("performance", "concepts", "findings")
    assert AuditSettings(stages=("risk", "cues")).wanted() == ("performance", "cues", "risk")
    assert AuditSettings().wanted() == STAGES
    assert read_stages(["risk", "performance"]) == ("performance", "risk")
    with pytest.raises(UnknownNameError, match="'findings'"):
        read_stages(["finding"])
    with pytest.raises(InputError, match="settings of an audit"):
        AuditSettings.from_dict({**given.to_dict(), "novel": 1})


@pytest.mark.parametrize("share", [0.0, 1.0, 2.0, -0.1, float("nan")])
def test_a_level_that_bounds_nothing_is_refused_before_the_audit(share):
    with pytest.raises(InputError, match="alpha"):
        AuditSettings(search=SearchSettings(alpha=share))
    with pytest.raises(InputError, match="smallest"):
        AuditSettings(smallest=share)


def test_the_peak_is_that_of_the_block():
    # A map of its own: the allocator may hand out memory that earlier tests left resident.
    with measured() as large, mmap.mmap(-1, 60 << 20) as block:
        for page in range(0, 60 << 20, mmap.PAGESIZE):
            block[page] = 1
    with measured() as small:
        pass
    assert large.peak_mib - small.peak_mib > 40
    assert large.seconds > small.seconds > 0


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "?"), (0.2, "1 s"), (89, "89 s"), (600, "10 min"), (9000, "2.5 h")]
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_maps_are_called_faithful_only_if_they_beat_the_random_one():
    def score(name, area, better, control=False):
        deletion = Measured(value=area, low=area, high=area, n=9)
        return MethodScore(
            method=name, deletion=deletion, control=control, better_than_random=better
        )

    random = score("random", 0.4, False, control=True)
    scores = [score("a", 0.1, False), score("b", 0.2, True), random, score("c", 0.5, True)]
    assert most_faithful(scores) == "b"
    assert most_faithful([score("a", 0.1, False), random]) == ""


def test_methods_follow_what_the_classifier_can_do():
    made = cheat()
    subject = make_subject(images(4), made)
    methods, notes = choose_methods(subject, "auto", seed=0)
    assert list(methods) == [
        "occlusion",
        "gradient_norm",
        "gradient_x_input",
        "integrated_gradients",
        "grad_cam",
    ]
    assert notes == ()
    made.differentiable = False
    methods, notes = choose_methods(subject, "auto", seed=0)
    assert list(methods) == ["occlusion"]
    assert "no gradient" in notes[0]


def test_the_explained_sample_is_balanced_labelled_and_without_copies():
    part = sample_subject(make_subject(images(20), cheat()), 10, seed=3)
    assert np.bincount(part.labels).tolist() == [5, 5]
    assert len(set(part.image_set.ids)) == 10
    again = sample_subject(make_subject(images(20), cheat()), 10, seed=3)
    assert again.image_set.ids == part.image_set.ids


def test_without_features_the_risks_come_from_the_probabilities():
    table = table_from_arrays(np.zeros((3, 0)), np.zeros((3, 2)))
    assert risk_methods(("laplace", "knn"), table)[0] == ("msp", "entropy")
    assert risk_methods(("gen",), table) == (("gen",), [])


# --- the answer ---------------------------------------------------------------------------------

DONE = tuple(Stage(name=name, status="done") for name in STAGES)


def share(value, n=200):
    return Measured(value=value, low=value - 0.05, high=value + 0.05, n=n)


def finding(**change):
    given = {
        "id": "f" * 16,
        "kind": "hidden",
        "class_name": "night",
        "concepts": ("frame",),
        "direction": "hurts",
        "effect": Effect(
            metric="accuracy",
            present=0.4,
            absent=0.9,
            n_present=40,
            n_absent=60,
            gap=-0.5,
            low=-0.6,
            high=-0.4,
        ),
        "significant": True,
    }
    return Finding(**{**given, **change})


def cue():
    return CueRecord(
        id="c" * 16,
        family="window",
        kind="local",
        name="patch, lower right",
        classes=("night",),
        flip=share(0.7),
        control=share(0.1),
        excess=share(0.6),
        p=1e-9,
        p_adjusted=1e-7,
        intact=share(0.9),
        swapped=share(0.3),
        reliance=share(0.6),
    )


def test(detectable):
    return CueTest(
        family="window",
        name="corner",
        class_name="",
        excess=share(0.0),
        p=1.0,
        p_adjusted=1.0,
        claimed=False,
        detectable=detectable,
    )


test.__test__ = False


def facts(**change):
    given = {
        "stages": DONE,
        "classes": 2,
        "performance": Performance(accuracy=share(0.9)),
        "findings": (),
        "smallest_detectable": {"night": 0.1, "day": 0.2},
        "cues": Cues(smallest=0.05, alpha=0.05, images=200, tests=2, tested=(test(0.1), test(0.2))),
        "claimed": (),
        "explanations": Explanations(most_faithful="grad_cam", images=64),
        "risk": None,
    }
    return Facts(**{**given, **change})


NO_CUES = tuple(Stage(name=name, status="failed" if name == "cues" else "done") for name in STAGES)
CASES = {
    "finding": (facts(findings=(finding(),)), "bias found", "error is higher on night images with"),
    "cue": (facts(claimed=(cue(),)), "bias found", "hangs on patch, lower right"),
    "both, one search failed": (
        facts(findings=(finding(),), stages=NO_CUES, cues=None),
        "bias found",
        "night",
    ),
    "nothing": (facts(), "no bias found", "gaps below 15 points"),
    "no search for cues": (facts(stages=NO_CUES, cues=None), "cannot tell", "search for cues"),
    "too few images": (
        facts(smallest_detectable={"night": None, "day": 0.45}),
        "cannot tell",
        "n = 200 images any gap",
    ),
    "too few pairs": (
        facts(cues=Cues(smallest=0.05, alpha=0.05, images=50, tests=1, tested=(test(0.6),))),
        "cannot tell",
        "n = 50 images a gap below 60 points",
    ),
    "nothing could be moved": (
        facts(cues=Cues(smallest=0.05, alpha=0.05, images=50, tests=0)),
        "cannot tell",
        "no component",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_verdict_follows_from_what_was_found_and_what_could_have_been(name):
    given, verdict, words = CASES[name]
    assert decide(given)[0] == verdict
    sentences = answer(given)
    assert words in sentences[1]
    assert all(s.endswith(".") and s.count(". ") == 0 for s in sentences), sentences
    assert not any("fair" in s or "unbiased" in s for s in sentences)
    assert "90 % [85, 95] of 200 images" in sentences[0]


def test_a_class_that_is_a_number_is_called_one():
    assert [images_of(name) for name in ("night", "5", "")] == [
        "night images",
        "images of class 5",
        "images",
    ]


def test_a_classifier_that_may_guess_is_told_and_a_failed_stage_comes_first():
    given = facts(performance=Performance(accuracy=share(0.52)), stages=NO_CUES, cues=None)
    first, _, third = answer(given)
    assert "no better than guessing" in first
    assert "what made cues fail" in third
    silent = facts(explanations=Explanations(images=64))
    assert "no attribution map was shown" in answer(silent)[0]


# --- repeating ----------------------------------------------------------------------------------


def test_only_audits_can_be_repeated(tmp_path):
    RunFolder.open(tmp_path / "other", kind="risk").close()
    with pytest.raises(RunFolderError, match="folder of an audit"):
        read_past_audit(tmp_path / "other")
    with pytest.raises(RunFolderError, match="run folder"):
        read_past_audit(tmp_path / "nothing")


def test_what_may_differ_is_kept_in_the_manifest_and_does_not_stop_a_run(tmp_path):
    with RunFolder.open(tmp_path, kind="audit", arguments={"a": 1}) as folder:
        folder.note({"device": "cpu", "answers": {}})
        assert folder.manifest.environment == {"device": "cpu", "answers": {}}
    with RunFolder.open(tmp_path, kind="audit", arguments={"a": 1}) as folder:
        folder.note({"device": "cuda"})
    assert RunFolder.read(tmp_path).manifest.environment == {"device": "cuda", "answers": {}}
    with pytest.raises(RunFolderError, match="open for writing"):
        RunFolder.read(tmp_path).note({"device": "cpu"})


def test_one_blank_image_tells_how_many_numbers_an_image_gives():
    from sundog.audit.audit_pass import network_scorer

    subject = make_subject(images(2), cheat())
    assert network_scorer(subject).width == 2 + 2
    plain = Classifier(cheat().network, class_names=("night", "day"), input_size=(32, 32))
    assert network_scorer(make_subject(images(2), plain)).width == 2
