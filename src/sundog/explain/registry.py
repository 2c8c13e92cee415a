"""The table of attribution methods: what the command line, the docs and the tests read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from sundog.core.errors import UnknownNameError
from sundog.explain.attention_rollout import attention_rollout
from sundog.explain.deep_lift import deep_lift
from sundog.explain.deep_lift_shap import deep_lift_shap
from sundog.explain.grad_cam import grad_cam
from sundog.explain.grad_cam_plus_plus import grad_cam_plus_plus
from sundog.explain.gradient_norm import gradient_norm
from sundog.explain.gradient_shap import gradient_shap
from sundog.explain.gradient_x_input import gradient_x_input
from sundog.explain.integrated_gradients import integrated_gradients
from sundog.explain.layer_conductance import layer_conductance
from sundog.explain.layer_grad_cam import layer_grad_cam
from sundog.explain.neuron_conductance import neuron_conductance
from sundog.explain.noise_tunnel import noise_tunnel
from sundog.explain.occlusion import occlusion
from sundog.explain.rise import rise

Family = Literal["gradient", "path", "rule", "cam", "perturbation", "attention", "layer"]


@dataclass(frozen=True)
class Method:
    """One row of the table.

    Attributes:
        name: as typed by a user.
        function: ``function(classifier, images, target, *, ...) -> Tensor``.
        family: gradient, path, rule, cam, perturbation, attention or layer.
        space: ``pixel`` methods accept ``reduction`` (``none`` keeps the channels); ``layer``
            methods work on a feature map and are resized to the image.
        signed: whether the default map has negative values that mean 'speaks against'.
        complete: whether the sum over pixels and channels (``reduction="none"``) equals
            ``f(x) - f(baseline)``.
        gradient: whether gradients are needed (ONNX has none).
        cost: passes per image, F = forward, B = backward to the input.
        paper: authors, year, title or venue, and arXiv id.
        convention: target, sign, reduction and resize of the default, in one line.
    """

    name: str
    function: Callable[..., Tensor]
    family: Family
    space: Literal["pixel", "layer"]
    signed: bool
    complete: bool
    gradient: bool
    cost: str
    paper: str
    convention: str


METHODS: dict[str, Method] = {
    row.name: row
    for row in (
        Method(
            name="gradient_norm",
            function=gradient_norm,
            family="gradient",
            space="pixel",
            signed=False,
            complete=False,
            gradient=True,
            cost="1 F + 1 B",
            paper="Simonyan, Vedaldi & Zisserman, 2013, arXiv 1312.6034",
            convention="logit of the predicted class; L2 over channels; unsigned",
        ),
        Method(
            name="gradient_x_input",
            function=gradient_x_input,
            family="gradient",
            space="pixel",
            signed=False,
            complete=False,
            gradient=True,
            cost="1 F + 1 B",
            paper="Shrikumar, Greenside, Shcherbina & Kundaje, 2016, arXiv 1605.01713",
            convention="logit of the predicted class; image in [0, 1] times gradient; L2 over "
            "channels; unsigned",
        ),
        Method(
            name="integrated_gradients",
            function=integrated_gradients,
            family="path",
            space="pixel",
            signed=False,
            complete=True,
            gradient=True,
            cost="n F + n B, n = 50",
            paper="Sundararajan, Taly & Yan, 2017, arXiv 1703.01365",
            convention="logit of the class predicted for the clean image; black baseline; "
            "Gauss-Legendre; L2 over channels; unsigned (sum: signed, complete)",
        ),
        Method(
            name="gradient_shap",
            function=gradient_shap,
            family="path",
            space="pixel",
            signed=True,
            complete=True,
            gradient=True,
            cost="N F + N B, N = 25",
            paper="Erion, Janizek, Sturmfels, Lundberg & Lee, 2019, arXiv 1906.10670",
            convention="logit of the predicted class; baselines drawn from a list (black); signed "
            "sum over channels, complete in expectation",
        ),
        Method(
            name="noise_tunnel",
            function=noise_tunnel,
            family="gradient",
            space="pixel",
            signed=False,
            complete=False,
            gradient=False,
            cost="N times the inner method, N = 25",
            paper="Smilkov, Thorat, Kim, Viegas & Wattenberg, 2017, arXiv 1706.03825; Hooker et "
            "al., 2018, arXiv 1806.10758; Adebayo et al., 2018, arXiv 1810.03307",
            convention="mean, mean square or variance of the inner method's attribution "
            "(gradient) over noise of 0.15 x the image's range; then its reduction; square and "
            "variance: sum",
        ),
        Method(
            name="grad_cam",
            function=grad_cam,
            family="cam",
            space="layer",
            signed=False,
            complete=False,
            gradient=True,
            cost="1 F + 1 B from the layer on",
            paper="Selvaraju, Cogswell, Das, Vedantam, Parikh & Batra, 2016, arXiv 1610.02391",
            convention="logit of the predicted class; last feature map; ReLU; resized bilinearly; "
            "raw magnitude",
        ),
        Method(
            name="grad_cam_plus_plus",
            function=grad_cam_plus_plus,
            family="cam",
            space="layer",
            signed=False,
            complete=False,
            gradient=True,
            cost="1 F + 1 B from the layer on",
            paper="Chattopadhyay, Sarkar, Howlader & Balasubramanian, 2017, arXiv 1710.11063",
            convention="logit of the predicted class; last feature map; ReLU; resized bilinearly",
        ),
        Method(
            name="layer_conductance",
            function=layer_conductance,
            family="layer",
            space="layer",
            signed=True,
            complete=True,
            gradient=True,
            cost="(n + 1) F + (n + 1) B from the layer on, n = 50",
            paper="Dhamdhere, Sundararajan & Yan, 2018, arXiv 1805.12233",
            convention="logit of the predicted class; black baseline; last feature map; signed sum "
            "over the layer's channels; resized bilinearly",
        ),
        Method(
            name="neuron_conductance",
            function=neuron_conductance,
            family="layer",
            space="pixel",
            signed=True,
            complete=False,
            gradient=True,
            cost="n F + n B, n = 50",
            paper="Dhamdhere, Sundararajan & Yan, 2018, arXiv 1805.12233",
            convention="logit of the predicted class; black baseline; first channel of the last "
            "feature map; signed sum over the image's channels",
        ),
        Method(
            name="layer_grad_cam",
            function=layer_grad_cam,
            family="cam",
            space="layer",
            signed=True,
            complete=False,
            gradient=True,
            cost="1 F + 1 B from the layer on",
            paper="Selvaraju, Cogswell, Das, Vedantam, Parikh & Batra, 2016, arXiv 1610.02391",
            convention="logit of the predicted class; last feature map; signed, no ReLU; resized "
            "bilinearly",
        ),
        Method(
            name="deep_lift",
            function=deep_lift,
            family="rule",
            space="pixel",
            signed=True,
            complete=True,
            gradient=True,
            cost="1 F + 1 B (baseline: 1 F per call)",
            paper="Shrikumar, Greenside & Kundaje, 2017, arXiv 1704.02685",
            convention="logit of the predicted class; Rescale rule; black baseline; signed sum "
            "over channels",
        ),
        Method(
            name="deep_lift_shap",
            function=deep_lift_shap,
            family="rule",
            space="pixel",
            signed=True,
            complete=True,
            gradient=True,
            cost="1 F + K B (references: K F per call), K = 3",
            paper="Lundberg & Lee, 2017, arXiv 1705.07874",
            convention="logit of the predicted class; mean DeepLIFT over black, grey and white; "
            "signed sum over channels",
        ),
        Method(
            name="occlusion",
            function=occlusion,
            family="perturbation",
            space="layer",
            signed=True,
            complete=False,
            gradient=False,
            cost="(S^2 + 1) F, S = 6",
            paper="Zeiler & Fergus, 2013, arXiv 1311.2901",
            convention="probability drop of the predicted class; signed; 6 x 6 cells shown black, "
            "resized bilinearly",
        ),
        Method(
            name="rise",
            function=rise,
            family="perturbation",
            space="layer",
            signed=False,
            complete=False,
            gradient=False,
            cost="N F, N = 4000",
            paper="Petsiuk, Das & Saenko, 2018, arXiv 1806.07421",
            convention="mean probability of the predicted class over random masks; >= 0; black",
        ),
        Method(
            name="attention_rollout",
            function=attention_rollout,
            family="attention",
            space="layer",
            signed=False,
            complete=False,
            gradient=False,
            cost="1 F",
            paper="Abnar & Zuidema, 2020, arXiv 2005.00928",
            convention="class-agnostic; attention of all layers, heads averaged, from the class "
            "token to the patches; >= 0; resized bilinearly; vision transformers only",
        ),
    )
}


def get_method(name: str) -> Method:
    """Return the row called ``name``.

    Raises:
        UnknownNameError: no such method; suggests the nearest.
    """
    if name not in METHODS:
        raise UnknownNameError("method", name, METHODS)
    return METHODS[name]
