"""Bad densities, weights and sizes: a clear error, or counted and told."""

import json

import numpy as np
import pytest

from sundog.core.errors import InputError
from sundog.data.arrays import from_arrays
from sundog.debias.adaptive_resampling import AdaptiveResampling
from sundog.debias.array_hash import array_hash
from sundog.debias.lisa import Lisa
from sundog.debias.mixing import mix_weights, risk_weights
from sundog.debias.noisy_labels import NoisyRemoval, label_error_score
from sundog.debias.sampling_weights import sampling_weights
from sundog.debias.weight_report import kish_size, report_weights
from sundog.debias.weighted_order import weighted_order
from sundog.models.prepared import PreparedImages
from sundog.models.training_options import TrainingOptions
from sundog.models.training_recipe import TrainingRecipe


def prepared(labels):
    draw = np.random.default_rng(0)
    images = draw.integers(0, 255, (len(labels), 8, 8, 3), dtype=np.uint8)
    return PreparedImages(from_arrays(images, np.asarray(labels), ["a", "b"]), size=None)


def begun(density, labels=(0, 0, 0, 1, 1, 1), **kwargs):
    recipe = AdaptiveResampling(None, lambda: density, warm_up=0, **kwargs)
    recipe.begin(None, prepared(list(labels)), TrainingOptions())
    return recipe


@pytest.mark.parametrize(
    ("density", "kwargs", "text"),
    [
        (np.array([0.0, np.nan]), {}, "NaN or \\+inf in 1 of 2"),
        (np.array([0.0, np.inf]), {}, "NaN or \\+inf in 1 of 2"),
        (np.array([0.0, -np.inf]), {}, "-inf in 1 of 2"),
        (np.array([0.0, -np.inf]), {"rule": "inverse"}, "-inf in 1 of 2"),
        (np.array([0.0, -np.inf]), {"rule": "product", "alpha": 0}, "-inf in 1 of 2"),
        (np.zeros((2, 2, 2)), {}, "\\[images, latents\\]"),
        (np.zeros(0), {}, "\\[images\\]"),
        (np.zeros((3, 0)), {}, "latents"),
        (np.zeros(2), {"rule": "inverted"}, "rule"),
        (np.zeros(2), {"alpha": -1}, "alpha"),
        (np.zeros(2), {"temperature": 0}, "temperature"),
        (np.zeros(2), {"effective_share": 1.0}, "effective_share"),
        (np.zeros(2), {"m": 0}, "m must be"),
        (np.zeros(2), {"clip": 0.5}, "clip"),
        (np.zeros(2), {"labels": np.array([0])}, "2 integers"),
        (np.zeros(2), {"labels": np.array([0.0, 1.0])}, "2 integers"),
        (np.zeros(2), {"classes": [0]}, "together with labels"),
        (np.zeros(2), {"classes": [3], "labels": np.array([0, 1])}, "\\[3\\]"),
        (np.zeros(2), {"classes": [], "labels": np.array([0, 1])}, "at least one class"),
    ],
)
def test_weights_that_cannot_be_made(density, kwargs, text):
    with pytest.raises(InputError, match=text):
        sampling_weights(density, **kwargs)


def test_density_0_is_fine_with_alpha():
    made = sampling_weights(np.array([-np.inf, 0.0, 0.0]), rule="product", alpha=0.5)
    np.testing.assert_allclose(made.probabilities, np.array([2, 2 / 3, 2 / 3]) / (10 / 3))


def test_one_image_and_one_image_per_class():
    assert sampling_weights(np.array([-5.0])).probabilities.tolist() == [1.0]
    made = sampling_weights(np.array([-5.0, -900.0]), labels=np.array([0, 1]), clip=2.0)
    assert made.probabilities.tolist() == [0.5, 0.5]
    assert made.warnings == ()


def test_the_warning_names_classes_but_not_a_thousand():
    labels = np.repeat(np.arange(1000), 2)
    made = sampling_weights(np.zeros(2000), labels=labels)
    assert "1000 of 1000 classes (classes 0, 1, 2, ...)" in made.warnings[0]
    assert len(made.table) == 1000


def test_hardly_drawn_images_are_told():
    log_p = np.array([0.0] * 60 + [100.0] * 40)
    made = sampling_weights(log_p)
    assert made.classes[0].hardly_drawn == 40
    assert any(text.startswith("40 images") for text in made.warnings)
    json.dumps(made.notes(), allow_nan=False)


def test_an_infinite_ratio_is_none_in_json():
    made = sampling_weights(np.array([0.0, 800.0]), rule="inverse")
    assert made.max_min_ratio == np.inf
    assert made.notes()["max_min_ratio"] is None


def test_images_without_density_are_left_out_and_counted():
    density = np.array([-1.0, np.nan, -3.0, -2.0, -2.0, -4.0])
    recipe = begun(density, temperature=1.0)
    recipe.begin_epoch(0)
    order = recipe.order(0, 4000, 0).numpy()
    assert set(order.tolist()) == {0, 2, 3, 4, 5}
    notes = recipe.notes()
    assert notes["without_density"] == 1
    kept = np.array([0, 2, 3, 4, 5])
    alone = sampling_weights(
        density[kept], temperature=1.0, labels=np.array([0, 0, 1, 1, 1])
    ).probabilities
    np.testing.assert_allclose(recipe.weights.probabilities[kept], alone)
    assert recipe.weights.classes[0].n == 2
    json.dumps(notes, allow_nan=False)


@pytest.mark.parametrize(
    ("density", "text"),
    [
        (np.zeros(5), r"one row per training image \(6\)"),
        (np.zeros((6, 2, 2)), "one row per training image"),
        (np.full(6, np.nan), "NaN in all 6"),
    ],
)
def test_densities_that_do_not_fit_the_training_set(density, text):
    with pytest.raises(InputError, match=text):
        begun(density).begin_epoch(0)


def test_a_wrong_rule_fails_before_the_training():
    with pytest.raises(InputError, match="rule"):
        AdaptiveResampling(None, lambda: np.zeros(6), rule="nonsense")
    with pytest.raises(InputError, match="warm_up"):
        AdaptiveResampling(None, lambda: np.zeros(6), warm_up=-1)
    with pytest.raises(InputError, match="per_class"):
        AdaptiveResampling(None, lambda: np.zeros(6), classes=[0], per_class=False)


def test_only_the_chosen_class_is_resampled():
    recipe = begun(np.array([0.0, -3.0, -5.0, 0.0, -9.0, -20.0]), classes=[0], temperature=1.0)
    recipe.begin_epoch(0)
    p = recipe.weights.probabilities
    np.testing.assert_allclose(p[3:], 1 / 6)
    assert p[2] > p[1] > p[0]
    assert p[:3].sum() == pytest.approx(0.5)


def test_the_order_is_that_of_the_inner_recipe_in_the_warm_up():
    recipe = AdaptiveResampling(None, lambda: np.zeros(6), warm_up=2)
    recipe.begin(None, prepared([0, 0, 0, 1, 1, 1]), TrainingOptions())
    recipe.begin_epoch(1)
    assert sorted(recipe.order(1, 6, 0).tolist()) == list(range(6))
    assert recipe.notes()["phase"] == "warm-up"


@pytest.mark.parametrize(
    ("parts", "weights", "text"),
    [
        ([[0.5, 0.5]], [0.5], "sum 1"),
        ([[0.5, 0.5]], [0.5, 0.5], r"one per part \(1\)"),
        ([[0.5, 0.5], [1.0]], [0.5, 0.5], "equal length"),
        ([[0.5, 0.6]], [1.0], "sum 1.1"),
        ([[0.5, 0.5], [0.5, 0.5]], [1.5, -0.5], ">= 0"),
        ([], [], "one per part"),
    ],
)
def test_mixtures_that_cannot_be(parts, weights, text):
    with pytest.raises(InputError, match=text):
        mix_weights([np.array(p) for p in parts], weights)


def test_risks_that_cannot_be_weights():
    for bad, text in (
        (np.array([-1.0, 2.0]), "1 of 2"),
        (np.array([np.nan, 2.0]), "1 of 2"),
        (np.zeros((2, 2)), "one value per image"),
    ):
        with pytest.raises(InputError, match=text):
            risk_weights(bad)
    with pytest.raises(InputError, match="offset"):
        risk_weights(np.ones(2), offset=0)
    with pytest.raises(InputError, match="together with labels"):
        risk_weights(np.ones(2), classes=[0])
    assert np.isfinite(risk_weights(np.array([1e308, 1e308])).probabilities).all()


def test_reports_and_draws_refuse_what_is_no_distribution():
    with pytest.raises(InputError, match=r"sum 0\.5"):
        report_weights(np.array([0.25, 0.25]))
    with pytest.raises(InputError, match="not all 0"):
        kish_size([0.0, 0.0])
    with pytest.raises(InputError, match="not all 0"):
        weighted_order(np.zeros(3), count=1, seed=0, epoch=0)
    with pytest.raises(InputError, match="count"):
        weighted_order(np.ones(3), count=0, seed=0, epoch=0)


def test_recipes_of_another_training_set_are_refused():
    images = prepared([0, 0, 1, 1])
    with pytest.raises(InputError, match=r"one per training image \(4\)"):
        Lisa([0, 1]).begin(None, images, TrainingOptions())
    with pytest.raises(InputError, match=r"one value per training image \(4\)"):
        NoisyRemoval(np.ones(3, dtype=bool)).begin(None, images, TrainingOptions())
    with pytest.raises(InputError, match="none of b"):
        NoisyRemoval(np.array([True, True, False, False])).begin(None, images, TrainingOptions())
    for kwargs, text in (({"p_select": 2.0}, "p_select"), ({"beta": 0.0}, "beta")):
        with pytest.raises(InputError, match=text):
            Lisa([0, 1], **kwargs)


def test_label_error_scores_of_the_wrong_shape():
    with pytest.raises(InputError, match="classes >= 2"):
        label_error_score(np.ones((3, 1)), np.zeros(3, dtype=int))
    with pytest.raises(InputError, match=r"in -1\.\.1"):
        label_error_score(np.full((2, 2), 0.5), np.array([0, 2]))


def test_the_hash_sees_type_shape_and_content():
    base = np.arange(6)
    hashes = {
        array_hash(a)
        for a in (base, base.reshape(2, 3), base.astype(np.int32), base[::-1], base + 1)
    }
    assert len(hashes) == 5
    assert array_hash(base) == array_hash(np.arange(12)[::2] // 2)


def test_everything_but_the_order_is_asked_of_the_inner_recipe():
    class Inner(TrainingRecipe):
        name = "inner"

        def __init__(self):
            self.calls = []

        def begin(self, classifier, images, options):
            self.calls.append("begin")

        def begin_epoch(self, epoch):
            self.calls.append(f"epoch {epoch}")

        def after_step(self, step):
            self.calls.append(f"after {step}")

        def change(self, step):
            return f"changed {step}"

        def loss(self, network, step):
            return f"loss of {step}"

        def module(self):
            return "module"

        def state(self):
            return {"kept": 1}

        def load_state(self, tensors):
            self.calls.append(dict(tensors))

        def notes(self):
            return {"note": 1}

    inner = Inner()
    seen = []

    def density():
        seen.append(list(inner.calls))
        return np.array([0.0, -1.0])

    recipe = AdaptiveResampling(inner, density, warm_up=0, about={"of": "test"})
    recipe.begin(None, prepared([0, 0]), TrainingOptions())
    recipe.begin_epoch(3)
    assert seen == [["begin", "epoch 3"]]  # the inner recipe first, then the density
    recipe.after_step("s")
    recipe.load_state({"kept": 2})
    assert inner.calls[2:] == ["after s", {"kept": 2}]
    assert recipe.change("s") == "changed s"
    assert recipe.loss(None, "s") == "loss of s"
    assert recipe.module() == "module"
    assert recipe.state() == {"kept": 1}
    assert recipe.notes()["inner"] == {"note": 1}
    assert recipe.describe()["inner"] == {"name": "inner"}
    assert recipe.describe()["density"] == {"of": "test"}
