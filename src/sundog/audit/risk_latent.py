"""What the latents of a VAE in a risk model hold, for the page."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int64

from sundog.audit.subject import Subject, spread
from sundog.models.feature_table import collect_features
from sundog.report.risk_content import Latent
from sundog.risk.ensemble import EnsembleModel
from sundog.risk.latent_traversal import latent_traversal
from sundog.risk.model import RiskModel
from sundog.risk.vae import VAE

MOST_IMAGES = 2000
"""Images whose latents are shown, spread evenly."""
ROWS, STEPS = 6, 9


def latent_content(
    model: RiskModel | EnsembleModel, subject: Subject, rows: Int64[np.ndarray, "scored"]
) -> Latent | None:
    """Return traversal and latents of the first VAE of a model, None if it has none.

    Args:
        model: fitted.
        subject: images and classifier.
        rows: positions of the images that could be decoded.
    """
    if isinstance(model, EnsembleModel):
        return None
    found = [e for e in model.estimators if isinstance(e, VAE)]
    if not found:
        return None
    vae = found[0]
    target = getattr(vae, "target_class", None)
    if target is not None:  # the VAE knows the images of this class alone
        rows = rows[subject.labels[rows] == target]
    chosen = rows[spread(len(rows), MOST_IMAGES)]
    if len(chosen) < 2:
        return None
    table = collect_features(
        model.classifier,
        subject.image_set.subset(chosen),
        size=subject.size,
        resize=subject.resize,
        batch_size=subject.batch_size,
        progress=False,
    )
    codes = vae.latents(table.features.to(model.device)).cpu().double().numpy()
    moved = latent_traversal(vae.decode, codes, most=ROWS, steps=STEPS)
    if not len(moved.latents):
        return None
    return Latent(
        grid=moved.grid,
        values=moved.values,
        codes=codes[:, moved.latents],
        names=[f"z{k}" for k in moved.latents.tolist()],
        note=f"The {len(moved.latents)} of {codes.shape[1]} latents of {vae.name!r} that vary "
        f"most over {len(codes)} images, each from -3 to +3 standard deviations.",
    )
