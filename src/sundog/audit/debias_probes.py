"""Other known cues, looked at before and after: mending one shortcut can feed another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from sundog.audit.debias_data import DebiasData
from sundog.audit.debias_summary import join_seeds
from sundog.audit.requests import parse_cue
from sundog.core.progress import track
from sundog.core.run_folder import RunFolder
from sundog.core.seeds import generator
from sundog.core.statistics import Estimate, paired_proportions, wilson_interval
from sundog.data.planting import Cue
from sundog.models.classifier import Classifier
from sundog.report.debias_content import CueCheck


@dataclass(frozen=True)
class Probe:
    """A cue as it was typed, and made for the classes at hand."""

    name: str
    cue: Cue


def make_probes(names: Sequence[str], data: DebiasData) -> tuple[Probe, ...]:
    """Return the cues to look at.

    Raises:
        UnknownNameError: no such cue or parameter.
    """
    count = len(data.class_names)
    return tuple(
        Probe(name, parse_cue(name, class_count=count, strength=1.0, seed=0)) for name in names
    )


def probe_checks(
    probes: Sequence[Probe],
    data: DebiasData,
    before: Mapping[int, Classifier],
    after: Mapping[str, Mapping[int, Classifier]],
    folder: RunFolder,
    *,
    progress: bool | None = None,
) -> list[CueCheck]:
    """Return how often each cue, planted against the label, moves a prediction to its own class.

    The flip rate is the share of test images that are not predicted as class c without the cue of
    a class c other than their own, and are with it.
    """
    checks = []
    for probe in track(probes, description="other cues", total=len(probes), visible=progress):
        old = {seed: _pulled(probe, data, model, folder, f"before-{seed}")
               for seed, model in before.items()}  # fmt: skip
        new = {
            method: {
                seed: _pulled(probe, data, model, folder, f"{method}-{seed}")
                for seed, model in models.items()
            }
            for method, models in after.items()
        }
        checks.append(
            CueCheck(
                cue=probe.name,
                repaired=False,
                before=_rate(list(old.values())),
                after={method: _rate(list(found.values())) for method, found in new.items()},
                change={
                    method: join_seeds(
                        [paired_proportions(found[seed], old[seed]).difference for seed in found]
                    )
                    for method, found in new.items()
                },
                n=len(next(iter(old.values()))),
                measure="share of predictions that the cue moves to its class",
            )
        )
    return checks


def _rate(found: Sequence[np.ndarray]) -> Estimate:
    joined = join_seeds([wilson_interval(int(f.sum()), f.size) for f in found])
    return Estimate(
        joined.value,
        max(0.0, joined.low),
        min(1.0, joined.high),
        joined.n,
        joined.level,
        joined.method,
    )


@torch.no_grad()
def _pulled(
    probe: Probe, data: DebiasData, model: Classifier, folder: RunFolder, key: str
) -> np.ndarray:
    """Return ``bool[images]``: the cue of another class moves the prediction to that class."""
    key = f"{probe.name}/{key}"
    done = folder.part("probes", key)
    if done is None:
        parts = []
        for batch in data.test.images.batches(batch_size=64):
            wanted = _other_classes(batch.labels, batch.ids, len(data.class_names))
            planted = probe.cue.plant_as(batch.images, wanted, batch.ids).images
            plain = model(batch.images.to(model.device)).argmax(dim=1).cpu()
            shown = model(planted.to(model.device)).argmax(dim=1).cpu()
            parts.append(((shown == wanted) & (plain != wanted)).numpy())
        done = pd.DataFrame({"pulled": np.concatenate(parts)})
        folder.append("probes", key, done)
    return done["pulled"].to_numpy(bool)


def _other_classes(labels: torch.Tensor, ids: Sequence[str], count: int) -> torch.Tensor:
    shift = torch.tensor(
        [int(torch.randint(1, count, (1,), generator=generator(0, "probe class", i))) for i in ids]
    )
    return (labels + shift) % count
