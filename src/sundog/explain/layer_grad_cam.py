"""Layer Grad-CAM: Grad-CAM before its ReLU, so that what speaks against the class stays visible.

Source: Selvaraju et al., 2016, arXiv 1610.02391, before the ReLU of equation 2.
"""

from __future__ import annotations

from sundog.core.shapes import Images, Maps
from sundog.explain.budget import DEFAULT_BUDGET
from sundog.explain.cam_layer import Layer
from sundog.explain.grad_cam import grad_cam
from sundog.explain.objective import OutputKind, Target
from sundog.explain.passes import gradients_off
from sundog.models.classifier import Classifier


@gradients_off()
def layer_grad_cam(
    classifier: Classifier,
    images: Images,
    target: Target = None,
    *,
    layer: Layer = None,
    relu: bool = False,
    resized: bool = True,
    output: OutputKind = "logit",
    budget: int = DEFAULT_BUDGET,
) -> Maps:
    """Return the signed sum of a layer's feature maps, weighted by the mean of their gradients.

    Operator: ``R = resize(sum_k mean_hw(d f_c / d A_k) * A_k)``. With ``resized=False`` it is what
    other libraries call layer Grad-CAM: the raw map at the layer's own size.

    Args:
        classifier: in eval mode.
        images: ``float[batch, 3, height, width]`` in [0, 1].
        target: class per image, one class, a scalar of the logits, or None: the predicted class.
        layer: name or module; None: the classifier's ``cam_layer``, else its last feature map.
        relu: True keeps only what speaks for the class.
        resized: False returns ``[batch, rows, columns]`` of the layer.
        output: logit, probability or log_probability.
        budget: bytes of activations held at once.

    Returns:
        ``float[batch, height, width]``, signed; positive = the region speaks for the class.

    Raises:
        InputError: bad images, target or output. LayerError: the layer does not run, runs more
            than once, or is no map. ModelStateError: train mode or no gradient.

    Source: Selvaraju et al., 2016, arXiv 1610.02391.
    """
    return grad_cam(
        classifier,
        images,
        target,
        layer=layer,
        relu=relu,
        resized=resized,
        output=output,
        budget=budget,
    )
