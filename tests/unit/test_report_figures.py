"""Figures: what they say, that nothing overlaps, their size, and that the bytes repeat."""

import io
from itertools import combinations

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from PIL import Image

from sundog.core.errors import InputError
from sundog.report.bars import p_text
from sundog.report.captions import captions, percent
from sundog.report.curves import area
from sundog.report.figures import (
    Curve,
    ModelView,
    bar_figure,
    compare_grid,
    curve_figure,
    figure_bytes,
    forest_figure,
    image_grid,
    method_grid,
    save_figures,
)
from sundog.report.sheet import Sheet
from sundog.report.style import LARGEST, RIGHT, UNKNOWN, WRONG, drawable, style

NAMES = (
    "tench",
    "English springer spaniel of the show line, a very long class name indeed",
    "<script>alert('x')</script>",
    "cost $5 and $6_{x}",
    "Donaudampfschifffahrtsgesellschaftskapitänsmütze",
)
N = 5
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (N, 40, 40, 3), dtype=np.uint8)
MAPS = RNG.normal(size=(N, 40, 40))
PREDICTED = {
    "predictions": np.array([0, 1, 2, 3, 0]),
    "probabilities": np.array([1.0, 0.9996, 0.5, 0.004, 0.25]),
    "class_names": NAMES,
    "labels": np.array([0, 1, 3, 3, 4]),
}
METHODS = ("integrated_gradients", "noise_tunnel_smoothgrad_squared", "occlusion")


def pictures_of_all_kinds():
    curves = {name: RNG.random((N, 6)) for name in (*METHODS, "random")}
    masks = np.zeros((N, 40, 40), bool)
    masks[:, 5:9, 5:9] = True
    views = [
        ModelView(
            name,
            PREDICTED["predictions"],
            PREDICTED["probabilities"],
            dict.fromkeys(METHODS[:2], MAPS),
        )
        for name in ("biased", "unbiased model with an endless run id of 2026-11-21 seed 5807")
    ]
    return {
        "image_grid": image_grid(IMAGES, **PREDICTED, title="A title " * 12, columns=3),
        "method_grid": method_grid(
            IMAGES,
            dict.fromkeys(METHODS, MAPS),
            **PREDICTED,
            curves=curves,
            controls=("random",),
            title="Maps",
        ),
        "compare_grid": compare_grid(
            IMAGES,
            views,
            class_names=NAMES,
            labels=PREDICTED["labels"],
            cue_class=np.array([-1, 0, 1, 2, 3]),
            masks=masks,
            title="Two models",
        ),
        "bars": [bar_figure(scores(), reference=0.4, reference_name="chance", title="Bars")],
        "forest": [forest_figure(gaps(), left_means="A better", right_means="B better")],
        "curves": [curve_figure({k: Curve(np.linspace(0, 1, 6), v[0]) for k, v in curves.items()})],
    }


def scores():
    return pd.DataFrame(
        {
            "method": ["occlusion", "a method with a name far too long for a line", "random"],
            "mean": [0.3, 0.2, 0.4],
            "low": [0.28, 0.19, 0.37],
            "high": [0.32, 0.21, 0.43],
            "control": [False, False, True],
            "n": [1600, 1600, 1600],
        }
    )


def gaps():
    return pd.DataFrame(
        {
            "comparison": ["integrated_gradients − noise_tunnel_smoothgrad_squared", "a − b"],
            "difference": [-0.118, 0.002],
            "low": [-0.13, -0.01],
            "high": [-0.106, 0.014],
            "p": [1e-9, 0.7],
        }
    )


def words(figure):
    return [text.get_text() for text in figure.texts]


@pytest.fixture(scope="module")
def figures():
    return pictures_of_all_kinds()


def test_every_page_is_bounded_and_drawn(figures):
    for pages in figures.values():
        for page in pages:
            width, height = page.get_size_inches()
            assert max(width, height) <= LARGEST
            picture = Image.open(io.BytesIO(figure_bytes(page)))
            assert picture.size == (int(width * 150), int(height * 150))
            assert np.asarray(picture.convert("L")).std() > 5


def test_no_text_overlaps_another_text_or_a_picture_or_leaves_the_page(figures):
    for name, pages in figures.items():
        for page in pages:
            renderer = FigureCanvasAgg(page).get_renderer()
            page.draw(renderer)
            boxes = [
                (t.get_text(), t.get_window_extent(renderer)) for t in page.texts if t.get_text()
            ]
            width, height = page.bbox.size
            for text, box in boxes:
                inside = (
                    box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width + 1 and box.y1 <= height + 1
                )
                assert inside, (name, text)
            for (first, a), (second, b) in combinations(boxes, 2):
                assert not _touch(a, b), (name, first, second)
            frames = [axes.bbox for axes in page.axes if axes.images]
            for text, box in boxes:
                assert not any(_touch(box, frame) for frame in frames), (name, text)
            for axes in page.axes:
                labels = [t for t in (axes.xaxis.label, axes.yaxis.label) if t.get_text()]
                for label in labels:
                    box = label.get_window_extent(renderer)
                    assert not any(_touch(box, other) for _, other in boxes), (name, label)


def _touch(a, b):
    # Two pixels of slack: the box of a text is taller than its ink.
    return min(a.x1, b.x1) - max(a.x0, b.x0) > 2 and min(a.y1, b.y1) - max(a.y0, b.y0) > 2


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_same_figure_same_bytes_without_a_date(kind):
    first, second = (figure_bytes(bar_figure(scores()), kind) for _ in range(2))
    assert first == second
    assert b"dc:date" not in first
    assert b"Software" not in first
    grids = [figure_bytes(image_grid(IMAGES, **PREDICTED)[0], kind) for _ in range(2)]
    assert grids[0] == grids[1]


def test_user_settings_are_neither_read_nor_changed():
    plain = figure_bytes(bar_figure(scores()))
    with mpl.rc_context({"figure.facecolor": "black", "font.size": 30, "text.color": "pink"}):
        before = dict(mpl.rcParams)
        assert figure_bytes(bar_figure(scores())) == plain
        assert dict(mpl.rcParams) == before


def test_captions_by_hand():
    found = captions(**PREDICTED)
    assert [c.mark for c in found] == ["✓ ", "✓ ", "✗ ", "✓ ", "✗ "]
    assert [c.colour for c in found] == [RIGHT, RIGHT, WRONG, RIGHT, WRONG]
    assert [c.probability for c in found] == [
        "100\u00a0%",
        "100\u00a0%",
        "50\u00a0%",
        "0.4\u00a0%",
        "25\u00a0%",
    ]
    assert (found[2].label, found[2].prediction) == (NAMES[3], NAMES[2])
    unknown = captions(**{**PREDICTED, "labels": np.array([-1, 1, 3, 3, 4])})[0]
    assert (unknown.label, unknown.mark, unknown.colour) == (None, "", UNKNOWN)
    assert percent(0.9991) == "99.9\u00a0%"
    assert percent(0.0) == "0\u00a0%"


def test_grid_writes_the_caption_in_its_colour(figures):
    texts = {t.get_text(): t.get_color() for page in figures["image_grid"] for t in page.texts}
    assert texts["✓ tench  100\u00a0%"] == RIGHT
    assert any(text.startswith("✗ <script>") and color == WRONG for text, color in texts.items())


def test_grid_pages():
    pages = image_grid(
        np.concatenate([IMAGES] * 6),
        **{k: v if k == "class_names" else np.concatenate([v] * 6) for k, v in PREDICTED.items()},
        per_page=8,
    )
    assert [len(page.axes) for page in pages] == [8, 8, 8, 6]


def test_method_grid_legend_holds_the_areas_best_first():
    x = np.array([0, 0.5, 1])
    curves = {"slow": np.array([[1, 1, 0]] * N), "fast": np.array([[1, 0, 0]] * N)}
    page = method_grid(
        IMAGES, {"slow": MAPS, "fast": MAPS}, **PREDICTED, curves=curves, fractions=x
    )[0]
    legend = [text for text in words(page) if text.startswith("0.")]
    assert legend[:2] == ["0.250  fast", "0.750  slow"]
    assert len(legend) == 2 * N
    page = method_grid(
        IMAGES,
        {"slow": MAPS, "fast": MAPS},
        **PREDICTED,
        curves=curves,
        fractions=x,
        lower_is_better=False,
    )[0]
    assert next(t for t in words(page) if t.startswith("0.")) == "0.750  slow"


def test_method_grid_draws_the_curves_and_splits_methods_over_pages():
    curves = {name: np.full((N, 4), i / 10) for i, name in enumerate("abcdefghi")}
    pages = method_grid(
        IMAGES,
        dict.fromkeys(curves, MAPS),
        **PREDICTED,
        curves=curves,
        rows_per_page=3,
        methods_per_page=5,
    )
    assert len(pages) == 4
    lines = [axes.lines for axes in pages[0].axes if len(axes.lines) == 5]
    assert len(lines) == 3
    np.testing.assert_allclose(lines[0][3].get_ydata(), 0.3)
    np.testing.assert_allclose(lines[0][3].get_xdata(), [0, 1 / 3, 2 / 3, 1])
    looks = {(line.get_color(), str(line.get_linestyle())) for line in lines[0]}
    assert len(looks) == 5


def test_bars_are_sorted_and_carry_the_interval_not_the_spread():
    figure = bar_figure(scores(), score="mean deletion score")
    axes = figure.axes[0]
    bars = list(axes.patches)
    assert [bar.get_width() for bar in bars] == [0.2, 0.3, 0.4]
    assert [bool(bar.get_hatch()) for bar in bars] == [False, False, True]
    whiskers = [
        tuple(line.get_xdata()) for line in axes.lines if line.get_ydata()[0] == line.get_ydata()[1]
    ]
    assert whiskers == [(0.19, 0.21), (0.28, 0.32), (0.37, 0.43)]
    assert "lower is better" in axes.get_xlabel()
    assert axes.get_xlim()[0] == 0
    assert any(text.startswith("n = 1,600 images") for text in words(figure))
    higher = bar_figure(scores(), lower_is_better=False).axes[0]
    assert [bar.get_width() for bar in higher.patches] == [0.4, 0.3, 0.2]
    assert "higher is better" in higher.get_xlabel()


def test_forest_marks_what_leaves_zero_out():
    axes = forest_figure(gaps()).axes[0]
    marks = [line for line in axes.lines if line.get_marker() == "o"]
    assert [mark.get_xdata()[0] for mark in marks] == [-0.118, 0.002]
    assert to_hex(marks[0].get_markerfacecolor()) != "#ffffff"
    assert to_hex(marks[1].get_markerfacecolor()) == "#ffffff"
    low, high = axes.get_xlim()
    assert low == -high
    shown = [text.get_text() for text in axes.texts]
    assert shown[:2] == ["−0.118", "[−0.130, −0.106]   p < 0.001"]
    assert p_text(float("nan")) == "p = –"


def test_compare_grid_shows_both_predictions_the_cue_and_its_outline(figures):
    page = figures["compare_grid"][0]
    assert words(page).count("biased") == 2
    assert words(page).count("cue of") == N - 1
    outlined = [axes for axes in page.axes if axes.images and axes.collections]
    assert len(outlined) == N * 5


def test_area_is_the_trapezoid():
    x, y = np.array([0, 0.1, 0.4, 1]), np.array([1, 0.5, 0.5, 0])
    assert area(x, y) == pytest.approx(0.075 + 0.15 + 0.15)
    with pytest.raises(InputError, match="rising"):
        area(x[::-1], y)
    with pytest.raises(InputError, match="at least 2"):
        area(x[:1], y[:1])


def test_text_that_fits_is_not_touched_and_numbers_are_never_cut():
    with style():
        sheet = Sheet(4, 2)
        assert sheet.fit("tench", width=2, size=9) == ("tench", 9)
        text, size = sheet.fit("a b\nc\x00d", width=2, size=9)
        assert text == "a b c d"
        text, size = sheet.fit("endless " * 30, width=1, size=9, before="✗ ", after="  56\u00a0%")
        assert text.startswith("✗ endless")
        assert text.endswith("…  56\u00a0%")
        assert size >= 6.5
        assert sheet.measure(text, size=size) <= 1
        text, size = sheet.fit("word " * 6, width=0.8, size=9, lines=3)
        assert text.count("\n") == 2
        assert all(sheet.measure(line, size=size) <= 0.8 for line in text.split("\n"))


def test_a_script_without_a_font_is_said_once_and_drawn_as_boxes(monkeypatch):
    monkeypatch.setattr("sundog.report.style._characters", lambda: frozenset(range(32, 127)))
    with pytest.warns(UserWarning, match="No installed font can draw '会教'"):
        assert drawable("教会 tower") == "□□ tower"


def test_save(tmp_path):
    pages = [bar_figure(scores()), forest_figure(gaps())]
    assert save_figures(pages[0], tmp_path / "one.png") == [tmp_path / "one.png"]
    many = save_figures(pages, tmp_path / "deep" / "many.svg")
    assert [path.name for path in many] == ["many-1.svg", "many-2.svg"]
    assert many[0].read_bytes().startswith(b"<?xml")
    assert (tmp_path / "one.png").read_bytes() == figure_bytes(pages[0])
    with pytest.raises(InputError, match=r"\.png or \.svg"):
        save_figures(pages, tmp_path / "many.jpeg")
    with pytest.raises(InputError, match="at least one"):
        save_figures([], tmp_path / "none.png")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: image_grid([], **PREDICTED), "at least one picture"),
        (lambda: image_grid(IMAGES[:2], **PREDICTED), "one per picture, 2; got 5"),
        (lambda: image_grid(IMAGES, **{**PREDICTED, "probabilities": [3.0] * N}), "not logits"),
        (lambda: image_grid(IMAGES, **{**PREDICTED, "class_names": ("a",)}), "from 0 to 0"),
        (lambda: image_grid(IMAGES, **PREDICTED, columns=0), "1 to 8 columns"),
        (lambda: method_grid(IMAGES, {}, **PREDICTED), "at least one method"),
        (lambda: method_grid(IMAGES, {"a": MAPS[:2]}, **PREDICTED), "maps of a"),
        (
            lambda: method_grid(IMAGES, {"a": MAPS}, **PREDICTED, curves={"a": np.zeros((2, 3))}),
            r"arrays \[5, steps\]",
        ),
        (lambda: bar_figure(scores().drop(columns="low")), "no \\['low'\\]"),
        (lambda: bar_figure(scores().assign(low=0.5)), "low <= mean <= high"),
        (lambda: bar_figure(scores().assign(mean=np.nan)), "finite"),
        (lambda: bar_figure(scores().iloc[:0]), "1 to 50 rows"),
        (lambda: curve_figure({}), "1 to 30 methods"),
        (lambda: compare_grid(IMAGES, [], class_names=NAMES), "two to four"),
        (lambda: Sheet(300, 2), "at most 20"),
    ],
)
def test_bad_input_is_refused_in_plain_words(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_two_models_of_one_name_or_with_other_methods_are_refused():
    view = ModelView("run", PREDICTED["predictions"], PREDICTED["probabilities"], {"a": MAPS})
    other = ModelView("run 2", PREDICTED["predictions"], PREDICTED["probabilities"], {"b": MAPS})
    with pytest.raises(InputError, match="different names"):
        compare_grid(IMAGES, [view, view], class_names=NAMES)
    with pytest.raises(InputError, match="same methods"):
        compare_grid(IMAGES, [view, other], class_names=NAMES)
