"""The whole comparison on trained networks: it names the biased one, and accuses no sound one."""

import json
from dataclasses import replace

import numpy as np
import pytest

from sundog.audit.compare_run import compare_runs
from sundog.audit.compare_unknown import compare_unknown
from sundog.audit.requests import parse_methods
from sundog.audit.shortcut_run import find_cues
from sundog.audit.subject import make_subject, spread
from sundog.data.arrays import from_arrays
from sundog.data.planted_view import planted_view
from sundog.data.planting import make_cue
from sundog.models.train import train_classifier


def shapes(count, seed):
    """Three kinds of bright bars in noise, hard enough that a cue is worth learning."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    images = random.integers(0, 140, (count, 24, 24, 3))
    for image, label in zip(images, labels, strict=True):
        place = random.integers(4, 16)
        if label == 0:
            image[place : place + 3, 4:20] += 90
        elif label == 1:
            image[4:20, place : place + 3] += 90
        else:
            image[place : place + 5, place : place + 5] += 90
    return from_arrays(images.astype(np.uint8), labels, ["row", "column", "square"])


@pytest.fixture(scope="module")
def subjects():
    train, held = shapes(360, 0), shapes(240, 1)
    cue = make_cue("patch", class_count=3, size=0.2)
    made = {}
    for name, planted, seed in (("a", cue, 1), ("b", None, 2), ("c", None, 3)):
        run = train_classifier(
            "small-cnn",
            train,
            train_cue=planted,
            eval_cue=cue,
            validation_set=held,
            epochs=6,
            evaluate_every=6,
            batch_size=32,
            seed=seed,
            size=24,
            device="cpu",
            progress=False,
        )
        made[name] = make_subject(held, run.classifier, size=24, batch_size=64)
    return cue, made


def test_the_biased_network_is_named_whatever_its_place(subjects, tmp_path):
    cue, made = subjects
    for order in (("a", "b"), ("b", "a")):
        found = compare_runs(
            {name: made[name] for name in order},
            cue,
            tmp_path / "".join(order),
            methods=parse_methods("gradient_x_input"),
            map_images=24,
            progress=False,
        ).comparison
        assert found.relies == ("a",)
        assert found.standings["b"] == "clear"
        assert found.maps_agree == {"gradient_x_input": True}


def test_two_sound_networks_are_not_accused(subjects, tmp_path):
    cue, made = subjects
    found = compare_runs(
        {"b": made["b"], "c": made["c"]},
        cue,
        tmp_path / "r",
        methods={},
        map_images=0,
        progress=False,
    ).comparison
    assert found.relies == ()


def test_a_cue_nobody_learned_accuses_nobody(subjects, tmp_path):
    _, made = subjects
    other = make_cue("border", class_count=3, width=0.02)
    found = compare_runs(
        {"b": made["b"], "c": made["c"]},
        replace(other, seed=5),
        tmp_path / "r",
        methods={},
        map_images=0,
        progress=False,
    ).comparison
    assert found.decision in ("none", "cannot tell")


def test_the_tables_do_not_depend_on_the_batch_size(subjects, tmp_path):
    cue, made = subjects
    tables = []
    for size in (64, 50):
        some = {name: replace(made[name], batch_size=size) for name in ("a", "b")}
        run = compare_runs(
            some, cue, tmp_path / str(size), methods={}, map_images=0, progress=False
        )
        table = run.comparison.table()
        tables.append([(e.accuracy.value, round(e.loss.value, 5)) for e in table.itertuples()])
    assert tables[0] == tables[1]


@pytest.fixture(scope="module")
def unknown(subjects, tmp_path_factory):
    """Compares models on images with the cue, which nobody names; a model is searched once."""
    cue, made = subjects
    view = planted_view(shapes(240, 1), cue, size=24)
    carrying = {
        name: make_subject(view, subject.classifier, size=24, batch_size=100)
        for name, subject in made.items()
    }
    searched = {}

    def search(subject, _, *, alpha, **given):
        key = (subject.fingerprints()["model_fingerprint"], alpha)
        if key not in searched:
            out = tmp_path_factory.mktemp("searched")
            searched[key] = find_cues(subject, out, alpha=alpha, **given)
        return searched[key]

    def compare(names, out):
        return compare_unknown(
            {name: carrying[name] for name in names},
            out,
            methods=parse_methods("gradient_x_input"),
            map_images=24,
            shown=2,
            limit=200,
            hints=False,
            taggers=None,
            progress=False,
            search=search,
        )

    return compare


def test_the_biased_network_is_named_though_nobody_names_the_cue(unknown, tmp_path):
    run = unknown("ab", tmp_path / "ab")
    found = run.comparison
    assert (found.decision, found.biased, found.more) == ("one", ("a",), "a")
    assert [model.verdict for model in found.models] == ["biased", "no shortcut found"]
    (crossed,) = found.crossed
    assert crossed.claimed_in == ("a",)
    a, b = crossed.models
    assert a.flip.value > 0.8
    assert b.flip.value < 0.1
    (contrast,) = crossed.contrasts
    assert contrast.excess.low > 0.5
    assert contrast.p_excess < 0.01
    top, left, tall, wide = found.models[0].cues[0].box
    assert top + tall / 2 > 0.5
    assert left + wide / 2 > 0.5
    page = run.page.read_text(encoding="utf-8")
    assert run.content.headline in page
    assert "not calibrated" in page or "P(biased)" in page
    written = json.loads((run.path / "comparison.json").read_text())
    assert written["sentence"] == found.sentence


def test_the_order_of_the_models_changes_no_verdict(unknown, tmp_path):
    one = unknown("ab", tmp_path / "ab").comparison
    other = unknown("ba", tmp_path / "ba").comparison
    assert (one.decision, one.biased, one.more) == (other.decision, other.biased, other.more)
    verdicts = [
        {m.run: (m.verdict, m.sentence, m.confidence) for m in c.models} for c in (one, other)
    ]
    assert verdicts[0] == verdicts[1]
    numbers = [
        {(c.cue, m.run): m for c in found.crossed for m in c.models} for found in (one, other)
    ]
    assert numbers[0] == numbers[1]
    assert one.maps.points_at == other.maps.points_at
    first, second = (c.crossed[0].contrasts[0] for c in (one, other))
    assert first.reliance.value == pytest.approx(-second.reliance.value)
    assert first.reliance.low == pytest.approx(-second.reliance.high)
    assert first.p_reliance == second.p_reliance


def test_no_shortcut_is_found_in_two_sound_networks(unknown, tmp_path):
    found = unknown("bc", tmp_path / "bc").comparison
    assert (found.decision, found.biased, found.more) == ("none", (), None)
    assert found.crossed == ()


def test_shown_images_are_spread_over_the_set():
    assert spread(100, 4).tolist() == [0, 33, 66, 99]
    assert spread(3, 8).tolist() == [0, 1, 2]
    assert spread(5, 0).tolist() == []
