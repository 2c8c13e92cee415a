"""Score many explanations on many images in one pass, resumable, with controls and statistics."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from sundog.core.errors import InputError
from sundog.core.progress import make_progress
from sundog.core.run_folder import RunFolder
from sundog.core.shapes import Images, Logits, Maps
from sundog.data.image_set import Batch
from sundog.faithfulness.agreement import fill_agreement
from sundog.faithfulness.controls import CONTROLS
from sundog.faithfulness.cost import count_passes
from sundog.faithfulness.curve import CurveOutput, Fill, Spacing
from sundog.faithfulness.fills import CONSTANT_FILLS, Substrate, make_substrate
from sundog.faithfulness.localisation import LOCALISATION
from sundog.faithfulness.perturbation import check_maps, perturbation_curves
from sundog.faithfulness.plan import Plan, make_plan
from sundog.faithfulness.summary import compare, mean_curves, summarise
from sundog.faithfulness.table import FaithfulnessTable
from sundog.models.budget import DEFAULT_BUDGET, rows_per_pass
from sundog.models.checks import check_images
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
TABLE = "faithfulness"
"""Name of the table of parts in the run folder."""


def evaluate_faithfulness(
    classifier: Classifier,
    batches: Iterable[Batch | tuple[Images, Sequence[str]]],
    explainers: Mapping[str, Explainer],
    *,
    metrics: Sequence[str] = ("deletion", "insertion"),
    steps: int = 10,
    spacing: Spacing | Sequence[Spacing] = "equal",
    fills: Fill | Sequence[Fill] | Mapping[str, Sequence[Fill]] | None = None,
    output: CurveOutput = "probability",
    masks: Mapping[str, ArrayLike | Tensor] | None = None,
    controls: bool | Sequence[str] = True,
    seed: int = 0,
    level: float = 0.95,
    permutations: int = 9999,
    folder: RunFolder | None = None,
    budget: int = DEFAULT_BUDGET,
    total: int | None = None,
    progress: bool | None = False,
) -> FaithfulnessTable:
    """Score every explanation on every image and compare them pairwise on the same images.

    One pass over the batches serves all methods, metrics and fills: the clean prediction and the
    filled end of a curve are computed once per image (once per run for a black or grey end), each
    map once. An image that occurs twice (same id) counts once.

    Args:
        classifier: in eval mode.
        batches: batches of an image set, or ``(images, ids)`` pairs; ids name the images.
        explainers: name to ``images -> maps``.
        metrics: ``deletion``, ``insertion``, and with masks ``relevance_mass``, ``mass_lift``,
            ``rank_accuracy``, ``pointing_game`` (all four if masks are given and none is named).
        steps: images per curve for ``equal`` spacing, at least 2.
        spacing: ``equal``, ``log`` (fine where small cues are), or both.
        fills: for both curve metrics, or by metric; None: deletion black, insertion blur.
        output: probability, logit or log_probability of the class predicted on the clean image.
        masks: image id to ``bool[height, width]``, True where the evidence is; an image without
            a mask gets no localisation score, and is counted.
        controls: the random, centre, edge and constant maps as rows of the table.
        seed: for the random control, imputation noise and permutations.
        level: confidence level.
        permutations: sign patterns of the paired tests.
        folder: an open run folder: each batch and method is written when done, and a later call
            with the same specification continues. It cannot see an explainer's own parameters:
            put them among the folder's arguments.
        budget: bytes of activations held at once.
        total: number of images, for the progress display.
        progress: True shows it, None shows it on a terminal, False does not.

    Returns:
        Scores, summary, paired comparisons, mean curves and agreement between fills.

    Raises:
        InputError: no image, bad images, maps of a wrong shape, a name used twice, unknown names.
        ModelStateError: a classifier in train mode.
        RunFolderError: the folder's parts were made with another specification or classifier.

    Source: Petsiuk et al., 2018, arXiv 1806.07421; Hooker et al., 2019 and Rong et al., 2022 for
    why the fill matters; paired tests with Holm's correction are ours.
    """
    plan = make_plan(
        metrics=metrics,
        steps=steps,
        spacing=spacing,
        fills=fills,
        output=output,
        has_masks=masks is not None,
        controls=controls,
        seed=seed,
    )
    classifier.require_eval()
    everyone = _with_controls(explainers, plan)
    runner = _Runner(classifier, plan, masks or {}, everyone, folder, budget)
    with make_progress(visible=progress) as display:
        task = display.add_task("Scoring explanations", total=total)
        for images, ids in map(_unpack, batches):
            runner.run_batch(images, ids)
            display.advance(task, len(ids))
    table = runner.collect(set(explainers), level=level, permutations=permutations)
    if folder is not None:
        for name in ("scores", "summary", "comparisons", "curves", "agreement"):
            folder.write_result(f"{TABLE}_{name}", getattr(table, name))
    return table


def _with_controls(explainers: Mapping[str, Explainer], plan: Plan) -> dict[str, Explainer]:
    taken = sorted(set(explainers) & set(CONTROLS))
    if taken:
        raise InputError(
            "An explainer's name",
            expected="not a control's",
            got=repr(taken[0]),
            hint=f"Controls: {', '.join(CONTROLS)}.",
        )
    if not explainers and not plan.controls:
        raise InputError("explainers", expected="at least one", got="none")

    def control(name: str) -> Explainer:
        return lambda images: CONTROLS[name](images, seed=plan.seed)

    return {**explainers, **{name: control(name) for name in plan.controls}}


def _unpack(batch: Batch | tuple[Images, Sequence[str]]) -> tuple[Images, tuple[str, ...]]:
    images, ids = batch if isinstance(batch, tuple) else (batch.images, batch.ids)
    check_images(images)
    if len(ids) != len(images):
        raise InputError("ids", expected=f"one per image ({len(images)})", got=f"{len(ids)} ids")
    return images, tuple(str(one) for one in ids)


@dataclass
class _Shared:
    """What all methods of one batch share."""

    images: Images
    ids: tuple[str, ...]
    logits: Logits
    substrates: dict[str, Substrate]
    rows: int


class _Runner:
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
        self._rows: dict[tuple[int, ...], int] = {}
        self._constants: dict[tuple[str, tuple[int, ...]], Logits] = {}
        if folder is not None:
            folder.bind(TABLE, {**plan.specification(), "model": model_fingerprint(classifier)})
            self.frames = list(folder.parts(TABLE).values())
            for frame in self.frames:
                for name, ids in frame.groupby("method")["id"]:
                    self.done.setdefault(str(name), set()).update(ids)

    def run_batch(self, images: Images, ids: tuple[str, ...]) -> None:
        """Score the images of a batch that are new, by the methods that have not seen them."""
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
        shared: dict[tuple[int, ...], _Shared] = {}
        for name, some in missing.items():
            if some:
                chosen = tuple(some)
                if chosen not in shared:
                    shared[chosen] = self._share(images[some], tuple(ids[k] for k in some))
                self._score(name, shared[chosen])

    def _share(self, images: Images, ids: tuple[str, ...]) -> _Shared:
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
        return _Shared(images, ids, logits, substrates, rows)

    def _score(self, name: str, shared: _Shared) -> None:
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

    def _columns(self, shared: _Shared, maps: Maps) -> list[dict[str, object]]:
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

    def _localise(self, metric: str, shared: _Shared, maps: Maps) -> dict[str, object]:
        values, reasons = np.full(len(maps), np.nan), ["no mask"] * len(maps)
        with count_passes(self.classifier) as cost:
            known = [k for k, one in enumerate(shared.ids) if one in self.masks]
            if known:
                masks = torch.stack([_mask(self.masks[shared.ids[k]]) for k in known])
                result = LOCALISATION[metric](maps[known].cpu(), masks)
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
        scores = rows.drop(columns=["x", "curve"])
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


def _mask(mask: ArrayLike | Tensor) -> Tensor:
    return mask.cpu() if isinstance(mask, Tensor) else torch.from_numpy(np.asarray(mask))
