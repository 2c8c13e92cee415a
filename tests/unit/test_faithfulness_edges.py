"""Bad and degenerate input of the curves; the state of the model."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from sundog.core.errors import InputError, ModelStateError, UnknownNameError
from sundog.faithfulness.cost import count_passes
from sundog.faithfulness.curve import CurveSpec
from sundog.faithfulness.deletion import deletion
from sundog.faithfulness.fills import make_substrate
from sundog.faithfulness.insertion import insertion
from sundog.faithfulness.metrics import METRICS, get_metric
from sundog.faithfulness.plan import make_plan
from sundog.models.classifier import Classifier


def _classifier():
    rng = torch.Generator().manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 4, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
    )
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(torch.randn(p.shape, generator=rng))
    return Classifier(net)


CLASSIFIER = _classifier()
IMAGES = torch.rand(2, 3, 5, 4, generator=torch.Generator().manual_seed(1))
MAPS = torch.rand(2, 5, 4, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"steps": 1}, InputError, "steps must be an integer of at least 2; got 1"),
        ({"steps": 2.5}, InputError, "steps must be an integer"),
        ({"fill": "blak"}, UnknownNameError, "Did you mean 'black'"),
        ({"spacing": "linear"}, UnknownNameError, "spacing must be a known name"),
        ({"output": "prob"}, UnknownNameError, "Did you mean 'probability'"),
        ({"target": 3}, InputError, r"target must be a class in 0\.\.2"),
        ({"target": torch.tensor([0])}, InputError, "target must be one class per image"),
        ({"budget": 0}, InputError, "budget must be a positive number of bytes"),
    ],
)
def test_wrong_arguments_are_said_in_plain_words(arguments, error, text):
    with pytest.raises(error, match=text):
        deletion(CLASSIFIER, IMAGES, MAPS, **arguments)


@pytest.mark.parametrize(
    "maps", [MAPS[:1], MAPS[:, :2], MAPS[:, None], MAPS.numpy(), IMAGES.norm(dim=1)[..., None]]
)
def test_maps_of_another_shape_are_refused(maps):
    with pytest.raises(InputError, match="maps must be a tensor"):
        insertion(CLASSIFIER, IMAGES, maps)


def test_bad_images_and_train_mode_are_refused():
    with pytest.raises(InputError, match="images must be finite"):
        deletion(CLASSIFIER, IMAGES.clone().fill_(math.nan), MAPS)
    training = _classifier().train()
    with pytest.raises(ModelStateError, match="eval mode"):
        deletion(training, IMAGES, MAPS)


def test_a_map_that_is_not_finite_has_no_score_and_spoils_no_other():
    maps = MAPS.clone()
    maps[0, 1, 1] = math.nan
    got = deletion(CLASSIFIER, IMAGES, maps)
    assert got.reasons == ("map not finite", "")
    assert np.isnan(got.values[0]).all()
    assert math.isnan(got.area[0])
    alone = deletion(CLASSIFIER, IMAGES[1:], MAPS[1:])
    assert got.area[1] == pytest.approx(alone.area[0], abs=1e-7)
    maps[1, 0, 0] = math.inf
    none = deletion(CLASSIFIER, IMAGES, maps)
    assert np.isnan(none.area).all()


@pytest.mark.parametrize("fill", ["black", "grey", "mean", "blur", "noisy_linear"])
def test_one_pixel_and_fewer_pixels_than_chunks(fill):
    tiny = torch.full((1, 3, 1, 1), 0.7)
    got = deletion(CLASSIFIER, tiny, torch.ones(1, 1, 1), steps=10, fill=fill)
    # array_split gives the pixel to the first chunk and nothing to the others.
    assert got.values.shape == (1, 10)
    assert (got.values[0, 1:] == got.values[0, 1]).all()
    assert got.area[0] == pytest.approx(
        (got.values[0, 0] + got.values[0, 1]) / 18 + got.values[0, 1] * 8 / 9
    )
    log = deletion(CLASSIFIER, tiny, torch.ones(1, 1, 1), spacing="log", fill=fill)
    assert log.x.tolist() == [0] * 10 + [1, 1]
    assert log.log_area[0] == log.values[0, -1]
    small = insertion(CLASSIFIER, IMAGES, MAPS, steps=30, fill=fill)
    assert small.values.shape == (2, 30)
    assert (small.values[:, 20:] == small.values[:, 20:21]).all()


def test_cost_is_what_it_says():
    logits = CLASSIFIER.predict(IMAGES)
    black = make_substrate(CLASSIFIER, IMAGES, "black")
    assert black.forwards == 0.5
    with count_passes(CLASSIFIER) as count:
        got = deletion(
            CLASSIFIER, IMAGES, MAPS, steps=10, clean_logits=logits, substrate=black, budget=10**6
        )
    assert got.forwards == 8
    # Up to three rows measure once which pass size and memory layout are fastest.
    assert 0 <= count.forwards - 2 * 8 <= 3
    blurred = deletion(CLASSIFIER, IMAGES, MAPS, steps=10, fill="blur")
    assert blurred.forwards == 10
    # 20 pixels at 29 chunks: 20 distinct images, of which the last is the filled one.
    assert deletion(CLASSIFIER, IMAGES, MAPS, steps=30, clean_logits=logits).forwards == 19.5


def test_backward_passes_are_counted_and_hooks_removed():
    def boom():
        with count_passes(CLASSIFIER):
            raise KeyError

    leaf = IMAGES.clone().requires_grad_()
    with count_passes(CLASSIFIER) as count:
        CLASSIFIER(leaf).sum().backward()
        CLASSIFIER(IMAGES[:1])
    assert (count.forwards, count.backwards, count.equivalents) == (3, 2, 5)
    with pytest.raises(KeyError):
        boom()
    assert not CLASSIFIER.network._forward_hooks
    for p in CLASSIFIER.parameters():
        p.grad = None


def test_the_model_the_images_and_the_global_random_state_are_left_alone():
    before = {k: v.clone() for k, v in CLASSIFIER.state_dict().items()}
    state, images = torch.random.get_rng_state(), IMAGES.clone()
    numpy_state = np.random.get_state()[1].copy()  # noqa: NPY002
    for fill in ("noisy_linear", "black"):
        deletion(CLASSIFIER, IMAGES, MAPS, fill=fill)
    assert all(torch.equal(v, before[k]) for k, v in CLASSIFIER.state_dict().items())
    assert torch.equal(state, torch.random.get_rng_state())
    assert (numpy_state == np.random.get_state()[1]).all()  # noqa: NPY002
    assert torch.equal(images, IMAGES)
    assert not any(m._forward_hooks for m in CLASSIFIER.modules())


def test_specification_says_everything():
    spec = CurveSpec("insertion", 7, fill="mean", seed=3)
    assert spec.higher_is_better
    assert CurveSpec(**spec.to_dict()) == spec
    assert CurveSpec(spacing="log", steps=99).steps == 12
    assert deletion(CLASSIFIER, IMAGES, MAPS).spec.target == "predicted"


def test_plans():
    plan = make_plan(fills={"deletion": ["black", "mean"]}, spacing=["equal", "log"])
    assert [(c.kind, c.spacing, c.fill) for c in plan.curves] == [
        ("deletion", "equal", "black"),
        ("deletion", "equal", "mean"),
        ("deletion", "log", "black"),
        ("deletion", "log", "mean"),
        ("insertion", "equal", "blur"),
        ("insertion", "log", "blur"),
    ]
    assert plan.fills == ("black", "mean", "blur")
    assert make_plan(fills="grey").fills == ("grey",)
    assert make_plan(has_masks=True).localisation == tuple(
        name for name, row in METRICS.items() if row.needs_mask
    )
    assert make_plan(metrics=["rank_accuracy"], has_masks=True).curves == ()
    assert make_plan(controls=["edge"]).controls == ("edge",)
    assert make_plan(controls=False).controls == ()
    for arguments, text in (
        ({"metrics": ["deletoin"]}, "Did you mean 'deletion'"),
        ({"metrics": []}, "at least one metric"),
        ({"metrics": ["mass_lift"]}, "masks must be given for mass_lift"),
        ({"controls": ["randm"]}, "Did you mean 'random'"),
        ({"fills": ["green"]}, "fill must be a known name"),
        ({"steps": 0}, "steps must be"),
    ):
        with pytest.raises(InputError, match=text):
            make_plan(**arguments)
    assert get_metric("insertion").higher_is_better
