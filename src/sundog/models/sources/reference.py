"""The reference networks by name, with random weights."""

from __future__ import annotations

from torch import nn

from sundog.core.errors import InputError, UnknownNameError
from sundog.models.lab_nets import LAB_SIZE, LabCNN
from sundog.models.nets import CNN5, ResNet18, SmallCNN
from sundog.models.small_vit import SmallViT
from sundog.models.sources.source import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Request,
    Source,
    seeded_weights,
)

REFERENCE: dict[str, type[SmallCNN | CNN5 | LabCNN | ResNet18 | SmallViT]] = {
    "small-cnn": SmallCNN,
    "cnn5": CNN5,
    "lab-cnn": LabCNN,
    "resnet18": ResNet18,
    "small-vit": SmallViT,
}


def build(request: Request) -> Source:
    """Build a reference network; they have no published weights of their own.

    Raises:
        InputError: weights asked for, or no number of classes.
    """
    if request.name not in REFERENCE:
        raise UnknownNameError("reference network", request.name, REFERENCE)
    if request.pretrained:
        raise InputError(
            "pretrained",
            expected=f"False for {request.name!r}, which has no published weights",
            got="True",
            hint="Give ckpt_path=..., or use 'efficientnet-lite0', which brings ImageNet weights.",
        )
    outputs = request.outputs
    if outputs is None and request.name == "resnet18":
        outputs = 1000
    if outputs is None:
        raise InputError(
            "classes",
            expected=f"given for {request.name!r}",
            got="None",
            hint="Pass classes=10, or class_names=(...).",
        )
    channels = int(request.arguments.get("channels", 3))
    with seeded_weights(request.seed, request.name):
        network: nn.Module = REFERENCE[request.name](outputs, channels=channels)
    return Source(
        network=network,
        weights="random",
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        input_size=LAB_SIZE if request.name == "lab-cnn" else None,
        channels=channels,
        recipe={"name": request.name, "outputs": outputs, "arguments": {"channels": channels}},
    )
