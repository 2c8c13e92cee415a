"""The page of a debiasing run: gains and costs in words, side effects, refusals, weights."""

import math

import numpy as np
import pandas as pd
import pytest

from sundog.core.errors import InputError
from sundog.core.statistics import Estimate, wilson_interval
from sundog.report.debias_page import (
    CueCheck,
    DebiasPage,
    FrozenWindows,
    MethodResult,
    Refused,
    SamplingReport,
    debias_page,
)
from sundog.report.page import render
from sundog.report.risk_content import Windows

NAN = math.nan
EVIL = "<script>alert(1)</script>\"'&"


def estimate(value, half=0.03):
    return Estimate(value, value - half, value + half, 3, 0.95, "t")


def erm(**changes):
    scores = {"worst_group": estimate(0.5), "average": estimate(0.8), "seconds": 21.0}
    groups = {"tench, aligned": estimate(0.94), "tench, conflicting": estimate(0.5)}
    return MethodResult("erm", **{"scores": scores, "groups": groups, "seeds": 3, **changes})


def method(name="cue_augmentation", worst=0.81, average=-0.004, half=0.003, gained=None):
    gained = estimate(worst - 0.5) if gained is None else gained
    return MethodResult(
        name,
        {"worst_group": estimate(worst, 0.04), "average": estimate(0.796), "ece": 0.05},
        {"worst_group": gained, "average": estimate(average, half), "seconds": estimate(1.0)},
        {"tench, aligned": estimate(0.83), "tench, conflicting": estimate(worst)},
        needs=("masks",),
        seeds=3,
    )


def page(outcome="improved", methods=None, **changes):
    methods = [method(), method("dfr", 0.7)] if methods is None else methods
    chosen = "cue_augmentation" if outcome == "improved" else ""
    given = {"baseline": erm(), "methods": methods, "chosen": chosen, "images": 776}
    return DebiasPage("Repair", outcome, **{**given, **changes})


def cue(name, change, repaired=False):
    return CueCheck(name, repaired, estimate(0.1), {"cue_augmentation": 0.1}, {
        "cue_augmentation": change}, 776)  # fmt: skip


def one(made, title):
    return next(section for section in made.sections if section.title.startswith(title))


def windows(right):
    return Windows(
        n=np.full(len(right), 20),
        low=np.arange(len(right)) * 1.0,
        high=np.arange(len(right)) + 1.0,
        measures={"accuracy": [wilson_interval(k, 20) for k in right]},
    )


def full():
    weights = pd.DataFrame(
        {
            "epoch": range(1, 21),
            "effective_size": [0.1] * 5 + [0.6] * 15,
            "ratio": [1.01] + [40.0] * 19,
            "warning": [f"uniform {EVIL}", *[""] * 19],
        }
    )
    epochs = pd.DataFrame({"method": [EVIL] * 3, "epoch": [1, 2, 3], "accuracy": [0.5, 0.6, 0.7]})
    return page(
        refused=[Refused("jtt", "guessed groups", f"5.8 % {EVIL} below 14.4 %", "a mask")],
        cues=[cue("patch", estimate(-0.3), repaired=True), cue(EVIL, estimate(0.01))],
        sampling=[SamplingReport("adaptive_resampling", weights, 1924)],
        frozen=[
            FrozenWindows(
                "representation (knn)",
                windows((10, 15)),
                {"cue_augmentation": windows((16, 17))},
                "least represented",
                "most represented",
            )
        ],
        epochs=epochs,
        selection=f"worst group on the validation half {EVIL}",
        group_sizes={"tench, conflicting": 194},
        facts={"cue": EVIL},
        notes=[EVIL],
        command=f"sundog debias {EVIL}",
    )


def test_everything_is_there_in_order_escaped_and_repeatable():
    made = debias_page(full())
    assert [section.title for section in made.sections] == [
        "Before and after",
        "Before and after in numbers",
        "Group by group",
        "Did mending one shortcut feed another?",
        "What was refused, and why",
        "What the sampling weights were worth: adaptive_resampling",
        "Accuracy along representation (knn), before and after",
        "Epoch by epoch",
        "How the methods were run and selected",
        "Limits",
        "Settings",
        "How to reproduce",
    ]
    html = render(made)
    assert "<script" not in html
    assert html == render(debias_page(full()))
    assert len(html.encode()) < 5_000_000


def test_gain_and_cost_in_one_sentence():
    made = debias_page(page(cues=[cue("border", estimate(0.0))]))
    assert made.headline == (
        "cue_augmentation lifted the worst group from 50\u00a0% [47, 53] to 81\u00a0% [77, 85] and "
        "cost 0.4 points [0.1, 0.7] of average accuracy."
    )
    assert (made.tone, made.word) == ("calm", "Improved")
    assert made.lead == "2 methods run; measured on 776 held-out images; intervals over 3 seeds."


@pytest.mark.parametrize(
    ("average", "half", "words"),
    [
        (0.03, 0.01, "and raised average accuracy by 3.0 points [2.0, 4.0]."),
        (0.001, 0.01, "average accuracy is not shown to change (+0.1 points [−0.9, +1.1])."),
        (-0.02, 0.01, "and cost 2.0 points [1.0, 3.0] of average accuracy."),
    ],
)
def test_the_average_is_told_by_its_interval(average, half, words):
    made = debias_page(page(methods=[method(average=average, half=half)]))
    assert made.headline.endswith(words)


def test_a_gain_that_may_be_chance_is_not_called_improved():
    made = debias_page(page(methods=[method(gained=estimate(0.02, 0.03))]))
    assert made.tone == "unsure"
    assert "may be chance" in made.headline
    alone = MethodResult("cue_augmentation", {"worst_group": 0.81})
    made = debias_page(page(methods=[alone]))
    assert made.tone == "unsure"
    assert "one seed" not in made.lead or "1 or 3" in made.lead


def test_a_fed_shortcut_is_told_in_the_headline():
    made = debias_page(
        page(cues=[cue("border", estimate(0.06)), cue("patch", estimate(0.2), True)])
    )
    assert made.headline.endswith("But it now leans more on 'border' (+6.0 points [+3.0, +9.0]).")
    assert (made.tone, made.word) == ("unsure", "Improved, with a side effect")
    section = one(made, "Did mending")
    assert section.text == [
        "cue_augmentation leans more on 'border' (+6.0 points [+3.0, +9.0]) than the model before."
    ]
    assert list(section.tables[0].frame["cue"]) == ["border", "patch (repaired)"]


def test_other_cues_are_always_told():
    assert "this is not known" in one(debias_page(page()), "Did mending").text[0]
    assert "no other cue was audited again" in debias_page(page()).lead
    repaired = debias_page(page(cues=[cue("patch", estimate(-0.2), True)]))
    assert "Only the repaired cue is known" in one(repaired, "Did mending").text[0]
    calm = debias_page(page(cues=[cue("border", estimate(0.0))]))
    assert "Of 1 other cue, none is shown" in one(calm, "Did mending").text[0]


def test_nothing_changed_and_nothing_helped():
    made = debias_page(page("nothing changed", [], reason="it does not lean on the cue."))
    assert made.headline == "Nothing was changed: it does not lean on the cue."
    assert (made.tone, made.word) == ("plain", "Unchanged")
    assert render(made)
    made = debias_page(page("no method helped", [method("jtt", 0.26), method("afr", 0.5)]))
    assert made.headline.startswith(
        "No method is kept; on the test images afr left the worst group at 50\u00a0%"
    )
    assert made.tone == "alarm"
    made = debias_page(page("no method helped", [], reason="no masks", refused=[
        Refused("lisa", "needs", "no groups")]))  # fmt: skip
    assert made.headline == "No method helped: none could be run. No masks."
    assert made.lead.startswith("1 method refused, none run; measured on 776")
    made = debias_page(page("cannot tell", reason="9 held-out images"))
    assert made.headline == "Whether a method helped cannot be told: 9 held-out images."
    assert made.tone == "unsure"


def test_a_chosen_method_must_have_been_run():
    with pytest.raises(InputError, match="dfr"):
        debias_page(page(chosen="lisa"))


def test_the_numbers_of_all_methods_are_kept():
    section = one(debias_page(page()), "Before and after in")
    scores, changes, rest = section.tables
    assert list(scores.frame["method"]) == ["erm (before)", "★ cue_augmentation (kept)", "dfr"]
    assert list(scores.frame.columns) == ["method", "worst_group", "average"]
    assert list(scores.muted) == [True, False, False]
    assert changes.frame["worst_group"].iloc[1].value == pytest.approx(0.2)
    assert "seconds" not in changes.frame
    assert list(rest.frame.columns) == ["method", "ece", "seconds"]
    assert math.isnan(rest.frame["ece"].iloc[0])


def test_groups_stand_lowest_first_with_their_sizes():
    table = one(debias_page(full()), "Group by group").tables[0]
    assert list(table.frame["group"]) == ["tench, conflicting", "tench, aligned"]
    assert table.frame["images"].iloc[0] == 194
    assert math.isnan(table.frame["images"].iloc[1])
    many = {f"g{i}": 0.5 + i / 1000 for i in range(200)}
    cut = one(debias_page(page(baseline=erm(groups=many))), "Group by group").tables[0]
    assert len(cut.frame) == 40
    assert "162 more groups are not shown" in cut.caption


def test_uniform_and_small_weights_are_called_so():
    section = one(debias_page(full()), "What the sampling")
    text = " ".join(section.text)
    assert "Practically uniform (ratio below 1.05) in 1 of 20 rows" in text
    assert "Effective size below 20% in 5 of 20 rows" in text
    assert len(section.tables[0].frame) == 12
    assert "8 rows in the middle are not shown" in section.tables[0].caption
    good = pd.DataFrame({"epoch": [1], "effective_size": [0.6], "ratio": [9.0]})
    made = debias_page(page(sampling=[SamplingReport("m", good, 10)]))
    assert "Neither practically uniform nor" in one(made, "What the sampling").text[1]


def test_frozen_windows_tell_the_first_window():
    section = one(debias_page(full()), "Accuracy along")
    assert "erm 50\u00a0% [30, 70]; cue_augmentation 80\u00a0% [58, 92]" in section.text[0]


def test_needs_and_selection_are_said():
    section = one(debias_page(page()), "How the methods were run")
    assert list(section.tables[0].frame["told"]) == ["nothing", "masks", "masks"]
    assert "not recorded" in section.text[0]
    assert (
        one(debias_page(full()), "How the methods").text[0].startswith("Selected by: worst group")
    )
