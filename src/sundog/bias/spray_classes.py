"""SpRAy on every class, corrected over the classes."""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Float, Int64

from sundog.bias.spray import COPIES, SPOT, fewest, spray
from sundog.bias.spray_features import check_maps
from sundog.bias.spray_null import step_down_maximum
from sundog.bias.spray_result import SprayClasses, SprayResult
from sundog.core.errors import InputError


def spray_classes(
    maps: Float[np.ndarray, "images height width"],
    labels: Int64[np.ndarray, "images"],
    *,
    null_maps: Float[np.ndarray, "models images height width"] | None = None,
    grid: int = 20,
    neighbours: int = 10,
    position_free: bool = False,
    spot: float = SPOT,
    copies: int = COPIES,
    seed: int = 0,
) -> SprayClasses:
    """Run :func:`spray` on every class and correct over the classes.

    ``p_adjusted`` bounds the probability of any false class
    (:func:`sundog.bias.spray_null.step_down_maximum`), for blends and null models apart; the larger
    of the two counts.

    Args:
        maps: of all images, each for its own label's class.
        labels: class of each image; images below 0 are left out.
        null_maps: of the null models, for the same images and classes.
        grid: as in :func:`spray`.
        neighbours: as in :func:`spray`.
        position_free: as in :func:`spray`.
        spot: as in :func:`spray`.
        copies: as in :func:`spray`.
        seed: of the blends.

    Raises:
        InputError: as in :func:`spray`; shapes that differ; not one class with enough maps.
    """
    values, of_class = check_maps(maps), np.asarray(labels)
    if of_class.shape != (len(values),):
        raise InputError("labels", expected=f"of {len(values)} maps", got=str(of_class.shape))
    nulls = None if null_maps is None else np.asarray(null_maps)
    if nulls is not None and nulls.shape[1:] != values.shape:
        raise InputError(
            "null_maps", expected=f"of shape (models, {values.shape})", got=str(nulls.shape)
        )
    results: dict[int, SprayResult] = {}
    left_out: dict[int, str] = {}
    for label in np.unique(of_class[of_class >= 0]).tolist():
        chosen = np.flatnonzero(of_class == label)
        usable = int((values[chosen].max(axis=(1, 2)) > 0).sum())
        if usable < fewest(neighbours):
            left_out[label] = f"{usable} usable maps, {fewest(neighbours)} are needed"
            continue
        results[label] = spray(
            values[chosen],
            null_maps=None if nulls is None else (other[chosen] for other in nulls),
            grid=grid,
            neighbours=neighbours,
            position_free=position_free,
            spot=spot,
            copies=copies,
            class_index=label,
            positions=chosen,
            seed=seed,
        )
    if not results:
        raise InputError(
            "maps",
            expected=f"at least {fewest(neighbours)} of one class with positive relevance",
            got="no such class",
            hint="Give more images, or fewer neighbours.",
        )
    return SprayClasses(results, _table(list(results.values())), left_out)


def _table(results: list[SprayResult]) -> pd.DataFrame:
    taus = np.array([result.tau for result in results])
    adjusted = step_down_maximum(taus, np.stack([r.null_blended for r in results], axis=1))
    models = [r.null_model for r in results if r.null_model is not None]
    if models:
        adjusted = np.maximum(adjusted, step_down_maximum(taus, np.stack(models, axis=1)))
    rows = [
        {
            "class_index": result.class_index,
            "n": result.n,
            "clusters": len(result.clusters),
            "eigengap": result.eigengap,
            "tau": result.tau,
            "null_tau": float(result.null_blended.mean()),
            "largest": result.clusters[0].share.value,
            "low": result.clusters[0].share.low,
            "high": result.clusters[0].share.high,
            "p": result.p,
            "p_adjusted": float(corrected),
        }
        for result, corrected in zip(results, adjusted, strict=True)
    ]
    return pd.DataFrame(rows)
