"""How each metric is called and shown on every page: its title, unit and which way is better."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sundog.report.table import Column, Format

PROBABILITIES = "Are the probabilities right?"
REJECTING = "Rejecting the riskiest images first"
FOREIGN = "Telling foreign images (OOD) from own ones"


@dataclass(frozen=True)
class Metric:
    """How a metric is shown.

    Attributes:
        title: what it is called.
        better: which direction is better; None if neither is, or it is not known.
        format: of a table cell; ``percent`` is a share in [0, 1].
        digits: decimals.
        family: metrics of one family stand in one table.
    """

    title: str
    better: Literal["lower", "higher"] | None = None
    format: Format = "percent"
    digits: int = 1
    family: str = ""

    @property
    def share(self) -> bool:
        """Whether it is a share, so that a difference is told in points."""
        return self.format == "percent"

    def column(self, *, mark: bool = True) -> Column:
        """Return how its column is shown."""
        return Column(
            self.title, format=self.format, digits=self.digits, better=self.better, mark=mark
        )

    def change(self) -> Column:
        """Return how the column of its changes is shown; no race between rows."""
        format: Format = "points" if self.share else self.format
        return Column(self.title, format=format, digits=self.digits, better=self.better, mark=False)


METRICS: dict[str, Metric] = {
    "accuracy": Metric("accuracy", "higher"),
    "average": Metric("average accuracy", "higher"),
    "worst_group": Metric("worst group", "higher"),
    "worst_class": Metric("worst class", "higher"),
    "balanced": Metric("balanced accuracy", "higher"),
    "balanced_accuracy": Metric("balanced accuracy", "higher"),
    "precision": Metric("precision", "higher"),
    "worst_precision": Metric("worst precision", "higher"),
    "recall": Metric("recall", "higher"),
    "gap": Metric("gap between groups", "lower"),
    "flip_rate": Metric("flip rate", "lower"),
    "without_cue": Metric("accuracy without the cue", "higher"),
    "with_other_cue": Metric("accuracy with another class's cue", "higher"),
    "follow_rate": Metric("follows the cue", "lower"),
    "ece": Metric("calibration error (ECE)", "lower", family=PROBABILITIES),
    "adaptive_ece": Metric("adaptive ECE", "lower", family=PROBABILITIES),
    "nll": Metric("log loss (NLL)", "lower", "decimal", 3, family=PROBABILITIES),
    "brier": Metric("Brier score", "lower", "decimal", 3, family=PROBABILITIES),
    "aurc": Metric("AURC", "lower", "decimal", 4, family=REJECTING),
    "augrc": Metric("AUGRC", "lower", "decimal", 4, family=REJECTING),
    "risk_at_80": Metric("errors at 80\u00a0% coverage", "lower", family=REJECTING),
    "ood_auroc": Metric("OOD AUROC", "higher", "decimal", 3, family=FOREIGN),
    "ood_aupr": Metric("OOD AUPR", "higher", "decimal", 3, family=FOREIGN),
    "ood_fpr95": Metric("OOD FPR at 95\u00a0% TPR", "lower", family=FOREIGN),
    "error_auroc": Metric("AUROC of errors", "higher", "decimal", 3, family=REJECTING),
    "mutual_information": Metric("mutual information", None, "decimal", 3),
    "seconds": Metric("seconds", "lower", "decimal", 1),
}


def metric(name: str) -> Metric:
    """Return how a metric is shown; one that is not known is a plain number."""
    return METRICS.get(name, Metric(name.replace("_", " "), None, "auto", 3))
