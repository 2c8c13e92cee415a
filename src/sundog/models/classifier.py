"""The adapter that makes any network a classifier: normalisation, class names, output kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from sundog.core.errors import InputError, ModelStateError
from sundog.core.shapes import Images, Logits

NetworkOutput = Literal["logits", "probabilities", "binary_logit"]
"""What the wrapped network returns. ``binary_logit``: one column z for classes (0, 1)."""


class Classifier(nn.Module):
    """A network with its normalisation, class names and, if asked, a subset of its classes.

    The network sees ``(images - mean) / std``; images stay in [0, 1] outside. ``forward`` returns
    logits of the chosen classes, whatever the network itself returns: probabilities become
    ``log p`` and a single binary logit z becomes ``(0, z)``, so that softmax over the columns
    gives the class probabilities in each case.

    Args:
        network: takes ``float32[batch, channels, height, width]``.
        class_names: one name per (chosen) class; ``None`` names them ``"0"``, ``"1"``, ...
        class_indices: the network's output columns to keep, in this order; ``None`` keeps all.
            Probabilities are taken over the kept classes (the seed's 1000 -> 10).
        mean: per channel, in [0, 1] units.
        std: per channel, in [0, 1] units.
        input_size: (height, width) in pixels that the network was made for, or ``None`` for any.
        output: what the network returns. Declared, never guessed from the range.
        channels: 3, or 1 for a grey network, which is then given the channel mean.
        feature_layer: dotted name of the layer whose output is the feature vector, or ``None``.
        cam_layer: dotted name of the layer whose output is the last feature map, or ``None``.
        name: shown in results.
        differentiable: False for ONNX: gradient methods then refuse.
        weights: where the weights came from, for people; ``"random"`` if nowhere.
        recipe: JSON from which the same architecture can be built again; ``None`` if only its
            owner can.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        network: nn.Module,
        *,
        class_names: Sequence[str] | None = None,
        class_indices: Sequence[int] | None = None,
        mean: Sequence[float] = (0.0, 0.0, 0.0),
        std: Sequence[float] = (1.0, 1.0, 1.0),
        input_size: tuple[int, int] | None = None,
        output: NetworkOutput = "logits",
        channels: int = 3,
        feature_layer: str | None = None,
        cam_layer: str | None = None,
        name: str = "custom",
        differentiable: bool = True,
        weights: str = "custom",
        recipe: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if output not in get_args(NetworkOutput):
            raise InputError("output", expected=f"one of {get_args(NetworkOutput)}", got=output)
        if channels not in (1, 3):
            raise InputError("channels", expected="1 or 3", got=str(channels))
        if min(std) <= 0:
            raise InputError("std", expected="positive for every channel", got=str(tuple(std)))
        if class_names is not None and len(set(class_names)) != len(class_names):
            raise InputError("class_names", expected="distinct", got=f"{len(class_names)} names")
        if class_indices is not None:
            if len(set(class_indices)) != len(class_indices) or min(class_indices) < 0:
                raise InputError("class_indices", expected="distinct and >= 0", got="repeats")
            if class_names is not None and len(class_names) != len(class_indices):
                raise InputError(
                    "class_names",
                    expected=f"one per chosen class ({len(class_indices)})",
                    got=f"{len(class_names)} names",
                )
        self.network = network
        self._class_names = tuple(class_names) if class_names is not None else None
        self.class_indices = tuple(class_indices) if class_indices is not None else None
        self.input_size = input_size
        self.output = output
        self.channels = channels
        self.feature_layer = feature_layer
        self.cam_layer = cam_layer
        self.name = name
        self.differentiable = differentiable
        self.weights = weights
        self.recipe = dict(recipe) if recipe is not None else None
        shape = (1, -1, 1, 1)
        self.register_buffer("mean", torch.tensor(mean).reshape(shape), persistent=False)
        self.register_buffer("std", torch.tensor(std).reshape(shape), persistent=False)
        # A Classifier starts in eval mode: it is there to be asked, and training turns it on.
        self.eval()

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """The names of the (chosen) classes, or ``None`` if none were given."""
        return self._class_names

    def with_class_names(self, class_names: Sequence[str]) -> Classifier:
        """Return a classifier of the same network (shared, not copied) with these names."""
        return self.with_classes(self.class_indices, class_names)

    def with_classes(
        self, class_indices: Sequence[int] | None, class_names: Sequence[str] | None
    ) -> Classifier:
        """Return a classifier of the same network (shared) with these output columns and names."""
        return Classifier(
            self.network,
            class_names=class_names,
            class_indices=class_indices,
            mean=self.mean.flatten().tolist(),
            std=self.std.flatten().tolist(),
            input_size=self.input_size,
            output=self.output,
            channels=self.channels,
            feature_layer=self.feature_layer,
            cam_layer=self.cam_layer,
            name=self.name,
            differentiable=self.differentiable,
            weights=self.weights,
            recipe=self.recipe,
        ).to(self.device)

    def class_name(self, index: int) -> str:
        """Return the name of class ``index``, its number if the classes have no names."""
        return self._class_names[index] if self._class_names is not None else str(index)

    def normalise(self, images: Images) -> Tensor:
        """Return what the network is given: grey if it is grey, ``(images - mean) / std``.

        It has the weights' number format, whatever that of the images.
        """
        if self.channels == 1:
            images = images.mean(dim=1, keepdim=True)
        made = (images - self.mean[:, : images.shape[1]]) / self.std[:, : images.shape[1]]
        weights = next((p.dtype for p in self.network.parameters() if p.is_floating_point()), None)
        return made if weights is None else made.to(weights)

    def forward(self, images: Images) -> Logits:
        """Return the logits of the chosen classes, ``float[batch, classes]``."""
        return self._to_logits(self.raw_output(images))

    def raw_output(self, images: Images) -> Tensor:
        """Return what the network itself returns, ``float[batch, columns]``, all its classes."""
        out = self.network(self.normalise(images))
        if not isinstance(out, Tensor):
            out = getattr(out, "logits", out[0] if isinstance(out, (tuple, list)) else out)
        if not isinstance(out, Tensor) or out.ndim != 2:
            raise ModelStateError(
                "The network's output",
                expected="a tensor [batch, classes] (or an object with .logits)",
                got=str(tuple(out.shape)) if isinstance(out, Tensor) else type(out).__name__,
                hint="Wrap the network so that it returns one row of class scores per image.",
            )
        return out

    def _to_logits(self, out: Tensor) -> Logits:
        if self.output == "binary_logit":
            if out.shape[1] != 1:
                raise ModelStateError(
                    "A network declared binary_logit",
                    expected="one with one output column",
                    got=f"{out.shape[1]} columns",
                    hint="Use output='logits'.",
                )
            out = torch.cat([torch.zeros_like(out), out], dim=1)
        elif self.output == "probabilities":
            out = out.clamp_min(torch.finfo(out.dtype).tiny).log()
        if self.class_indices is not None:
            if max(self.class_indices) >= out.shape[1]:
                raise InputError(
                    "class_indices",
                    expected=f"below {out.shape[1]}, the number of the network's outputs",
                    got=str(max(self.class_indices)),
                )
            out = out[:, list(self.class_indices)]
        if self._class_names is not None and len(self._class_names) != out.shape[1]:
            raise InputError(
                "class_names",
                expected=f"one per output column ({out.shape[1]})",
                got=f"{len(self._class_names)} names",
                hint="Pass class_indices to keep a subset of the network's classes.",
            )
        return out

    def probabilities(self, images: Images) -> Logits:
        """Return softmax over the chosen classes, in [0, 1], rows summing to 1."""
        return self(images).softmax(dim=1)

    @torch.no_grad()
    def predict(self, images: Images, *, batch_size: int = 32) -> Logits:
        """Return the logits without gradients, ``batch_size`` images at a time."""
        self.require_eval()
        return torch.cat([self(part) for part in torch.split(images, batch_size)])

    def require_eval(self) -> None:
        """Refuse a model in train mode: dropout and batch statistics would change the answer."""
        # Modules that TorchScript has frozen have no mode any more: they stay as they are.
        training = [name for name, m in self.named_modules() if getattr(m, "training", False)]
        if training:
            raise ModelStateError(
                f"Classifier {self.name!r}",
                expected="in eval mode",
                got=f"{len(training)} modules in train mode (first: {training[0] or 'itself'!r})",
                hint="Call classifier.eval() first.",
            )

    def require_gradient(self, method: str) -> None:
        """Refuse gradient methods for a network that has no gradient (ONNX)."""
        if not self.differentiable:
            raise ModelStateError(
                f"Method {method!r} needs gradients, and {self.name!r} has none",
                hint="Use occlusion or rise, which need only predictions.",
            )

    @property
    def device(self) -> torch.device:
        """Where the classifier lives."""
        return self.mean.device

    def extra_repr(self) -> str:
        """Show name, size and output kind."""
        return (
            f"name={self.name!r}, weights={self.weights!r}, input_size={self.input_size}, "
            f"output={self.output!r}"
        )
