"""What an audit will do and about how long it will take, from timing a few images."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sundog.audit.audit_explanations import Methods, choose_methods
from sundog.audit.audit_settings import STAGES, AuditSettings
from sundog.audit.audit_speed import Speed, measure_speed
from sundog.audit.audit_stages import finished_stage
from sundog.audit.subject import Subject
from sundog.audit.taggers import make_taggers
from sundog.concepts.tagger import Tagger
from sundog.explain.plan import make_plan
from sundog.explain.registry import METHODS
from sundog.faithfulness.controls import CONTROLS

STEPS = 10
"""Images per deletion and insertion curve; both ends are shared by all methods."""
PATCH_SAMPLE = 2048
MOVED_PIXEL = 1e-7
"""Seconds per pixel of making an image with a moved component, about."""
EVIDENCE = 150
"""Images that the findings of an audit show, about."""


@dataclass(frozen=True)
class PlannedStage:
    """One stage before it is run.

    Attributes:
        name: of the stage.
        what: it does, in words.
        seconds: estimated; None if it cannot be.
        done: an earlier run of the folder finished it.
    """

    name: str
    what: str
    seconds: float | None
    done: bool = False


@dataclass(frozen=True)
class AuditPlan:
    """The stages of an audit that are wanted, in order."""

    stages: tuple[PlannedStage, ...]

    def seconds(self) -> dict[str, float | None]:
        """Return stage -> estimated seconds."""
        return {stage.name: stage.seconds for stage in self.stages}

    @property
    def total(self) -> float:
        """Estimated seconds of all stages that are not done."""
        return sum(stage.seconds or 0.0 for stage in self.stages if not stage.done)


def plan_audit(
    subject: Subject,
    settings: AuditSettings,
    *,
    training: Subject | None = None,
    out_dir: str | Path | None = None,
) -> AuditPlan:
    """Return what will be done; eight images are read and predicted to tell how long it takes.

    Args:
        subject: labelled images and the classifier.
        settings: of the audit.
        training: training images, or None.
        out_dir: run folder, to see what an earlier run finished there.

    Raises:
        UnknownNameError: unknown method.
        DataError: not one of the eight images can be decoded.
    """
    wanted = settings.wanted()
    done = {
        name
        for name in wanted
        if out_dir is not None and finished_stage(Path(out_dir), name) is not None
    }
    if len(done) == len(wanted):
        speed = Speed(decode=0.0, forward=0.0, backward=0.0)
    else:
        speed = measure_speed(subject, _taggers(subject, settings) if "concepts" in wanted else [])
    seconds = _estimates(subject, settings, speed, training)
    words = _words(subject, settings, training)
    return AuditPlan(
        tuple(
            PlannedStage(name=name, what=words[name], seconds=seconds.get(name), done=name in done)
            for name in STAGES
            if name in wanted
        )
    )


def _taggers(subject: Subject, settings: AuditSettings) -> list[Tagger]:
    try:
        return make_taggers(settings.taggers, subject)[0]
    except Exception:  # the stage that needs them meets the same error and tells it
        return []


def _words(subject: Subject, settings: AuditSettings, training: Subject | None) -> dict[str, str]:
    n = len(subject.image_set)
    fitted = "themselves" if training is None else f"{len(training.image_set):,} training images"
    groups = f" and by {settings.group_column}" if settings.group_column else ""
    return {
        "performance": f"read {n:,} images once (predictions, features, tags); accuracy and "
        f"calibration by class{groups}",
        "concepts": f"tags: {settings.taggers}",
        "findings": f"concepts, up to {settings.search.max_tags} together, that go with errors",
        "cues": f"components moved between {min(n, settings.cue_images):,} images",
        "explanations": f"maps of {min(n, settings.explained)} images, deletion and insertion",
        "risk": f"{', '.join(settings.risk_methods)} fitted on the images {fitted}"
        if training is None
        else f"{', '.join(settings.risk_methods)} fitted on {fitted}",
    }


def _estimates(
    subject: Subject, settings: AuditSettings, speed: Speed, training: Subject | None
) -> dict[str, float | None]:
    n, classes = len(subject.image_set), len(subject.class_names)
    read = speed.decode + speed.forward
    tags = sum(speed.tags.values())
    learn = 0.0
    if "patches" in settings.taggers and "concepts" in settings.wanted():
        learn = _learn_patches(min(n, PATCH_SAMPLE), speed)
    explained = min(n, settings.explained)
    trained = 0 if training is None else len(training.image_set)
    found: dict[str, float | None] = {
        "performance": speed.load * (1.0 + 0.05 * classes) + n * (read + tags) + learn,
        "concepts": speed.load * (1.0 + 2e-4 * n),
        "findings": speed.load * (4.0 + 2e-6 * n * settings.search.permutations)
        + EVIDENCE * speed.backward,
        "cues": 5.0 * speed.load + _move(min(n, settings.cue_images), subject.size, speed),
        "explanations": 3.0 * speed.load + explained * _explain(subject, settings, speed)
        if "explanations" in settings.wanted()
        else None,
        "risk": speed.load * (4.0 + 1e-3 * (n + trained)) + trained * read,
    }
    return {k: None if v is None or math.isnan(v) else v for k, v in found.items()}


def _learn_patches(images: int, speed: Speed) -> float:
    """Return the seconds that learning recurring patches takes."""
    return speed.load * (3.0 + 5e-7 * images * min(speed.pixels, 512.0**2))


def _move(images: int, size: tuple[int, int], speed: Speed) -> float:
    """Return the seconds of moving components: about 10,000 moves, and 40 more per image."""
    made = speed.load * MOVED_PIXEL * size[0] * size[1]
    return (10_000 + 40 * images) * (speed.forward + made) + images * speed.backward


def _explain(subject: Subject, settings: AuditSettings, speed: Speed) -> float:
    """Return the seconds per image that scoring the methods takes; NaN if they do not work."""
    try:
        methods, _ = choose_methods(subject, settings.methods, seed=settings.seed)
    except Exception:  # told by the stage
        return math.nan
    scored = 2 * (STEPS - 2) * (len(methods) + len(CONTROLS))
    return scored * speed.forward + _maps(methods, speed)


def _maps(methods: Methods, speed: Speed) -> float:
    total = 0.0
    for name, given in methods.values():
        plan = make_plan(name, given)
        passes = _passes(name, plan.parameters)
        total += passes * (speed.backward if METHODS[name].gradient else speed.forward)
    return total


def _passes(name: str, parameters: Mapping[str, object]) -> float:
    """Return how often an image goes through the network for one map."""
    if name == "occlusion":
        grid = parameters.get("grid")
        return 1.0 + (grid**2 if isinstance(grid, int) else 36)
    for key in ("n_steps", "n_samples"):
        count = parameters.get(key)
        if isinstance(count, int):
            return float(count)
    return 1.0


def duration(seconds: float | None) -> str:
    """Return a time as people say it: ``8 s``, ``3 min``, ``2.5 h``."""
    if seconds is None:
        return "?"
    if seconds < 90:
        return f"{math.ceil(seconds)} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
