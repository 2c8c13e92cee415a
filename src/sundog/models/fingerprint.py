"""A hash that two classifiers share only if they compute the same thing."""

from __future__ import annotations

import hashlib

import torch

from sundog.models.classifier import Classifier


def model_fingerprint(classifier: Classifier) -> str:
    """Return 32 hex digits from the weights, buffers, normalisation, classes and structure.

    Two copies with equal weights agree, whatever their device or file. A network that hides its
    weights (ONNX) is told apart by its name and structure alone.

    Args:
        classifier: any classifier; it is only read.
    """
    digest = hashlib.blake2b(digest_size=16)
    tensors = dict(classifier.state_dict())
    tensors.update({"(mean)": classifier.mean, "(std)": classifier.std})
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().tobytes())
    described = (
        f"{classifier.name} {classifier.class_indices} {classifier.class_names} "
        f"{classifier.output} {classifier.channels} {classifier.network!r}"
    )
    digest.update(described.encode())
    return digest.hexdigest()
