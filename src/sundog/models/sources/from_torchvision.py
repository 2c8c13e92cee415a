"""Networks of torchvision by name (``torchvision:resnet18``), with the weights' own transforms."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch

from sundog.core.errors import InputError, MissingExtraError, UnknownNameError
from sundog.models.imagenet import imagenet_names
from sundog.models.sources.source import Request, Source, seeded_weights

AUXILIARY = ("googlenet", "inception_v3")
"""These have auxiliary heads, and rescale their input when they carry published weights."""


def build(request: Request) -> Source:
    """Build a torchvision classification network; random weights unless ``pretrained``.

    Normalisation and size are those of the default weights also when the weights are random.

    Raises:
        MissingExtraError: torchvision is not installed.
        UnknownNameError: torchvision has no such network.
        InputError: weights asked for that are not on this machine, without ``download``.
    """
    try:
        from torchvision import models
    except ImportError as error:
        raise MissingExtraError(
            "torchvision", extra="zoo", purpose=f"torchvision:{request.name}"
        ) from error
    name = request.name
    known = models.list_models(module=models)
    if name not in known:
        raise UnknownNameError("torchvision network", name, known)
    weights = models.get_model_weights(name).DEFAULT
    published = len(weights.meta["categories"])
    outputs = request.outputs or published
    arguments: dict[str, Any] = dict(request.arguments)
    if name in AUXILIARY:
        arguments.setdefault("aux_logits", not request.pretrained)
        arguments.setdefault("transform_input", bool(request.pretrained))
    initialise = {"init_weights": True} if name in AUXILIARY else {}
    made = published if request.pretrained else outputs
    with seeded_weights(request.seed, f"torchvision:{name}"):
        network = models.get_model(name, weights=None, num_classes=made, **arguments, **initialise)
    if request.pretrained:
        _load(network, weights, name, download=request.download)
    transforms = weights.transforms()
    side = int(transforms.crop_size[0])
    return Source(
        network=network,
        weights=f"torchvision {weights.name}" if request.pretrained else "random",
        mean=tuple(transforms.mean),
        std=tuple(transforms.std),
        input_size=(side, side),
        class_names=imagenet_names() if request.pretrained and made == 1000 else None,
        recipe={"name": f"torchvision:{name}", "outputs": made, "arguments": arguments},
    )


def _load(network: Any, weights: Any, name: str, *, download: bool) -> None:
    cached = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(weights.url).path).name
    if not cached.exists() and not download:
        raise InputError(
            f"The weights of 'torchvision:{name}'",
            expected="on this machine",
            got="none in the cache",
            hint="Pass download=True to fetch them once, or ckpt_path=... to load a file.",
        )
    state = weights.get_state_dict(progress=False, check_hash=True, weights_only=True)
    if name in AUXILIARY:
        state = {k: v for k, v in state.items() if not k.lower().startswith("aux")}
    network.load_state_dict(state)
