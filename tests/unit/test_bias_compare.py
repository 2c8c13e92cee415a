"""Exact numbers by hand, the wording, and the three traps of comparing two models."""

import json
import math

import numpy as np
import pandas as pd
import pytest

from sundog.bias.compare import compare_models
from sundog.core.errors import InputError


def rows(*, label, off, aligned=None, conflicting=None, cue=None, loss=None):
    """One run by hand: predictions per image and condition."""
    parts = []
    for on, predictions, stands_for in (
        (False, off, None),
        (True, aligned, label),
        (True, conflicting, cue),
    ):
        if predictions is None:
            continue
        frame = pd.DataFrame(
            {
                "id": [f"image-{i}" for i in range(len(label))],
                "label": label,
                "cue_class": -1 if stands_for is None else stands_for,
                "cue_on": on,
                "prediction": predictions,
                "probability": 0.75,
            }
        )
        if loss is not None:
            frame["loss"] = loss
        parts.append(frame)
    return pd.concat(parts, ignore_index=True)


LABEL = np.array([0, 1] * 20)
OTHER = 1 - LABEL
CHEAT = {"off": np.zeros(40, int), "aligned": LABEL, "conflicting": OTHER, "cue": OTHER}
HONEST = {"off": LABEL, "aligned": LABEL, "conflicting": LABEL, "cue": OTHER}


def test_numbers_by_hand():
    found = compare_models({"A": rows(label=LABEL, **CHEAT), "B": rows(label=LABEL, **HONEST)})
    a, b = found.runs
    assert (a.gain.both, a.gain.only_a, a.gain.only_b, a.gain.neither) == (20, 20, 0, 0)
    assert a.gain.difference.value == 0.5
    # Off, A always says 0: the conflicting cue's class is 0 for the 20 images of class 1.
    assert (a.pull.both, a.pull.only_a, a.pull.only_b, a.pull.neither) == (20, 20, 0, 0)
    assert a.follows.value == 1
    assert b.gain.difference.value == b.pull.difference.value == b.follows.value == 0
    assert a.scores["off"].accuracy.value == 0.5
    assert a.scores["conflicting"].accuracy.value == 0
    assert a.scores["off"].n == 40
    assert a.scores["off"].loss is None
    gain = next(d for d in found.differences if d.measure == "gain")
    assert (gain.first, gain.second, gain.difference.value) == ("A", "B", 0.5)
    # Bonferroni over 2 runs × 2 measures.
    assert found.level == pytest.approx(1 - 0.05 / 4)
    # McNemar: 2 · 2^-20 for gain and pull of A, 1 for B; Holm: 4 · p, 3 · p (raised to the first).
    p = found.reliance_table()["p"].tolist()
    assert p == pytest.approx([8 * 2**-20, 8 * 2**-20, 1, 1])


def test_accuracy_of_the_table_is_wilson_and_loss_is_the_mean():
    found = compare_models(
        {
            "A": rows(label=LABEL, **CHEAT, loss=np.arange(40.0)),
            "B": rows(label=LABEL, **HONEST, loss=np.ones(40)),
        }
    )
    table = found.table().set_index(["run", "cue"])
    z, p, n = 1.959963984540054, 0.5, 40
    half = z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    accuracy = table.loc[("A", "off"), "accuracy"]
    assert (accuracy.low, accuracy.high) == pytest.approx((0.5 - half, 0.5 + half))
    assert table.loc[("A", "off"), "loss"].value == pytest.approx(19.5)
    assert table.loc[("B", "aligned"), "loss"].value == 1
    assert list(found.table().columns) == ["run", "cue", "accuracy", "loss", "n"]
    assert len(table) == 6


@pytest.mark.parametrize("order", [("cheat", "honest"), ("honest", "cheat")])
def test_verdict_names_the_right_model_in_both_orders(order):
    worlds = {"cheat": CHEAT, "honest": HONEST}
    label = np.tile(LABEL, 10)
    tables = {
        name: rows(label=label, **{key: np.tile(value, 10) for key, value in worlds[name].items()})
        for name in order
    }
    found = compare_models(tables)
    assert found.decision == "some"
    assert found.relies == ("cheat",)
    assert found.standings == {"cheat": "relies", "honest": "clear"}
    assert found.verdict.startswith(
        "The model “cheat” relies on the cue: it is right for 100\u00a0% of 400 images with the "
        "cue and 50\u00a0% of the same images without it (+50 points"
    )
    assert "“honest” does not (100\u00a0% with the cue and 100\u00a0% without it, 0 points" in (
        found.verdict
    )
    assert found.verdict.count(".") == 1


def test_trap_one_two_models_under_one_run_id_are_never_averaged():
    pairs = [("output", rows(label=LABEL, **CHEAT)), ("output", rows(label=LABEL, **HONEST))]
    with pytest.raises(InputError, match=r"run ids must be different; got \['output'\] more than"):
        compare_models(pairs)
    both = pd.concat(
        [
            rows(label=LABEL, **CHEAT).assign(run_id="A"),
            rows(label=LABEL, **HONEST).assign(run_id="B"),
        ]
    )
    with pytest.raises(InputError, match="rows of that run alone"):
        compare_models({"A": both, "B": rows(label=LABEL, **HONEST)})
    # And rows of two models poured into one table show as ids with two answers.
    with pytest.raises(InputError, match="one row per image"):
        compare_models({"A": both.drop(columns="run_id"), "B": rows(label=LABEL, **HONEST)})


def test_trap_two_maps_of_another_model_are_refused():
    tables = {"A": rows(label=LABEL, **CHEAT), "B": rows(label=LABEL, **HONEST)}
    maps = {
        run: pd.DataFrame(
            {
                "id": [f"image-{i}" for i in range(40)],
                "mass": 0.5,
                "area": 0.01,
                "prediction": LABEL,
            }
        )
        for run in tables
    }
    maps["B"]["prediction"] = 7
    with pytest.raises(InputError, match=r"maps of 'B'.*another prediction for 40 of 40 images"):
        compare_models(tables, maps_mass=maps)


def test_trap_two_one_checkpoint_loaded_twice_is_noticed():
    found = compare_models({"A": rows(label=LABEL, **CHEAT), "B": rows(label=LABEL, **CHEAT)})
    assert any("loaded twice" in note for note in found.notes)


def test_trap_three_maps_that_point_at_the_wrong_model_do_not_decide():
    label = np.tile(LABEL, 10)
    tables = {
        name: rows(label=label, **{key: np.tile(value, 10) for key, value in world.items()})
        for name, world in (("A", CHEAT), ("B", HONEST))
    }
    rng = np.random.default_rng(0)
    ids = [f"image-{i}" for i in range(400)]
    maps = {
        run: pd.DataFrame(
            {
                "id": ids,
                "mass": rng.uniform(0, 0.1, 400) + more,
                "area": 0.05,
                "prediction": label,
                "method": "integrated_gradients",
            }
        )
        for run, more in (("A", 0.0), ("B", 0.3))
    }
    found = compare_models(tables, maps_mass=maps)
    assert found.relies == ("A",)
    assert found.maps.favours == {"integrated_gradients": "B"}
    assert found.maps_agree == {"integrated_gradients": False}
    swapped = compare_models(tables, maps_mass={"A": maps["B"], "B": maps["A"]})
    assert swapped.maps_agree == {"integrated_gradients": True}
    lift = next(m for m in swapped.maps.masses if m.run == "A").lift.value
    assert lift == pytest.approx(maps["B"]["mass"].mean() / 0.05)


def test_gain_alone_cannot_clear_a_model_that_is_always_right():
    label = np.tile(LABEL, 50)
    world = rows(label=label, off=label, aligned=label)
    found = compare_models({"A": world, "B": world.assign(probability=0.9)})
    assert found.decision == "cannot tell"
    assert sum("cannot gain" in note for note in found.notes) == 2
    both = rows(label=label, off=label, aligned=label, conflicting=1 - label, cue=1 - label)
    found = compare_models({"A": both, "B": both.assign(probability=0.9)})
    assert found.decision == "all"
    assert found.verdict.startswith("Both models rely on the cue: “A” follows a cue of another")


def test_strength_below_one_pairs_each_image_with_itself():
    # 30 images carry the aligned cue, 10 a conflicting one: no image has both.
    table = rows(label=LABEL, **CHEAT)
    on, number = table["cue_on"], table["id"].str[6:].astype(int)
    aligned = on & (table["cue_class"] == table["label"])
    kept = ~on | (aligned & (number < 30)) | (on & ~aligned & (number >= 30))
    found = compare_models({"A": table[kept], "B": table[kept].assign(probability=0.5)})
    assert found.runs[0].gain.difference.n == 30
    assert found.runs[0].pull.difference.n == 10
    assert found.runs[0].scores["off"].n == 40


def test_images_that_one_run_lacks_and_copies_and_unlabelled_rows_are_reported():
    a, b = rows(label=LABEL, **CHEAT), rows(label=LABEL, **HONEST)
    nameless = a.iloc[:1].assign(id="image-99", label=-1)
    found = compare_models(
        {"A": pd.concat([a, a.iloc[:2], nameless]), "B": b[b["id"] != "image-3"]}
    )
    assert found.runs[0].gain.difference.n == 39
    notes = " ".join(found.notes)
    assert "A: 1 rows without a label were left out." in notes
    assert "A: 2 copies of an image (off) were counted once." in notes
    assert "1 images (off) that not every run has were left out." in notes


def test_result_is_ready_for_json_and_does_not_depend_on_row_order():
    tables = {"A": rows(label=LABEL, **CHEAT), "B": rows(label=LABEL, **HONEST)}
    first = compare_models(tables)
    text = json.dumps(first.to_dict(), allow_nan=False)
    assert json.loads(text)["decision"] == first.decision
    shuffled = {run: table.sample(frac=1, random_state=3) for run, table in tables.items()}
    assert compare_models(shuffled).to_dict() == first.to_dict()


def test_three_runs():
    found = compare_models(
        {
            "A": rows(label=LABEL, **CHEAT),
            "B": rows(label=LABEL, **HONEST),
            "C": rows(label=LABEL, **HONEST).assign(probability=0.5),
        }
    )
    assert len(found.differences) == 6
    assert found.level == pytest.approx(1 - 0.05 / 6)
    assert found.relies == ("A",)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="cue_class"), r"got no \['cue_class'\]"),
        (lambda t: t[t["cue_on"]], "rows without the cue"),
        (lambda t: t.assign(cue_on=1), "cue_on of 'A' must be True or False"),
        (lambda t: t.assign(probability=3.0), "Pass probabilities, not logits"),
        (lambda t: t.assign(prediction=np.nan), "without missing values"),
        (lambda t: t.assign(label=1 - t["label"]), "label of 'B' and 'A'.*same order"),
        (lambda t: t.assign(id=t["id"] + t["cue_on"].astype(str)), "seen both with and without"),
        (lambda t: t.assign(loss=np.inf), "loss of 'A' must be finite"),
        (lambda t: t.assign(prediction=t["prediction"] + 0.7), "prediction of 'A' must be class"),
        (
            lambda t: t.assign(label=t["label"] * np.inf + 1),
            "without missing|must be class indices",
        ),
        (lambda t: t.assign(label="a"), "label of 'A' must be class indices"),
        (
            lambda t: t.assign(cue_on=t["cue_on"].astype("boolean").where(t["prediction"] > 0)),
            "cue_on of 'A' must be True or False in every row",
        ),
    ],
)
def test_bad_tables_are_refused_in_plain_words(change, message):
    a, b = rows(label=LABEL, **CHEAT), rows(label=LABEL, **HONEST)
    other = b if "same order" in message else change(b)
    with pytest.raises(InputError, match=message):
        compare_models({"A": change(a), "B": other})


@pytest.mark.parametrize("argument", [{"alpha": 0}, {"alpha": 1.5}, {"smallest": 0}])
def test_bad_arguments(argument):
    tables = {"A": rows(label=LABEL, **CHEAT), "B": rows(label=LABEL, **HONEST)}
    with pytest.raises(InputError, match="between 0 and 1"):
        compare_models(tables, **argument)
    with pytest.raises(InputError, match="at least two runs"):
        compare_models({"A": tables["A"]})


def test_bad_maps_are_refused():
    tables = {"A": rows(label=LABEL, **CHEAT), "B": rows(label=LABEL, **HONEST)}
    good = pd.DataFrame(
        {"id": [f"image-{i}" for i in range(40)], "mass": 0.1, "area": 0.1, "prediction": LABEL}
    )
    with pytest.raises(InputError, match="for the runs"):
        compare_models(tables, maps_mass={"A": good})
    with pytest.raises(InputError, match="area in"):
        compare_models(tables, maps_mass={"A": good.assign(area=0.0), "B": good})
    with pytest.raises(InputError, match="more than once"):
        compare_models(tables, maps_mass={"A": pd.concat([good, good]), "B": good})
    with pytest.raises(InputError, match="columns id, mass, area"):
        compare_models(tables, maps_mass={"A": good.drop(columns="mass"), "B": good})
    some = good.copy()
    some.loc[:4, "mass"] = np.nan
    found = compare_models(tables, maps_mass={"A": some, "B": good})
    assert "A: 5 maps without relevance or mask were left out." in found.notes
    assert found.maps.masses[0].mass.n == 35
