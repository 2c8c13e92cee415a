"""Charts placed by hand, dose curves, folded sections, and how a page is fitted to its size."""

import math
import re

import numpy as np
import pytest

from sundog.core.errors import InputError
from sundog.core.statistics import Estimate
from sundog.report.blocks import Action, Badge, Check, Gallery, Photo
from sundog.report.dose_curve import DoseCurve, draw_curve
from sundog.report.interval_chart import IntervalChart, IntervalRow, draw_chart
from sundog.report.page import Page, Section, render
from sundog.report.picture import encode

NAN = math.nan


def estimate(value, low, high, n=50):
    return Estimate(value, low, high, n, 0.95, "wilson")


def photo(seed=0, side=90, **changes):
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    return Photo(pixels, **{"words": "church", "alt": "A church", **changes})


def page(*sections):
    return Page("Title", "Headline", sections)


def test_a_chart_is_placed_by_hand():
    chart = IntervalChart(
        rows=[
            IntervalRow("below", estimate(0.4, 0.3, 0.5), note="small"),
            IntervalRow("holds", estimate(0.6, 0.5, 0.8)),
            IntervalRow("above", estimate(0.95, 0.9, 1.0), muted=True),
            IntervalRow("alone", estimate(0.5, NAN, NAN)),
            IntervalRow("nothing", estimate(NAN, NAN, NAN, n=0)),
        ],
        caption="Share right",
        span=(0.25, 1.25),
        reference=0.75,
        reference_name="all",
        better="higher",
    )
    drawn = draw_chart(chart)
    first, second, third, alone, nothing = drawn.tracks
    assert (first.left, first.at, first.right, first.side) == ("5", "15", "25", "worse")
    assert (first.text, first.interval) == ("40\u00a0%", "[30, 50\u00a0%]")
    assert (second.side, third.side) == ("", "better")
    assert third.muted
    assert (alone.left, alone.at, alone.interval, alone.side) == ("", "25", "", "")
    assert (nothing.at, nothing.text, nothing.n) == ("", "–", 0)
    assert drawn.reference == "50"
    assert drawn.ticks == [("25", "50\u00a0%"), ("75", "100\u00a0%")]
    assert drawn.legend.startswith("Dotted line: all (75\u00a0%).")


@pytest.mark.parametrize(
    ("format", "ends", "ticks"),
    [
        ("percent", (0.0, 1.0), ["0\u00a0%", "50\u00a0%", "100\u00a0%"]),
        ("points", (-0.31, 0.66), ["+0", "+50"]),
        ("decimal", (0.18, 0.33), ["0.20", "0.25", "0.30"]),
        ("decimal", (-3.0, 9.0), ["0.0", "5.0"]),
    ],
)
def test_ticks_are_round_and_few(format, ends, ticks):
    rows = [IntervalRow("a", estimate(sum(ends) / 2, *ends))]
    drawn = draw_chart(IntervalChart(rows, "c", format=format, span=ends))
    assert [text for _, text in drawn.ticks] == ticks


def test_an_axis_holds_every_interval_and_the_reference():
    rows = [IntervalRow("a", estimate(0.1, -0.05, 0.3))]
    drawn = draw_chart(IntervalChart(rows, "c", format="points", reference=0.5))
    places = [float(drawn.tracks[0].left), float(drawn.tracks[0].right), float(drawn.reference)]
    assert places == sorted(places)
    assert 0 < places[0] < places[2] < 100
    flat = draw_chart(IntervalChart([IntervalRow("a", estimate(2, 2, 2))], "c", format="decimal"))
    assert flat.tracks[0].at == "50"


def test_what_a_test_says_counts_more_than_the_interval():
    rows = [IntervalRow("a", estimate(0.1, 0.0, 0.2), side="")]
    chart = IntervalChart(rows, "c", reference=0.5, better="lower")
    assert draw_chart(chart).tracks[0].side == ""


def test_a_dose_curve_is_placed_by_hand_and_told_in_words():
    curve = DoseCurve(
        "Share that follows",
        [
            (1.0, estimate(0.8, 0.7, 0.9)),
            (0.5, estimate(0.2, 0.1, 0.3)),
            (0.25, estimate(NAN, 0, 0)),
        ],
        across="opacity",
        reference=0.0,
        reference_name="control",
    )
    drawn = draw_curve(curve)
    (x1, y1), (x2, y2) = drawn.dots
    assert x2 == drawn.right
    assert x1 - drawn.left == pytest.approx((drawn.right - drawn.left) / 2, abs=0.11)
    height = drawn.base - 12
    assert (drawn.base - y1, drawn.base - y2) == pytest.approx(
        (0.2 * height, 0.8 * height), abs=0.1
    )
    assert drawn.reference == drawn.base
    assert len(drawn.band.split()) == 4
    assert drawn.words == "Share that follows. 50%: 20%; 100%: 80%."


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: draw_chart(IntervalChart([], "c")), "at least one row"),
        (
            lambda: draw_chart(IntervalChart([IntervalRow("a", estimate(0, 0, 0))], "c",
                                             span=(1.0, 1.0))),
            "low < high",
        ),
        (lambda: draw_curve(DoseCurve("t", [(1.0, estimate(0, 0, 0))], "x")), "two or more doses"),
        (lambda: Gallery("g", [], columns=5), "from 0 to 4"),
        (lambda: photo(alt=" ").picture, "alt text"),
        (lambda: render(page(Section("a", parts=[Section(" ")]))), "a title"),
        (
            lambda: render(page(Section("a", parts=[Section("b", parts=[Section(
                "c", parts=[Section("d")])])]))),
            "two levels at most",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_drawn_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_parts_are_shown_in_order_with_smaller_headings_and_ids_of_their_own():
    inner = Section("Same", text=["inner"], badges=[Badge("p < 0.001", "alarm")], fold=True)
    html = render(page(Section("Same", text=["outer"], parts=[inner, inner]), Section("Same")))
    ids = re.findall(r'<h\d id="([^"]+)"', html)
    assert len(ids) == len(set(ids)) == 4
    assert html.index("outer") < html.index("inner")
    assert html.count("<details") == html.count("</details>") == 2
    assert "<summary><h3" in html
    assert '<span class="badge alarm">p\u00a0&lt;\u00a00.001</span>' in html
    assert "<nav" not in html  # two sections need no contents


def test_checks_lead_to_their_sections_and_say_their_tone_in_words():
    check = Check("Is it?", "Yes.", "alarm", "found", section="Second", note="small print")
    html = render(page(Section("First", checks=[check]), Section("Second")))
    assert '<a href="#second">Is it?</a>' in html
    assert '<span class="badge alarm">found</span>' in html
    unknown = Check("Is it?", "Yes.", section="Nowhere")
    assert 'href="#nowhere' not in render(page(Section("First", checks=[unknown])))


def test_an_action_stands_in_a_box_if_it_has_a_command():
    html = render(page(Section("A", action=Action("Do it.", "sundog debias 'a b'"))))
    assert '<div class="act">' in html
    assert "sundog debias &#39;a b&#39;" in html
    assert '<div class="act bare">' in render(page(Section("A", action=Action("Do it."))))


def test_alarms_and_answers_stand_in_the_head():
    made = Page("T", "First.", [Section("s")], alarms=["A stage <failed>."],
                answers={"Where": "Here.", "What to do": "This."})  # fmt: skip
    html = render(made)
    order = [
        html.index(t) for t in ("A stage &lt;failed&gt;.", "First.", "Here.", "This.", "<main")
    ]
    assert order == sorted(order)


def test_tiny_photos_keep_their_pixels_and_one_picture_is_encoded_once():
    digit, church = photo(side=28), photo(1, correct=True)
    html = render(page(Section("A", galleries=[Gallery("g", [digit, church, church])])))
    uris = re.findall(r'src="([^"]+)"', html)
    assert len(uris) == 3
    assert uris[1] == uris[2]
    assert uris[0] == encode(digit.picture, scale=1.0, quality=86).uri
    assert html.count('class="tiny"') == 1
    assert html.count('<span class="right">✓</span>') == 2


def test_a_page_is_exactly_as_long_as_it_was_measured():
    many = page(Section("A", galleries=[Gallery("g", [photo(k, side=60 + k) for k in range(60)])]))
    full = render(many, max_bytes=10**8)
    size = len(full.encode())
    assert render(many, max_bytes=size) == full
    assert len(render(many, max_bytes=size - 1).encode()) < size
