"""Claimed cues as findings, so that people judge them on the page that they judge concepts on."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sundog.core.audit.cues import CueRecord, Cues
from sundog.core.inspection.cue import CueFacts, Transplant
from sundog.core.inspection.finding import Effect, Finding
from sundog.core.inspection.query import Query

PICTURES = "images"
"""Folder of an inspection's pictures; those of a cue get its id in front."""


def cue_findings(cues: Cues, *, taken: Collection[str] = ()) -> tuple[Finding, ...]:
    """Return one finding per claimed cue, in the order claimed; its id is that of the cue.

    The effect is the accuracy with the component of another class (``present``) and with that of
    the own class (``absent``): gap = -(reliance).

    Args:
        cues: of an audit; its pictures keep their names.
        taken: names of concepts of the query that the findings join; a cue of the same name gets
            its classes, then a number, added.
    """
    seen = set(taken)
    found = []
    for cue in cues.claimed:
        name = _free_name(cue, seen)
        seen.add(name)
        found.append(_finding(cue, name, tests=cues.tests))
    return tuple(found)


def with_cues(query: Query, cues: Cues) -> Query:
    """Return the query with the claimed cues in front, in place of any that it had.

    The cues' pictures get the names that :func:`picture_names` gives them.

    Raises:
        RunFolderError: a cue that names a picture outside of its folder, or the id of a finding.
    """
    cue_query(cues, title="", image_set="")  # refuses paths that must not be copied
    plain = without_cues(query)
    taken = {concept for finding in plain.findings for concept in finding.concepts}
    made = tuple(_renamed(finding) for finding in cue_findings(cues, taken=taken))
    return checked(
        plain.model_copy(
            update={
                "findings": (*made, *plain.findings),
                "notes": tuple(dict.fromkeys((*plain.notes, *(_note(n) for n in cues.notes)))),
            }
        )
    )


def has_cues(query: Query, cues: Cues) -> bool:
    """Return whether :func:`with_cues` was made of these cues: each is there, and their notes."""
    there = {finding.id for finding in query.findings if finding.kind == "cue"}
    told = {_note(note) for note in cues.notes}
    return there == {cue.id for cue in cues.claimed} and told <= set(query.notes)


def without_cues(query: Query) -> Query:
    """Return the query as the search for concepts wrote it."""
    return query.model_copy(
        update={
            "findings": tuple(f for f in query.findings if f.kind != "cue"),
            "notes": tuple(n for n in query.notes if not n.startswith(_CUES)),
        }
    )


def cue_query(cues: Cues, *, title: str, classifier: str = "", image_set: str = "") -> Query:
    """Return a query of cues alone, whose pictures keep their names.

    Args:
        cues: of one search.
        title: shown on top.
        classifier: its name, if known.
        image_set: its name, if known.

    Raises:
        RunFolderError: a picture outside of the folder, or two cues of one id.
    """
    plain = Query(
        title=title,
        classifier=classifier,
        image_set=image_set or f"{cues.images} images",
        metric="accuracy",
        alpha=cues.alpha,
        notes=cues.notes,
    )
    return checked(plain.model_copy(update={"findings": cue_findings(cues)}))


def checked(query: Query) -> Query:
    """Return the query as if it had been read from its file.

    Raises:
        RunFolderError: a picture outside of the folder, or two findings of one id.
    """
    return Query.parse(query.to_json(), subject="The query with its cues")


def picture_names(finding: Finding) -> dict[str, str]:
    """Return the files of a cue's evidence -> their names among an inspection's pictures."""
    if finding.cue is None:
        return {}
    return {
        file: f"{PICTURES}/cue-{finding.id}-{number}.{file.rpartition('.')[2]}"
        for number, file in enumerate(dict.fromkeys(finding.cue.files()), start=1)
    }


_CUES = "Cues: "


def _note(text: str) -> str:
    return f"{_CUES}{text}"


def _renamed(finding: Finding) -> Finding:
    names, cue = picture_names(finding), finding.cue
    if cue is None:
        return finding
    moved = tuple(
        t.model_copy(
            update={part: names[getattr(t, part)] for part in ("donor", "target", "moved")}
        )
        for t in cue.transplants
    )
    mask = None if cue.mask is None else names[cue.mask]
    return finding.model_copy(
        update={"cue": cue.model_copy(update={"transplants": moved, "mask": mask})}
    )


def _finding(cue: CueRecord, name: str, *, tests: int) -> Finding:
    reliance = cue.reliance
    gap = None if reliance.value is None else -reliance.value
    return Finding(
        id=cue.id,
        kind="cue",
        class_name=cue.classes[0] if len(cue.classes) == 1 else "",
        concepts=(name,),
        direction="helps",
        effect=Effect(
            metric="accuracy",
            present=cue.swapped.value,
            absent=cue.intact.value,
            n_present=cue.swapped.n,
            n_absent=cue.intact.n,
            gap=gap,
            low=None if reliance.high is None else -reliance.high,
            high=None if reliance.low is None else -reliance.low,
            level=reliance.level,
            method=reliance.method,
        ),
        test="transplant",
        p=cue.p,
        p_adjusted=cue.p_adjusted,
        adjustment="holm",
        tests=tests,
        significant=True,
        cue=CueFacts(
            family=cue.family,
            place=cue.kind,
            classes=cue.classes,
            flip=cue.flip,
            control=cue.control,
            excess=cue.excess,
            reliance=reliance,
            pull=cue.pull,
            mask=cue.mask,
            transplants=_transplants(cue.pictures, cue.captions),
        ),
        note=cue.note,
    )


def _transplants(files: Sequence[str], captions: Sequence[str]) -> tuple[Transplant, ...]:
    """Return the pictures three by three; an incomplete last triple is left out."""
    words = (*captions, *[""] * (len(files) - len(captions)))
    return tuple(
        Transplant(
            donor=files[at],
            target=files[at + 1],
            moved=files[at + 2],
            captions=(words[at], words[at + 1], words[at + 2]),
        )
        for at in range(0, len(files) - 2, 3)
    )


def _free_name(cue: CueRecord, taken: Collection[str]) -> str:
    shown = ", ".join(cue.classes[:3]) + (", ..." if cue.classes[3:] else "")
    longer = f"{cue.name} ({shown})"
    choices = [cue.name, longer, *(f"{longer} {n}" for n in range(2, len(taken) + 3))]
    return next(name for name in choices if name not in taken)
