"""The report of an inspection from its records: words, order, missing pictures, no model."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from sundog.core.inspection.feedback import Answer, Feedback
from sundog.core.inspection.finding import (
    Effect,
    Evidence,
    Finding,
    Ranking,
    Replication,
    finding_id,
)
from sundog.core.inspection.query import ClassSummary, ImageCard, Query
from sundog.core.inspection.results import compile_results
from sundog.core.inspection.wording import claim, consequence, points
from sundog.report.inspect_page import inspect_page
from sundog.report.page import render
from sundog.report.strips import Shot, Strip, strips_figure


def effect(gap=-0.4, **changes):
    values = {
        "metric": "accuracy",
        "present": 0.5,
        "absent": 0.5 - gap,
        "n_present": 40,
        "n_absent": 60,
        "gap": gap,
        "low": gap - 0.1,
        "high": gap + 0.1,
        "method": "newcombe",
    }
    return Effect(**{**values, **changes})


def finding(concepts=("water",), class_name="tench", **changes):
    kind = "hidden" if len(concepts) == 1 else "complex"
    values = {
        "id": finding_id(kind, class_name, concepts, "accuracy"),
        "kind": kind,
        "class_name": class_name,
        "concepts": concepts,
        "direction": "hurts",
        "effect": effect(),
        "p": 0.0001,
        "p_adjusted": 0.003,
        "tests": 123,
        "significant": True,
        "errors": 20,
        "expected_errors": 4.0,
    }
    return Finding(**{**values, **changes})


def query(findings, smallest=0.2):
    cards = {
        f"i{k}": ImageCard(
            source=f"{k}.jpg",
            class_name="tench",
            predicted="church" if k % 2 else "tench",
            correct=not k % 2,
            confidence=0.5,
            thumbnail=f"images/i{k}.jpg",
        )
        for k in range(4)
    }
    return Query(
        title="Bias inspection of <net>",
        classifier="<net>",
        image_set="4 images",
        metric="accuracy",
        classes=(
            ClassSummary(
                name="tench",
                n=100,
                accuracy=0.8,
                low=0.7,
                high=0.87,
                concepts=3,
                tests=120,
                smallest_detectable=smallest,
            ),
            ClassSummary(name="empty", n=0, note="the class has no image"),
        ),
        findings=tuple(findings),
        images=cards,
    )


def shown(**changes):
    evidence = tuple(
        Evidence(image=f"i{k}", strip="present" if k < 2 else "absent", tagged=k < 2)
        for k in range(4)
    )
    return finding(evidence=evidence, **changes)


def test_a_claim_says_both_groups_their_sizes_and_the_gap():
    text = claim(finding())
    assert text == (
        "Tench images with 'water' (n = 40) are right 50% of the time, those without (n = 60) 90%: "
        "-40 points [-50, -30]."
    )
    assert "may lean on it" in consequence(finding(direction="helps"))
    assert points(effect(gap=0.25)) == "+25 points [+15, +35]"


def test_a_ranking_is_told_by_its_auroc():
    ranking = Ranking(auroc=0.3, low=0.2, high=0.4, top_k=5, top_gap=-0.6)
    text = claim(finding(source="ranking", ranking=ranking))
    assert "ranks above a wrong one 30% of the time [20%, 40%]" in text
    assert "the top 5 are -60 points" in text


def test_the_page_escapes_names_and_tells_independent_findings_first(tmp_path):
    hostile = "<script>alert(1)</script>"
    made = query(
        [
            shown(
                concepts=(hostile,),
                replication=Replication(status="confirmed", effect=effect(gap=-0.33), p=0.01),
            ),
            finding(concepts=("sky",), explained_by=(hostile,)),
        ]
    )
    (tmp_path / "images").mkdir()
    for k in range(3):  # the fourth is missing: the strip is shorter, nothing breaks
        Image.fromarray(np.full((20, 30, 3), 60 * k, np.uint8)).save(tmp_path / f"images/i{k}.jpg")
    page = inspect_page(made, compile_results(made), folder=tmp_path)
    assert page.headline == "1 bias found in 1 of 2 classes."
    assert page.tone == "alarm"
    tables = page.sections[0].tables
    assert tables[0].frame["concept"].tolist() == [hostile]
    assert tables[1].frame["concept"].tolist() == ["sky"]
    html = render(page)
    assert hostile not in html
    assert "&lt;script&gt;" in html
    assert "gives -33 points" in html


def test_a_learned_tag_is_shown_itself(tmp_path):
    (tmp_path / "images").mkdir()
    Image.fromarray(np.full((6, 6, 3), (250, 120, 0), np.uint8)).save(tmp_path / "images/p.png")
    made = query([finding(("patch 1",))]).model_copy(
        update={"previews": {"patch 1": "images/p.png"}}
    )
    page = inspect_page(made, compile_results(made), folder=tmp_path)
    (picture,) = page.sections[1].pictures
    drawn = picture.source.axes[0].images[0].get_array()
    np.testing.assert_array_equal(drawn[drawn.shape[0] // 2, drawn.shape[1] // 2], (250, 120, 0))


def test_nothing_found_says_what_could_have_been_seen(tmp_path):
    small = query([])
    page = inspect_page(small, compile_results(small), folder=tmp_path)
    assert "a gap below 20 points would have gone unseen" in page.headline
    assert page.tone == "calm"
    large = query([], smallest=0.6)
    assert inspect_page(large, compile_results(large), folder=tmp_path).tone == "unsure"
    nothing = query([], smallest=None)
    page = inspect_page(nothing, compile_results(nothing), folder=tmp_path)
    assert page.headline == (
        "No bias found in 2 classes, but with so few images no gap, however large, would have been "
        "seen."
    )
    bare = nothing.model_copy(
        update={"classes": tuple(c.model_copy(update={"tests": 0}) for c in nothing.classes)}
    )
    page = inspect_page(bare, compile_results(bare), folder=tmp_path)
    assert page.headline == "Nothing could be tested in 2 classes."


@pytest.mark.parametrize(
    ("thresholds", "kept"),
    [({}, 2), ({"sig_thresh": 0.001}, 0), ({"acc_thresh": 0.5}, 1), ({"sig_thresh": 1.0}, 3)],
)
def test_results_are_filtered_by_the_corrected_p_and_the_gap(thresholds, kept):
    made = query(
        [
            finding(),
            finding(("sky",), effect=effect(gap=-0.6)),
            finding(("moon",), p_adjusted=0.4, significant=False),
        ]
    )
    results = compile_results(made, **thresholds)
    assert len(results.findings) == kept
    assert results.left_out == 3 - kept


def test_a_concept_without_a_test_is_listed_only_if_people_called_it_a_shortcut():
    neuron = finding(("neuron 3",), p=None, p_adjusted=None, significant=False)
    made = query([neuron])
    assert compile_results(made).findings == ()
    for verdict, kept in (("background", 1), ("core", 0)):
        said = Answer(finding=neuron.id, reviewer="ann", verdict=verdict)
        feedback = Feedback(query=made.content_hash(), answers=(said,))
        assert len(compile_results(made, feedback).findings) == kept


def test_a_strip_is_drawn_with_every_picture_in_its_own_square():
    colours = ((255, 0, 0), (0, 255, 0), (0, 0, 255))
    shots = [
        Shot(pixels=np.full((40, 20, 3), c, np.uint8), predicted="x", correct=True) for c in colours
    ]
    figure = strips_figure([Strip(title="a", shots=shots), Strip(title="b", shots=[])])
    drawn = figure.axes[0].images[0].get_array()
    side = drawn.shape[0]
    gap = (drawn.shape[1] - 3 * side) // 2
    for place, colour in enumerate(colours):
        middle = drawn[side // 2, place * (side + gap) + side // 2]
        np.testing.assert_array_equal(middle, colour)
        np.testing.assert_array_equal(drawn[side // 2, place * (side + gap) + 2], 255)


def test_results_need_no_torch():
    code = (
        "import sys, sundog.audit.results_run; "
        "assert 'torch' not in sys.modules and 'numba' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
