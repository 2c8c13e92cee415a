"""Every public result shows itself in a notebook: escaped, self-contained, short elsewhere."""

import dataclasses
import importlib
import inspect
import pkgutil
import runpy
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

import sundog
import sundog.audit
from sundog.audit.audit_changes import BeforeAfter
from sundog.audit.audit_run import AuditRun
from sundog.audit.check_run import CheckRun
from sundog.bias.complex_result import SliceSearch
from sundog.bias.shortcut_result import CueExample, Shortcut, ShortcutSearch
from sundog.bias.slice_effects import SliceEffect
from sundog.concepts.tag_scores import TagScores
from sundog.core.audit.gate import CheckReport, Gate
from sundog.core.audit.measured import Measured
from sundog.core.audit.summary import Change
from sundog.core.notebook import Card, InNotebook, card_html, map_pixels, picture_html, text_of
from sundog.core.statistics import Estimate
from sundog.data.planted_set import PlantedSet
from sundog.explain.attribution import Attribution
from sundog.faithfulness.curve import Curves, CurveSpec
from sundog.faithfulness.table import FaithfulnessTable
from sundog.models.train import TrainedRun
from sundog.report.blocks import Gallery, Photo
from sundog.report.notebook import PageInNotebook
from sundog.report.page import Page, Section
from sundog.report.picture import Picture
from sundog.report.sheet import Sheet
from sundog.report.style import style
from sundog.report.table import Column, Table
from sundog.risk.output import RiskOutput

EVIL = "<script>alert(1)</script>\"'&"
INPUTS = {
    *("Classifier", "Tagger", "Sorter", "Cue", "Subject", "RiskModel", "EnsembleModel", "Path"),
    *("DebiasData", "OpenedDebias", "AuditVerdicts", "ToSuppress"),
}
"""What public functions return that is given to others, not looked at."""


class Tags(HTMLParser):
    def __init__(self, html):
        super().__init__()
        self.tags, self.stack, self.text = [], [], []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("img", "br"):
            self.stack.append(tag)

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def labels():
    return np.array([0, 1] * 30)


def probabilities(seed):
    made = np.random.default_rng(seed).dirichlet((1, 1), 60)
    return made / made.sum(axis=1, keepdims=True)


def image_set():
    pixels = np.zeros((4, 8, 8, 3), np.uint8) + np.arange(4, dtype=np.uint8)[:, None, None, None]
    return sundog.from_arrays(pixels, np.array([0, 1, 0, 1]), class_names=(EVIL, "b"), name=EVIL)


def risk_output():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(60, 2, generator=generator)
    return RiskOutput(logits, logits.softmax(1), epistemic=torch.rand(60, generator=generator))


def comparison():
    frame = pd.DataFrame(
        {
            "id": [f"i{k}" for k in range(60)] * 2,
            "label": np.tile(labels(), 2),
            "cue_class": np.repeat([-1, 0], 60),
            "cue_on": np.repeat([False, True], 60),
            "prediction": np.concatenate([labels(), np.zeros(60, int)]),
            "probability": 0.5,
        }
    )
    frame.loc[frame["cue_on"], "cue_class"] = frame.loc[frame["cue_on"], "label"]
    return sundog.compare_models({EVIL: frame, "b": frame}, permutations=99)


def slices():
    one = Estimate(-0.4, -0.6, -0.2, 60, 0.95, "newcombe")
    empty = {f.name: None for f in dataclasses.fields(SliceEffect)}
    effect = SliceEffect(**{**empty, "class_name": EVIL, "concepts": (EVIL,), "gap": one,
                            "n_present": 20, "p": 0.001, "p_adjusted": 0.01,
                            "direction": "hurts"})  # fmt: skip
    return SliceSearch((effect,), 12, (), {}, "westfall_young", "adds", "accuracy", 0.05, (EVIL,))


def faithfulness():
    scores = pd.DataFrame({"id": ["a", "b"], "method": [EVIL, "random"]})
    summary = pd.DataFrame({"metric": "deletion", "method": [EVIL, "random"], "mean": [0.1, 0.2],
                            "low": 0.0, "high": 0.3, "n": 2, "control": [False, True]})  # fmt: skip
    nothing = pd.DataFrame()
    return FaithfulnessTable(scores, summary, nothing, nothing, nothing, notes=(EVIL,))


def curves():
    x = np.linspace(0, 1, 4)
    values = np.array([[1, 0.5, 0.2, 0.1], [np.nan] * 4])
    return Curves(CurveSpec(), x, values, np.array([0.4, np.nan]), np.array([np.nan] * 2),
                  np.array([0, 1]), ("", EVIL), 4.0)  # fmt: skip


def shortcuts():
    one = Estimate(0.68, 0.6, 0.7, 200, 0.95, "wilson")
    pixels = np.full((30, 30, 3), 99, np.uint8)
    empty = {f.name: None for f in dataclasses.fields(Shortcut)}
    cue = Shortcut(**{**empty, "name": EVIL, "family": "window", "flip": one, "control": one,
                      "reliance": one, "p_adjusted": 0.01,
                      "examples": (CueExample(pixels, pixels, pixels, 0, 0, 1),)})  # fmt: skip
    return ShortcutSearch((cue,), pd.DataFrame({"p": [0.1, 0.2]}), 0.1, 0.05, 600, 9000, (EVIL,))


def checked():
    gate = Gate(suite="limits", name=EVIL, decision="fail", message="0.3 [0.2, 0.4] (n = 9).")
    report = CheckReport(title=EVIL, audit="00", passed=False, gates=(gate,), notes=(EVIL,))
    return CheckRun(report=report, junit=None, json=None)


def changed():
    share = Measured(value=0.5, low=0.4, high=0.6, n=90)
    change = Change(what=EVIL, kind="overall", before=share, after=share, difference=share)
    return BeforeAfter((change,), (EVIL,), {"title": EVIL})


def summary(folder):
    made = runpy.run_path(str(Path(__file__).parents[1] / "audit_report_run.py"))
    return made["make_summary"](folder, title=EVIL, answer=(f"It is {EVIL}.", EVIL, EVIL))


RESULTS = {
    "ShortcutSearch": (shortcuts, "1 cue claimed of 2 tests on 600 images"),
    "CheckRun": (checked, "1 failed, 0 inconclusive"),
    "BeforeAfter": (changed, "1 number before and after"),
    "ImageSet": (image_set, "4 images, 2 classes"),
    "Attribution": (
        lambda: Attribution(EVIL, torch.randn(5, 9, 9), None, "logit", torch.zeros(5, 2)),
        "5 maps by",
    ),
    "Comparison": (comparison, "cannot tell"),
    "SliceSearch": (slices, "1 slice of 12 combinations"),
    "GroupScores": (
        lambda: sundog.group_scores(
            probabilities(0), labels(), labels(), (EVIL, "b"), class_names=(EVIL, "b")
        ),
        "worst group",
    ),
    "GroupComparison": (
        lambda: sundog.compare_group_scores(
            probabilities(0), probabilities(1), labels(), labels(), (EVIL, "b"),
            class_names=(EVIL, "b"), resamples=100,
        ),
        "images answered differently",
    ),
    "RiskOutput": (risk_output, "Risks of 60 images: epistemic"),
    "RiskMetrics": (
        lambda: sundog.metrics_table(risk_output(), labels(), class_names=("a", "b"), resamples=20),
        "metrics of",
    ),
    "AccuracyVsRisk": (
        lambda: sundog.accuracy_vs_risk(
            np.arange(60.0), labels(), np.zeros(60, int), class_names=(EVIL, "b"), windows=3
        ),
        "Accuracy of the first window",
    ),
    "TagScores": (
        lambda: TagScores(EVIL, "0", (EVIL, "b"), np.array([0.5, 0.5]), np.eye(2), ("x", "y")),
        "2 tags of 2 images",
    ),
    "TrainedRun": (
        lambda: TrainedRun(SimpleNamespace(name=EVIL), pd.DataFrame({"epoch": [1]}), None, {}),
        "trained",
    ),
    "PlantedSet": (lambda: PlantedSet(Path(EVIL), Path(EVIL), 3, 0, ()), "3 images"),
    "FaithfulnessTable": (faithfulness, "controls among them"),
    "Curves": (curves, "1 deletion curves; mean area 0.4 (lower is better)"),
    "Groups": (
        lambda: sundog.make_groups(labels(), labels(), class_names=(EVIL, "b"),
                                   attribute_names=("c", EVIL)),
        "4 groups of 60 images",
    ),
    "SamplingWeights": (
        lambda: sundog.sampling_weights(np.arange(60.0), labels=labels()),
        "Weights of 60",
    ),
}  # fmt: skip
"""Name of the class -> (a small one, words that its card says)."""


def page():
    with style():
        figure = Sheet(3, 2).figure
    table = Table(
        pd.DataFrame({"class": [EVIL], "gap": [Estimate(-0.4, -0.6, -0.2, 60, 0.95, "newcombe")]}),
        EVIL,
        {"gap": Column(f"gap {EVIL}", format="points", digits=0)},
    )
    picture = Picture(figure, "caption", f"alt {EVIL}", "chart")
    deep = Section("deep", parts=[Section("deeper", tables=[table], pictures=[picture])])
    return Page(EVIL, f"Found {EVIL}.", [deep], tone="alarm", answers={EVIL: EVIL})


def page_results():
    found = {}
    for module in pkgutil.iter_modules(sundog.audit.__path__, "sundog.audit."):
        for name, one in vars(importlib.import_module(module.name)).items():
            fields = getattr(one, "__dataclass_fields__", {})
            if inspect.isclass(one) and {"content", "page"} <= set(fields):
                found[name] = one
    return found


PAGES = page_results()


def check(kind, result, *, hostile=True):
    html = result._repr_html_()
    tags = Tags(html)
    assert not tags.stack
    assert "<script" not in html
    assert not {tag for tag, _ in tags.tags} & {"script", "style", "link", "iframe"}
    for _, attrs in tags.tags:
        assert not any(name.startswith("on") for name in attrs)
        assert attrs.get("src", "data:image/webp").startswith("data:image/webp")
    words = "".join(tags.text)
    assert kind in words
    if hostile:
        assert EVIL in words + "".join(a.get("alt", "") for _, a in tags.tags)
    shown = repr(result)
    assert len(shown) <= 300
    assert "\n" not in shown
    assert shown.startswith(kind)
    return tags, words


@pytest.mark.parametrize("kind", RESULTS)
def test_a_result_shows_itself(kind):
    make, said = RESULTS[kind]
    result = make()
    assert type(result).__name__ == kind
    assert isinstance(result, InNotebook)
    plain = kind in ("RiskOutput", "RiskMetrics", "AccuracyVsRisk", "SamplingWeights")
    _, words = check(kind, result, hostile=not plain)
    assert said in words


@pytest.mark.parametrize("kind", PAGES)
def test_a_run_shows_the_answer_of_its_page_a_table_a_picture_and_the_link(kind, tmp_path):
    home = tmp_path / f"a b{EVIL.replace('/', '')}.html"
    given = dict.fromkeys(f.name for f in dataclasses.fields(PAGES[kind]))
    result = PAGES[kind](**{**given, "content": page(), "page": home})
    assert isinstance(result, PageInNotebook)
    tags, words = check(kind, result)
    assert "Bias found" in words
    assert f"Found {EVIL}." in words
    assert "−40 [−60, −20]" in words
    assert [a["alt"] for t, a in tags.tags if t == "img"] == [f"alt {EVIL}"]
    (link,) = [a["href"] for t, a in tags.tags if t == "a"]
    assert link.startswith("file:///")
    assert " " not in link
    assert repr(result) == f"{kind}(Found {EVIL}.)"


def test_an_audit_shows_its_answer_every_question_and_a_picture(tmp_path):
    record = summary(tmp_path)
    run = AuditRun(path=tmp_path, page=tmp_path / "index.html", summary=record, plan=None)
    tags, words = check("AuditRun", run)
    assert "bias found" in words
    assert "Do its predictions follow a cue?" in words
    alts = [a["alt"].split(":")[0] for t, a in tags.tags if t == "img"]
    assert alts == ["Comes from", "Put into", "Result"]
    assert repr(run) == f"AuditRun(It is {EVIL}.)"
    html = record._repr_html_()
    assert not Tags(html).stack
    text = "".join(Tags(html).text)
    assert "AuditSummary" in text
    assert "0.679 [0.614, 0.738] (n = 212)" in text
    assert "springer" in text
    assert "<script" not in html


def test_every_public_function_returns_something_that_shows_itself():
    known = {*RESULTS, *PAGES, "AuditRun"}
    for name in sundog.__all__:
        value = getattr(sundog, name)
        if not inspect.isfunction(value):
            continue
        returned = str(inspect.signature(value).return_annotation)
        if returned in INPUTS or returned.startswith("dict["):
            continue
        shown = value.__globals__[returned]
        assert hasattr(shown, "_repr_html_"), f"{name} returns {returned}"
        assert returned in known or not issubclass(shown, InNotebook), f"no test of {returned}"


def test_a_page_of_photographs_shows_the_first(tmp_path):
    photo = Photo(np.full((70, 90, 3), 9, np.uint8), "words", alt="A church")
    content = Page("T", "H.", [Section("s", galleries=[Gallery("g", [photo, photo])])])
    run = PAGES["TagsRun"](tmp_path, tmp_path / "index.html", content, None, None, ())
    tags, _ = check("TagsRun", run, hostile=False)
    assert [a["alt"] for t, a in tags.tags if t == "img"] == ["A church"]


def test_long_tables_are_cut_and_say_so():
    frame = pd.DataFrame({"n": range(40), "value": np.nan})
    html = card_html("K", Card(headline="h", tables=[("c", frame)]))
    assert html.count("<tr>") == 13
    assert "28 more rows" in html
    assert "nan" not in html


def test_cells_of_every_kind():
    assert text_of(Estimate(0.5, 0.4, 0.6, 9, 0.95, "t")) == "0.5 [0.4, 0.6] (n = 9)"
    assert text_of(Estimate(float("nan"), 0, 0, 0, 0.95, "t")) == "–"
    values = [None, pd.NA, True, np.bool_(False), 12345, np.int64(7), 0.123456, float("nan"), "x"]
    assert [text_of(v) for v in values] == [
        "–",
        "–",
        "yes",
        "no",
        "12,345",
        "7",
        "0.1235",
        "–",
        "x",
    ]


def test_maps_are_red_for_and_blue_against():
    pixels = map_pixels(np.array([[2.0, 0.0], [-1.0, np.nan]]))
    assert pixels.tolist() == [[[255, 0, 0], [255, 255, 255]], [[128, 128, 255], [255, 255, 255]]]
    html = picture_html(np.zeros((500, 2000, 3), np.uint8), 'a "b"')
    assert 'alt="a &quot;b&quot;"' in html


def test_a_link_below_the_notebook_is_relative(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    html = card_html("K", Card(headline="h", link=Path("runs/a b/index.html")))
    assert 'href="runs/a%20b/index.html"' in html


def test_results_need_a_card():
    class Bare(InNotebook):
        pass

    with pytest.raises(NotImplementedError):
        Bare()._repr_html_()
