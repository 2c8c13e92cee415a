"""The wrapped classifier: same prediction, risks on request, fitted, saved and read back."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from sundog.core.errors import (
    CheckpointError,
    InputError,
    LayerError,
    ModelStateError,
    RunFolderError,
    UnknownNameError,
)
from sundog.data.arrays import from_arrays
from sundog.models.classifier import Classifier
from sundog.models.feature_table import collect_features
from sundog.models.nets import SmallCNN
from sundog.models.train import train_classifier
from sundog.models.zoo import get_model
from sundog.risk.fit_options import FitOptions
from sundog.risk.images import image_batches
from sundog.risk.output import RiskOutput, concat_outputs, join_scores
from sundog.risk.registry import METHODS, make_estimator
from sundog.risk.store import load_risk_model, save_risk_model
from sundog.risk.wrapping import wrap

SHORT = FitOptions(epochs=2, batch_size=8)
SMALL = {
    "knn": {"k": 5},
    "reverse_knn": {"k": 5, "m": 3},
    "mc_dropout": {"rate": 0.2},
    "vim": {"directions": 10},
}
"""Parameters for 40 images."""
SINGLE = [name for name in METHODS if name != "ensemble"]


def _set(count=40, classes=2, seed=0):
    random = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    images = random.integers(0, 200, (count, 16, 16, 3), dtype=np.uint8)
    images[labels == 1, :6] = 255
    return from_arrays(images, labels, tuple("abcdefghij"[:classes]))


@pytest.fixture(scope="module")
def trained():
    return train_classifier("small-cnn", _set(), epochs=3, size=16, device="cpu").classifier


@pytest.fixture
def classifier(trained):
    return copy.deepcopy(trained)


@pytest.fixture
def images():
    return next(_set().batches(size=16, batch_size=12)).images


def _output(count=4, shift=0.0):
    logits = torch.arange(count * 3.0).reshape(count, 3)
    values = torch.arange(float(count)) + shift
    return join_scores(
        logits,
        {"one": {"epistemic": values}, "two": {"epistemic": -values, "representation": values * 2}},
        methods=("one", "two"),
    )


def test_output_takes_each_field_from_the_first_method_and_keeps_all_scores():
    output = _output()
    assert output.fields == ("representation", "epistemic")
    assert output.aleatoric is None
    assert output.epistemic.tolist() == [0, 1, 2, 3]
    assert output.scores["two.epistemic"].tolist() == [0, -1, -2, -3]
    assert torch.equal(output.probabilities, output.prediction.softmax(1))
    assert output.predicted.tolist() == [2, 2, 2, 2]


@pytest.mark.parametrize(
    ("index", "wanted"),
    [
        (1, [1]),
        (-1, [3]),
        (slice(1, 3), [1, 2]),
        ([3, 0], [3, 0]),
        (np.array([True, False, True, False]), [0, 2]),
        (torch.tensor([2]), [2]),
    ],
)
def test_output_can_be_indexed(index, wanted):
    part = _output()[index]
    assert part.epistemic.tolist() == wanted
    assert part.prediction[:, 0].tolist() == [3 * i for i in wanted]
    assert part.scores["two.representation"].tolist() == [2 * i for i in wanted]


def test_output_is_concatenated_and_becomes_arrays():
    joined = concat_outputs([_output(2), _output(3, shift=5)])
    assert len(joined) == 5
    assert joined.epistemic.tolist() == [0, 1, 5, 6, 7]
    arrays = joined.numpy()
    assert set(arrays) == {
        "prediction", "probabilities", "representation", "epistemic",
        "one.epistemic", "two.epistemic", "two.representation",
    }  # fmt: skip
    with pytest.raises(IndexError):
        _ = joined[5]
    with pytest.raises(InputError, match="at least one batch"):
        concat_outputs([])
    with pytest.raises(InputError, match="same fields"):
        concat_outputs([_output(), RiskOutput(torch.zeros(2, 3), torch.zeros(2, 3))])
    with pytest.raises(InputError, match="one value per image"):
        RiskOutput(torch.zeros(2, 3), torch.zeros(2, 3), epistemic=torch.zeros(2, 3))


def test_every_method_leaves_the_prediction_bit_identical(classifier, images):
    wanted = classifier(images)
    state = {name: value.clone() for name, value in classifier.state_dict().items()}
    for name in SINGLE:
        parameters = SMALL.get(name, {})
        if "queue_size" in make_estimator(name, **parameters).settings():
            parameters = {"queue_size": 20}
        model = wrap(classifier, name, **parameters).fit(_set(), options=SHORT)
        assert torch.equal(model(images), wanted), name
        output = model(images, return_risk=True)
        assert torch.equal(output.prediction, wanted), name
        assert set(output.fields) == set(METHODS[name].gives), name
        for values in output.scores.values():
            assert torch.isfinite(values).all(), name
        one_by_one = torch.cat([model(i[None], return_risk=True).prediction for i in images])
        assert torch.allclose(one_by_one, wanted, atol=1e-5)
    assert all(torch.equal(value, state[key]) for key, value in classifier.state_dict().items())


def test_every_method_is_saved_and_read_back(classifier, images, tmp_path):
    for name in SINGLE:
        parameters = SMALL.get(name, {})
        if "queue_size" in make_estimator(name, **parameters).settings():
            parameters = {"queue_size": 20}
        model = wrap(classifier, name, **parameters).fit(_set(), options=SHORT)
        wanted = model(images, return_risk=True)
        save_risk_model(model, tmp_path / name)
        found = load_risk_model(tmp_path / name)(images, return_risk=True)
        for key, values in wanted.scores.items():
            # Some processors' matrix products round by where in memory the weights begin.
            assert torch.allclose(values, found.scores[key], rtol=1e-6, atol=1e-9), key


def test_scores_do_not_depend_on_the_batch(classifier):
    data = _set()
    model = wrap(classifier, ["laplace", "knn", "mve"], knn={"k": 5}).fit(data, options=SHORT)
    whole, parts = model.predict(data, batch_size=40), model.predict(data, batch_size=3)
    for key, values in whole.scores.items():
        assert torch.allclose(values, parts.scores[key], atol=1e-5), key


def test_own_images_are_left_out_of_their_own_estimate(classifier):
    data = _set()
    model = wrap(classifier, "knn", k=1).fit(data)
    inside, left_out = model.predict(data), model.predict(data, own=True)
    assert float(inside.epistemic.max()) < 1e-3
    assert float(left_out.epistemic.min()) > 1e-2
    table = collect_features(classifier, data, size=16)
    assert torch.equal(model.score_arrays(table, own=True).representation, left_out.representation)


def test_a_loader_and_an_image_set_give_the_same_fit(classifier, images):
    data = _set()
    batches = list(data.batches(size=16, batch_size=40))
    loader = DataLoader(TensorDataset(batches[0].images, batches[0].labels), batch_size=7)
    first = wrap(classifier, ["knn", "evidential"], knn={"k": 5}).fit(data, options=SHORT)
    second = wrap(classifier, ["knn", "evidential"], knn={"k": 5}).fit(loader, options=SHORT)
    one, two = first(images, return_risk=True), second(images, return_risk=True)
    assert torch.allclose(one.representation, two.representation, atol=1e-4)
    assert torch.allclose(one.scores["evidential.epistemic"], two.scores["evidential.epistemic"],
                          atol=1e-4)  # fmt: skip


def test_precomputed_arrays_give_the_same_as_images(classifier):
    data = _set()
    table = collect_features(classifier, data, size=16)
    by_images = wrap(classifier, ["knn", "gen"], knn={"k": 5}).fit(data)
    by_arrays = wrap(classifier, ["knn", "gen"], knn={"k": 5}).fit_arrays(table)
    wanted, found = by_images.predict(data), by_arrays.score_arrays(table)
    for key, values in wanted.scores.items():
        assert torch.allclose(values, found.scores[key], atol=1e-5), key
    with pytest.raises(InputError, match="fitted on images"):
        wrap(classifier, "mve").fit_arrays(table)


def test_training_all_changes_a_copy(classifier, images):
    before = classifier(images)
    model = wrap(classifier, "mve").fit(_set(), train="all", options=SHORT)
    assert torch.equal(classifier(images), before)
    assert model.classifier is not classifier
    assert not torch.equal(model(images), before)
    assert not model.training


def test_a_killed_fit_goes_on(classifier, images, tmp_path):
    options = FitOptions(epochs=3, batch_size=8)
    wanted = wrap(classifier, "mve").fit(_set(), options=options)(images, return_risk=True)

    model = wrap(classifier, "mve")
    original, calls = model.estimators[0].begin_epoch, []

    def killed(epoch, epochs):
        calls.append(epoch)
        if epoch == 2:
            raise KeyboardInterrupt
        original(epoch, epochs)

    model.estimators[0].begin_epoch = killed
    with pytest.raises(KeyboardInterrupt):
        model.fit(_set(), options=options, out_dir=tmp_path)
    resumed = wrap(classifier, "mve").fit(_set(), options=options, out_dir=tmp_path)
    assert torch.equal(resumed(images, return_risk=True).aleatoric, wanted.aleatoric)
    with pytest.raises(RunFolderError, match="another fit"):
        wrap(classifier, "mve").fit(_set(seed=1), options=options, out_dir=tmp_path)


def test_what_is_wrong_is_said(classifier, images, tmp_path):
    model = wrap(classifier, "knn", k=5)
    with pytest.raises(ModelStateError, match="not fitted"):
        model(images, return_risk=True)
    with pytest.raises(ModelStateError, match="not fitted"):
        save_risk_model(model, tmp_path / "x")
    with pytest.raises(UnknownNameError, match="knn"):
        wrap(classifier, "knnn")
    with pytest.raises(InputError, match=r"among .*k"):
        wrap(classifier, "knn", neighbours=3)
    with pytest.raises(InputError, match="each once"):
        wrap(classifier, ["knn", "knn"])
    with pytest.raises(InputError, match="dictionary by method"):
        wrap(classifier, ["knn", "gen"], k=3)
    with pytest.raises(UnknownNameError):
        wrap(classifier, "knn", feature_layer="nowhere")
    model.fit(_set())
    classifier.train()
    with pytest.raises(ModelStateError, match="eval"):
        model(images, return_risk=True)
    with pytest.raises(ModelStateError, match="eval"):
        model.fit(_set())


def test_a_network_without_features_still_has_scores_of_its_logits(images):
    bare = Classifier(SmallCNN(2), input_size=(16, 16))
    assert bare.feature_layer is None
    output = wrap(bare, ["gen", "entropy"]).fit(_set())(images, return_risk=True)
    assert output.fields == ("epistemic", "aleatoric")
    with pytest.raises(LayerError, match="feature layer"):
        wrap(bare, "knn", k=5).fit(_set())


def test_features_that_are_not_finite_are_refused(classifier, images):
    model = wrap(classifier, "knn", k=5).fit(_set())
    with torch.no_grad():
        classifier.network.features[0].weight[0, 0, 0, 0] = math.nan
    with pytest.raises(InputError, match="NaN or infinity in 12 of 12"):
        model(images, return_risk=True)
    with pytest.raises(InputError, match="NaN or infinity"):
        wrap(classifier, "knn", k=5).fit(_set())


def test_unlabelled_images_are_refused_where_labels_are_needed(classifier):
    data = _set()
    unlabelled = data.relabelled(np.full(len(data), -1), data.class_names)
    wrap(classifier, "knn", k=5).fit(unlabelled)
    with pytest.raises(InputError, match="40 of 40 without a label"):
        wrap(classifier, "ddu").fit(unlabelled)


def test_a_stored_model_is_for_its_own_classifier(classifier, tmp_path):
    save_risk_model(wrap(classifier, "gen").fit(_set()), tmp_path / "m")
    load_risk_model(tmp_path / "m", classifier=classifier)
    other = get_model("small-cnn", classes=2, input_size=(16, 16), seed=4)
    with pytest.raises(CheckpointError, match="another architecture or other weights"):
        load_risk_model(tmp_path / "m", classifier=other)
    (tmp_path / "m" / "risk.safetensors").write_bytes(b"xx")
    with pytest.raises(CheckpointError, match="another content"):
        load_risk_model(tmp_path / "m")
    with pytest.raises(CheckpointError, match=r"risk\.json"):
        load_risk_model(tmp_path / "nothing")


def test_any_module_can_be_wrapped():
    torch.manual_seed(0)
    network = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, 8), nn.ReLU(),
                            nn.Linear(8, 2)).eval()  # fmt: skip
    images = torch.rand(5, 3, 16, 16)
    model = wrap(network, "knn", k=3, feature_layer="1").fit(_set(), size=16)
    assert torch.equal(model(images), network(images))
    assert model(images, return_risk=True).representation.shape == (5,)


def test_batches_that_are_no_images_are_refused():
    with pytest.raises(InputError, match="images or \\(images, labels\\)"):
        list(image_batches([{"x": 1}]))
    with pytest.raises(InputError, match="one per image"):
        list(image_batches([(torch.rand(3, 3, 8, 8), torch.zeros(2))]))
    with pytest.raises(InputError, match="at least one image"):
        list(image_batches([]))


def test_several_classifiers_become_an_ensemble(classifier, images):
    other = train_classifier("small-cnn", _set(), epochs=1, size=16, device="cpu", seed=9)
    members = [classifier, other.classifier]
    plain = wrap(members, "ensemble")
    output = plain(images, return_risk=True)
    mean = torch.stack([m(images).softmax(1) for m in members]).mean(0)
    assert torch.allclose(plain(images).softmax(1), mean, atol=1e-6)
    assert output.fields == ("epistemic", "aleatoric")
    both = wrap(members, ["ensemble", "knn"], knn={"k": 5}).fit(_set())
    assert both(images, return_risk=True).fields == ("representation", "epistemic", "aleatoric")
    with pytest.raises(InputError, match="several classifiers"):
        wrap(classifier, "ensemble")
