"""Training with a VAE: resumes to the same bits, teaches negatives, survives real use."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from sundog.core.errors import InputError, ModelStateError
from sundog.core.seeds import generator
from sundog.data.arrays import from_arrays
from sundog.debias.adaptive_resampling import AdaptiveResampling
from sundog.models import train
from sundog.models.feature_table import collect_features, forward_features
from sundog.models.prepared import PreparedImages
from sundog.models.train import train_classifier
from sundog.models.training_options import TrainingOptions
from sundog.models.training_recipe import Step
from sundog.models.zoo import get_model
from sundog.risk.estimator import Passed
from sundog.risk.fit_options import FitOptions
from sundog.risk.histogram_vae import HistogramVAE
from sundog.risk.store import load_risk_model, save_risk_model
from sundog.risk.vae_recipe import HistogramVAETraining
from sundog.risk.wrapping import wrap

OPTIONS = {"batch_size": 16, "device": "cpu", "progress": False, "learning_rate": 3e-3}


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def discs(count=80, seed=0):
    """Bright discs (class 1) and bright bars (class 0) on a dark ground."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:16, :16]
    images = np.zeros((count, 16, 16, 3), dtype=np.uint8)
    labels = np.arange(count) % 2
    for i in range(count):
        row, column = random.uniform(5, 10, 2)
        shape = (y - row) ** 2 + (x - column) ** 2 < 16 if labels[i] else abs(y - row) < 2
        images[i] = 20 + random.integers(0, 20) + 180 * shape[..., None]
    return from_arrays(images, labels, ("bar", "disc"))


def recipe(**options):
    return HistogramVAETraining(HistogramVAE(latent_dim=4, target_class=1, filters=4, **options))


class StoppedError(Exception):
    pass


def test_a_stopped_run_resumes_to_the_same_bits(tmp_path, monkeypatch):
    whole_recipe, resumed_recipe = recipe(), recipe()
    options = {**OPTIONS, "epochs": 3}
    whole = train_classifier(
        "small-cnn", discs(), recipe=whole_recipe, out_dir=tmp_path / "a", **options
    )
    calls = []
    original = train.save_state

    def stop_at_the_second(*args, **named):
        calls.append(1)
        if len(calls) == 2:
            raise StoppedError
        return original(*args, **named)

    with monkeypatch.context() as patch:
        patch.setattr(train, "save_state", stop_at_the_second)
        with pytest.raises(StoppedError):
            train_classifier(
                "small-cnn", discs(), recipe=recipe(), out_dir=tmp_path / "b", **options
            )
    resumed = train_classifier(
        "small-cnn", discs(), recipe=resumed_recipe, out_dir=tmp_path / "b", **options
    )
    for name in ("weights.safetensors", "predictions.parquet"):
        assert (whole.path / name).read_bytes() == (resumed.path / name).read_bytes()
    ours, theirs = whole_recipe.fitted().tensors(), resumed_recipe.fitted().tensors()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    np.testing.assert_array_equal(whole_recipe.log_density(), resumed_recipe.log_density())


def begun(made, classifier=None):
    classifier = classifier or get_model("small-cnn", classes=2, seed=1)
    images = PreparedImages(discs(), size=16)
    made.begin(classifier, images, TrainingOptions(seed=4))
    return classifier, images


def step_of(images, places):
    batch = next(images.batches(torch.tensor(places), batch_size=len(places)))
    none = torch.zeros(len(places), dtype=torch.bool)
    shifts = torch.zeros((len(places), 2), dtype=torch.int64)
    return Step(batch.images, batch.labels, batch.indices, batch.ids, 0, 11, none, shifts)


def test_the_loss_is_cross_entropy_of_all_plus_the_vae_term_of_the_class():
    made = recipe()
    classifier, images = begun(made)
    step = step_of(images, [0, 1, 2, 3, 5])
    classifier.eval()
    loss = made.loss(classifier, step)
    features, logits = forward_features(classifier, step.images)
    expected = F.cross_entropy(logits, step.labels) + made.estimator.loss(
        Passed(features, logits, images=step.images), step.labels, generator(step.seed, "vae")
    )
    assert float(loss.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)


def test_negatives_teach_the_classifier_and_not_the_vae():
    # The lab's port of 2025 masked the wrong term: negatives taught the VAE alone.
    made = recipe()
    classifier, images = begun(made)
    made.loss(classifier, step_of(images, [0, 2, 4, 6])).backward()
    head = classifier.network.head.weight.grad
    assert float(head.abs().max()) > 1e-4
    vae = [p.grad for p in made.module().parameters()]
    assert all(g is None or float(g.abs().max()) == 0 for g in vae)


class Masked(HistogramVAETraining):
    """The known-bad port: the face indicator on the classification loss."""

    def loss(self, network, step):
        chosen = step.labels == 1
        if not chosen.any():
            return super().loss(network, step) * 0
        return F.cross_entropy(network(step.images)[chosen], step.labels[chosen])


def by_class(classifier, image_set):
    batch = next(image_set.batches(size=16, batch_size=len(image_set)))
    right = classifier.predict(batch.images).argmax(dim=1) == batch.labels
    return [float(right[batch.labels == k].float().mean()) for k in (0, 1)]


def test_an_always_positive_model_is_caught_because_negatives_are_scored():
    options = {**OPTIONS, "epochs": 4}
    new = discs(seed=9)
    good = train_classifier("small-cnn", discs(), recipe=recipe(), **options)
    bad = train_classifier(
        "small-cnn",
        discs(),
        recipe=Masked(HistogramVAE(latent_dim=4, target_class=1, filters=4)),
        **options,
    )
    assert min(by_class(good.classifier, new)) > 0.9
    assert by_class(bad.classifier, new) == [0.0, 1.0]  # recall of discs alone looks perfect


def test_the_classifiers_own_weights_are_the_start_of_the_training():
    base = train_classifier("small-cnn", discs(), epochs=2, **OPTIONS).classifier
    made = recipe()
    begun(made, base)
    kept = {k: v.clone() for k, v in base.state_dict().items()}
    made.begin_epoch(0)
    assert all(torch.equal(v, kept[k]) for k, v in base.state_dict().items())
    run = train_classifier(
        base, discs(), epochs=1, recipe=recipe(), **{**OPTIONS, "learning_rate": 1e-9}
    )
    drift = (run.classifier.network.head.weight - kept["network.head.weight"]).abs().max()
    assert float(drift.detach()) < 1e-6
    assert all(torch.equal(v, kept[k]) for k, v in base.state_dict().items())


def test_a_classifier_in_train_mode_is_refused_for_the_latents():
    made = recipe()
    classifier, _ = begun(made)
    classifier.train()
    with pytest.raises(ModelStateError, match="eval mode"):
        made.begin_epoch(0)


def test_latents_are_those_of_the_weights_of_now_and_of_the_class_alone():
    made = recipe()
    run = train_classifier("small-cnn", discs(), epochs=2, recipe=made, **OPTIONS)
    estimator = made.fitted()
    table = collect_features(run.classifier, discs(), size=16, progress=False)
    assert len(estimator.queue) == 40
    mu = estimator.latents(table.features)
    np.testing.assert_allclose(estimator.queue.rows(), mu[table.labels == 1], rtol=1e-4, atol=1e-5)
    logs = made.log_density()
    assert logs.dtype == np.float64
    assert (logs[table.labels.numpy() == 0] == 0).all()
    notes = run.history["recipe"].iloc[-1]
    assert notes["queue"] == 40
    assert notes["active_latents"] == logs.shape[1]
    small = HistogramVAETraining(
        HistogramVAE(latent_dim=4, target_class=1, filters=4), batch_size=7
    )
    small.estimator.load_tensors(estimator.tensors())
    small._classifier, small._images = run.classifier, PreparedImages(discs(), size=16)
    np.testing.assert_allclose(small.log_density(), logs, rtol=1e-5)


def test_resampling_by_it_draws_the_negatives_too():
    inner = recipe()
    made = AdaptiveResampling(inner, inner.log_density, classes=[1], rule="tempered")
    run = train_classifier("small-cnn", discs(), epochs=4, recipe=made, **OPTIONS)
    labels = discs().labels
    order = made.order(3, 4000, 0).numpy()
    assert 0.45 < (labels[order] == 0).mean() < 0.55
    weights = np.bincount(order, minlength=80)[labels == 1]
    logs = inner.log_density().sum(axis=1)[labels == 1]
    assert np.corrcoef(weights, logs)[0, 1] < -0.3  # rare discs are drawn more often
    assert min(by_class(run.classifier, discs(seed=9))) > 0.9


def test_wrapped_fitted_saved_and_loaded(tmp_path):
    base = train_classifier("small-cnn", discs(), epochs=2, **OPTIONS).classifier
    before = base.predict(next(discs().batches(size=16, batch_size=8)).images)
    model = wrap(base, HistogramVAE(latent_dim=4, filters=4))
    model.fit(discs(), options=FitOptions(epochs=2), progress=False)
    images = next(discs().batches(size=16, batch_size=8)).images
    assert torch.equal(model(images), before)
    out = model(images, return_risk=True)
    assert out.fields == ("representation", "epistemic")
    save_risk_model(model, tmp_path / "risk")
    again = load_risk_model(tmp_path / "risk")
    other = again(images, return_risk=True)
    assert torch.equal(other.representation, out.representation)
    assert torch.equal(other.epistemic, out.epistemic)


def test_a_queue_larger_than_the_class_is_refused_before_the_training():
    with pytest.raises(InputError, match=r"queue_size must be at most 40.*Leave it out"):
        train_classifier("small-cnn", discs(), epochs=1, recipe=recipe(queue_size=41), **OPTIONS)


def test_a_recipe_that_was_not_used_has_nothing_to_give():
    for ask in (recipe().fitted, recipe().log_density):
        with pytest.raises(ModelStateError, match="resume=False"):
            ask()
