"""Score many explanations on many images in one pass, resumable, with controls and statistics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from numpy.typing import ArrayLike
from torch import Tensor

from sundog.core.errors import InputError
from sundog.core.progress import make_progress
from sundog.core.run_folder import RunFolder
from sundog.core.shapes import Images
from sundog.data.image_set import Batch
from sundog.faithfulness.controls import CONTROLS
from sundog.faithfulness.curve import CurveOutput, Fill, Spacing
from sundog.faithfulness.plan import Plan, make_plan
from sundog.faithfulness.runner import TABLE, Explainer, Runner
from sundog.faithfulness.table import FaithfulnessTable
from sundog.models.budget import DEFAULT_BUDGET
from sundog.models.checks import check_images
from sundog.models.classifier import Classifier


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
        InputError: no image, bad images, maps or masks of a wrong shape, a name used twice, one id
            for two pictures, unknown names.
        ModelStateError: a classifier in train mode.
        RunFolderError: the folder's parts were made with another specification, classifier,
            picture or mask.

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
    runner = Runner(classifier, plan, masks or {}, everyone, folder, budget)
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
