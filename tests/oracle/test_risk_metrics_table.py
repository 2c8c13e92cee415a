"""The table of all metrics: every cell against the function that is its oracle, group by group."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, log_loss, roc_auc_score

from sundog.core.errors import InputError
from sundog.core.statistics import wilson_interval
from sundog.models.calibration import adaptive_ece, brier, ece
from sundog.models.group_extremes import lowest_proportion
from sundog.risk.metrics_table import BASELINE, BETTER, COLUMNS, metrics_table
from sundog.risk.output import RiskOutput
from sundog.risk.selective import selective_scores

CLASSES, GROUPS = ["a", "b", "c"], ["w", "x", "y", "empty"]


def _output(n=240, seed=0, shift=0.0):
    """A risk that is worth something (epistemic), one that is noise (aleatoric)."""
    rng = np.random.default_rng(seed)
    hard = rng.normal(size=n) + shift
    logits = torch.tensor(rng.normal(size=(n, 3)) * 3 / (1 + np.exp(hard))[:, None])
    common = torch.tensor(-hard + 0.3 * rng.normal(size=n))
    return RiskOutput(
        logits,
        logits.softmax(dim=1),
        representation=common,
        epistemic=torch.tensor(hard),
        aleatoric=torch.tensor(rng.normal(size=n)),
        scores={"knn.representation": common, "gmm.representation": common**3 + 1},
    )


def _world(n=240):
    output = _output(n)
    rng = np.random.default_rng(1)
    labels = np.array([rng.choice(3, p=row / row.sum()) for row in output.probabilities.numpy()])
    return output, labels, rng.integers(-1, 3, n)


def _table(**more):
    output, labels, groups = _world()
    given = {
        "class_names": CLASSES,
        "groups": groups,
        "group_names": GROUPS,
        "outlying": _output(80, seed=2, shift=2.0),
        "resamples": 100,
    } | more
    return metrics_table(output, labels, **given)


def test_every_cell_is_its_oracles():
    output, labels, groups = _world()
    outlying = _output(80, seed=2, shift=2.0)
    found = _table()
    table = found.table.set_index(["group", "score", "metric"])
    assert table.index.is_unique
    assert list(found.table.columns) == COLUMNS
    p = output.probabilities.numpy()
    for name, rows in [("all", groups > -2), *((GROUPS[i], groups == i) for i in range(3))]:
        part, y = p[rows], labels[rows]
        right = part.argmax(axis=1) == y
        want = {
            "nll": log_loss(y, part, labels=range(3)),
            "brier": brier(part, y),
            "ece": ece(part, y),
            "adaptive_ece": adaptive_ece(part, y),
            "accuracy": right.mean(),
        }
        for metric, value in want.items():
            row = table.loc[(name, "", metric)]
            assert row["value"] == pytest.approx(value), metric
            assert row["n"] == rows.sum()
            assert row["low"] <= row["value"] <= row["high"]
        risks = {
            BASELINE: (1 - p.max(axis=1), 1 - outlying.probabilities.numpy().max(axis=1)),
            "-representation": (-output.representation.numpy(), -outlying.representation.numpy()),
            "epistemic": (output.epistemic.numpy(), outlying.epistemic.numpy()),
            "aleatoric": (output.aleatoric.numpy(), outlying.aleatoric.numpy()),
            "-gmm.representation": (
                -output.scores["gmm.representation"].numpy(),
                -outlying.scores["gmm.representation"].numpy(),
            ),
        }
        for score, (risk, foreign) in risks.items():
            mine = risk[rows]
            assert table.loc[(name, score, "mean"), "value"] == pytest.approx(mine.mean())
            oracle = selective_scores(mine, right, resamples=0)
            for metric in ("aurc", "augrc", "coverage_at_risk", "risk_at_coverage"):
                got = table.loc[(name, score, metric), "value"]
                assert got == pytest.approx(getattr(oracle, metric).value), metric
            assert table.loc[(name, score, "failure_auroc"), "value"] == pytest.approx(
                roc_auc_score(~right, mine)
            )
            out = np.repeat([0, 1], [mine.size, foreign.size])
            both = np.concatenate([mine, foreign])
            assert table.loc[(name, score, "ood_auroc"), "value"] == pytest.approx(
                roc_auc_score(out, both)
            )
            assert table.loc[(name, score, "ood_aupr_out"), "value"] == pytest.approx(
                average_precision_score(out, both)
            )
    assert found.same == {"knn.representation": "representation"}
    assert set(found.table["score"]) == {"", *risks}
    assert set(found.table["metric"]) == set(BETTER)
    assert found.unknown == (groups == -1).sum()


def test_empty_groups_stay_and_the_worst_is_the_worst_with_a_simultaneous_interval():
    output, labels, groups = _world()
    found = _table()
    assert found.empty == ("empty",)
    empty = found.table[found.table["group"] == "empty"]
    assert len(empty) == len(found.table) / 5
    assert empty["value"].isna().all()
    each = found.table[found.table["group"].isin(GROUPS[:3])]
    worst = found.worst.set_index(["score", "metric"])
    for (score, metric), part in each.groupby(["score", "metric"]):
        if not BETTER[metric]:
            assert (score, metric) not in worst.index
            continue
        row = worst.loc[(score, metric)]
        values = part.set_index("group")["value"]
        ends = values.min() if BETTER[metric] == "higher" else values.max()
        assert row["value"] == pytest.approx(ends)
        assert values[row["group"]] == pytest.approx(ends)
        assert row["low"] <= row["value"] + 1e-12
        assert row["groups"] == 3
    right = output.prediction.numpy().argmax(axis=1) == labels
    hits = [int(right[groups == i].sum()) for i in range(3)]
    want = lowest_proportion(hits, [int((groups == i).sum()) for i in range(3)], level=0.95)
    row = worst.loc[("", "accuracy")]
    assert (row["value"], row["low"], row["high"]) == pytest.approx(
        (want.value, want.low, want.high)
    )


def test_the_useful_risk_beats_noise_and_the_correlations_are_there():
    found = _table()
    table = found.table.set_index(["group", "score", "metric"])
    assert table.loc[("all", "epistemic", "failure_auroc"), "low"] > 0.5
    noise = table.loc[("all", "aleatoric", "failure_auroc")]
    assert noise["low"] < 0.5 < noise["high"]
    assert table.loc[("all", "epistemic", "ood_auroc"), "low"] > 0.8
    pairs = found.correlations.table().set_index(["a", "b"])
    assert pairs.loc[("representation", "epistemic"), "rho"] < -0.9
    assert "measure the same thing" in pairs.loc[("representation", "epistemic"), "note"]
    assert abs(pairs.loc[("epistemic", "aleatoric"), "rho"]) < 0.2


def test_missing_risks_are_counted_and_outputs_without_risks_or_groups_work():
    output, labels, _ = _world()
    hard = output.epistemic.clone()
    hard[:7] = math.nan
    holes = RiskOutput(output.prediction, output.probabilities, epistemic=hard)
    found = metrics_table(holes, labels, class_names=CLASSES, resamples=0)
    rows = found.table.set_index(["score", "metric"])
    assert rows.loc[("epistemic", "aurc"), "left_out"] == 7
    assert rows.loc[("epistemic", "aurc"), "n"] == len(labels) - 7
    assert math.isnan(rows.loc[("epistemic", "aurc"), "low"])
    assert found.worst.empty
    bare = RiskOutput(output.prediction, output.probabilities)
    plain = metrics_table(bare, labels, class_names=CLASSES, resamples=100)
    assert set(plain.table["score"]) == {"", BASELINE}
    assert plain.correlations.pairs == ()
    one = metrics_table(bare[0], labels[:1], class_names=CLASSES, resamples=100)
    assert one.table["n"].max() == 1
    row = one.table.set_index(["score", "metric"]).loc[("", "accuracy")]
    assert row["low"] == wilson_interval(int(row["value"]), 1).low


def test_same_seed_same_table_and_bad_input_is_refused():
    output, labels, groups = _world()
    assert _table(seed=4).table.equals(_table(seed=4).table)
    with pytest.raises(InputError, match="same model"):
        _table(outlying=RiskOutput(output.prediction, output.probabilities))
    with pytest.raises(InputError, match="given with group_names"):
        _table(groups=None)
    with pytest.raises(InputError, match="one per image"):
        _table(groups=groups[1:])
    with pytest.raises(InputError, match="one per column"):
        _table(class_names=["a", "b"])
    with pytest.raises(InputError, match="unlabelled"):
        metrics_table(output, labels * 0 - 1, class_names=CLASSES)
