"""Figures of risk and debiasing: the numbers that are drawn, bounds, overlaps, odd input, bytes."""

import io
import math
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from PIL import Image
from scipy.stats import rankdata

from sundog.core.errors import InputError
from sundog.core.statistics import Estimate, wilson_interval
from sundog.report.before_after import verdict
from sundog.report.debias_content import MethodResult
from sundog.report.figures import (
    before_after_figure,
    density_figure,
    epochs_figure,
    figure_bytes,
    frozen_curve_figure,
    latent_figure,
    montage_figure,
    reliability_figure,
    risk_curve_figure,
    scatter_figure,
)
from sundog.report.mean_images import mean_images
from sundog.report.montage import decimals, number, paste
from sundog.report.phrases import correlation, counted, joined, points, share
from sundog.report.reliability_figure import bin_accuracy
from sundog.report.risk_content import Latent, Reliability, Tile, Windows
from sundog.report.style import COLOURS, LARGEST, MUTED

NAN = math.nan
NONE = Estimate(NAN, NAN, NAN, 0, 0.95, "wilson")
EVIL = "<script>alert(1)</script> Donaudampfschifffahrtsgesellschaftskapitänsmütze $x_1$"


def estimate(value, half=0.05, n=3):
    return Estimate(value, value - half, value + half, n, 0.95, "t")


def windows(right=(10, 15, 18, 20), n=20, pictures=True, **changes):
    count = len(right)
    given = {
        "n": np.full(count, n),
        "low": np.arange(count) - 3.0,
        "high": np.arange(count) - 2.0,
        "measures": {
            "accuracy": [wilson_interval(k, n) for k in right],
            "precision": [wilson_interval(k // 2, n) for k in right],
            "recall": [NONE, *[wilson_interval(k, n) for k in right[1:]]],
        },
        "mean_images": [np.full((8, 8, 3), 4 * i, np.uint8) for i in range(count)]
        if pictures
        else (),
        "trend": Estimate(0.3, 0.2, 0.4, n * count, 0.95, "bootstrap"),
        "positive": "macro average",
    }
    return Windows(**{**given, **changes})


def curve(made=None, **changes):
    words = {"low_words": "least represented", "high_words": "most represented"}
    return risk_curve_figure(made or windows(), **{**words, "field": "representation", **changes})


def tile(value=0, label="tench", predicted="tench", score=1.0, shape=(10, 10, 3)):
    return Tile(np.full(shape, value, np.uint8), label, predicted, score)


def method(name="dfr", worst=0.7, change=0.2, **changes):
    scores = {"worst_group": estimate(worst), "average": estimate(0.8), "gap": estimate(0.1)}
    moved = {"worst_group": estimate(change), "average": estimate(-0.1), "gap": estimate(0.01)}
    return MethodResult(name, **{"scores": scores, "change": moved, "seeds": 3, **changes})


def latent(dimensions=3, steps=5, images=50):
    draw = np.random.default_rng(1)
    return Latent(
        grid=draw.random((dimensions, steps, 6, 6, 3)),
        values=np.tile(np.linspace(-2, 2, steps), (dimensions, 1)),
        codes=draw.normal(size=(images, dimensions)),
        names=[f"z{i}" for i in range(dimensions)],
    )


def bins(n=(0, 10, 40), accuracy=(NAN, 0.5, 0.9), confidence=(NAN, 0.6, 0.91)):
    edges = np.linspace(0, 1, len(n) + 1)
    return pd.DataFrame(
        {
            "from": edges[:-1],
            "to": edges[1:],
            "n": n,
            "confidence": confidence,
            "accuracy": accuracy,
        }
    )


def epochs():
    return pd.DataFrame(
        [
            {"method": m, "epoch": e, "seed": s, "accuracy": 0.5 + 0.1 * e + 0.01 * s,
             "worst_group": 0.3 + 0.1 * e}
            for m in ("erm", "dfr") for e in range(1, 4) for s in range(2)
        ]
    )  # fmt: skip


def every_figure(*names):
    draw = np.random.default_rng(2)
    scores = draw.normal(size=3000)
    scores[:5] = NAN
    named = dict(zip(("a", EVIL, "c"), draw.normal(size=(3, 300)), strict=True))
    grey = Tile(draw.random((9, 30, 1)), "", "", 1e-9)
    members, right = draw.integers(-1, 199, 3000), draw.random(300) < 0.8
    before = MethodResult("erm", {"worst_group": estimate(0.5), "average": 0.9, "gap": NONE})
    makers = {
        "curve": lambda: curve(title="A title " * 20),
        "curve of one window": lambda: curve(windows(right=(3,))),
        "curve of NaN": lambda: curve(
            windows(measures={EVIL: [NONE] * 4}), field=EVIL, low_words=EVIL
        ),
        "curve of 60 windows": lambda: curve(windows(right=(3, 4, 5) * 20)),
        "frozen": lambda: frozen_curve_figure(
            windows(),
            {EVIL: windows(right=(11, 15, 18, 20))},
            low_words="rare",
            high_words="common",
            field="representation",
        ),
        "montage": lambda: montage_figure(
            [(EVIL, [tile(9, EVIL), grey, tile(score=-math.inf, shape=(1, 1, 3))]), ("none", [])],
            title=EVIL,
        ),
        "montage of 25": lambda: montage_figure(
            [("low", [tile(i, "church") for i in range(30)])] * 2
        ),
        "density": lambda: density_figure(
            scores,
            members=members,
            names=[f"group {i} {EVIL}" for i in range(200)],
            score=EVIL,
            low_words="rare",
            high_words="common",
        ),
        "density of one value": lambda: density_figure(np.ones(3), score="constant"),
        "density of nothing": lambda: density_figure(np.array([NAN]), score="nothing"),
        "latent": lambda: latent_figure(latent(4, 7), title="Latent"),
        "reliability": lambda: reliability_figure(Reliability(bins(), estimate(0.07))),
        "reliability of nothing": lambda: reliability_figure(
            Reliability(bins(n=(0,), accuracy=(NAN,), confidence=(NAN,)), NAN)
        ),
        "scatter": lambda: scatter_figure(
            {**named, "nothing": np.full(300, NAN), "e": np.ones(300)},
            correct=right,
            correlations={("a", EVIL): estimate(0.2), ("a", "c"): NONE},
        ),
        "before and after": lambda: before_after_figure(
            before, [method(), method(EVIL, change=-0.3), MethodResult("odd", {})], chosen=EVIL
        ),
        "before alone": lambda: before_after_figure(before, []),
        "epochs": lambda: epochs_figure(epochs()),
        "one epoch": lambda: epochs_figure(
            pd.DataFrame({"method": [str(i) for i in range(20)], "epoch": 1, "accuracy": NAN})
        ),
    }
    return {name: make() for name, make in makers.items() if not names or name in names}


@pytest.fixture(scope="module")
def figures():
    return every_figure()


def words(figure):
    return [text.get_text() for text in figure.texts]


def note(figure):
    return words(figure)[-1].replace("\n", " ")


def test_every_figure_is_bounded_and_drawn(figures):
    for name, figure in figures.items():
        width, height = figure.get_size_inches()
        assert max(width, height) <= LARGEST, name
        picture = Image.open(io.BytesIO(figure_bytes(figure, dpi=40)))
        assert np.asarray(picture.convert("L")).std() > 2, name


def test_the_bytes_repeat(figures):
    names = ("curve", "frozen", "montage", "density of one value", "latent", "reliability")
    again = every_figure(*names, "scatter", "before and after", "epochs")
    assert len(again) == 9
    for name, figure in again.items():
        assert figure_bytes(figure, dpi=40) == figure_bytes(figures[name], dpi=40), name


def _touch(a, b):
    return min(a.x1, b.x1) - max(a.x0, b.x0) > 2 and min(a.y1, b.y1) - max(a.y0, b.y0) > 2


def test_no_text_overlaps_another_text_or_a_picture_or_leaves_the_figure(figures):
    for name, figure in figures.items():
        renderer = FigureCanvasAgg(figure).get_renderer()
        figure.draw(renderer)
        ticks = [
            tick.label1
            for axes in figure.axes
            for axis in (axes.xaxis, axes.yaxis)
            for tick in axis.get_major_ticks()
            if axes.axison and tick.label1.get_visible()
        ]
        labels = [label for a in figure.axes for label in (a.xaxis.label, a.yaxis.label)]
        boxes = [
            (t.get_text(), t.get_window_extent(renderer))
            for t in (*figure.texts, *labels)
            if t.get_text()
        ]
        width, height = figure.bbox.size
        for text, box in boxes:
            assert box.x0 >= -1, (name, text)
            assert box.y0 >= -1, (name, text)
            assert box.x1 <= width + 1, (name, text)
            assert box.y1 <= height + 1, (name, text)
        for (first, a), (second, b) in combinations(boxes, 2):
            assert not _touch(a, b), (name, first, second)
        for text, box in boxes:
            for tick in ticks:
                if tick.get_text():
                    assert not _touch(box, tick.get_window_extent(renderer)), (name, text)
            frames = [a.bbox for a in figure.axes if a.images and not name.startswith("montage")]
            assert not any(_touch(box, frame) for frame in frames), (name, text)


# --- accuracy against risk ----------------------------------------------------------------------


def test_the_curve_holds_the_estimates_and_their_intervals():
    made = windows()
    axes = curve(made).axes[0]
    lines = [line for line in axes.lines if len(line.get_ydata()) == 4]
    for line, name in zip(lines, ("accuracy", "precision", "recall"), strict=True):
        wanted = [e.value for e in made.measures[name]]
        np.testing.assert_array_equal(np.asarray(line.get_ydata(), float), wanted)
        assert np.all(np.floor(line.get_xdata()) == np.arange(4))
    spans = [segment[:, 1] for segment in axes.collections[0].get_segments()]
    np.testing.assert_allclose(spans, [[e.low, e.high] for e in made.measures["accuracy"]])
    assert len({line.get_marker() for line in lines}) == 3
    assert [t.get_text() for t in axes.get_xticklabels()] == ["0", "25", "50", "75", "100"]


def test_percentiles_follow_the_sizes_of_the_windows():
    made = windows(
        right=(1, 1), n=4, measures={"accuracy": [wilson_interval(1, 5), wilson_interval(1, 3)]}
    )
    object.__setattr__(made, "n", np.array([5, 3]))
    figure = curve(made)
    assert [t.get_text() for t in figure.axes[0].get_xticklabels()] == ["0", "62", "100"]
    assert "n = 8 images, 3 to 5 in a window" in note(figure)


def test_the_note_says_what_the_scale_leaves_out():
    # Wilson's interval of 10 of 20 starts at 29.9 %.
    one = windows(measures={"accuracy": [wilson_interval(10, 20)] * 4})
    assert "the scale starts at 20%" in note(curve(one))
    assert "starts" not in note(curve(windows(right=(0, 1, 2, 3))))
    many = windows(measures={f"m{i}": [wilson_interval(i, 20)] * 4 for i in range(9)})
    assert "not drawn for room: m7, m8" in note(curve(many, measures=()))
    assert "mean images of 60 windows are too small" in note(curve(windows(right=(3, 4, 5) * 20)))


def test_frozen_windows_must_hold_the_same_images():
    given = {"low_words": "rare", "high_words": "common", "field": "representation"}
    figure = frozen_curve_figure(windows(), {"dfr": windows(right=(15, 16, 17, 18))}, **given)
    drawn = [list(line.get_ydata()) for line in figure.axes[0].lines if len(line.get_ydata()) == 4]
    assert drawn == [[0.5, 0.75, 0.9, 1.0], [0.75, 0.8, 0.85, 0.9]]
    with pytest.raises(InputError, match="frozen"):
        frozen_curve_figure(windows(), {"dfr": windows(n=21)}, **given)
    with pytest.raises(InputError, match="without it"):
        frozen_curve_figure(windows(), {"dfr": windows()}, measure="f1", **given)


def test_windows_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="low: 3"):
        windows(low=np.zeros(3))
    with pytest.raises(InputError, match="at least one"):
        windows(measures={})


# --- montages and mean images -------------------------------------------------------------------


def test_a_montage_tells_right_from_wrong_in_words():
    shown = [
        tile(label="tench", predicted="church", score=-40.25),
        tile(score=0.5),
        tile(label="", score=NAN),
    ]
    found = words(montage_figure([("Rare", shown)]))
    assert found == ["Rare", "✗ church", "is tench", "−40.2", "✓ tench", "0.5", "tench"]


def test_a_montage_says_how_many_it_leaves_out():
    figure = montage_figure([("Rare", [tile()] * 30), ("Common", [])], columns=5, rows=2)
    assert "Rare (first 10 of 30)" in words(figure)
    assert "no image" in words(figure)
    assert words(figure).count("✓ tench") == 10
    with pytest.raises(InputError, match="at least one"):
        montage_figure([])


def test_pasted_pictures_lie_where_they_belong():
    grid = [[np.full((10, 10, 3), v, np.uint8) for v in row] for row in ((10, 20), (30, 40))]
    page = paste(grid, side=0.1, gap=0.1, below=0.2)  # 15 pixels, 15 and 30 between
    assert page.shape == (60, 45, 3)
    assert [int(page[y, x, 0]) for y, x in ((7, 7), (7, 37), (52, 7), (52, 37))] == [10, 20, 30, 40]
    assert (page[20:40] == 255).all()
    wide = paste([[np.zeros((4, 8, 3), np.uint8)]], side=0.1, gap=0, below=0)
    assert (wide[0] == 255).all()
    assert (wide[7] == 0).all()
    assert (paste([[None]], side=0.1, gap=0, below=0, blank=(1, 2, 3)) == [1, 2, 3]).all()


def test_scores_share_their_decimals():
    assert [number(v, decimals([-40.25, 1.0])) for v in (-40.25, 1.0, NAN)] == ["−40.2", "1.0", "–"]
    assert decimals([0.0]) == 1
    assert decimals([]) == 2
    assert decimals([12345.0]) == 0
    assert number(2.5e-9, decimals([2.5e-9])) == "2.5e−09"
    assert number(math.inf, 2) == "∞"


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 255), st.integers(-1, 3)), max_size=20))
def test_mean_images_are_means(values):
    found = mean_images(((np.full((4, 4), v, np.uint8), w) for v, w in values), windows=4, side=4)
    for window in range(4):
        own = [v for v, w in values if w == window]
        if not own:
            assert found[window] is None
        else:
            assert np.array_equal(
                found[window], np.full((4, 4, 3), np.rint(np.mean(own)), dtype=np.uint8)
            )


def test_mean_images_of_other_sizes_are_cut_not_bent():
    wide = np.zeros((4, 8, 3), np.uint8)
    wide[:, 2:6] = 200
    found = mean_images([(wide, 0), (np.full((2, 2, 1), 1.0), 0)], windows=1, side=4)[0]
    assert np.array_equal(found, np.full((4, 4, 3), 228, np.uint8))  # (200 + 255) / 2 = 227.5
    with pytest.raises(InputError, match="below 1"):
        mean_images([(wide, 1)], windows=1)
    with pytest.raises(InputError, match="at least 1"):
        mean_images([], windows=0)


# --- densities ----------------------------------------------------------------------------------


def test_densities_count_every_image_and_sort_by_the_median():
    scores = np.array([0.0, 1, 2, 3, 10, 11, 12, NAN, 5.0, 6.0])
    members = np.array([1, 1, 1, 1, 0, 0, 0, 0, -1, -1])
    figure = density_figure(scores, members=members, names=["high", "low", "empty"], score="s")
    found = words(figure)
    order = [word for word in found if word in ("all images", "high", "low", "empty")]
    assert order == ["all images", "low", "high", "empty"]
    assert [found[found.index(name) + 1] for name in order] == ["9", "4", "3", "0"]
    medians = [found[found.index(name) + 2] for name in order[:3]]
    assert medians == ["5.0", "1.5", "11.0"]
    assert "1 values that are not finite" in note(figure)
    stairs = [p for p in figure.axes[0].patches if p.get_fill()]
    for patch, place, part in zip(
        stairs, range(3), (scores[:7], scores[:4], scores[4:7]), strict=True
    ):
        heights, edges, _ = patch.get_data()
        own = np.append(part, [5.0, 6.0]) if place == 0 else part
        counts, _ = np.histogram(np.clip(own, edges[0], edges[-1]), edges)
        np.testing.assert_allclose(place + 1 - heights, 0.86 * counts / counts.max())


def test_200_groups_are_cut_and_said():
    members = np.repeat(np.arange(200), 3)
    figure = density_figure(
        members.astype(float), members=members, names=[f"g{i}" for i in range(200)], score="s"
    )
    drawn = [word for word in words(figure) if word.startswith("g") and word[1:].isdigit()]
    assert drawn == [f"g{i}" for i in (*range(12), *range(188, 200))]
    assert "176 groups between" in note(figure)
    with pytest.raises(InputError, match="groups"):
        density_figure(np.zeros(3), members=np.array([0, 1, 2]), names=["a", "b"], score="s")


def test_the_latent_histogram_counts_what_lies_under_the_pictures():
    made = latent(2, 5, 400)
    figure = latent_figure(made)
    # Pictures stand at -2..2 in steps of 1, so the scale reaches from -2.5 to 2.5.
    inside = (np.abs(made.codes) <= 2.5).sum(axis=0)
    bars = [axes for axes in figure.axes if axes.patches]
    for axes, count in zip(bars, inside, strict=True):
        assert axes.get_xlim() == pytest.approx((-2.5, 2.5))
        assert axes.patches[0].get_data()[0].sum() == count
        assert [t.get_text() for t in axes.get_xticklabels()] == [
            "−2.0",
            "−1.0",
            "0.0",
            "1.0",
            "2.0",
        ]
    outside = [f"{400 - count} outside" for count in inside if count < 400]
    assert [word for word in words(figure) if "outside" in word] == outside
    assert "18 further dimensions" in note(latent_figure(latent(30, 11)))
    for broken in (
        {"values": made.values[:, ::-1]},
        {"names": ["z"]},
        {"codes": made.codes[:, :1]},
    ):
        with pytest.raises(InputError, match="latent"):
            latent_figure(Latent(**{**made.__dict__, **broken}))


# --- reliability, scatter -----------------------------------------------------------------------


def test_reliability_points_are_the_bins():
    figure = reliability_figure(Reliability(bins(), 0.034))
    dots = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
    assert [(d.get_xdata()[0], d.get_ydata()[0]) for d in dots] == [(0.6, 0.5), (0.91, 0.9)]
    assert "3.4 points" in words(figure)
    assert "n = 50 images" in words(figure)
    assert "1 of 3 bins hold no image" in note(figure)
    assert bin_accuracy({"n": 40, "accuracy": 0.9}) == wilson_interval(36, 40)
    own = bin_accuracy({"n": 4, "accuracy": 0.5, "accuracy_low": 0.4, "accuracy_high": 0.6})
    assert (own.low, own.high) == (0.4, 0.6)
    assert math.isnan(bin_accuracy({"n": 0, "accuracy": NAN}).value)
    with pytest.raises(InputError, match="confidence"):
        reliability_figure(Reliability(bins().drop(columns="confidence"), 0.1))


def test_scatter_shows_ranks_and_says_what_it_leaves_out():
    draw = np.random.default_rng(3)
    scores = {"a": draw.normal(size=50), "b": draw.exponential(size=50)}
    scores["a"][0] = NAN
    right = draw.random(50) < 0.5
    figure = scatter_figure(scores, correct=right, correlations={("b", "a"): estimate(-0.25)})
    dots, crosses = figure.axes[0].collections
    fine = np.isfinite(scores["a"])
    wanted = np.full((50, 2), np.nan)
    for column, name in enumerate("ab"):
        wanted[fine, column] = (rankdata(scores[name][fine]) - 0.5) / 49
    np.testing.assert_allclose(np.ma.filled(dots.get_offsets(), np.nan), wanted[right])
    np.testing.assert_allclose(np.ma.filled(crosses.get_offsets(), np.nan), wanted[~right])
    assert "ρ = −0.25 [−0.30, −0.20]" in words(figure)
    many = scatter_figure({name: draw.normal(size=9000) for name in "abcdef"})
    assert "1,800 of them are drawn" in note(many)
    assert "9 further pairs are not drawn" in note(many)
    with pytest.raises(InputError, match="at least two"):
        scatter_figure({"a": np.zeros(3)})
    with pytest.raises(InputError, match="equal length"):
        scatter_figure({"a": np.zeros(3), "b": np.zeros(4)})


# --- before and after ---------------------------------------------------------------------------


def test_a_change_is_called_by_its_interval_and_direction():
    changed = method(change=0.2)  # ± 0.05; average −0.1 ± 0.05; gap +0.01 ± 0.05
    assert verdict(changed, "worst_group") == "better"
    assert verdict(changed, "average") == "worse"
    assert verdict(changed, "gap") == ""
    assert verdict(changed, "seconds") == ""
    falls = MethodResult("m", {}, {"gap": estimate(-0.2), "unheard_of": estimate(1.0)})
    assert verdict(falls, "gap") == "better"
    assert verdict(falls, "unheard_of") == ""
    assert verdict(MethodResult("m", {}, {"gap": NONE}), "gap") == ""


def test_before_and_after_draws_the_numbers_in_their_colours():
    before = MethodResult("erm", {"worst_group": estimate(0.5), "average": 0.9})
    figure = before_after_figure(before, [method(worst=0.7)], chosen="dfr")
    panels = [axes for axes in figure.axes if axes.lines]
    assert len(panels) == 2  # flip rate and gap are not known before
    dots = [line for line in panels[0].lines if line.get_marker() == "o"]
    assert [d.get_xdata()[0] for d in dots] == [0.5, 0.7]
    assert [to_hex(d.get_color()) for d in dots] == [MUTED, COLOURS[0]]
    assert (
        to_hex([d for d in panels[1].lines if d.get_marker() == "o"][1].get_color()) == COLOURS[1]
    )
    assert "★ dfr" in words(figure)
    assert "over 1 or 3 seeds" in note(figure)
    many = before_after_figure(before, [method(f"m{i}") for i in range(45)])
    assert "15 further methods are in the table only" in note(many)
    with pytest.raises(InputError, match="metrics"):
        before_after_figure(before, [], metrics=["ece"])


def test_epochs_are_means_over_seeds():
    figure = epochs_figure(epochs())
    left, right = figure.axes
    np.testing.assert_allclose(left.lines[0].get_ydata(), [0.605, 0.705, 0.805])
    np.testing.assert_allclose(right.lines[1].get_ydata(), [0.4, 0.5, 0.6])
    assert "mean of 2 seeds" in note(figure)
    assert len(epochs_figure(epochs().drop(columns="worst_group")).axes) == 1
    with pytest.raises(InputError, match="epoch"):
        epochs_figure(pd.DataFrame({"method": ["a"], "accuracy": [1.0]}))


# --- words --------------------------------------------------------------------------------------


def test_numbers_in_sentences():
    assert share(Estimate(0.714, 0.66, 0.757, 9, 0.95, "")) == "71\u00a0% [66, 76]"
    assert share(0.5) == "50\u00a0%"
    assert share(NONE) == "–"
    assert points(Estimate(-0.004, -0.007, 0.0, 3, 0.95, "")) == "−0.4 points [−0.7, +0.0]"
    assert correlation(Estimate(-0.25, -0.3, 0.2, 3, 0.95, "")) == "−0.25 [−0.30, +0.20]"
    assert correlation(NONE) == "–"
    assert [counted(1, "class"), counted(2, "class"), counted(1234, "image")] == [
        "1 class",
        "2 classes",
        "1,234 images",
    ]
    assert joined(["a"]) == "a"
    assert joined(list("abc")) == "a, b and c"
    assert joined(list("abcdefgh")) == "a, b, c, d, e, f and 2 more"
