"""Tiny and degenerate sets: every metric answers or says why not, without a warning."""

import json
import warnings

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sundog.models.group_comparison import compare_group_scores
from sundog.models.group_scores import group_scores
from sundog.risk.accuracy_vs_risk import accuracy_vs_risk
from sundog.risk.metrics_table import metrics_table
from sundog.risk.output import RiskOutput

rows = st.lists(
    st.tuples(
        st.integers(0, 2),  # label
        st.integers(-1, 2),  # group
        st.sampled_from([0.0, 1.0, 2.0, float("nan"), float("inf")]),  # risk
        st.sampled_from([0, 1, 2]),  # answer before
        st.sampled_from([0, 1, 2]),  # answer after
    ),
    min_size=0,
    max_size=5,
)


@settings(max_examples=20, deadline=None)
@given(rows, st.booleans())
def test_tiny_sets(found, sure):
    labels = np.array([row[0] for row in found], dtype=np.int64)
    groups = np.array([row[1] for row in found], dtype=np.int64)
    risk = np.array([row[2] for row in found], dtype=np.float64)
    spread = np.eye(3) if sure else np.full((3, 3), 0.2) + 0.4 * np.eye(3)
    p = spread[[row[3] for row in found]].reshape(-1, 3)
    q = spread[[row[4] for row in found]].reshape(-1, 3)
    names, classes = ["x", "y", "z"], ["a", "b", "c"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        got = group_scores(p, labels, groups, names, class_names=classes, resamples=20)
        both = compare_group_scores(p, q, labels, groups, names, class_names=classes, resamples=100)
        json.dumps([got.to_dict(), both.to_dict()], allow_nan=False)
        assert both.after.overall.n == len(found)
        output = RiskOutput(
            torch.tensor(p).log().clamp_min(-50),
            torch.tensor(p),
            epistemic=torch.tensor(risk),
        )
        table = metrics_table(
            output,
            labels,
            class_names=classes,
            groups=groups,
            group_names=names,
            outlying=output,
            resamples=20,
        ).table
        known = table[table["value"].notna() & table["low"].notna()]
        assert (known["low"] <= known["value"] + 1e-12).all()
        assert (known["high"] >= known["value"] - 1e-12).all()
        if len(found) and not np.isnan(risk).all():
            windows = accuracy_vs_risk(risk, labels, q, class_names=classes, windows=3)
            assert sum(part.n for part in windows.windows) + windows.left_out == len(found)
