"""Builds summaries of audits as ``sundog audit`` writes them, and their folders."""

from pathlib import Path

import numpy as np
import pandas as pd

from sundog.core.audit.cues import CueRecord, CueTest
from sundog.core.audit.measured import Measured
from sundog.core.audit.summary import AUDIT_FILE, AuditSummary, Group, Performance, Stage
from sundog.core.inspection.finding import Effect, Finding, finding_id
from sundog.core.statistics import wilson_interval

STAGES = ("performance", "concepts", "findings", "cues", "explanations", "risk")


def share(hits, n, level=0.95):
    return Measured.of(wilson_interval(hits, n, level=level))


def around(value, half, n=500, level=0.95):
    return Measured(value=value, low=value - half, high=value + half, n=n, level=level)


def finding(name="red", *, class_name="cat", gap=-0.3, half=0.05, direction="hurts", **changes):
    return Finding(
        **{
            "id": finding_id("hidden", class_name, (name,), "accuracy"),
            "kind": "hidden",
            "class_name": class_name,
            "concepts": (name,),
            "direction": direction,
            "effect": Effect(
                metric="accuracy",
                present=0.5,
                absent=0.5 - gap,
                n_present=100,
                n_absent=200,
                gap=gap,
                low=gap - half,
                high=gap + half,
            ),
            "p": 1e-6,
            "p_adjusted": 1e-4,
            "significant": True,
            **changes,
        }
    )


def cue(name="patch", *, excess=0.4, half=0.05, box=(0.7, 0.7, 0.2, 0.2), number=1, **changes):
    return CueRecord(
        **{
            "id": f"{number:016x}",
            "family": "window",
            "kind": "local",
            "name": name,
            "classes": ("cat",),
            "flip": around(excess + 0.02, half),
            "control": around(0.02, 0.01),
            "excess": around(excess, half, level=0.999),
            "p": 1e-6,
            "p_adjusted": 1e-4,
            "intact": share(450, 500),
            "swapped": share(250, 500),
            "reliance": around(0.4, 0.05),
            "component": {
                "family": "window",
                "parameters": dict(zip(("top", "left", "tall", "wide"), box, strict=True)),
            },
            "box": box,
            **changes,
        }
    )


def cue_test(name="frame", excess=0.01, half=0.02, claimed=False):
    return CueTest(
        family="frame",
        name=name,
        class_name="",
        excess=around(excess, half, level=0.999),
        p=0.5,
        p_adjusted=1.0,
        claimed=claimed,
        detectable=0.2,
    )


def summary(*, failed=(), skipped=(), hits=(80, 90), n=100, **changes):
    groups = tuple(
        Group(column="class", name=name, n=n, accuracy=share(h, n))
        for name, h in zip(("cat", "dog"), hits, strict=True)
    )
    return AuditSummary(
        **{
            "title": "net on pets",
            "answer": ("One.", "Two.", "Three."),
            "verdict": "bias found",
            "classifier": "net",
            "image_set": "pets",
            "class_names": ("cat", "dog"),
            "stages": tuple(
                Stage(
                    name=name,
                    status="failed" if name in failed else "skipped" if name in skipped else "done",
                    message="out of memory" if name in failed else "",
                )
                for name in STAGES
            ),
            "performance": Performance(
                accuracy=share(sum(hits), 2 * n),
                groups=groups,
                gap=around(abs(hits[0] - hits[1]) / n, 0.04, n=2 * n),
                ece=around(0.05, 0.02, n=2 * n),
            ),
            "cue_tests": (cue_test(),),
            "manifest": {"fingerprints": {"model": "ab12", "data": "cd34"}, "seed": 3},
            **changes,
        }
    )


def write_audit(folder, made, *, right=None, slices=None, n=100):
    """Write ``audit.json`` and, if ``right`` says which images are right, the predictions."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    made.write(folder / AUDIT_FILE)
    (folder / "tables").mkdir(exist_ok=True)
    if right is not None:
        label = np.repeat([0, 1], len(right) // 2)
        frame = pd.DataFrame(
            {
                "id": [f"image-{i}" for i in range(len(right))],
                "label": label,
                "prediction": np.where(right, label, 1 - label),
                "confidence": np.where(right, 0.9, 0.2),
            }
        )
        frame.to_parquet(folder / "tables" / "predictions.parquet")
    if slices is not None:
        slices.to_parquet(folder / "tables" / "slices.parquet")
    return folder
