"""The front door: explain images with one method, or with several that share what they can."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from sundog.core.errors import InputError
from sundog.core.shapes import Images, Scores
from sundog.explain.attribution import Attribution
from sundog.explain.baselines import baseline_text, make_baselines, take_baselines
from sundog.explain.budget import DEFAULT_BUDGET, MAX_ROWS
from sundog.explain.cam_layer import resolve_layer
from sundog.explain.counting import count_rows
from sundog.explain.deep_lift import deep_lift_contributions
from sundog.explain.layer_conductance import conductance_map
from sundog.explain.objective import Objective, OutputKind, Target, check_images, make_objective
from sundog.explain.passes import gradients_off
from sundog.explain.plan import Plan, accepts, make_plan
from sundog.explain.reduction import reduce_channels
from sundog.explain.shared import can_share, shared_pass
from sundog.models.classifier import Classifier

Methods = Sequence[str] | Mapping[str, tuple[str, Mapping[str, Any]]]
"""Names of methods, or label -> (name, parameters)."""


def attribute(
    classifier: Classifier,
    images: Images,
    method: str = "integrated_gradients",
    *,
    target: Target = None,
    output: OutputKind | None = None,
    budget: int = DEFAULT_BUDGET,
    **parameters: Any,
) -> Attribution:
    """Explain images with one method of the table, and record how.

    Args:
        classifier: in eval mode.
        images: ``float[batch, 3, height, width]`` in [0, 1], before normalisation.
        method: a name of the table (``sundog list``).
        target: class per image, one class, a scalar of the logits, or None: the predicted class.
        output: logit, probability or log_probability; None is the method's default.
        budget: bytes of activations held at once; the result does not depend on it.
        **parameters: the method's own.

    Returns:
        Raw maps (direction: see the method's row and ``signed``), logits, classes, parameters,
        completeness gap for methods that promise a sum, seconds, and measured rows per image.

    Raises:
        UnknownNameError: unknown method, parameter or layer; suggests the nearest.
        InputError: bad images, target or parameters. ModelStateError: train mode or no gradient.
    """
    found = attribute_many(
        classifier,
        images,
        {method: (method, parameters)},
        target=target,
        output=output,
        budget=budget,
    )
    return found[method]


@gradients_off()
def attribute_many(
    classifier: Classifier,
    images: Images,
    methods: Methods,
    *,
    target: Target = None,
    output: OutputKind | None = None,
    budget: int = DEFAULT_BUDGET,
) -> dict[str, Attribution]:
    """Explain images with several methods; those that can come from one pass share it.

    Gradient norm, gradient x input, the class activation maps and the logits cost one forward and
    one backward pass together. The predicted class is found once for all methods.

    Args:
        classifier: in eval mode.
        images: ``float[batch, 3, height, width]`` in [0, 1], before normalisation.
        methods: names, or label -> (name, parameters) for one method with several parameters.
        target: class per image, one class, a scalar of the logits, or None: the predicted class.
        output: logit, probability or log_probability; None is each method's default.
        budget: bytes of activations held at once; the result does not depend on it.

    Returns:
        One :class:`Attribution` per label, in the order asked. If the classes had to be predicted
        before the methods that share no pass, each of these carries that one forward in its cost.

    Raises:
        UnknownNameError: unknown method, parameter or layer; suggests the nearest.
        InputError: bad images, target or parameters. ModelStateError: train mode or no gradient.
    """
    plans = _plans(classifier, methods, output)
    if not isinstance(target, Objective):
        check_images(images)
    classifier.require_eval()
    found: dict[str, Attribution] = {}
    fixed = target
    for kind in dict.fromkeys(plan.output for plan in plans.values()):
        group = {
            label: plan
            for label, plan in plans.items()
            if can_share(plan.method.name) and plan.output == kind
        }
        if group:
            known = replace(fixed, output=kind) if isinstance(fixed, Objective) else fixed
            shared, fixed = _explain_shared(classifier, images, group, known, kind, budget)
            found.update(shared)
    for label, plan in plans.items():
        if plan.method.family == "rule":
            found[label], fixed = _explain_by_rules(classifier, images, plan, fixed, budget)
    rest = {label: plan for label, plan in plans.items() if label not in found}
    if not rest:
        return {label: found[label] for label in plans}
    with count_rows(classifier) as rows:
        began = time.perf_counter()
        first = next(iter(rest.values())).output
        objective = make_objective(classifier, images, fixed, output=first)
        spent = time.perf_counter() - began
    for label, plan in rest.items():
        known = replace(objective, output=plan.output)
        alone = _explain_alone(classifier, images, plan, known, budget)
        found[label] = replace(
            alone,
            seconds=alone.seconds + spent,
            forwards=alone.forwards + rows.forward / len(images),
        )
    return {label: found[label] for label in plans}


def _plans(classifier: Classifier, methods: Methods, output: OutputKind | None) -> dict[str, Plan]:
    if isinstance(methods, str) or not methods:
        raise InputError("methods", expected="a non-empty list of names", got=repr(methods))
    asked = methods if isinstance(methods, Mapping) else {name: (name, {}) for name in methods}
    plans = {label: make_plan(name, given, output=output) for label, (name, given) in asked.items()}
    for plan in plans.values():
        if plan.method.gradient:
            classifier.require_gradient(plan.method.name)
    return plans


def _explain_shared(
    classifier: Classifier,
    images: Images,
    plans: Mapping[str, Plan],
    target: Target,
    output: OutputKind,
    budget: int,
) -> tuple[dict[str, Attribution], Objective]:
    with count_rows(classifier) as rows:
        began = time.perf_counter()
        maps, objective = shared_pass(
            classifier,
            images,
            {label: (plan.method.name, plan.given) for label, plan in plans.items()},
            target,
            output=output,
            budget=budget,
        )
        seconds = time.perf_counter() - began
    found = {
        label: replace(
            _describe(classifier, images, plan, objective, maps[label]),
            seconds=seconds,
            forwards=rows.forward / len(images),
            backwards=rows.backward / len(images),
            shared=tuple(other for other in plans if other != label),
        )
        for label, plan in plans.items()
    }
    return found, objective


def _explain_by_rules(
    classifier: Classifier, images: Images, plan: Plan, target: Target, budget: int
) -> tuple[Attribution, Objective]:
    """Explain by DeepLIFT, whose passes also give the logits and the completeness gap."""
    known = replace(target, output=plan.output) if isinstance(target, Objective) else target
    with count_rows(classifier) as rows:
        began = time.perf_counter()
        result = deep_lift_contributions(
            classifier,
            images,
            known,
            baseline=plan.parameters["baseline"],
            seed=plan.parameters["seed"],
            output=plan.output,
            budget=budget,
        )
        maps = reduce_channels(result.attribution, plan.parameters["reduction"])
        seconds = time.perf_counter() - began
    found = replace(
        _describe(classifier, images, plan, result.objective, maps),
        completeness_gap=-result.gap,
        seconds=seconds,
        forwards=rows.forward / len(images),
        backwards=rows.backward / len(images),
    )
    return found, result.objective


def _explain_alone(
    classifier: Classifier, images: Images, plan: Plan, objective: Objective, budget: int
) -> Attribution:
    maps: list[Tensor] = []
    gaps: list[Scores] = []
    with count_rows(classifier) as rows:
        began = time.perf_counter()
        for start in range(0, len(images), MAX_ROWS):
            part = slice(start, start + MAX_ROWS)
            found, gap = _explain_part(
                classifier,
                take_part(plan, images, part),
                objective.take(part),
                images[part],
                budget,
            )
            maps.append(found)
            if gap is not None:
                gaps.append(gap)
        seconds = time.perf_counter() - began
    return replace(
        _describe(classifier, images, plan, objective, torch.cat(maps)),
        completeness_gap=torch.cat(gaps) if gaps else None,
        seconds=seconds,
        forwards=rows.forward / len(images),
        backwards=rows.backward / len(images),
    )


def take_part(plan: Plan, images: Images, part: slice) -> Plan:
    """Return the plan of a part of the images: baselines that have one row per image are cut."""
    if "baseline" not in plan.parameters:
        return plan
    one = {"baseline": take_baselines(plan.parameters["baseline"], images, part)}
    return replace(plan, given={**plan.given, **one}, parameters={**plan.parameters, **one})


def _explain_part(
    classifier: Classifier, plan: Plan, objective: Objective, images: Images, budget: int
) -> tuple[Tensor, Scores | None]:
    """Return the maps of a few images and, for a method that promises a sum, its gap."""
    images = images if objective.images is None else objective.images
    method, given = plan.method, dict(plan.given)
    common = {"output": plan.output, "budget": budget}
    common = {key: value for key, value in common.items() if accepts(method, key)}
    if not (method.complete and accepts(method, "reduction")):
        return method.function(classifier, images, objective, **common, **given), None
    given["reduction"] = "none"
    raw = method.function(classifier, images, objective, **common, **given)
    promised = _promised_sum(classifier, images, objective, plan.parameters)
    reduction = plan.parameters["reduction"]
    if method.space == "layer":
        size, resized = (images.shape[2], images.shape[3]), plan.parameters["resized"]
        maps = conductance_map(raw, size, reduction=reduction, resized=resized)
    else:
        maps = reduce_channels(raw, reduction)
    return maps, raw.flatten(1).sum(dim=1) - promised


def _promised_sum(
    classifier: Classifier, images: Images, objective: Objective, parameters: Mapping[str, Any]
) -> Scores:
    """Return ``f(x) - mean over baselines of f(baseline)`` for each image."""
    baselines = make_baselines(
        images, parameters.get("baseline", "black"), seed=parameters.get("seed", 0)
    )
    total = torch.zeros_like(objective(objective.logits))
    for one in baselines:
        # A baseline that is the same for all images is one row.
        same = bool((one == one[:1]).all())
        logits = classifier.predict(one[:1] if same else one)
        total = total + objective(logits.expand(len(images), -1))
    return (objective(objective.logits) - total / len(baselines)).detach()


def _describe(
    classifier: Classifier, images: Images, plan: Plan, objective: Objective, maps: Tensor
) -> Attribution:
    parameters = dict(plan.parameters)
    if plan.method.family in ("cam", "layer") and parameters.get("layer", "") is None:
        parameters["layer"] = resolve_layer(classifier, images)
    baseline = parameters.get("baseline")
    return Attribution(
        method=plan.method.name,
        maps=maps,
        target=objective.target,
        output=plan.output,
        logits=objective.logits,
        parameters=parameters,
        signed=plan.signed,
        reduction=plan.reduction,
        baseline=None if baseline is None else baseline_text(baseline),
    )
