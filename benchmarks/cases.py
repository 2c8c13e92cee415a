"""The cases: our call and the peer's, on the same network, images and classes."""

from collections.abc import Callable
from dataclasses import dataclass, field

import captum.attr as ca
import torch
from torch import Tensor

from sundog.explain.deep_lift import deep_lift
from sundog.explain.deep_lift_shap import deep_lift_shap
from sundog.explain.grad_cam import grad_cam
from sundog.explain.gradient_norm import gradient_norm
from sundog.explain.gradient_shap import gradient_shap
from sundog.explain.gradient_x_input import gradient_x_input
from sundog.explain.integrated_gradients import integrated_gradients
from sundog.explain.layer_conductance import layer_conductance
from sundog.explain.neuron_conductance import neuron_conductance
from sundog.explain.noise_tunnel import noise_tunnel
from sundog.explain.occlusion import occlusion
from sundog.models.classifier import Classifier
from sundog.models.nets import ResNet18

SIZE = 224
CLASSES = 10


@dataclass(frozen=True)
class Case:
    """One method: our call, the peer's calls (best documented settings), and how to compare.

    ``same``: maximum relative difference allowed between the two results (at ReLU kinks float32
    gradients differ by a per cent between memory layouts); None where both draw
    random numbers or follow a different (stated) operator, so that only the work is comparable.
    """

    name: str
    ours: Callable[[], Tensor]
    peers: dict[str, Callable[[], Tensor]]
    same: float | None
    note: str = ""
    fits: dict[str, str] = field(default_factory=dict)


def make_world(batch: int, seed: int = 0) -> tuple[Classifier, Tensor, Tensor]:
    """Return an eval-mode ResNet-18 with non-trivial batch statistics, images, and classes."""
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = ResNet18(CLASSES)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            shape = module.running_mean.shape
            module.running_mean.copy_(0.1 * torch.randn(shape, generator=generator))
            module.running_var.copy_(0.5 + torch.rand(shape, generator=generator))
    classifier = Classifier(
        network,
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        cam_layer="layer4",
        feature_layer="avgpool",
        name="resnet18",
    )
    images = torch.rand(batch, 3, SIZE, SIZE, generator=generator)
    return classifier, images, classifier.predict(images).argmax(1)


def l2(attribution: Tensor) -> Tensor:
    """Reduce channels as our defaults do, so that both sides do the same work."""
    return attribution.norm(dim=1)


def make_cases(classifier: Classifier, images: Tensor, target: Tensor) -> list[Case]:
    """Return every method that captum has too."""
    model, black = classifier, torch.zeros_like(images)
    cells = torch.arange(SIZE) * 6 // SIZE
    grid = (cells[:, None] * 6 + cells[None]).expand(1, 3, SIZE, SIZE)
    layer = classifier.network.layer4
    references = torch.rand(4, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))

    def probability(x: Tensor) -> Tensor:
        return model(x).softmax(1)

    def captum_ig(internal: int | None) -> Callable[[], Tensor]:
        return lambda: l2(
            ca.IntegratedGradients(model).attribute(
                images, black, target=target, n_steps=20, internal_batch_size=internal
            )
        )

    def captum_grid(per_eval: int) -> Callable[[], Tensor]:
        return lambda: ca.FeatureAblation(probability).attribute(
            images, black, target=target, feature_mask=grid, perturbations_per_eval=per_eval
        )[:, 0]

    return [
        Case(
            "gradient_norm",
            lambda: gradient_norm(classifier, images, target),
            {"captum": lambda: l2(ca.Saliency(model).attribute(images, target, abs=False))},
            2e-2,
        ),
        Case(
            "gradient_x_input",
            lambda: gradient_x_input(classifier, images, target),
            {"captum": lambda: l2(ca.InputXGradient(model).attribute(images, target))},
            2e-2,
        ),
        Case(
            "integrated_gradients (20 steps)",
            lambda: integrated_gradients(classifier, images, target, n_steps=20),
            {
                f"captum internal_batch_size={size}": captum_ig(size)
                for size in (len(images), 16, 32, None)
            },
            2e-2,
        ),
        Case(
            "gradient_shap (10 samples)",
            lambda: gradient_shap(classifier, images, target, n_samples=10),
            {
                "captum": lambda: ca.GradientShap(model).attribute(
                    images, black, n_samples=10, target=target
                )
            },
            None,
            "both random",
        ),
        Case(
            "noise_tunnel (SmoothGrad, 10 samples)",
            lambda: noise_tunnel(classifier, images, target, n_samples=10),
            {
                f"captum nt_samples_batch_size={size}": (
                    lambda size=size: l2(
                        ca.NoiseTunnel(ca.Saliency(model)).attribute(
                            images,
                            nt_samples=10,
                            nt_samples_batch_size=size,
                            stdevs=0.15,
                            target=target,
                            abs=False,
                        )
                    )
                )
                for size in (1, 4, None)
            },
            None,
            "both random",
        ),
        Case(
            "deep_lift",
            lambda: deep_lift(classifier, images, target, reduction="none"),
            {"captum": lambda: ca.DeepLift(model).attribute(images, black, target=target)},
            None,
            "captum was given a network without reused ReLUs",
        ),
        Case(
            "deep_lift_shap (4 references)",
            lambda: deep_lift_shap(classifier, images, target, baseline=list(references)),
            {"captum": lambda: ca.DeepLiftShap(model).attribute(images, references, target=target)},
            None,
            "as above",
        ),
        Case(
            "layer_conductance (10 steps, layer4)",
            lambda: layer_conductance(classifier, images, target, layer=layer, n_steps=10),
            {
                f"captum internal_batch_size={size}": (
                    lambda size=size: ca.LayerConductance(model, layer).attribute(
                        images, black, target=target, n_steps=10, internal_batch_size=size
                    )
                )
                for size in (16, None)
            },
            None,
            "captum differences along the path, ours is complete at the end points",
        ),
        Case(
            "neuron_conductance (10 steps, layer4)",
            lambda: neuron_conductance(
                classifier, images, target, layer=layer, neuron_index=(3, 2, 2), n_steps=10
            ),
            {
                f"captum internal_batch_size={size}": (
                    lambda size=size: l2(
                        ca.NeuronConductance(model, layer).attribute(
                            images,
                            (3, 2, 2),
                            black,
                            target=target,
                            n_steps=10,
                            internal_batch_size=size,
                            method="gausslegendre",
                        )
                    )
                )
                for size in (16, None)
            },
            None,
            "captum's weights are those of its own rule",
        ),
        Case(
            "grad_cam",
            lambda: grad_cam(classifier, images, target),
            {
                "captum": lambda: torch.nn.functional.interpolate(
                    ca.LayerGradCam(model, layer).attribute(images, target, relu_attributions=True),
                    size=(SIZE, SIZE),
                    mode="bilinear",
                )[:, 0]
            },
            2e-2,
        ),
        Case(
            "occlusion 6x6",
            lambda: occlusion(classifier, images, target, grid=6, resized=False),
            {f"captum perturbations_per_eval={n}": captum_grid(n) for n in (1, 6, 12, 36)},
            None,
            "captum returns the grid at full size; values agree in the oracle tests",
        ),
    ]
