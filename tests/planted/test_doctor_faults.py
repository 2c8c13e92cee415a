"""Every fault that is planted in a sound classifier is found, and in a sound one none is."""

import copy
import shlex

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import sundog
from sundog.audit.doctor import diagnose
from sundog.core.errors import InputError, UnknownNameError
from sundog.data.arrays import from_arrays
from sundog.models.classifier import Classifier

QUICK = {"methods": ("gradient_norm",), "progress": False}
SPOKEN = ("nil", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
CLAIMS = ("labels: order", "normalisation: as trained", "normalisation: with order")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A small network that reads digits, in the folder of its training run, and its images."""
    digits = sundog.load_image_set("digits", split="train", limit=600)
    folder = tmp_path_factory.mktemp("run") / "digits"
    run = sundog.train_classifier(
        "small-cnn", digits, epochs=3, size=28, out_dir=folder, device="cpu", progress=False
    )
    held = sundog.load_image_set("digits", split="validation", limit=300)
    return run.classifier, held, folder


class Around(nn.Module):
    """A network with something done before or after it."""

    def __init__(self, network, *, before=None, after=None):
        super().__init__()
        self.inner = network
        self.before = before
        self.after = after

    def forward(self, x):
        x = x if self.before is None else self.before(x)
        out = self.inner(x)
        return out if self.after is None else self.after(out)


def like(classifier, network, **changed):
    """A classifier of another network that says the same of itself."""
    said = {
        "class_names": classifier.class_names,
        "mean": classifier.mean.flatten().tolist(),
        "std": classifier.std.flatten().tolist(),
        "input_size": classifier.input_size,
        "feature_layer": "inner.head:input",
        "cam_layer": "inner.features",
        "weights": "trained",
    }
    return Classifier(network, **{**said, **changed})


def around(classifier, **changed):
    return like(classifier, Around(copy.deepcopy(classifier.network), **changed).eval())


def batch_statistics(classifier):
    network = copy.deepcopy(classifier.network)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.track_running_stats = False
            module.running_mean = module.running_var = None
    return like(classifier, Around(network).eval())


class Learns(nn.BatchNorm2d):
    """Always normalises by the batch and goes on learning."""

    def forward(self, x):
        return F.batch_norm(x, self.running_mean, self.running_var, training=True, momentum=0.1)


def goes_on_learning(classifier):
    network = copy.deepcopy(classifier.network)
    network.features[1].__class__ = Learns
    return like(classifier, Around(network).eval())


def broken_weights(classifier):
    network = copy.deepcopy(classifier.network)
    with torch.no_grad():
        network.head.weight[0, 0] = float("nan")
    return like(classifier, Around(network).eval())


def one_class(classifier):
    network = copy.deepcopy(classifier.network)
    with torch.no_grad():
        network.head.bias[3] += 1000
    return like(classifier, Around(network).eval())


def single_images_fail(classifier):
    return around(classifier, after=lambda out: out.squeeze())


def declared(classifier, output):
    return like(classifier, Around(copy.deepcopy(classifier.network)).eval(), output=output)


MODEL_FAULTS = {
    "dropout is active": (
        lambda c: around(c, after=lambda out: F.dropout(out, 0.5, training=True)),
        ("model: repeatable", "fail", "dropout"),
    ),
    "a batch norm goes on learning": (
        goes_on_learning,
        ("model: repeatable", "fail", "batch norm"),
    ),
    "a batch norm uses the batch": (batch_statistics, ("model: batches", "fail", "batch norm")),
    "a single image fails": (single_images_fail, ("model: batches", "fail", "squeeze")),
    "weights are NaN": (broken_weights, ("model: weights", "fail", "checkpoint")),
    "outputs are NaN": (
        lambda c: around(c, after=lambda out: (out - out.max()).sqrt()),
        ("model: finite", "fail", "logarithm"),
    ),
    "probabilities declared logits": (
        lambda c: around(c, after=lambda out: out.softmax(1)),
        ("model: output", "fail", "--network-output probabilities"),
    ),
    "logits declared probabilities": (
        lambda c: declared(c, "probabilities"),
        ("model: output", "fail", "--network-output logits"),
    ),
    "a sigmoid per class": (
        lambda c: around(c, after=torch.sigmoid),
        ("model: output", "warn", "before the sigmoid"),
    ),
    "one class for all": (one_class, ("model: predictions", "fail", "weights")),
    "the image is ignored": (
        lambda c: around(c, before=torch.zeros_like),
        ("model: predictions", "fail", "weights"),
    ),
    "no gradient": (
        lambda c: around(c, before=lambda x: x.detach()),
        ("model: gradient", "fail", "detach"),
    ),
    "half precision": (
        lambda c: like(c, Around(copy.deepcopy(c.network)).eval().bfloat16()),
        ("model: weights", "warn", "float()"),
    ),
    "random weights": (
        lambda c: sundog.get_model("small-cnn", class_names=c.class_names, input_size=28),
        ("model: weights", "fail", "--checkpoint"),
    ),
    "no map layer": (
        lambda c: like(c, Around(copy.deepcopy(c.network)).eval(), cam_layer=None),
        ("layers: map", "warn", "cam_layer"),
    ),
    "a layer that does not exist": (
        lambda c: like(c, Around(copy.deepcopy(c.network)).eval(), cam_layer="inner.feature"),
        ("layers: map", "fail", "another layer"),
    ),
    "no feature layer": (
        lambda c: like(c, Around(copy.deepcopy(c.network)).eval(), feature_layer=None),
        ("layers: features", "warn", "feature_layer"),
    ),
    "something follows the last linear layer": (
        lambda c: around(c, after=lambda out: out.clamp_max(0.5)),
        ("layers: head", "warn", "cannot be used"),
    ),
}


@pytest.mark.parametrize("fault", MODEL_FAULTS)
def test_a_fault_of_the_model_is_found(trained, fault):
    classifier, held, _ = trained
    make, (name, status, advice) = MODEL_FAULTS[fault]
    found = diagnose(make(classifier), held, limit=60, **QUICK)
    check = found.check(name)
    assert (check.status, advice in check.try_) == (status, True), str(found)
    assert found.exit_code == int(any(c.status == "fail" for c in found.checks))


def test_train_mode_is_found_and_left(trained):
    classifier, held, _ = trained
    given = around(classifier)
    given.train()
    found = diagnose(given, held, limit=100, **QUICK)
    assert found.check("model: mode").status == "fail"
    assert "eval()" in found.check("model: mode").try_
    assert found.check("labels: order").status == "ok"
    assert all(module.training for module in given.modules())
    network = copy.deepcopy(classifier.network).train()
    diagnose(network, held, limit=40, size=28, **QUICK)
    assert all(module.training for module in network.modules())


@pytest.mark.parametrize(
    ("mean", "std", "way"),
    [
        ((0.0,) * 3, (1 / 255,) * 3, "ImageNet"),
        ((0.0,) * 3, (1.0,) * 3, "ImageNet"),
        ((0.5 + 0.25,) * 3, (0.25,) * 3, "ImageNet"),
    ],
    ids=["0..255", "not at all", "twice"],
)
@pytest.mark.parametrize("labelled", [True, False])
def test_a_wrong_normalisation_is_found(trained, mean, std, way, labelled):
    """The network was trained with ImageNet's mean and std; with labels or without, it shows."""
    classifier, held, _ = trained
    if not labelled:
        held = held.relabelled(np.full(len(held), -1), held.class_names)
    given = like(classifier, Around(classifier.network), mean=mean, std=std)
    check = diagnose(given, held, limit=200, **QUICK).check("normalisation: as trained")
    assert check.status == "fail", check
    assert "--mean 0.485,0.456,0.406 --std 0.229,0.224,0.225" in check.try_
    gain = check.measured["difference" if "difference" in check.measured else "gain in nats"]
    assert gain.low > 0
    assert "n = " in check.found


def test_a_network_that_normalises_by_itself_is_told_from_one_that_does_not(trained):
    classifier, held, _ = trained
    mean, std = classifier.mean.clone(), classifier.std.clone()
    given = around(classifier, before=lambda x: (x - mean) / std)
    check = diagnose(given, held, limit=200, **QUICK).check("normalisation: as trained")
    assert check.status == "fail"
    assert "--mean 0 --std 1" in check.try_
    right = like(classifier, given.network, mean=(0.0,) * 3, std=(1.0,) * 3)
    assert diagnose(right, held, limit=200, **QUICK).check(check.name).status == "ok"


def test_red_and_blue_swapped_is_found():
    """Red squares, green ones and none: a network that is shown blue ones sees none."""
    rng = np.random.default_rng(0)
    labels = np.arange(180) % 3
    images = rng.integers(0, 120, (180, 16, 16, 3), dtype=np.uint8)
    marked = np.flatnonzero(labels < 2)
    images[marked, 4:12, 4:12, labels[marked]] += 90
    colours = from_arrays(images, labels, ("red", "green", "none"), layout="NHWC")
    run = sundog.train_classifier("small-cnn", colours, epochs=4, device="cpu", progress=False)
    given = around(run.classifier, before=lambda x: x.flip(1))
    check = diagnose(given, colours, limit=120, **QUICK).check("normalisation: as trained")
    assert check.status == "fail"
    assert "swap red and blue" in check.try_
    assert diagnose(run.classifier, colours, limit=120, **QUICK).of_status("fail") == ()


def test_without_labels_and_batch_norm_nothing_is_guessed():
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 28 * 28, 10))
    digits = sundog.load_image_set("digits", split="validation", limit=60)
    plain = digits.relabelled(np.full(len(digits), -1), digits.class_names)
    found = diagnose(Classifier(network, input_size=(28, 28)), plain, limit=60, **QUICK)
    assert found.check("normalisation: as trained").status == "unsure"
    assert found.check("labels: order").status == "skipped"
    # A network that knows nothing does not know its normalisation either.
    found = diagnose(Classifier(network, input_size=(28, 28)), digits, limit=60, **QUICK)
    assert found.check("normalisation: as trained").status != "fail"
    assert found.check("labels: order").status == "unsure"


ORDERS = {
    "two classes swapped": (
        lambda n: (*n[:3], n[8], *n[4:8], n[3], n[9]),
        "'eight' and 'three' are swapped",
    ),
    "sorted": (lambda n: tuple(sorted(n)), "elsewhere"),
    "reversed": (lambda n: n[::-1], "reversed"),
    "shifted by one": (lambda n: (*n[1:], n[0]), "shifted by one"),
    "shuffled": (lambda n: tuple(n[i] for i in (4, 9, 1, 0, 7, 3, 2, 8, 6, 5)), "elsewhere"),
}


@pytest.mark.parametrize("fault", ORDERS)
def test_a_wrong_order_of_the_classes_is_found_and_the_option_mends_it(trained, fault):
    classifier, held, _ = trained
    names, words = ORDERS[fault]
    given = classifier.with_class_names(names(SPOKEN))
    images = held.relabelled(held.labels, SPOKEN)
    check = diagnose(given, images, limit=200, **QUICK).check("labels: order")
    assert check.status == "fail"
    assert words in check.found
    assert check.measured["difference"].low > 0
    option, told = shlex.split(check.try_)
    assert option == "--class-names"
    assert tuple(told.split(",")) == SPOKEN


def test_alphabetical_for_numeric_order_is_called_so(trained):
    """Classes 1 to 10 in numeric order, read as a folder reader sorts them: 1, 10, 2, ..."""
    classifier, held, _ = trained
    numeric = [str(i + 1) for i in range(10)]
    images = held.relabelled(held.labels, numeric)
    given = classifier.with_class_names(sorted(numeric))
    check = diagnose(given, images, limit=200, **QUICK).check("labels: order")
    assert check.status == "fail"
    assert "numeric order ('2' before '10')" in check.found
    assert shlex.split(check.try_)[1] == ",".join(numeric)
    given = classifier.with_class_names(numeric)
    images = held.relabelled(held.labels, sorted(numeric))
    # Images and classifier each in its own order, but the same names: the names are what counts.
    check = diagnose(given, images, limit=200, **QUICK).check("labels: order")
    assert check.status == "fail"
    assert "alphabetical" in check.found


def test_a_background_class_shifts_the_outputs(trained):
    classifier, held, _ = trained
    network = Around(
        copy.deepcopy(classifier.network), after=lambda out: F.pad(out, (1, 0), value=-9.0)
    )
    given = like(classifier, network.eval(), class_indices=range(10))
    check = diagnose(given, held, limit=200, **QUICK).check("labels: order")
    assert check.status == "fail"
    assert "background" in check.found
    assert shlex.split(check.try_)[:2] == ["--classes", "1,2,3,4,5,6,7,8,9,10"]
    right = like(classifier, network, class_indices=range(1, 11))
    assert diagnose(right, held, limit=200, **QUICK).check("labels: order").status == "ok"


def test_outputs_that_names_do_not_tell_are_told_by_the_predictions(trained):
    classifier, held, _ = trained
    found = diagnose(classifier.with_class_names(SPOKEN), held, limit=200, **QUICK)
    assert found.check("labels: names").status == "fail"
    assert found.check("labels: order").status == "ok"
    assert "matched by number" in found.check("labels: order").found
    mixed = [6, 2, 9, 14, 0, 11, 4, 8, 3, 13]

    def spread_out(out):
        wide = out.new_full((len(out), 16), -6.0)
        wide[:, mixed] = out
        return wide

    network = Around(copy.deepcopy(classifier.network), after=spread_out).eval()
    found = diagnose(like(classifier, network, class_names=None), held, limit=200, **QUICK)
    check = found.check("labels: order")
    assert check.status == "warn"
    assert shlex.split(check.try_)[1] == ",".join(str(c) for c in sorted(mixed))
    told = shlex.split(check.try_)[3].split(",")
    assert [told[sorted(mixed).index(c)] for c in mixed] == list(classifier.class_names)


def test_order_and_normalisation_both_wrong(trained):
    classifier, held, _ = trained
    names = [classifier.class_names[i] for i in (4, 9, 1, 0, 7, 3, 2, 8, 6, 5)]
    given = like(
        classifier,
        Around(classifier.network),
        class_names=names,
        mean=(0.0,) * 3,
        std=(1 / 255,) * 3,
    )
    found = diagnose(given, held, limit=300, **QUICK)
    told = " ".join(check.try_ for check in found.of_status("fail"))
    assert "--mean 0.485,0.456,0.406" in told
    assert ",".join(classifier.class_names) in told


def test_options_of_a_training_run(trained):
    _, held, folder = trained
    found = diagnose(folder, held, limit=100, resize="crop", **QUICK)
    assert found.check("model: resize").status == "fail"
    assert found.check("model: resize").try_ == "--resize pad"
    assert diagnose(folder, held, limit=100, size=56, **QUICK).check("model: size").status == "warn"
    found = diagnose(folder, held, limit=100, class_names=["a", "b"], **QUICK)
    assert found.check("model: opened").status == "fail"
    assert found.check("labels: order").status == "ok"
    found = diagnose(folder, held, limit=100, mean=(0.0,) * 3, **QUICK)
    assert "brings its own" in found.check("model: opened").found
    assert found.check("normalisation: as trained").status == "ok"
    found = diagnose(folder / "nothing", "no-such-folder", limit=100, **QUICK)
    assert {c.name for c in found.of_status("fail")} == {"images: opened", "model: opened"}


def test_advice_for_a_saved_classifier_names_its_file(trained, tmp_path):
    classifier, held, _ = trained
    wrong = Classifier(
        classifier.network,
        class_names=classifier.class_names,
        input_size=(28, 28),
        recipe=classifier.recipe,
        weights="trained",
    )
    sundog.save_classifier(wrong, tmp_path / "saved")
    check = diagnose(tmp_path / "saved", held, limit=200, **QUICK).check(CLAIMS[1])
    assert check.status == "fail"
    assert "classifier.json" in check.try_
    assert "--mean" not in check.try_


def test_methods_that_cannot_run_are_named(trained):
    classifier, held, _ = trained
    asked = ("attention_rollout", "gradient_norm")
    check = diagnose(classifier, held, limit=40, methods=asked).check("layers: methods")
    assert check.status == "warn"
    assert "attention_rollout" in check.try_
    with pytest.raises(UnknownNameError, match="gradient_norm"):
        diagnose(classifier, held, methods=("gradient_nrm",))
    with pytest.raises(InputError, match="limit"):
        diagnose(classifier, held, limit=0)
    with pytest.raises(InputError, match="brings its own"):
        diagnose(classifier, held, class_names=["a"])


@pytest.fixture(scope="module")
def others():
    """Sound classifiers of other kinds: grey, with its own normalisation, without batch norm."""
    digits = sundog.load_image_set("digits", split="train", limit=600)
    torch_network = nn.Sequential(
        nn.Conv2d(1, 12, 5, stride=2), nn.ReLU(), nn.Conv2d(12, 24, 3, stride=2), nn.ReLU(),
        nn.Flatten(), nn.Linear(24 * 5 * 5, 10),
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for module in torch_network.modules():
            if hasattr(module, "reset_parameters"):
                module.reset_parameters()
    half = {"mean": (0.5,), "std": (0.5,), "channels": 1, "input_size": (28, 28)}
    grey = Classifier(torch_network, class_names=digits.class_names, **half)
    plain = sundog.get_model(
        "small-cnn", classes=10, input_size=28, mean=(0.0,) * 3, std=(1.0,) * 3, seed=3
    ).with_class_names(digits.class_names)
    return [
        sundog.train_classifier(
            network, digits, epochs=4, learning_rate=3e-3, size=28, device="cpu", progress=False
        ).classifier
        for network in (grey, plain)
    ]


@pytest.mark.parametrize("which", ["ImageNet's", "grey", "none"])
def test_a_sound_classifier_is_left_in_peace(trained, others, which):
    """Bootstrap samples of the validation images: no failure, no alarm about labels or input."""
    classifier, held, _ = trained
    if which != "ImageNet's":
        classifier = others[("grey", "none").index(which)]
    rng = np.random.default_rng(7)
    for seed in range(5):
        drawn = held.subset(rng.choice(len(held), 150))
        found = diagnose(classifier, drawn, limit=150, seed=seed, **QUICK)
        assert found.of_status("fail") == (), str(found)
        alarms = [c for c in found.of_status("warn") if c.name in CLAIMS]
        assert not alarms, alarms
        assert found.check("labels: order").status == "ok"
    again = diagnose(classifier, drawn, limit=150, seed=seed, **QUICK)
    assert [c.to_dict() for c in again.checks[:-6]] == [c.to_dict() for c in found.checks[:-6]]
