"""The old head on standardised features: where a gentle refit starts and what it stays near."""

from __future__ import annotations

from jaxtyping import Float64
from numpy import ndarray

from sundog.core.errors import InputError
from sundog.debias.scaling import Scaling
from sundog.models.feature_table import FeatureTable
from sundog.models.head import Head


def start_of(
    head: Head, table: FeatureTable
) -> tuple[Scaling, tuple[Float64[ndarray, "classes features"], Float64[ndarray, "classes"]]]:
    """Return the scaling of a table's labelled images and the head on features so scaled.

    Raises:
        InputError: a head of other features or classes, or no labelled image.
    """
    wanted = (table.logits.shape[1], table.features.shape[1])
    if tuple(head.weight.shape) != wanted:
        raise InputError(
            "The head",
            expected=f"of {wanted[0]} classes and {wanted[1]} features, as the table",
            got=str(tuple(head.weight.shape)),
            hint="Read it from the classifier that made the table.",
        )
    keep = table.labels >= 0
    if not bool(keep.any()):
        raise InputError("The table", expected="with labelled images", got="none")
    scaling = Scaling.of(table.features[keep].numpy())
    return scaling, scaling.from_raw(head.weight.numpy(), head.bias.numpy())
