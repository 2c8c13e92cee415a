"""An object over the table of methods, with the arguments that inspection tools use."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn

from sundog.core.errors import InputError
from sundog.core.files import write_bytes, write_json
from sundog.core.shapes import Images, Labels, Maps
from sundog.explain.append_saliency import AppendSaliency as AppendSaliency
from sundog.explain.attribute import attribute
from sundog.explain.attribution import Attribution
from sundog.explain.bare_network import as_classifier
from sundog.explain.budget import DEFAULT_BUDGET, bytes_per_image
from sundog.explain.objective import Objective, objective_from_logits
from sundog.explain.plan import parameters_of
from sundog.explain.registry import get_method
from sundog.models.classifier import Classifier

BACKGROUND = ("gradient_shap", "deep_lift_shap")
"""Methods whose baseline tensor ``[k, 3, height, width]`` is a set to draw from."""


class SaliencyMap:
    """Saliency maps of one method for a model.

    Args:
        model: a :class:`Classifier`, whose images are in [0, 1]; or a bare network, whose images
            are taken as they come, in the network's own input space, with logits as its output.
        method: integrated_gradients, gradient_shap, deep_lift, deep_lift_shap,
            layer_conductance, neuron_conductance, noise_tunnel, layer_grad_cam, or any other
            method of the table.
        fabric: a ``lightning_fabric.Fabric``; model and images are moved to its device. None:
            they stay where the model is.

    Raises:
        UnknownNameError: unknown method; suggests the nearest.
    """

    def __init__(
        self, model: nn.Module, method: str = "integrated_gradients", fabric: Any = None
    ) -> None:
        self.method = get_method(method)
        self.bare = not isinstance(model, Classifier)
        self.classifier = as_classifier(model, fabric=fabric)
        self.attribution: Attribution | None = None
        self.saved_to: Path | None = None

    def generate_saliency_map(
        self,
        imgs: Images,
        target: Labels | int | None = None,
        baseline: Tensor | str | float | None = None,
        n_samples: int | None = None,
        n_steps: int = 50,
        internal_batch_size: int | None = 1,
        stdevs: float = 1e-4,
        neuron_index: int | tuple[int, ...] | None = None,
        layer: str | nn.Module | None = None,
        save_maps: bool = False,
        save_to_path: str | os.PathLike[str] | None = None,
    ) -> Maps:
        """Return one map per image; arguments that the method does not have are not used.

        Args:
            imgs: ``float[batch, 3, height, width]``.
            target: class per image, one class, or None: the predicted class.
            baseline: what 'absent' looks like, in the space of the images; None: black for a
                classifier, 0 for a bare network. For gradient_shap and deep_lift_shap a tensor
                ``[k, 3, height, width]`` is a set of k references.
            n_samples: draws per image for the methods that draw; None: 5, or RISE's own number
                of masks (a few masks show nothing).
            n_steps: steps on the path for the methods with a path.
            internal_batch_size: most rows in one pass, None for as many as fit the byte budget
                (faster); the maps do not depend on it.
            stdevs: standard deviation of the noise, in units of the images.
            neuron_index: channel or unit for neuron_conductance, which needs it.
            layer: name or module for the layer methods; None: the last feature map.
            save_maps: whether to write ``<path>.safetensors`` (maps, logits, targets) and
                ``<path>.json`` (how they were made).
            save_to_path: where; None: ``saliency/<method>-<hash of the maps>`` in the working
                directory. :attr:`saved_to` says where it went.

        Returns:
            ``float[batch, height, width]`` on the device of ``imgs``; direction as the method's
            row in the table says. :attr:`attribution` holds the whole result.

        Raises:
            InputError: bad images, target or parameters. ModelStateError: train mode.
        """
        images = imgs.to(self.classifier.device)
        given = self._parameters(
            {
                "baseline": baseline,
                "n_samples": 5 if n_samples is None and self.method.name != "rise" else n_samples,
                "n_steps": n_steps,
                "stdevs": stdevs,
                "neuron_index": neuron_index,
                "layer": layer,
            }
        )
        found = attribute(
            self.classifier,
            images,
            self.method.name,
            target=self._objective(images, target) if self.bare else target,
            budget=self._budget(images, internal_batch_size),
            **given,
        )
        self.attribution = found
        if save_maps:
            self.saved_to = save_attribution(found, save_to_path)
        return found.maps.to(imgs.device)

    def _parameters(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        name = self.method.name
        known = {key: value for key, value in asked.items() if value is not None}
        if self.bare:
            known.setdefault("baseline", 0.0)
        if name in BACKGROUND and isinstance(known.get("baseline"), Tensor):
            reference = known["baseline"]
            known["baseline"] = list(reference) if reference.ndim == 4 else reference
        if name == "neuron_conductance" and "neuron_index" not in known:
            raise InputError("neuron_index", expected="given for neuron_conductance", got="None")
        own = parameters_of(self.method)
        given = {key: value for key, value in known.items() if key in own}
        if name == "noise_tunnel":
            inner = parameters_of(get_method("integrated_gradients"))
            given["inner"] = "integrated_gradients"
            given["inner_parameters"] = {k: v for k, v in known.items() if k in inner}
        return given

    def _objective(self, images: Images, target: Labels | int | None) -> Objective:
        """Return the objective of a bare network, whose images may have any range."""
        if images.ndim != 4 or not bool(torch.isfinite(images).all()):
            raise InputError(
                "imgs",
                expected="finite, [batch, 3, height, width]",
                got=f"shape {tuple(images.shape)}"
                if images.ndim != 4
                else "NaN or infinite values",
            )
        logits = self.classifier.predict(images)
        return objective_from_logits(logits, images, target, output="logit")

    def _budget(self, images: Images, rows: int | None) -> int:
        if rows is None:
            return DEFAULT_BUDGET
        if isinstance(rows, bool) or not isinstance(rows, int) or rows < 1:
            raise InputError("internal_batch_size", expected="an integer >= 1", got=repr(rows))
        self.classifier.require_eval()
        return rows * bytes_per_image(
            self.classifier, images, gradient=self.classifier.differentiable
        )


def save_attribution(found: Attribution, path: str | os.PathLike[str] | None = None) -> Path:
    """Write maps, logits and targets as safetensors and the record as JSON beside; atomic.

    Args:
        found: what to write.
        path: of the ``.safetensors`` file, with or without the suffix; None:
            ``saliency/<method>-<hash of the maps>`` in the working directory.

    Returns:
        The path of the ``.safetensors`` file; the JSON has the same stem.
    """
    maps = found.maps.detach().cpu().contiguous()
    if path is None:
        digest = hashlib.blake2b(maps.numpy().tobytes(), digest_size=6).hexdigest()
        path = Path("saliency") / f"{found.method}-{digest}"
    base = Path(path)
    base = base.with_suffix("") if base.suffix in (".safetensors", ".json") else base
    tensors = {"maps": maps, "logits": found.logits.detach().cpu().contiguous()}
    if found.target is not None:
        tensors["target"] = found.target.cpu().contiguous()
    written = write_bytes(base.with_name(base.name + ".safetensors"), save(tensors))
    write_json(base.with_name(base.name + ".json"), found.record())
    return written
