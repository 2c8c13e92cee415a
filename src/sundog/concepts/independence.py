"""Is a tagger's network a different one from the network under test?"""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from sundog.models.classifier import Classifier


def weights_fingerprint(classifier: Classifier) -> str:
    """Return 32 hex digits from the network's weights alone.

    Unlike :func:`~sundog.models.fingerprint.model_fingerprint` it does not change with the chosen
    classes, names or normalisation: the same network for 1000 and for 10 classes agrees.
    """
    digest = hashlib.blake2b(digest_size=16)
    for key in sorted(_tensor_hash(t) for t in classifier.network.state_dict().values()):
        digest.update(key.encode())
    return digest.hexdigest()


def shared_weights(first: Classifier, second: Classifier) -> float:
    """Return the share of the first network's weights, in [0, 1], that the second has bit for bit.

    Tensors are compared whole, wherever they stand in the network; tensors of fewer than 2
    numbers (counters) do not count. 0 for networks that hide their weights (ONNX).
    """
    theirs = {_tensor_hash(tensor) for tensor in second.network.state_dict().values()}
    mine = [t for t in first.network.state_dict().values() if t.numel() > 1]
    total = sum(tensor.numel() for tensor in mine)
    shared = sum(tensor.numel() for tensor in mine if _tensor_hash(tensor) in theirs)
    return shared / total if total else 0.0


def _tensor_hash(tensor: Tensor) -> str:
    raw = tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
    header = f"{tensor.dtype} {tuple(tensor.shape)} ".encode()
    return hashlib.blake2b(header + raw, digest_size=16).hexdigest()
