"""Pages: escaped, self-contained, accessible, small, and the same every time."""

import base64
import io
import re
from importlib import resources
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tests.report_outline import EVIL, Outline

from sundog.core.errors import InputError
from sundog.core.statistics import Estimate, wilson_interval
from sundog.report.page import Page, Section, render, write_page
from sundog.report.picture import Picture, encode
from sundog.report.sheet import Sheet
from sundog.report.style import style
from sundog.report.table import Cell, Column, Table, format_number, show


def picture(seed=0, side=60, kind="photo"):
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    return Picture(pixels, caption=f"Caption {EVIL}", alt=f"Alt {EVIL}", kind=kind)


def page(pictures=(), title="Which model?"):
    frame = pd.DataFrame(
        {
            "run": [EVIL, "unbiased", "random"],
            "accuracy": [wilson_interval(right, 100) for right in (97, 50, 10)],
            "n": [100, 100, 100],
            "loss": [0.25, np.nan, 2.0],
        }
    )
    table = Table(
        frame,
        f"Accuracy {EVIL}",
        {"accuracy": Column(format="percent", digits=0, better="higher")},
        muted=[False, False, True],
    )
    return Page(
        title=title,
        headline=f"The model {EVIL} cheats.",
        tone="alarm",
        lead="Lead.",
        sections=[
            Section(f"Numbers {EVIL}", text=[f"Text {EVIL}"], tables=[table], pictures=pictures),
            Section("Settings", facts={f"seed {EVIL}": 5807}, notes=[f"Limit {EVIL}"]),
            Section("Settings", code=f"sundog compare {EVIL}"),
        ],
        footer=f"Foot {EVIL}",
    )


def test_every_text_is_escaped_and_readable():
    html = render(page([picture()]))
    outline = Outline(html)
    assert not outline.problems
    assert not outline.stack
    assert not [tag for tag, _ in outline.tags if tag in ("script", "link", "iframe", "object")]
    assert "<script" not in html
    # Headline, section, caption, row, text, figure caption, fact, note, code, footer, contents.
    assert "".join(outline.text).count(EVIL) == 11
    image = next(attrs for tag, attrs in outline.tags if tag == "img")
    assert image["alt"] == f"Alt {EVIL}"


def test_nothing_is_loaded_from_outside():
    html = render(page([picture(), picture(kind="chart")]))
    outline = Outline(html)
    for _, attrs in outline.tags:
        assert not any(name.startswith("on") for name in attrs)
        for name in ("src", "href", "srcset", "action", "data"):
            value = attrs.get(name) or "#"
            assert value.startswith(("data:image/webp;base64,", "#")), value
    policy = next(a["content"] for t, a in outline.tags if a.get("http-equiv"))
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    style_text = html.split("<style>")[1].split("</style>")[0]
    assert "url(" not in style_text
    assert "@import" not in style_text


def test_accessible_structure():
    outline = Outline(render(page([picture()])))
    headings = [int(tag[1]) for tag, _ in outline.tags if re.fullmatch("h[1-6]", tag)]
    assert headings[0] == 1
    assert headings.count(1) == 1
    assert all(b - a <= 1 for a, b in pairwise(headings))
    scopes = [attrs.get("scope") for tag, attrs in outline.tags if tag == "th"]
    assert scopes == ["col"] * 4 + ["row"] * 3
    assert sum(tag == "caption" for tag, _ in outline.tags) == 1
    assert dict(outline.tags)["html"]["lang"] == "en"
    ids = [attrs["id"] for _, attrs in outline.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    links = [attrs["href"][1:] for tag, attrs in outline.tags if tag == "a"]
    assert set(links) <= set(ids)
    images = [attrs for tag, attrs in outline.tags if tag == "img"]
    assert all(attrs["alt"] and attrs["width"] and attrs["height"] for attrs in images)


def contrast(first, second):
    def luminance(colour):
        values = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_contrast_in_light_dark_and_print():
    css = resources.files("sundog.report").joinpath("templates/page.css").read_text("utf-8")
    blocks = [
        dict(re.findall(r"--([\w-]+):\s*(#[0-9a-f]{6})", block))
        for block in re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    ]
    assert len(blocks) == 3
    for colours in blocks:
        for text in ("ink", "soft", "link"):
            assert contrast(colours[text], colours["paper"]) >= 4.5
        assert contrast(colours["ink"], colours["wash"]) >= 4.5
        for tone in ("alarm", "calm", "unsure", "plain"):
            assert contrast(colours[tone], colours[f"{tone}-wash"]) >= 4.5
            assert contrast(colours["ink"], colours[f"{tone}-wash"]) >= 4.5


def test_the_page_shrinks_its_pictures_to_fit_and_says_when_it_cannot():
    heavy = page([picture(seed, side=300) for seed in range(6)])
    full = render(heavy, max_bytes=10_000_000)
    small = render(heavy, max_bytes=len(full) // 3)
    assert len(small.encode()) <= len(full) // 3
    sizes = [re.findall(r'width="(\d+)" height="(\d+)"', html) for html in (full, small)]
    assert sizes[0] == sizes[1] == [("300", "300")] * 6
    with pytest.raises(InputError, match=r"at most 9,000 bytes.*fewer pictures"):
        render(heavy, max_bytes=9000)
    with pytest.raises(InputError, match="at most 100 bytes"):
        render(page(), max_bytes=100)


def test_same_page_same_bytes_and_written_whole(tmp_path):
    first = write_page(page([picture()]), tmp_path / "a.html")
    second = write_page(page([picture()]), tmp_path / "new" / "b.html")
    assert first.read_bytes() == second.read_bytes()
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["a.html"]


def test_charts_are_lossless_photos_are_close():
    for kind in ("chart", "photo"):
        shown = encode(picture(side=64, kind=kind), scale=1, quality=86)
        raw = base64.b64decode(shown.uri.removeprefix("data:image/webp;base64,"))
        back = np.asarray(Image.open(io.BytesIO(raw)).convert("RGB")).astype(int)
        difference = np.abs(back - picture(side=64).source.astype(int))
        assert difference.max() == 0 if kind == "chart" else difference.mean() < 60
        assert (shown.width, shown.height) == (64, 64)
    with style():
        figure = Sheet(3, 2).figure
    shown = encode(Picture(figure, "c", "a", "chart"), scale=0.5, quality=50)
    assert (shown.width, shown.height) == (288, 192)


def test_table_by_hand():
    shown = show(page().sections[0].tables[0])
    assert [header.text for header in shown.headers] == ["run", "accuracy", "n", "loss"]
    assert shown.headers[1].direction == "higher is better"
    cells = shown.rows[0]
    assert (cells[1].text, cells[1].interval, cells[1].best) == (
        "97\u00a0%",
        "[92, 99\u00a0%]",
        True,
    )
    assert [row[1].best for row in shown.rows] == [True, False, False]
    assert [row[3].text for row in shown.rows] == ["0.25", "–", "2"]
    assert shown.muted == [False, False, True]
    frame = pd.DataFrame({"m": ["a", "b", "random"], "score": [0.3, 0.2, 0.1]})
    lower = show(Table(frame, "c", {"score": Column(better="lower")}, muted=[False, False, True]))
    assert [row[1].best for row in lower.rows] == [False, True, False]
    plain = show(Table(frame, "c", {"score": Column(better="lower", mark=False)}))
    assert not any(cell.best for row in plain.rows for cell in row)
    assert plain.headers[1].direction == "lower is better"


@pytest.mark.parametrize(
    ("value", "options", "text"),
    [
        (0.97, {"format": "percent", "digits": 1}, "97.0\u00a0%"),
        (-0.712, {"format": "points", "digits": 0}, "−71"),
        (0.0001, {"format": "points", "digits": 0}, "+0"),
        (-0.0001, {"format": "points", "digits": 0}, "+0"),
        (-0.0001, {"format": "decimal", "digits": 2}, "0.00"),
        (1234567, {"format": "integer"}, "1,234,567"),
        (0.0004, {"format": "p"}, "< 0.001"),
        (0.0414, {"format": "p"}, "0.041"),
        (1600.0, {}, "1,600"),
        (0.21083, {}, "0.211"),
        (float("nan"), {}, "–"),
        (float("-inf"), {}, "−∞"),
    ],
)
def test_numbers(value, options, text):
    assert format_number(value, **options) == text


def test_cells_of_every_kind():
    frame = pd.DataFrame(
        {
            "name": ["x"],
            "yes": [True],
            "none": [None],
            "text": [1.5],
            "alone": [Estimate(0.5, float("nan"), float("nan"), 1, 0.95, "t")],
        }
    )
    row = show(Table(frame, "c", {"text": Column(format="text")})).rows[0]
    assert [cell.text for cell in row] == ["x", "yes", "–", "1.5", "0.5"]
    assert row[4].interval == ""


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Picture(np.zeros((2, 2, 3)), "c", " "), "alt text"),
        (lambda: Picture(np.zeros((2, 2, 3)), "c", "a", "gif"), "'photo' or 'chart'"),
        (lambda: render(Page("t", "", [Section("s")])), "a headline"),
        (lambda: render(Page("t", "h", [])), "one section"),
        (lambda: render(Page("t", "h", [Section(" ")])), "a title"),
        (lambda: render(Page("t", "h", [Section("s")], tone="loud")), "tone"),
        (lambda: show(Table(pd.DataFrame(), "c")), "one row and column"),
        (lambda: show(Table(pd.DataFrame({"a": [1]}), "c", {"b": Column()})), "among"),
        (lambda: show(Table(pd.DataFrame({"a": [1]}), "c", muted=[True, True])), "one per row"),
        (lambda: format_number(1, format="roman"), "one of"),
    ],
)
def test_bad_input_is_refused_in_plain_words(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_only_long_words_of_a_table_may_break():
    assert not Cell("three plain words of a sentence").long
    assert Cell("images/5/000340-c5e8b59b12ce.png").long
