"""``sundog demo``: the whole loop on embedded digits, from a cheating model to a mended one."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image as Pillow

from sundog.audit.audit_open import open_audit_subjects
from sundog.audit.audit_run import AuditRun, audit_classifier
from sundog.audit.audit_settings import AuditSettings
from sundog.audit.audit_verdicts import read_verdicts
from sundog.audit.debias_open import open_debias
from sundog.audit.debias_run import DebiasRun, debias_classifier
from sundog.audit.debias_settings import DebiasSettings
from sundog.core.audit.cues import CueRecord
from sundog.core.files import write_table
from sundog.core.inspection.events import Event, EventLog, append_events
from sundog.core.inspection.query import QUERY_FILE, Query
from sundog.data.load import load_image_set
from sundog.data.planted_set import write_planted
from sundog.data.planting import make_cue
from sundog.models.train import train_classifier

CUE, STRENGTH = "patch", 0.95
TRAINED, AUDITED = 2500, 600
EPOCHS = 4
REVIEWER = "sundog demo, which planted it"
COVERED = 0.5
"""Share of the planted pixels that a found cue must cover to be confirmed."""


@dataclass(frozen=True, eq=False)
class DemoRun:
    """What :func:`run_demo` did.

    Attributes:
        path: folder of everything.
        first: the audit of the cheating model.
        confirmed: cues that lie on what was planted.
        mended: the debiasing run; None if no cue was confirmed.
        second: the audit of the mended model, with before and after; None without one.
    """

    path: Path
    first: AuditRun
    confirmed: tuple[CueRecord, ...]
    mended: DebiasRun | None
    second: AuditRun | None


def run_demo(
    out_dir: str | Path,
    *,
    seed: int = 0,
    say: Callable[[str], None] = lambda _text: None,
    progress: bool | None = None,
) -> DemoRun:
    """Plant a cue, train on it, audit, confirm, mend, and audit again.

    Each step is what the command line does with the folders of the step before; the audits and the
    mending are told where images and model are, never what was planted. The verdict of a person
    is stood in for by the planted truth.

    Args:
        out_dir: folder of everything; a second call goes on where the first was stopped.
        seed: of every random choice.
        say: told in a line what is being done, with the command that does it.
        progress: None shows it on a terminal.

    Raises:
        MissingExtraError: the embedded images are not installed.
    """
    out = Path(out_dir)
    out.mkdir(parents=True, exist_ok=True)
    say(f"1. A coloured patch is planted in digits; it agrees with the label in {STRENGTH:.0%}.")
    sources = _plant(out, seed=seed, progress=progress)
    say("2. A small network is trained on them, as a person would who knows nothing of the patch.")
    _train(out, sources, seed=seed, progress=progress)
    say(f"3. {_audit_words(out, 'model', 'audit', sources)}")
    first = _audit(out, sources, model="model", run="audit", seed=seed, progress=progress)
    confirmed = _judge(first.path, out / "images" / "validation")
    if not confirmed:
        return DemoRun(out, first, (), None, None)
    names = ", ".join(f"'{cue.name}'" for cue in confirmed)
    say(f"4. Confirmed as spurious, as 'sundog review' would record it: {names}.")
    mend = [
        *("sundog", "debias", str(sources["train"]), "--validation", str(sources["validation"])),
        *("--model", str(out / "model"), "--from-audit", str(out / "audit")),
        *("--methods", "cue_augmentation", "--seeds", "1", "--epochs", "3"),
        *("--out", str(out / "mended")),
    ]
    say(f"5. {shlex.join(mend)}")
    mended = _mend(out, sources, seed=seed, progress=progress, command=shlex.join(mend))
    if not mended.chosen:
        return DemoRun(out, first, confirmed, mended, None)
    say(f"6. {_audit_words(out, 'mended/mended', 'audit-after', sources, before='audit')}")
    second = _audit(
        out,
        sources,
        model="mended/mended",
        run="audit-after",
        before="audit",
        seed=seed,
        progress=progress,
    )
    return DemoRun(out, first, confirmed, mended, second)


def _plant(out: Path, *, seed: int, progress: bool | None) -> dict[str, Path]:
    """Write both parts, and beside the manifests that know the cue, plain ones that do not."""
    cue = make_cue(CUE, class_count=10, strength=STRENGTH, seed=seed, size=0.16)
    found = {}
    for split, limit in (("train", TRAINED), ("validation", AUDITED)):
        images = load_image_set("digits", split=split, limit=limit, seed=seed)
        folder = out / "images" / split
        planted = write_planted(images, cue, folder, progress=progress)
        plain = folder / "images.csv"
        write_table(plain, pd.read_csv(planted.manifest)[["path", "label"]])
        found[split] = plain
    return found


def _train(out: Path, sources: dict[str, Path], *, seed: int, progress: bool | None) -> None:
    train, held = (load_image_set(sources[split]) for split in ("train", "validation"))
    train_classifier(
        "small-cnn",
        train,
        validation_set=held,
        epochs=EPOCHS,
        seed=5807 + seed,
        size=28,
        evaluate_every=EPOCHS,
        out_dir=out / "model",
        device="cpu",
        progress=progress,
    )


def _audit_words(
    out: Path, model: str, run: str, sources: dict[str, Path], *, before: str | None = None
) -> str:
    words = ["sundog", "audit", str(out / model), str(sources["validation"])]
    words += ["--training", str(sources["train"]), "--out", str(out / run)]
    words += [] if before is None else ["--before", str(out / before)]
    return shlex.join(words)


def _audit(
    out: Path,
    sources: dict[str, Path],
    *,
    model: str,
    run: str,
    seed: int,
    progress: bool | None,
    before: str | None = None,
) -> AuditRun:
    opened = open_audit_subjects(
        str(sources["validation"]),
        model=str(out / model),
        training=str(sources["train"]),
        batch_size=64,
        seed=seed,
    )
    return audit_classifier(
        opened.subject,
        out / run,
        settings=AuditSettings(seed=seed),
        training=opened.training,
        opened=opened.opened,
        before=None if before is None else out / before,
        progress=progress,
        command=_audit_words(out, model, run, sources, before=before),
    )


def _judge(run: Path, planted: Path) -> tuple[CueRecord, ...]:
    """Record a verdict on every claimed cue: spurious if it lies on what was planted."""
    found = read_verdicts(run)
    truth = _mean_mask(planted)
    confirmed = tuple(
        cue
        for cue in found.cues
        if cue.mask is not None
        and found.cues_folder is not None
        and _covers(found.cues_folder / cue.mask, truth)
    )
    query = Query.read(found.judged_in / QUERY_FILE).content_hash()
    wanted = {cue.id for cue in confirmed}
    known = {finding.id for finding in found.query.findings}

    def events(log: EventLog) -> list[Event]:
        done = {event.finding for event in log.events}
        return [
            Event(
                query=query,
                reviewer=REVIEWER,
                action="verdict",
                finding=identity,
                verdict="separate object",
                confidence=5,
                note="It lies where the demo planted the patch.",
            )
            for identity in sorted(wanted & known - done)
        ]

    append_events(found.judged_in, events)
    return confirmed


def _mean_mask(planted: Path) -> np.ndarray:
    files = sorted((planted / "masks").rglob("*.png"))[:50]
    masks = []
    for file in files:
        with Pillow.open(file) as opened:
            masks.append(np.asarray(opened.convert("L"), dtype=np.float64) / 255)
    return np.mean(masks, axis=0) > 0.5


def _covers(file: Path, truth: np.ndarray) -> bool:
    with Pillow.open(file) as opened:
        size = (truth.shape[1], truth.shape[0])
        mask = np.asarray(opened.convert("L").resize(size, Pillow.Resampling.BOX)) > 100
    return bool((mask & truth).sum() >= COVERED * truth.sum() and mask.mean() < 0.25)


def _mend(
    out: Path, sources: dict[str, Path], *, seed: int, progress: bool | None, command: str
) -> DebiasRun:
    opened = open_debias(
        str(sources["train"]),
        validation=str(sources["validation"]),
        model=str(out / "model"),
        from_audit=out / "audit",
        size=28,
        seed=seed,
    )
    return debias_classifier(
        opened.model,
        opened.data,
        out / "mended",
        settings=DebiasSettings(methods=["cue_augmentation"], seeds=[seed], epochs=3),
        progress=progress,
        command=command,
    )
