"""Opening what a debiasing run needs, by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sundog.audit.cut_already import resize_left
from sundog.audit.debias_data import DebiasData, make_debias_data
from sundog.audit.debias_from_audit import what_to_suppress
from sundog.audit.debias_from_audit_open import suppressed
from sundog.audit.debias_sources import open_sources
from sundog.audit.requests import parse_cue
from sundog.audit.subject import check_resize
from sundog.core.errors import InputError
from sundog.data.transforms import Resize
from sundog.models.classifier import Classifier, NetworkOutput
from sundog.models.zoo import get_model


@dataclass(frozen=True, eq=False)
class OpenedDebias:
    """The classifier (or the name of the network to train) and the three parts."""

    model: Classifier | str
    data: DebiasData


def open_debias(
    source: str,
    *,
    model: str | None = None,
    network: str | None = None,
    validation: str | None = None,
    test: str | None = None,
    group_column: str | None = None,
    cue: str | None = None,
    strength: float = 0.95,
    from_audit: str | Path | None = None,
    unreviewed: bool = False,
    taggers: str | None = None,
    checkpoint: Path | None = None,
    classes: str | Sequence[int] | Sequence[str] | None = None,
    class_names: Sequence[str] | None = None,
    size: int | None = None,
    resize: Resize = "pad",
    limit: int | None = None,
    path_column: str | None = None,
    label_column: str | None = None,
    device: str = "cpu",
    seed: int = 0,
    download: bool = False,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    output: NetworkOutput = "logits",
) -> OpenedDebias:
    """Open images and classifier by name.

    With ``from_audit`` the cues and concepts that people called spurious in that audit are what is
    mended (:func:`sundog.audit.debias_from_audit.what_to_suppress`); with ``unreviewed`` also
    claimed cues that nobody has judged. ``taggers`` are then those of the audit, if they had
    parameters.

    Raises:
        InputError: not exactly one of ``model`` and ``network``, the label as the attribute, or an
            audit with nothing to mend.
        SundogError: bad input, in plain words.
    """
    if (model is None) == (network is None):
        raise InputError(
            "model or network",
            expected="one of the two",
            got="both" if model is not None else "none",
            hint="--model mends a classifier as it is; --network trains one from scratch.",
        )
    if group_column is not None and group_column == (label_column or "label"):
        raise InputError(
            "group_column",
            expected="the column of an attribute, such as a background or a camera",
            got=f"{group_column!r}, the label itself",
            hint="Without --group-column the classes themselves are the groups.",
        )
    if from_audit is None and (unreviewed or taggers is not None):
        raise InputError("unreviewed and taggers", expected="given with from_audit", got="none")
    wanted = None if from_audit is None else what_to_suppress(from_audit, unreviewed=unreviewed)
    sources = open_sources(
        source,
        validation,
        test,
        limit=limit,
        seed=seed,
        download=download,
        path_column=path_column,
        label_column=label_column,
    )
    found: Classifier | str = network or ""
    if model is not None:
        check_resize(model, resize)
        arguments: dict[str, Any] = {
            "class_names": class_names,
            "device": device,
            "download": download,
            "seed": seed,
            "mean": mean,
            "std": std,
            "output": output,
        }
        found = get_model(model, checkpoint, classes, **arguments)
        if found.class_names is None:
            found = found.with_class_names(sources.train.class_names)
    if isinstance(found, Classifier):
        named = [name for name in (source, validation, test) if name is not None]
        own = found.input_size if size is None else (size, size)
        resize = resize_left(named, resize=resize, size=own)
    planted = None
    if cue is not None:
        count = len(sources.train.class_names)
        planted = parse_cue(cue, class_count=count, strength=strength, seed=0)
    data = make_debias_data(
        sources,
        classifier=found if isinstance(found, Classifier) else None,
        size=size,
        resize=resize,
        group_column=group_column,
        cue=planted,
        roots=[
            _root(name) for name in (source, validation or source, test or validation or source)
        ],
    )
    if wanted is not None:
        data = suppressed(
            data, wanted, classifier=found if isinstance(found, Classifier) else None,
            taggers=taggers, root=_root(source),
        )  # fmt: skip
    return OpenedDebias(found, data)


def _root(source: str) -> Path | None:
    place = Path(source)
    return place if place.is_dir() else place.parent if place.is_file() else None
