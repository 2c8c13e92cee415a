"""Scoring batch after batch: what a run folder holds already is not done again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from sundog.core.errors import InputError
from sundog.core.run_folder import RunFolder
from sundog.core.shapes import Images, Logits, Maps
from sundog.faithfulness.agreement import fill_agreement
from sundog.faithfulness.content import Contents, content_digests, masks_of
from sundog.faithfulness.cost import count_passes
from sundog.faithfulness.fills import CONSTANT_FILLS, Substrate, make_substrate
from sundog.faithfulness.localisation import LOCALISATION
from sundog.faithfulness.perturbation import check_maps, perturbation_curves
from sundog.faithfulness.plan import Plan
from sundog.faithfulness.summary import compare, mean_curves, summarise
from sundog.faithfulness.table import FaithfulnessTable
from sundog.models.budget import rows_per_pass
from sundog.models.classifier import Classifier
from sundog.models.fingerprint import model_fingerprint


class Explained(Protocol):
    """Maps with what they cost per image, for methods that count their own passes."""

    @property
    def maps(self) -> Maps:
        """``float[batch, height, width]``."""

    @property
    def forwards(self) -> float:
        """Rows that went forward through the network, per image."""

    @property
    def backwards(self) -> float:
        """Rows that went backward, per image."""


Explainer = Callable[[Images], Maps | Explained]
"""``images -> float[batch, height, width]``, or an object that also says what it cost."""
PARTS = 2
"""Version of what a part holds."""
TABLE = "faithfulness"
"""Name of the table of parts in the run folder."""


@dataclass
class Shared:
    """What all methods of one batch share."""

    images: Images
    ids: tuple[str, ...]
    masks: list[Tensor | None]
    contents: list[str]
    logits: Logits
    substrates: dict[str, Substrate]
    rows: int


class Runner:
    """Scores batch after batch; knows what the run folder has already."""

    def __init__(
        self,
        classifier: Classifier,
        plan: Plan,
        masks: Mapping[str, ArrayLike | Tensor],
        explainers: Mapping[str, Explainer],
        folder: RunFolder | None,
        budget: int,
    ) -> None:
        self.classifier, self.plan, self.masks = classifier, plan, masks
        self.explainers, self.folder, self.budget = explainers, folder, budget
        self.seen: dict[str, None] = {}
        self.repeats = 0
        self.frames: list[pd.DataFrame] = []
        self.done: dict[str, set[str]] = {name: set() for name in explainers}
        self.contents = Contents()
        self._rows: dict[tuple[int, ...], int] = {}
        self._constants: dict[tuple[str, tuple[int, ...]], Logits] = {}
        if folder is not None:
            bound = {"model": model_fingerprint(classifier), "parts": PARTS}
            folder.bind(TABLE, {**plan.specification(), **bound})
            self.frames = list(folder.parts(TABLE).values())
            for frame in self.frames:
                self.contents.store(frame["id"].tolist(), frame["content"].tolist())
                for name, ids in frame.groupby("method")["id"]:
                    self.done.setdefault(str(name), set()).update(ids)

    def run_batch(self, images: Images, ids: tuple[str, ...]) -> None:
        """Score the images of a batch that are new, by the methods that have not seen them."""
        masks = masks_of(
            ids, self.masks if self.plan.localisation else {}, (images.shape[2], images.shape[3])
        )
        contents = content_digests(images, masks)
        self.contents.check(ids, contents)
        fresh = [k for k, one in enumerate(ids) if one not in self.seen and ids.index(one) == k]
        self.repeats += len(ids) - len(fresh)
        self.seen.update(dict.fromkeys(ids))
        missing = {
            name: [k for k in fresh if ids[k] not in done]
            for name, done in self.done.items()
            if name in self.explainers
        }
        wanted = sorted({k for some in missing.values() for k in some})
        if not wanted:
            return
        shared: dict[tuple[int, ...], Shared] = {}
        for name, some in missing.items():
            if some:
                chosen = tuple(some)
                if chosen not in shared:
                    shared[chosen] = self._share(
                        images[some],
                        ids=tuple(ids[k] for k in some),
                        masks=[masks[k] for k in some],
                        contents=[contents[k] for k in some],
                    )
                self._score(name, shared[chosen])

    def _share(
        self,
        images: Images,
        *,
        ids: tuple[str, ...],
        masks: list[Tensor | None],
        contents: list[str],
    ) -> Shared:
        size = tuple(images.shape[1:])
        images = images.to(self.classifier.device)
        if size not in self._rows:
            self._rows[size] = rows_per_pass(
                self.classifier, images, gradient=False, budget=self.budget
            )
        rows = self._rows[size]
        substrates: dict[str, Substrate] = {}
        for fill in self.plan.fills:
            substrates[fill] = make_substrate(
                self.classifier,
                images,
                fill,
                seed=self.plan.seed,
                rows=rows,
                constant=self._constants.get((fill, size)),
            )
            if fill in CONSTANT_FILLS:
                self._constants[fill, size] = substrates[fill].logits[:1]
        logits = self.classifier.predict(images, batch_size=rows)
        return Shared(images, ids, masks, contents, logits, substrates, rows)

    def _score(self, name: str, shared: Shared) -> None:
        """Explain and score one batch by one method, and keep the part."""
        count = len(shared.ids)
        with count_passes(self.classifier) as cost:
            result = self.explainers[name](shared.images)
        maps = result if isinstance(result, Tensor) else result.maps
        maps = check_maps(maps, shared.images, name=f"The maps of {name!r}")
        forwards = cost.equivalents / count
        if not isinstance(result, Tensor):
            forwards = float(result.forwards) + float(result.backwards)
        probabilities = shared.logits.softmax(dim=1).max(dim=1)
        common = {
            "id": shared.ids,
            "content": shared.contents,
            "method": name,
            "control": name in self.plan.controls,
            "target": probabilities.indices.cpu().numpy(),
            "confidence": probabilities.values.cpu().double().numpy(),
            "seconds": cost.seconds / count,
            "forwards": forwards,
        }
        frame = pd.concat(
            [pd.DataFrame({**common, **columns}) for columns in self._columns(shared, maps)],
            ignore_index=True,
        )
        if self.folder is not None:
            digest = hashlib.blake2b("\n".join(shared.ids).encode(), digest_size=8).hexdigest()
            self.folder.append(TABLE, f"{name}/{digest}", frame)
        self.frames.append(frame)
        self.done[name].update(shared.ids)

    def _columns(self, shared: Shared, maps: Maps) -> list[dict[str, object]]:
        """Return the columns of each score: curves, then localisation."""
        found: list[dict[str, object]] = []
        for spec in self.plan.curves:
            with count_passes(self.classifier) as cost:
                curves = perturbation_curves(
                    self.classifier,
                    shared.images,
                    maps,
                    spec=spec,
                    clean_logits=shared.logits,
                    substrate=shared.substrates[spec.fill],
                    rows=shared.rows,
                )
            areas = {"linear": curves.area}
            if spec.spacing == "log":
                areas["log"] = curves.log_area
            found += [
                {
                    "metric": spec.kind,
                    "fill": spec.fill,
                    "spacing": spec.spacing,
                    "steps": spec.steps,
                    "axis": axis,
                    "value": area,
                    "reason": curves.reasons,
                    "score_seconds": cost.seconds / len(maps),
                    "score_forwards": curves.forwards,
                    "x": [curves.x.tolist()] * len(maps),
                    "curve": curves.values.tolist(),
                }
                for axis, area in areas.items()
            ]
        for metric in self.plan.localisation:
            found.append(self._localise(metric, shared, maps))
        return found

    def _localise(self, metric: str, shared: Shared, maps: Maps) -> dict[str, object]:
        values, reasons = np.full(len(maps), np.nan), ["no mask"] * len(maps)
        with count_passes(self.classifier) as cost:
            given = {k: mask for k, mask in enumerate(shared.masks) if mask is not None}
            known = list(given)
            if known:
                result = LOCALISATION[metric](maps[known].cpu(), torch.stack(list(given.values())))
                values[known] = result.values
                for k, reason in zip(known, result.reasons, strict=True):
                    reasons[k] = reason
        return {
            "metric": metric,
            "fill": "",
            "spacing": "",
            "steps": 0,
            "axis": "",
            "value": values,
            "reason": reasons,
            "score_seconds": cost.seconds / len(maps),
            "score_forwards": 0.0,
            "x": [[]] * len(maps),
            "curve": [[]] * len(maps),
        }

    def collect(self, methods: set[str], *, level: float, permutations: int) -> FaithfulnessTable:
        """Return the table of the images that this call has seen."""
        if not self.seen:
            raise InputError("batches", expected="at least one image", got="none")
        rows = pd.concat(self.frames, ignore_index=True)
        rows = rows[rows["id"].isin(self.seen) & rows["method"].isin(self.explainers)]
        places = {one: k for k, one in enumerate(self.seen)}
        names = {name: k for k, name in enumerate(self.explainers)}
        order = pd.DataFrame({"method": rows["method"].map(names), "id": rows["id"].map(places)})
        rows = rows.loc[order.sort_values(["method", "id"], kind="stable").index]
        rows = rows.drop_duplicates(["id", "method", "metric", "fill", "spacing", "axis"])
        rows = rows.reset_index(drop=True)
        scores = rows.drop(columns=["x", "curve", "content"])
        summary = summarise(scores, level=level)
        notes = []
        if self.repeats:
            notes.append(f"{self.repeats} repeated image{_s(self.repeats)} counted once.")
        if self.folder is not None and self.folder.damaged:
            damaged = len(self.folder.damaged)
            notes.append(f"{damaged} damaged part{_s(damaged)} set aside and redone.")
        return FaithfulnessTable(
            scores=scores,
            summary=summary,
            comparisons=compare(
                scores, level=level, permutations=permutations, seed=self.plan.seed
            ),
            curves=mean_curves(scores, rows["curve"], rows["x"], level=level),
            agreement=fill_agreement(summary),
            specification=self.plan.specification(),
            notes=tuple(notes),
        )


def _s(count: int) -> str:
    return "" if count == 1 else "s"
