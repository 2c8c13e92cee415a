"""The doctor's checks of the classifier: how it behaves, what it returns, whether it knows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from sundog.audit.doctor_result import Check
from sundog.core.shapes import Images
from sundog.core.statistics import wilson_interval
from sundog.models.behaviour import (
    SAME,
    Behaviour,
    GradientLook,
    holdings,
    look_at_gradient,
    observe,
)
from sundog.models.classifier import Classifier
from sundog.models.output_kind import OutputLook, output_look

PROBES = 6
"""Images for what needs no more."""
ONE_CLASS = 20
"""Images from which one and the same prediction for all is a fault."""
SLOW_ON_CPU = ("float16", "bfloat16")


def behaviour_checks(
    classifier: Classifier, images: Images, *, training: tuple[str, ...]
) -> list[Check]:
    """Return the checks of how the classifier behaves when it is asked.

    Args:
        classifier: as in eval mode as it can be put.
        images: ``float[n, 3, height, width]`` in [0, 1].
        training: modules that were in train mode when it was given.
    """
    probes = images[:PROBES].to(classifier.device)
    seen = observe(classifier, probes)
    return [_mode(training), _same_twice(seen), _same_alone(seen), _weights(classifier)]


def _mode(training: tuple[str, ...]) -> Check:
    if not training:
        return Check("model: mode", "ok", "eval mode", "eval mode")
    return Check(
        "model: mode",
        "fail",
        f"{len(training)} modules in train mode (first: {training[0]!r})",
        "eval mode",
        "call classifier.eval() first; the other checks were made in eval mode",
    )


def _same_twice(seen: Behaviour) -> Check:
    expected = "the same images give the same logits"
    if seen.changed:
        return Check(
            "model: repeatable",
            "fail",
            f"asking changes {len(seen.changed)} tensors of the network (first: "
            f"{seen.changed[0]!r})",
            expected,
            "a batch norm that goes on learning: call eval() on it",
        )
    gap = seen.repeat_gap
    if gap > SAME:
        return Check(
            "model: repeatable",
            "fail",
            f"two passes over {seen.images} images differ by {gap:.2g} of the largest logit",
            expected,
            "dropout or noise is active: give F.dropout training=self.training, or call eval()",
        )
    return Check("model: repeatable", "ok", f"two passes over {seen.images} images agree", expected)


def _same_alone(seen: Behaviour) -> Check:
    name, expected = "model: batches", "an image gives the same logits alone and in a batch"
    if seen.batch_error:
        return Check(
            name,
            "fail",
            f"does not run on {seen.batch_error}",
            expected,
            "export with a free batch size; use flatten(1), not squeeze(), after the pooling",
        )
    if seen.repeat_gap > SAME:
        return Check(name, "skipped", "not even two passes agree", expected)
    if seen.batch_gap > SAME:
        return Check(
            name,
            "fail",
            f"an image alone differs by {seen.batch_gap:.2g} of the largest logit from the same "
            f"image among {seen.images}",
            expected,
            "a batch norm uses the batch: call eval(), and keep track_running_stats=True",
        )
    return Check(name, "ok", f"{seen.images} images agree alone and in a batch", expected)


def _weights(classifier: Classifier) -> Check:
    name, held = "model: weights", holdings(classifier)
    where = ", ".join(held.devices) or "hidden"
    kind = ", ".join(held.dtypes) or "hidden"
    text = (
        f"{classifier.weights}; {held.parameters / 1e6:.3g} million parameters, "
        f"{held.bytes / 2**20:.3g} MiB, {kind}, on {where}"
    )
    if held.infinite:
        return Check(
            name,
            "fail",
            f"{len(held.infinite)} tensors hold NaN or infinity (first: {held.infinite[0]!r})",
            "finite",
            "train again, or take an earlier checkpoint",
        )
    if len(held.devices) > 1:
        return Check(name, "fail", text, "one device", "classifier.to(device)")
    if classifier.weights == "random":
        return Check(
            name,
            "fail",
            f"random; {text.partition('; ')[2]}",
            "trained",
            "--checkpoint FILE, or --download for published weights",
        )
    slow = classifier.device.type == "cpu" and any(d in SLOW_ON_CPU for d in held.dtypes)
    return Check(
        name,
        "warn" if slow else "ok",
        text,
        "trained, one device",
        "half precision is slow on a CPU and coarse for maps: network.float()" if slow else "",
    )


def output_checks(
    classifier: Classifier,
    raw: Float[Tensor, "rows columns"],
    scores: Float[Tensor, "rows columns"],
    labels: Int64[np.ndarray, "rows"],
    *,
    classes: int,
    set_classes: int,
) -> list[Check]:
    """Return the checks of what the network returns.

    Args:
        classifier: says what it declares.
        raw: what the network itself returns, of some images.
        scores: logits of the chosen classes, of the sample.
        labels: class of each, -1 = unlabelled.
        classes: that the classifier has.
        set_classes: that the images have.
    """
    return [
        _finite(scores),
        _kind(classifier, output_look(raw), raw),
        _numbers(raw.shape[1], classes, set_classes),
        _varied(scores, labels),
    ]


def _finite(scores: Float[Tensor, "rows columns"]) -> Check:
    bad = int((~torch.isfinite(scores)).any(dim=1).sum())
    return Check(
        "model: finite",
        "fail" if bad else "ok",
        f"{bad} of {len(scores)} images give NaN or infinity",
        "none",
        "look for bad weights, a logarithm of 0, or half precision that overflows" if bad else "",
    )


def _kind(classifier: Classifier, look: OutputLook, raw: Float[Tensor, "rows columns"]) -> Check:
    name, declared = "model: output", classifier.output
    expected = f"{declared.replace('_', ' ')}, as declared"
    text = f"{look}, {len(raw)} rows of {raw.shape[1]}, {float(raw.min()):.3g} to "
    text += f"{float(raw.max()):.3g}"
    one = raw.shape[1] == 1
    if look == "not finite":
        return Check(name, "skipped", "not finite", expected)
    if one and declared == "logits":
        return Check(
            name,
            "fail",
            text,
            "one output per class",
            "--network-output binary_logit, if it is the logit of the second class",
        )
    if one and declared == "binary_logit" and look == "shares":
        return Check(
            name,
            "fail",
            f"{text}: a probability",
            expected,
            "return the number before the sigmoid",
        )
    if declared == "logits" and look == "probabilities":
        return Check(name, "fail", text, expected, "--network-output probabilities")
    if declared == "probabilities" and look != "probabilities" and look != "constant":
        return Check(name, "fail", text, expected, "--network-output logits")
    if declared == "logits" and look == "shares":
        return Check(
            name,
            "warn",
            f"{text}: a sigmoid per class, it seems",
            expected,
            "return the numbers before the sigmoid; Sundog explains one class per image",
        )
    return Check(name, "ok", text, expected)


def _numbers(columns: int, classes: int, set_classes: int) -> Check:
    text = f"{columns} outputs, {classes} classes, {set_classes} among the images"
    extra = columns == set_classes + 1 or (columns, classes) in ((1001, 1000), (1001, 1001))
    if classes == set_classes or set_classes == 0:
        return Check("model: classes", "ok", text, "as many as the images have")
    return Check(
        "model: classes",
        "warn",
        text + ("; the one more may be a background class" if extra else ""),
        "as many as the images have",
        "--classes auto, to compare only the classes that the images have"
        if classes > set_classes
        else "--classes and --class-names",
    )


def _varied(scores: Float[Tensor, "rows columns"], labels: Int64[np.ndarray, "rows"]) -> Check:
    name, expected = "model: predictions", "more than one class is predicted"
    finite = torch.isfinite(scores).all(dim=1)
    if int(finite.sum()) < 2:
        return Check(name, "skipped", "no two images with finite logits", expected)
    kept = scores[finite]
    spread = float((kept - kept[:1]).abs().max()) / max(float(kept.abs().max()), 1e-12)
    predicted = kept.argmax(dim=1)
    found, n = len(set(predicted.tolist())), len(kept)
    several = len(np.unique(labels[labels >= 0])) > 1
    if spread == 0:
        return Check(
            name, "fail", f"all {n} images give the same logits", expected, "look at the weights"
        )
    if found == 1 and n >= ONE_CLASS and several:
        share = wilson_interval(n, n)
        return Check(
            name,
            "fail",
            f"all {n} images are given one class [{share.low:.1%}, 100 %]",
            expected,
            "look at weights, normalisation and the number format of the images",
            {"the one class": share},
        )
    return Check(name, "ok", f"{found} classes are predicted for {n} images", expected)


def gradient_check(classifier: Classifier, images: Images) -> Check:
    """Return whether gradient methods can work."""
    name, expected = "model: gradient", "finite and not zero"
    if not classifier.differentiable:
        return Check(
            name,
            "warn",
            "this kind of file has none",
            expected,
            "occlusion and rise need none; for the others give the network itself",
        )
    seen: GradientLook = look_at_gradient(classifier, images[:PROBES].to(classifier.device))
    if seen.reason:
        return Check(
            name,
            "fail",
            seen.reason,
            expected,
            "look for detach(), no_grad() or argmax in the network",
        )
    text = f"{seen.present} of {seen.images} images"
    if seen.infinite:
        return Check(
            name,
            "fail",
            f"NaN or infinite for {seen.infinite} of {seen.images}",
            expected,
            "look for sqrt or log at 0",
        )
    if seen.present == 0:
        return Check(
            name,
            "fail",
            f"zero everywhere for all {seen.images}",
            expected,
            "the output is saturated: return logits, and look at the normalisation",
        )
    return Check(name, "ok" if seen.present == seen.images else "warn", text, expected)


def size_check(classifier: Classifier, size: tuple[int, int]) -> Check:
    """Return whether the images come at the size that the network was made for."""
    made, text = classifier.input_size, f"{size[0]} x {size[1]} px"
    if made is None:
        return Check("model: size", "ok", f"{text}; it does not say one of its own", "its own")
    own = f"{made[0]} x {made[1]} px"
    if tuple(size) == tuple(made):
        return Check("model: size", "ok", text, own)
    return Check(
        "model: size",
        "warn",
        text,
        own,
        "leave --size out, unless it was trained at this size: predictions change with it",
    )


def trained_resize(model: object) -> str | None:
    """Return how a training run brought its images to size; None if ``model`` is no such run."""
    if not isinstance(model, (str, Path)):
        return None
    file = Path(model) / "args.json"
    if not file.is_file():
        return None
    try:
        read: Any = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:  # opening the model has reported it
        return None
    found = read.get("resize") if isinstance(read, Mapping) else None
    return found if isinstance(found, str) else None


def resize_check(trained: str | None, resize: str) -> Check:
    """Return whether images are resized as in training."""
    name = "model: resize"
    if trained is None:
        return Check(name, "skipped", f"{resize}; training's is not known", "as in training")
    if trained == resize:
        return Check(name, "ok", resize, f"{trained}, as in training")
    return Check(name, "fail", resize, f"{trained}, as in training", f"--resize {trained}")
