"""How an audit was made: stages with time and memory, hashes, versions, how to reproduce it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

import pandas as pd

from sundog.core.audit.summary import AuditSummary, Stage
from sundog.report import phrases
from sundog.report.audit_commands import Commands
from sundog.report.audit_words import clip, listed
from sundog.report.section import Section
from sundog.report.table import Column, Table

TITLE = "How to reproduce"
LIMITS = "Limits"
MOST_FACTS = 60
ALWAYS = (
    "A cue or concept that was not among the candidates cannot be found, and a gap that goes with "
    "a concept need not be caused by it.",
    "The numbers hold for images like these. On other images, cameras or groups the model's error "
    "may be higher.",
)


def alarms(summary: AuditSummary) -> list[str]:
    """Return a sentence about stages that failed, to be shown before everything else."""
    failed = [stage for stage in summary.stages if stage.status == "failed"]
    if not failed:
        return []
    told = "; ".join(f"{clip(s.name, 40)} ({clip(s.message, 160) or 'no message'})" for s in failed)
    return [
        f"{len(failed)} of {phrases.counted(len(summary.stages), 'stage')} failed: {told}. What "
        "they would have found is missing from this report, and from its answer."
    ]


def ended(summary: AuditSummary) -> str:
    """Return which stages finished, in a sentence."""
    by = {
        status: [stage.name for stage in summary.stages if stage.status == status]
        for status in ("done", "failed", "skipped")
    }
    parts = [f"{len(by['done'])} of {phrases.counted(len(summary.stages), 'stage')} finished"]
    parts += [f"{status}: {listed(by[status])}" for status in ("failed", "skipped") if by[status]]
    return f"{'; '.join(parts)}."


def limits_section(summary: AuditSummary, *, lost: str = "") -> list[Section]:
    """Return what the audit cannot say; ``lost`` is a sentence about pictures, or empty."""
    said = [clip(limit, 600) for limit in summary.limits]
    return [Section(title=LIMITS, notes=[*said, *ALWAYS, *([lost] if lost else [])])]


def record_section(summary: AuditSummary, commands: Commands) -> list[Section]:
    """Return the commands, the manifest, and the stages."""
    return [
        Section(
            title=TITLE,
            code=commands.repeat,
            facts=_facts(
                {
                    "classifier": summary.classifier,
                    "images": summary.image_set,
                    "classes": f"{len(summary.class_names):,}",
                    **summary.facts,
                }
            ),
            parts=[*_stages(summary), *_manifest(summary)],
        )
    ]


def _stages(summary: AuditSummary) -> list[Section]:
    if not summary.stages:
        return []
    seconds = sum(stage.seconds for stage in summary.stages)
    memory = [stage.peak_mib for stage in summary.stages if stage.peak_mib is not None]
    words = f"{duration(seconds)} in all"
    if memory:
        words += f", at most {max(memory):,.0f} MiB"
    return [
        Section(
            title=f"Stages: {words}",
            fold=not any(stage.status == "failed" for stage in summary.stages),
            tables=[
                Table(
                    frame=pd.DataFrame([_stage(stage) for stage in summary.stages]),
                    caption="Wall time and peak memory of the process, stage by stage.",
                    columns={
                        "time": Column(format="text"),
                        "planned": Column(format="text"),
                        "memory": Column("peak memory (MiB)", format="integer"),
                        "message": Column(format="text"),
                    },
                    muted=[stage.status == "skipped" for stage in summary.stages],
                )
            ],
        )
    ]


def _stage(stage: Stage) -> dict[str, object]:
    return {
        "stage": clip(stage.name, 40),
        "status": stage.status.upper() if stage.status == "failed" else stage.status,
        "time": duration(stage.seconds),
        "planned": "" if stage.planned_seconds is None else duration(stage.planned_seconds),
        "memory": math.nan if stage.peak_mib is None else stage.peak_mib,
        "message": clip(stage.message, 300),
    }


def _manifest(summary: AuditSummary) -> list[Section]:
    facts = _facts(flat(summary.manifest))
    if not facts:
        return []
    return [Section(title="Manifest: versions, hashes, seeds", fold=True, facts=facts)]


def flat(values: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    """Return nested JSON values as ``outer inner`` -> text, at most :data:`MOST_FACTS` of them."""
    found: dict[str, object] = {}
    for key, value in values.items():
        name = f"{prefix}{str(key).replace('_', ' ')}"
        if isinstance(value, Mapping) and value:
            found.update(flat(value, f"{name}: "))
        elif isinstance(value, (list, tuple, Mapping)):
            found[name] = json.dumps(value, ensure_ascii=False)
        elif value is not None and value != "":
            found[name] = str(value)
        if len(found) >= MOST_FACTS:
            break
    return dict(list(found.items())[:MOST_FACTS])


def _facts(values: Mapping[str, object]) -> dict[str, object]:
    return {clip(str(name), 60): clip(str(value), 300) for name, value in values.items()}


def duration(seconds: float) -> str:
    """Write a time: ``0.4 s``, ``41 s``, ``3 min 20 s``, ``2 h 5 min``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
