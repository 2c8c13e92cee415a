"""The page of a risk run: the answer, its order, careful words, escaping, what is missing."""

import math
import re

import numpy as np
import pandas as pd
import pytest

from sundog.core.statistics import Estimate, wilson_interval
from sundog.report.page import render
from sundog.report.risk_page import (
    Correlation,
    Latent,
    Reliability,
    RiskField,
    RiskPage,
    ScoreRow,
    Split,
    Tile,
    Windows,
    risk_page,
)
from sundog.report.score_tables import score_tables, windows_table

NAN = math.nan
NONE = Estimate(NAN, NAN, NAN, 0, 0.95, "wilson")
EVIL = "<script>alert(1)</script>\"'&"


def trend(low, high, n=100):
    return Estimate((low + high) / 2, low, high, n, 0.95, "bootstrap")


def windows(moved=None, right=(14, 17, 18, 19, 19), n=20, **changes):
    count = len(right)
    given = {
        "n": np.full(count, n),
        "low": np.arange(count) * 1.0,
        "high": np.arange(count) + 1.0,
        "measures": {
            "accuracy": [wilson_interval(k, n) for k in right],
            "recall": [wilson_interval(k, n) for k in right],
        },
        "trend": moved,
    }
    return Windows(**{**given, **changes})


def field(name="representation", moved=None, method="knn", tiles=(), **changes):
    scores = np.linspace(0, 1, 100)
    given = {"windows": windows(moved), "lowest": tiles, "highest": tiles[::-1]}
    return RiskField(name, method, scores, **{**given, **changes})


def tiles(label="tench"):
    return [
        Tile(np.full((12, 12, 3), 20 * i, np.uint8), label, label if i % 2 else "church", i / 7)
        for i in range(4)
    ]


def content(*fields, **changes):
    given = {"title": "Risk", "images": 100, "fields": fields, "correct": np.arange(100) < 80}
    return RiskPage(**{**given, **changes})


def row(name, right, n, **changes):
    accuracy = wilson_interval(right, n) if n else NAN
    return ScoreRow(name, n, {"accuracy": accuracy, "nll": 0.5, "ece": 0.06}, **changes)


def all_text(page):
    parts = [page.title, page.headline, page.lead]
    for section in page.sections:
        parts += [section.title, *section.text, *section.notes, section.code]
        parts += [f"{k} {v}" for k, v in section.facts.items()]
        parts += [table.caption for table in section.tables]
        parts += [f"{picture.caption} {picture.alt}" for picture in section.pictures]
    return " ".join(parts)


def titles(page):
    return [section.title for section in page.sections]


def one(page, title):
    return next(section for section in page.sections if section.title.startswith(title))


def full():
    draw = np.random.default_rng(0)
    bins = pd.DataFrame(
        {
            "from": [0.0, 0.5],
            "to": [0.5, 1.0],
            "n": [40, 60],
            "confidence": [0.4, 0.95],
            "accuracy": [0.45, 0.6],
        }
    )
    return content(
        field(moved=trend(0.1, 0.3), tiles=tiles(EVIL), method=EVIL),
        field("epistemic", trend(-0.4, -0.2), "ensemble", tiles()),
        title=f"Risk {EVIL}",
        absent={"aleatoric": f"no method {EVIL} gives it"},
        correlations=[
            Correlation(f"Representation ({EVIL})", "Epistemic risk (ensemble)", trend(-0.9, -0.85))
        ],
        overall=row("all", 80, 100),
        rankings=[
            ScoreRow("knn", 100, {"aurc": 0.02, "risk_at_80": 0.05, "ood_auroc": 0.9}),
            ScoreRow("maximum probability", 100, {"aurc": 0.03, "risk_at_80": 0.04}),
        ],
        groups=[row(f"dark {EVIL}", 20, 40), row("light", 54, 60), row("none", 0, 0)],
        reliability=Reliability(bins, trend(0.1, 0.2)),
        splits=[Split("class", ("tench", EVIL), draw.integers(0, 2, 100))],
        latent=Latent(
            draw.random((2, 3, 8, 8, 3)),
            np.tile([-1.0, 0, 1], (2, 1)),
            draw.normal(size=(100, 2)),
            ["z0", EVIL],
        ),
        suspects=tiles(EVIL),
        suspects_note=f"Found {EVIL}",
        facts={f"classifier {EVIL}": EVIL},
        notes=[f"3 images {EVIL} could not be read."],
        command=f"sundog risk {EVIL}",
        footer=f"Sundog {EVIL}",
    )


@pytest.fixture(scope="module")
def page():
    return risk_page(full())


def test_everything_is_there_in_order(page):
    assert titles(page) == [
        f"Accuracy against representation ({EVIL})",
        "Accuracy against epistemic risk (ensemble)",
        "The windows in numbers",
        "Least represented and most represented images",
        "Most certain and least certain images",
        "Do the risks say the same?",
        "Scores, and for whom",
        "Is it as sure as it is right?",
        "Risk by class",
        "What the latent space holds",
        "Labels that may be wrong",
        "What each risk means",
        "Limits",
        "Settings",
        "How to reproduce",
    ]


def test_names_are_escaped_the_bytes_repeat_and_the_page_can_be_mailed(page):
    html = render(page)
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert html == render(risk_page(full()))
    assert len(html.encode()) < 5_000_000
    assert all(picture.alt for section in page.sections for picture in section.pictures)


def test_a_trend_that_leaves_zero_out_is_an_alarm(page):
    assert page.headline == (
        "The 20\u00a0% least represented images (n = 20) are classified right in 70\u00a0% "
        "[48, 85] of cases, the most represented in 95\u00a0% [76, 99]: "
        "rarer images are right less often."
    )
    assert (page.tone, page.word) == ("alarm", "Weak spot found")
    assert "+0.20 [+0.10, +0.30]" in page.lead
    assert f"the worst group, dark {EVIL} (n = 40), has 50\u00a0% [35, 65]" in page.lead
    assert "Over all 100 images accuracy is 80\u00a0% [71, 87]" in page.lead


@pytest.mark.parametrize(
    ("moved", "tone", "words"),
    [
        (trend(-0.05, 0.09), "calm", "a large one is ruled out"),
        (trend(-0.2, 0.3), "unsure", "too few, or the differences too small"),
        (trend(-0.3, -0.1), "plain", "rarer images are right more often, not less"),
        (trend(0.0, 0.2), "unsure", "too few, or"),
        (None, "unsure", "too few images for a trend"),
        (NONE, "unsure", "too few images for a trend"),
    ],
)
def test_the_tone_follows_the_interval_of_the_trend(moved, tone, words):
    page = risk_page(content(field(moved=moved)))
    assert page.tone == tone
    assert words in page.headline


@pytest.mark.parametrize(
    ("moved", "tone", "words"),
    [
        (trend(-0.3, -0.1), "plain", "The score finds errors"),
        (trend(0.1, 0.3), "unsure", "The score points the wrong way"),
        (trend(-0.1, 0.3), "unsure", "The score is not shown to find errors"),
    ],
)
def test_epistemic_risk_judges_the_score_not_the_classifier(moved, tone, words):
    page = risk_page(content(field("epistemic", moved)))
    assert page.tone == tone
    assert words in page.headline
    assert page.headline.startswith("The 20\u00a0% most certain images (n = 20)")


def test_no_page_calls_a_classifier_fair():
    for moved in (trend(-0.01, 0.01), trend(0.1, 0.2), trend(-0.2, -0.1), None):
        text = all_text(risk_page(content(field(moved=moved))))
        assert not re.search(r"\b(fair|unbiased|no bias)\b", text, re.IGNORECASE)
    calm = risk_page(content(field(moved=trend(-0.01, 0.01))))
    assert "No bias found" not in render(calm)
    assert "No trend seen" in render(calm)


def test_the_correlation_is_always_told(page):
    section = one(page, "Do the risks")
    assert section.tables[0].frame["rho"].iloc[0].value == pytest.approx(-0.875)
    assert "Nearly the same order" in section.notes[1]
    assert len(section.pictures) == 1
    alone = one(risk_page(content(field())), "Do the risks")
    assert alone.text == [
        "Correlation of the risks: not available, only Representation (knn) was measured."
    ]
    nothing = one(risk_page(content()), "Do the risks")
    assert nothing.text == ["Correlation of the risks: not available, no risk was measured."]
    why = content(field(), field("epistemic"), correlation_missing="all values of one are equal")
    assert "not available, all values of one are equal." in one(risk_page(why), "Do").text[0]


def test_groups_stand_worst_first_under_all_images(page):
    first, second, by, foreign = one(page, "Scores").tables
    assert list(first.frame["group"]) == ["all images", f"dark {EVIL}", "light", "none"]
    assert list(first.frame["images"]) == [100, 40, 60, 0]
    assert "accuracy" in first.frame
    assert "nll" in second.frame
    assert list(by.frame["sorted by"]) == ["knn", "maximum probability"]
    assert "ood_auroc" in foreign.frame
    assert "Groups without an image: none." in one(page, "Scores").notes


def test_small_groups_come_after_and_are_not_the_worst():
    groups = [row("tiny", 1, 9, small=True), row("large", 50, 100), row("good", 90, 100)]
    page = risk_page(content(field(moved=trend(0.1, 0.2)), groups=groups))
    table = one(page, "Scores").tables[0]
    assert list(table.frame["group"]) == ["large", "good", "tiny"]
    assert list(table.muted) == [False, False, True]
    assert "The worst group, large (n = 100), has 50\u00a0% [40, 60]." in page.lead
    assert "too few images to tell" in table.caption
    named = content(
        field(moved=trend(0.1, 0.2)),
        groups=groups,
        worst_group="good",
        worst=Estimate(0.9, 0.7, 0.95, 100, 0.95, "simultaneous"),
        gap=Estimate(0.4, 0.3, 0.5, 200, 0.95, "simultaneous"),
    )
    lead = risk_page(named).lead
    assert "The worst group, good (n = 100), has 90\u00a0% [70, 95]" in lead
    assert "best and worst group are 40.0 points" in lead


def test_200_groups_are_cut_and_said():
    table = score_tables([row(f"g{i}", i, 200) for i in range(200)], caption="All.", first="group",
                         sort="accuracy")[0]  # fmt: skip
    assert list(table.frame["group"]) == [f"g{i}" for i in range(40)]
    assert "160 more rows are not shown" in table.caption
    long = windows_table(windows(right=[3] * 50), caption="Windows.")
    assert len(long.frame) == 20
    assert "30 windows in the middle are not shown" in long.caption
    assert list(long.frame["percentile"])[:2] == ["0 to 2", "2 to 4"]
    assert list(long.frame["percentile"])[-1] == "98 to 100"


def test_calibration_is_told_by_the_intervals(page):
    section = one(page, "Is it as sure")
    # 24 of 40 at 0.4 are inside Wilson's interval; 36 of 60 at 0.95 are far below it.
    assert section.text[0].startswith("Of 2 bins with images, surer than right")
    assert section.text[0].endswith("1; less sure than right: 0.")


def test_what_is_missing_is_said_or_left_out():
    page = risk_page(content(correct=None))
    assert page.headline == (
        "The risk of 100 images was measured; no image has a label, so accuracy cannot be set "
        "against it."
    )
    assert titles(page) == [
        "Do the risks say the same?",
        "What each risk means",
        "Limits",
        "Settings",
        "How to reproduce",
    ]
    assert "see manifest.json" in render(page)
    absent = one(risk_page(full()), "What each")
    assert absent.facts["aleatoric"] == f"not available: no method {EVIL} gives it"
    scores = np.linspace(0, 1, 100)
    scores[:3] = NAN
    holes = RiskField("epistemic", "ensemble", scores)
    facts = one(risk_page(content(holes)), "What each").facts
    assert facts["Epistemic risk (ensemble)"].endswith("3 images without a finite value.")
    assert "Low: most certain; high: least certain." in facts["Epistemic risk (ensemble)"]
    assert "log-density" in one(risk_page(content(field())), "What").facts["Representation (knn)"]


def test_one_window_has_no_ends_to_compare():
    single = RiskField("representation", "knn", np.zeros(20), windows(right=(15,)))
    page = risk_page(content(single))
    assert page.headline.startswith("All 20 images are one window: they are classified right in")
    assert page.tone == "unsure"
    assert render(page)


def test_montages_count_what_is_wrong(page):
    picture = one(page, "Least represented").pictures[0]
    assert picture.alt.count("2 of 4 classified wrong") == 2
    assert "The 4 least represented and the 4 most represented of 100 images" in picture.caption
