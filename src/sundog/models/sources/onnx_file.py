"""ONNX files (``.onnx``) on onnxruntime: predictions only, no gradients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sundog.core.errors import CheckpointError, MissingExtraError, first_line
from sundog.models.sources.source import Source


class OnnxNetwork(nn.Module):
    """An ONNX network as a module; it runs on the CPU and returns where its input lives.

    Args:
        session: an onnxruntime session with one image input.
        batch: the batch size written in the file, or ``None`` if any will do.
    """

    def __init__(self, session: Any, *, batch: int | None) -> None:
        super().__init__()
        self._session = session
        self._input = session.get_inputs()[0].name
        self._output = session.get_outputs()[0].name
        self._batch = batch

    def forward(self, images: Tensor) -> Tensor:
        """Return ``float[batch, classes]``."""
        rows = images.detach().to("cpu", torch.float32)
        if self._batch is None:
            return self._run(rows).to(images)
        parts = []
        for part in torch.split(rows, self._batch):
            padding = part[-1:].expand(self._batch - len(part), *part.shape[1:])
            parts.append(self._run(torch.cat([part, padding]))[: len(part)])
        return torch.cat(parts).to(images)

    def _run(self, rows: Tensor) -> Tensor:
        feed = {self._input: rows.contiguous().numpy()}
        return torch.from_numpy(self._session.run([self._output], feed)[0])


def build(path: Path) -> Source:
    """Open an ONNX network on the CPU.

    Raises:
        MissingExtraError: onnxruntime is not installed.
        CheckpointError: not an ONNX file, or not one with a single ``float[b, c, h, w]`` input.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtraError("onnxruntime", extra="onnx", purpose=str(path)) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime raises its own, unexported kinds
        raise CheckpointError(str(path), expected="an ONNX file", got=first_line(error)) from error
    inputs = session.get_inputs()
    shape = inputs[0].shape if len(inputs) == 1 else []
    if len(shape) != 4 or inputs[0].type != "tensor(float)":
        raise CheckpointError(
            str(path),
            expected="a network with one float input [batch, channels, height, width]",
            got=", ".join(f"{i.name} {i.type} {i.shape}" for i in inputs)[:200],
            hint="Export the network with float32 images as its only input.",
        )
    batch, channels, height, width = (s if isinstance(s, int) else None for s in shape)
    return Source(
        network=OnnxNetwork(session, batch=batch),
        weights=path.name,
        mean=None,
        std=None,
        input_size=(height, width) if height and width else None,
        channels=channels or 3,
        differentiable=False,
        recipe={"file": path.name, "path": str(path.resolve())},
    )
