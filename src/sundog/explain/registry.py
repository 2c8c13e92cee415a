"""The table of attribution methods: what the command line, the docs and the tests read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from sundog.core.errors import UnknownNameError
from sundog.explain.gradient_norm import gradient_norm
from sundog.explain.occlusion import occlusion
from sundog.explain.rise import rise

Family = Literal["gradient", "path", "rule", "cam", "perturbation", "attention", "layer"]


@dataclass(frozen=True)
class Method:
    """One row of the table.

    Attributes:
        name: as typed by a user.
        function: ``function(classifier, images, target, *, ...) -> Tensor``.
        family: gradient, path, rule, cam, perturbation, attention or layer.
        space: ``pixel`` methods accept ``reduction`` (``none`` keeps the channels); ``layer``
            methods work on a feature map and are resized to the image.
        signed: whether the default map has negative values that mean 'speaks against'.
        complete: whether the sum over pixels and channels (``reduction="none"``) equals
            ``f(x) - f(baseline)``.
        gradient: whether gradients are needed (ONNX has none).
        cost: passes per image, F = forward, B = backward to the input.
        paper: authors, year, title or venue, and arXiv id.
        convention: target, sign, reduction and resize of the default, in one line.
    """

    name: str
    function: Callable[..., Tensor]
    family: Family
    space: Literal["pixel", "layer"]
    signed: bool
    complete: bool
    gradient: bool
    cost: str
    paper: str
    convention: str


METHODS: dict[str, Method] = {
    row.name: row
    for row in (
        Method(
            name="gradient_norm",
            function=gradient_norm,
            family="gradient",
            space="pixel",
            signed=False,
            complete=False,
            gradient=True,
            cost="1 F + 1 B",
            paper="Simonyan, Vedaldi & Zisserman, 2013, arXiv 1312.6034",
            convention="logit of the predicted class; L2 over channels; unsigned",
        ),
        Method(
            name="occlusion",
            function=occlusion,
            family="perturbation",
            space="layer",
            signed=True,
            complete=False,
            gradient=False,
            cost="(S^2 + 1) F, S = 6",
            paper="Zeiler & Fergus, 2013, arXiv 1311.2901",
            convention="probability drop of the predicted class; signed; 6 x 6 cells shown black, "
            "resized bilinearly",
        ),
        Method(
            name="rise",
            function=rise,
            family="perturbation",
            space="layer",
            signed=False,
            complete=False,
            gradient=False,
            cost="N F, N = 4000",
            paper="Petsiuk, Das & Saenko, 2018, arXiv 1806.07421",
            convention="mean probability of the predicted class over random masks; >= 0; black",
        ),
    )
}


def get_method(name: str) -> Method:
    """Return the row called ``name``.

    Raises:
        UnknownNameError: no such method; suggests the nearest.
    """
    if name not in METHODS:
        raise UnknownNameError("method", name, METHODS)
    return METHODS[name]
