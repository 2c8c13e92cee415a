"""Reading attention matrices while a network runs, however its attention is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from sundog.core.errors import LayerError

SOFTMAX = ("aten._softmax", "aten._safe_softmax")


class AttentionReader(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Gives every attention matrix to ``read``, in the order in which the layers run.

    Attention is a softmax over the last axis of a tensor ``[rows, heads, queries, keys]`` or
    ``[rows * heads, queries, keys]``; it is seen where PyTorch dispatches it, so that modules,
    functions and hand-written attention are alike (inside ``plain_kernels``).

    Args:
        rows: images in the pass.
        read: given ``[rows, heads, queries, keys]``.
    """

    def __init__(self, rows: int, read: Callable[[Tensor], None]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.rows = rows
        self.read = read

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run the operation and look at what came out if it is a softmax."""
        out = func(*args, **(kwargs or {}))
        if str(func.overloadpacket) in SOFTMAX and args[1] in (-1, out.ndim - 1) and out.ndim > 2:
            self.read(self.by_image(out))
        return out

    def by_image(self, weights: Tensor) -> Tensor:
        """Return the weights as ``[rows, heads, queries, keys]``.

        Raises:
            LayerError: attention inside windows, which has no matrix over the whole image.
        """
        shape = weights.shape
        plain = weights.ndim == 4 and shape[0] == self.rows
        merged = weights.ndim == 3 and shape[0] % self.rows == 0
        if not (plain or merged):
            raise LayerError(
                "Attention",
                expected="between all patches of an image, [images, heads, queries, keys]",
                got=f"weights of shape {tuple(shape)} for {self.rows} images",
                hint="Attention inside windows cannot be rolled out; use grad_cam.",
            )
        return weights.reshape(self.rows, -1, shape[-2], shape[-1])
