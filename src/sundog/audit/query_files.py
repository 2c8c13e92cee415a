"""The query of an inspection: findings with their images, written to the run folder."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from sundog.audit.evidence import choose_evidence, combined_score, write_cards, write_previews
from sundog.audit.kept_cues import with_kept_cues
from sundog.audit.observed import Observed
from sundog.audit.search_settings import SearchSettings
from sundog.audit.searches import Searched
from sundog.audit.spuriosity import with_top_gap
from sundog.audit.subject import Subject
from sundog.bias.hidden_effect import upper_half
from sundog.core.errors import RunFolderError
from sundog.core.files import write_json
from sundog.core.inspection.events import EVENTS_FILE, read_events
from sundog.core.inspection.finding import Finding
from sundog.core.inspection.query import QUERY_FILE, Query
from sundog.core.run_folder import RunFolder

if TYPE_CHECKING:
    from sundog.audit.inspect_run import Looked


def keep_for_review(
    findings: Sequence[Finding], candidates: int, *, fill: bool = False
) -> tuple[Finding, ...]:
    """Return the significant findings, and of each class the best others.

    Args:
        findings: in order of rank.
        candidates: concepts of each class.
        fill: count the significant ones of a class among its ``candidates``.
    """
    taken: dict[str, int] = {}
    for finding in findings:
        if finding.significant and fill:
            taken[finding.class_name] = taken.get(finding.class_name, 0) + 1
    kept = []
    for finding in findings:
        if finding.significant:
            kept.append(finding)
        elif finding.p is not None and taken.get(finding.class_name, 0) < candidates:
            taken[finding.class_name] = taken.get(finding.class_name, 0) + 1
            kept.append(finding)
    return tuple(kept)


def with_evidence(
    findings: Sequence[Finding],
    *,
    observed: Observed,
    looked: Looked,
    top_k: int,
    sample: int,
    seed: int,
) -> tuple[Finding, ...]:
    """Return the findings with the images that show them."""
    done = []
    for finding in findings:
        names = [finding.class_name] if finding.class_name else list(looked.classes)
        ids = [i for name in names for i in observed.rows(name)["id"]]
        parts = [concept_scores(finding, name, looked) for name in names]
        present = np.concatenate([part[0] for part in parts])
        scores = np.concatenate([part[1] for part in parts])
        if finding.class_name and len(finding.concepts) == 1:
            outcome = observed.outcome(finding.class_name, finding.effect.metric)
            finding = with_top_gap(finding, outcome, scores, top_k)
        evidence = choose_evidence(
            ids=ids,
            present=present,
            scores=scores,
            top_k=top_k,
            sample=sample,
            seed=seed,
            key=finding.id,
        )
        done.append(finding.model_copy(update={"evidence": evidence}))
    return tuple(done)


def write_query(
    folder: RunFolder,
    *,
    subject: Subject,
    observed: Observed,
    looked: Looked,
    searched: Searched,
    findings: tuple[Finding, ...],
    settings: SearchSettings,
    notes: Sequence[str] = (),
    overlay: str | None = "auto",
    progress: bool | None = None,
) -> Query:
    """Write query.json, pictures and tables, and return the query.

    Cues that an audit added to the very same query stay in it.

    Raises:
        RunFolderError: people have answered another query of this folder; that one is kept.
    """
    ids = sorted({e.image for finding in findings for e in finding.evidence})
    cards, picture_notes = write_cards(
        subject, observed, ids, folder.path, overlay=overlay, progress=progress
    )
    named = {concept for finding in findings for concept in finding.concepts}
    previews = looked.scores.previews if looked.scores is not None else {}
    query = Query(
        title=f"Bias inspection of {subject.classifier.name}",
        classifier=subject.classifier.name,
        image_set=f"{len(observed.frame)} images from {subject.image_set.name}",
        metric=settings.metric,
        alpha=settings.alpha,
        taggers=looked.names,
        fingerprints={
            name.replace("_fingerprint", ""): value
            for name, value in {**subject.fingerprints(), **looked.fingerprints}.items()
        },
        parameters=settings.to_dict(),
        classes=searched.classes,
        findings=findings,
        images=cards,
        previews=write_previews(
            {name: pixels for name, pixels in previews.items() if name in named}, folder.path
        ),
        notes=tuple(
            dict.fromkeys((*notes, *observed.notes, *looked.notes, *searched.notes, *picture_notes))
        ),
    )
    query = with_kept_cues(folder.path, query)
    keep_verdicts(folder.path, query)
    query.write(folder.path / QUERY_FILE)
    folder.write_result("predictions", observed.frame)
    folder.write_result("concepts", concept_table(searched.findings))
    folder.write_result("slices", slice_table(findings, observed, looked))
    write_json(
        folder.path / "tags.json",
        {
            name: {"tags": list(table.names), "same": _lists(table.same), **table.dropped}
            for name, table in looked.tags.items()
        },
    )
    return query


def keep_verdicts(folder: Path, query: Query) -> None:
    """Refuse to put ``query`` where people have answered another one.

    Raises:
        RunFolderError: there are verdicts on another query.
    """
    events = read_events(folder).events
    wanted = query.content_hash()
    others = sum(event.query != wanted for event in events)
    if others:
        raise RunFolderError(
            f"The run folder {str(folder)!r}",
            expected="without verdicts on other findings",
            got=f"{others} of {len(events)} acts of reviewers on an earlier search, whose "
            "parameters or findings differ",
            hint="Nothing was replaced, and the earlier findings can still be reviewed. Choose "
            f"another folder (with --cache {shlex.quote(str(folder / 'cells' / 'scores'))} nothing "
            f"is tagged anew), or move {str(folder / EVENTS_FILE)!r} away.",
        )


def slice_table(findings: Sequence[Finding], observed: Observed, looked: Looked) -> pd.DataFrame:
    """Return which images each finding compares: a row per finding and image, with its side.

    Columns: ``finding`` (id), ``image`` (id), ``present`` (whether the image has the concept). A
    later inspection of another model can then be asked about the very same images.
    """
    parts = []
    for finding in findings:
        for name in [finding.class_name] if finding.class_name else looked.classes:
            present, scores = concept_scores(finding, name, looked)
            part = pd.DataFrame(
                {
                    "finding": finding.id,
                    "image": observed.rows(name)["id"].to_numpy(),
                    "present": present,
                }
            )
            # A ranking leaves out what has no score; a tag counts as absent there.
            parts.append(part[~np.isnan(scores)] if finding.source == "ranking" else part)
    if parts:
        return pd.concat(parts, ignore_index=True)
    return pd.DataFrame({"finding": [], "image": [], "present": []}).astype(
        {"finding": str, "image": str, "present": bool}
    )


def concept_table(findings: Sequence[Finding]) -> pd.DataFrame:
    """Return a row per concept that was looked at, also those without a finding."""
    columns = (
        *("kind", "class", "concept", "direction", "present", "absent", "n_present", "n_absent"),
        *("gap", "low", "high", "p", "p_adjusted", "significant", "smallest_detectable"),
        *("replication", "note"),
    )
    rows = [
        (
            f.kind,
            f.class_name,
            " + ".join(f.concepts),
            f.direction,
            f.effect.present,
            f.effect.absent,
            f.effect.n_present,
            f.effect.n_absent,
            f.effect.gap,
            f.effect.low,
            f.effect.high,
            f.p,
            f.p_adjusted,
            f.significant,
            f.smallest_detectable,
            f.replication.status if f.replication else "",
            f.note,
        )
        for f in findings
    ]
    frame = pd.DataFrame(rows, columns=list(columns))
    numbers = ["present", "absent", "gap", "low", "high", "p", "p_adjusted", "smallest_detectable"]
    return frame.astype(dict.fromkeys(numbers, "float64"))


def concept_scores(
    finding: Finding, name: str, looked: Looked
) -> tuple[Bool[np.ndarray, "images"], Float[np.ndarray, "images"]]:
    """Return which images of a class have the concept(s), and how much of them.

    A ranking has no threshold: the upper half has the concept. A sorter's scores, if there are any
    for a tag, rank better than the tagger's own.
    """
    if finding.source == "ranking" and looked.rankings is not None:
        scores = np.asarray(looked.rankings[name][finding.concepts[0]], dtype=np.float64)
        known = ~np.isnan(scores)
        present = np.zeros(scores.shape, dtype=bool)
        present[known] = upper_half(scores[known])  # the half that the test calls present
        return present, scores
    table = looked.tags[name] if finding.class_name else looked.across[name]
    places = [table.names.index(concept) for concept in finding.concepts]
    present = np.asarray(table.present[:, places].all(axis=1))
    ranked = (looked.ranked or {}).get(name, {}).get(finding.concepts[0])
    if ranked is not None and len(finding.concepts) == 1:
        return present, np.asarray(ranked, dtype=np.float64)
    return present, combined_score(table.scores[:, places])


def _lists(same: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    return {tag: list(others) for tag, others in same.items()}
