"""The table of debiasing methods: what the command line, the docs and the tests read."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from sundog.core.errors import UnknownNameError

Kind = Literal["training", "head", "data"]
Need = Literal[
    "train_groups",
    "validation_groups",
    "masks",
    "pairs",
    "aleatoric",
    "density",
    "errors",
    "rankings",
]

NEEDS: dict[Need, str] = {
    "train_groups": "the group (class x attribute) of every training image",
    "validation_groups": "the group of some validation images, 90 or more per group",
    "masks": "where the cue is, or a template of it",
    "pairs": "images with and without the cue that are otherwise the same: from a mask of it, or "
    "from a cue that an audit found",
    "aleatoric": "the aleatoric risk or a label-error score of every training image",
    "density": "how well represented each training image is (measured on the way)",
    "errors": "what a first model gets wrong, and a gate that lets it pass",
    "rankings": "training images ranked by how much they show the cue",
}


@dataclass(frozen=True)
class DebiasMethod:
    """One row of the table.

    Attributes:
        name: as typed by a user.
        kind: ``training`` trains the network again, ``head`` refits the last layer on features,
            ``data`` changes which images are trained on.
        needs: what must be known beside images and labels; empty for nothing.
        full_alignment: whether it can work when every training image carries the cue that agrees
            with its label.
        cost: against plain training.
        summary: what it does, in one line.
        paper: authors, year, and arXiv id or venue.
    """

    name: str
    kind: Kind
    needs: tuple[Need, ...]
    full_alignment: bool
    cost: str
    summary: str
    paper: str


METHODS: dict[str, DebiasMethod] = {
    row.name: row
    for row in (
        DebiasMethod(
            name="erm",
            kind="training",
            needs=(),
            full_alignment=False,
            cost="1 x",
            summary="plain training: what every method is compared with",
            paper="Vapnik, 1991, NIPS",
        ),
        DebiasMethod(
            name="adaptive_resampling",
            kind="training",
            needs=("density",),
            full_alignment=False,
            cost="about 2 x (a pass over the training images per epoch)",
            summary="rare images are drawn more often; a rare image is not always a biased one",
            paper="Amini, Soleimany, Schwarting, Bhatia & Rus, 2019, AIES",
        ),
        DebiasMethod(
            name="group_reweighting",
            kind="training",
            needs=("train_groups",),
            full_alignment=False,
            cost="1 x",
            summary="all groups are drawn equally often",
            paper="Idrissi, Arjovsky, Pezeshki & Lopez-Paz, 2022, arXiv 2110.14503",
        ),
        DebiasMethod(
            name="group_subsampling",
            kind="training",
            needs=("train_groups",),
            full_alignment=False,
            cost="under 1 x (the smallest group times their number)",
            summary="every group is cut to the size of the smallest",
            paper="Idrissi, Arjovsky, Pezeshki & Lopez-Paz, 2022, arXiv 2110.14503",
        ),
        DebiasMethod(
            name="class_balance",
            kind="training",
            needs=(),
            full_alignment=False,
            cost="1 x",
            summary="all classes are drawn equally often, where no groups are known",
            paper="Idrissi, Arjovsky, Pezeshki & Lopez-Paz, 2022, arXiv 2110.14503",
        ),
        DebiasMethod(
            name="group_dro",
            kind="training",
            needs=("train_groups",),
            full_alignment=False,
            cost="1 x",
            summary="the group with the highest loss gets the most weight; needs strong weight "
            "decay or early stopping",
            paper="Sagawa, Koh, Hashimoto & Liang, 2020, arXiv 1911.08731",
        ),
        DebiasMethod(
            name="lisa",
            kind="training",
            needs=("train_groups",),
            full_alignment=False,
            cost="1 x",
            summary="images are mixed across attributes or across labels",
            paper="Yao, Wang, Li, Zhang, Liang, Zou & Finn, 2022, arXiv 2201.00299",
        ),
        DebiasMethod(
            name="jtt",
            kind="training",
            needs=("errors",),
            full_alignment=False,
            cost="2 x",
            summary="the errors of a first model are drawn more often; refused unless they are the "
            "conflicting images",
            paper="Liu, Haghgoo, Chen, Raghunathan, Koh, Sagawa, Liang & Finn, 2021, "
            "arXiv 2107.09044",
        ),
        DebiasMethod(
            name="noisy_removal",
            kind="data",
            needs=("aleatoric",),
            full_alignment=False,
            cost="1 x, after a model that gives the risk",
            summary="the most doubtful labels are left out, few per class; conflicting images look "
            "doubtful, so that it can feed a shortcut",
            paper="Northcutt, Jiang & Chuang, 2021, JAIR 70, arXiv 1911.00068",
        ),
        DebiasMethod(
            name="cue_augmentation",
            kind="training",
            needs=("pairs",),
            full_alignment=True,
            cost="1 x",
            summary="the cue is pasted, recoloured or painted over independently of the label",
            paper="Li, Evtimov, Gordo, Hazirbas, Hassner, Ferrer, Xu & Ibrahim, 2023, "
            "arXiv 2212.04825",
        ),
        DebiasMethod(
            name="right_reasons",
            kind="training",
            needs=("masks",),
            full_alignment=True,
            cost="about 5 x (gradient of a gradient)",
            summary="gradients inside the cue's mask are penalised",
            paper="Ross, Hughes & Doshi-Velez, 2017, arXiv 1703.03717",
        ),
        DebiasMethod(
            name="dfr",
            kind="head",
            needs=("validation_groups",),
            full_alignment=True,
            cost="seconds on features",
            summary="the last layer is refitted on group-balanced validation images",
            paper="Kirichenko, Izmailov & Wilson, 2023, arXiv 2204.02937",
        ),
        DebiasMethod(
            name="afr",
            kind="head",
            needs=("errors",),
            full_alignment=False,
            cost="seconds on features",
            summary="the last layer is refitted with more weight on images it gets wrong",
            paper="Qiu, Potapczynski, Izmailov & Wilson, 2023, arXiv 2306.11074",
        ),
        DebiasMethod(
            name="projection",
            kind="head",
            needs=("pairs",),
            full_alignment=True,
            cost="seconds on features",
            summary="the cue's directions are projected out of the features (P-ClArC) and the last "
            "layer is refitted",
            paper="Anders, Weber, Neumann, Samek, Müller & Lapuschkin, 2022, Information Fusion "
            "77, arXiv 1912.11425",
        ),
        DebiasMethod(
            name="low_spuriosity",
            kind="head",
            needs=("rankings",),
            full_alignment=False,
            cost="seconds on features",
            summary="the last layer is tuned on the images of each class that show the cue least",
            paper="Moayeri, Wang, Singla & Feizi, 2023, arXiv 2212.02648",
        ),
    )
}


def get_debias_method(name: str) -> DebiasMethod:
    """Return the row called ``name``.

    Raises:
        UnknownNameError: no such method; suggests the nearest.
    """
    if name not in METHODS:
        raise UnknownNameError("debiasing method", name, METHODS)
    return METHODS[name]


def usable_methods(
    known: Collection[Need], *, reweighting_possible: bool = True
) -> tuple[DebiasMethod, ...]:
    """Return the rows that could be run with what is known, in the order of the table.

    Args:
        known: what there is beside images and labels.
        reweighting_possible: False (see :mod:`sundog.debias.alignment`) leaves the methods that
            work when every training image carries its cue.

    Raises:
        UnknownNameError: no such need.
    """
    for need in known:
        if need not in NEEDS:
            raise UnknownNameError("need", need, NEEDS)
    return tuple(
        row
        for row in METHODS.values()
        if set(row.needs) <= set(known) and (reweighting_possible or row.full_alignment)
    )
