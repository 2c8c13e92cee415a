"""The tables of the rooms as rows of text, for the command line and the docs."""

from __future__ import annotations

from collections.abc import Callable

from sundog.concepts.registry import SORTERS, TAGGERS
from sundog.data.embedded import EMBEDDED
from sundog.data.planting import CUES
from sundog.debias.registry import METHODS as DEBIASERS
from sundog.debias.registry import NEEDS
from sundog.explain.registry import METHODS
from sundog.faithfulness.controls import CONTROLS
from sundog.faithfulness.metrics import METRICS
from sundog.models.sources.table import NAMES, PREFIXES
from sundog.risk.registry import METHODS as RISKS

Rows = list[tuple[str, ...]]


def catalog(kind: str) -> tuple[tuple[str, ...], Rows]:
    """Return column names and rows of one table, such as ``methods`` or ``taggers``."""
    return _TABLES[kind]()


def _methods() -> tuple[tuple[str, ...], Rows]:
    rows: Rows = [
        (
            row.name,
            row.family,
            "signed" if row.signed else "unsigned",
            row.cost,
            "yes" if row.gradient else "no",
            row.paper,
        )
        for row in METHODS.values()
    ]
    return ("method", "family", "map", "cost per image", "gradients", "paper"), rows


def _cues() -> tuple[tuple[str, ...], Rows]:
    rows: Rows = [
        (
            row.name,
            row.summary,
            "part of the image" if row.local else "whole image",
            ", ".join(f"{k}={v}" for k, v in row.parameters.items()),
        )
        for row in CUES.values()
    ]
    return ("cue", "what it is", "where", "parameters"), rows


def _metrics() -> tuple[tuple[str, ...], Rows]:
    rows: Rows = [
        (
            row.name,
            "higher is better" if row.higher_is_better else "lower is better",
            "a mask" if row.needs_mask else "",
            row.cost,
            row.convention,
            row.paper,
        )
        for row in METRICS.values()
    ]
    rows += [
        (f"({name})", "control row", "", "0 F", "a map that knows nothing of the classifier", "")
        for name in CONTROLS
    ]
    return ("metric", "direction", "needs", "cost per image", "what it is", "paper"), rows


def _models() -> tuple[tuple[str, ...], Rows]:
    rows: Rows = [(name, _first_line(build)) for name, build in NAMES.items()]
    rows += [(f"{prefix}:NAME", _first_line(build)) for prefix, build in PREFIXES.items()]
    rows.append(("a folder or file", "written by sundog train, or .ts, .pt2, .onnx"))
    return ("model", "what it is"), rows


def _sets() -> tuple[tuple[str, ...], Rows]:
    rows: Rows = [(name, _first_line(opens)) for name, opens in EMBEDDED.items()]
    return ("image set", "what it is"), rows


def _taggers() -> tuple[tuple[str, ...], Rows]:
    return ("tagger", "what it tells", "without a download", "source"), [
        (row.name, row.summary, "yes" if row.offline else "no", row.source)
        for row in TAGGERS.values()
    ]


def _sorters() -> tuple[tuple[str, ...], Rows]:
    return ("sorter", "what it ranks by", "without a download", "source"), [
        (row.name, row.summary, "yes" if row.offline else "no", row.source)
        for row in SORTERS.values()
    ]


def _risks() -> tuple[tuple[str, ...], Rows]:
    return ("risk method", "gives", "kind", "passes per image", "what it is", "source"), [
        (row.name, ", ".join(row.gives), row.kind, row.passes, row.summary, row.source)
        for row in RISKS.values()
    ]


def _debiasers() -> tuple[tuple[str, ...], Rows]:
    return ("method", "kind", "needs", "every image cued", "cost", "what it does", "paper"), [
        (
            row.name,
            row.kind,
            "; ".join(NEEDS[need] for need in row.needs) or "nothing",
            "works" if row.full_alignment else "cannot work",
            row.cost,
            row.summary,
            row.paper,
        )
        for row in DEBIASERS.values()
    ]


def _first_line(documented: Callable[..., object]) -> str:
    return (documented.__doc__ or "").strip().splitlines()[0]


_TABLES = {
    "methods": _methods,
    "cues": _cues,
    "metrics": _metrics,
    "models": _models,
    "sets": _sets,
    "taggers": _taggers,
    "sorters": _sorters,
    "risks": _risks,
    "debiasers": _debiasers,
}
