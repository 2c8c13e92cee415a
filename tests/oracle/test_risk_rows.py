"""Numbers of sundog risk and sundog debias belong to the right image, class and group."""

import copy

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from sundog.audit.debias_data import Sources, make_debias_data
from sundog.audit.debias_run import debias_classifier
from sundog.audit.debias_settings import DebiasSettings
from sundog.audit.risk_run import score_risks
from sundog.audit.subject import make_subject
from sundog.core.errors import DataError
from sundog.core.seeds import derive_seed
from sundog.data.image_set import ImageSet
from sundog.models.classifier import Classifier
from sundog.risk.fit_options import FitOptions
from sundog.risk.registry import METHODS, make_estimator
from sundog.risk.wrapping import wrap

SIDE = 8
CLASSES = ("a", "b", "c")
SMALL = {
    "reverse_knn": {"k": 5, "m": 3},
    "knn": {"k": 5},
    "mc_dropout": {"rate": 0.2},
    "vim": {"directions": 10},
}
SINGLE = [name for name in METHODS if name != "ensemble"]


@pytest.fixture(autouse=True)
def _no_page(monkeypatch):
    """Tables are what is looked at here; drawing the pages takes most of the time."""
    for name in ("risk_content", "risk_page", "write_page"):
        monkeypatch.setattr(f"sundog.audit.risk_run.{name}", lambda *_given, **_named: None)
    for name in ("debias_page", "write_page"):
        monkeypatch.setattr(f"sundog.audit.debias_run.{name}", lambda *_given, **_named: None)


def image_set(count=90, *, seed=0, broken=(), names=CLASSES, shuffle=None):
    """Noise with a brightness per class, a place column; rows in ``broken`` cannot be read."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % len(CLASSES)
    place = (np.arange(count) // 3) % 2
    values = rng.normal(100, 40, (count, SIDE, SIDE, 3))
    values[np.arange(count), :, :, labels] += 30 + 25 * place[:, None, None]
    pixels = values.clip(0, 255).astype(np.uint8)
    ids = [f"{derive_seed(0, p.tobytes()):016x}" for p in pixels]
    order = (
        np.arange(count) if shuffle is None else np.random.default_rng(shuffle).permutation(count)
    )

    def read(row):
        if order[row] in broken:
            raise DataError(f"Image {order[row]}", expected="readable", got="garbage")
        return pixels[order[row]]

    spelt = {name: i for i, name in enumerate(names)}
    return ImageSet(
        name=f"made {seed}",
        class_names=names,
        labels=np.array([spelt[CLASSES[c]] for c in labels])[order],
        ids=[ids[i] for i in order],
        sources=[f"{seed}/{i}" for i in order],
        read=read,
        metadata=pd.DataFrame({"place": np.array(["in", "out"])[place][order]}),
    )


def classifier(names=CLASSES, *, kind="linear", seed=0):
    """A fixed network whose columns are in the order of ``names``."""
    draw = torch.Generator().manual_seed(seed)
    network = nn.Sequential(
        nn.Conv2d(3, 12, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(12, 3),
    )  # fmt: skip
    with torch.no_grad():
        for part in network.parameters():
            part.copy_(0.3 * torch.randn(part.shape, generator=draw))
        network[4].weight.copy_(network[4].weight[[CLASSES.index(n) for n in names]])
        network[4].bias.copy_(network[4].bias[[CLASSES.index(n) for n in names]])
    layer = "network.4:input"
    if kind == "map":
        network = nn.Sequential(*network[:3], nn.Conv2d(12, 3, 1), nn.Flatten())
        made = classifier(names, seed=seed)
        with torch.no_grad():
            network[0].load_state_dict(made.network[0].state_dict())
            network[3].weight.copy_(made.network[4].weight[:, :, None, None])
            network[3].bias.copy_(made.network[4].bias)
        layer = "network.3:input"
    return Classifier(
        network, class_names=names, input_size=(SIDE, SIDE), feature_layer=layer, name="fixed"
    )


def risk_table(images, model, folder, **options):
    run = score_risks(
        make_subject(images, model, size=SIDE), folder,
        methods=[("knn", {"k": 5}), ("laplace", {}), ("gmm", {"components": 1})],
        group_column="place", windows=3, shown=3, progress=False, **options,
    )  # fmt: skip
    return run, run.table.set_index("id").sort_index()


def same_rows(first, second, *, rtol=1e-4):
    pd.testing.assert_frame_equal(first.drop(columns="source"), second.drop(columns="source"),
                                  rtol=rtol, atol=1e-5)  # fmt: skip


@pytest.mark.parametrize("own", [True, False])
def test_broken_images_shift_no_row_of_a_risk_table(tmp_path, own):
    broken = (0, 7, 8, 40, 89)
    kept = [i for i in range(90) if i not in broken]
    model = classifier()
    fit = {} if own else {"fit_on": make_subject(image_set(seed=5), model, size=SIDE)}
    run, found = risk_table(image_set(broken=broken), model, tmp_path / "a", **fit)
    _, wanted = risk_table(image_set().subset(kept), model, tmp_path / "b", **fit)
    assert len(found) == 85
    same_rows(found, wanted)
    assert any("5 images could not be read" in note for note in run.notes)
    assert sum(w.n for w in run.windows["representation"].windows) == 85


def test_the_order_of_the_images_changes_no_row(tmp_path):
    model = classifier()
    _, found = risk_table(image_set(shuffle=3), model, tmp_path / "a")
    _, wanted = risk_table(image_set(), model, tmp_path / "b")
    same_rows(found, wanted)


def test_classes_in_another_order_are_the_same_classes(tmp_path):
    """Set, classifier, or both number the classes otherwise: same labels, groups, accuracy."""
    run, wanted = risk_table(image_set(), classifier(), tmp_path / "a")
    turned = ("c", "a", "b")
    for number, (names, columns) in enumerate(
        ((turned, CLASSES), (CLASSES, turned), (("b", "c", "a"), turned))
    ):
        other, found = risk_table(
            image_set(names=names), classifier(columns), tmp_path / f"o{number}"
        )
        same_rows(found, wanted, rtol=0.03)  # Laplace draws its samples column by column
        scores = [
            r.metrics.table.query("score == ''")
            .set_index(["group", "metric"])["value"]
            .sort_index()
            for r in (run, other)
        ]
        pd.testing.assert_series_equal(*scores, rtol=1e-4)


def test_a_subset_of_the_classes_has_its_own_columns(tmp_path):
    whole = classifier()
    part = whole.with_classes((2, 0), ("c", "a"))
    images = image_set()
    images = images.subset(np.flatnonzero(images.labels != 1))
    _, found = risk_table(images, part, tmp_path / "a")
    assert set(found["label"]) == {"a", "c"}
    for image_id, row in found.iterrows():
        pixels = images.image(list(images.ids).index(image_id))
        logits = whole(torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255)[0]
        p = logits.detach()[[0, 2]].softmax(0)
        assert row["predicted"] == ("a", "c")[int(p.argmax())]
        assert row["probability"] == pytest.approx(float(p.max()), abs=1e-5)
    assert (found["correct"] == (found["label"] == found["predicted"])).all()


def test_a_head_of_one_by_one_convolutions_gives_the_same_risks(tmp_path):
    _, wanted = risk_table(image_set(), classifier(), tmp_path / "a")
    _, found = risk_table(image_set(), classifier(kind="map"), tmp_path / "b")
    same_rows(found, wanted)


def test_a_network_that_returns_probabilities_ranks_as_its_logits_do():
    class Softmax(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, x):
            return self.inner(x).softmax(1)

    plain = classifier()
    wrapped = Classifier(
        Softmax(copy.deepcopy(plain.network)), class_names=CLASSES, input_size=(SIDE, SIDE),
        feature_layer="network.inner.4:input", output="probabilities",
    )  # fmt: skip
    images = image_set()
    methods = ["knn", "msp", "entropy", "gen"]
    one, two = (
        wrap(m, methods, knn={"k": 5}).fit(images, progress=False).predict(images, progress=False)
        for m in (plain, wrapped)
    )
    torch.testing.assert_close(one.probabilities, two.probabilities, atol=1e-5, rtol=1e-4)
    for name, values in one.scores.items():
        torch.testing.assert_close(values, two.scores[name], atol=1e-4, rtol=1e-3)


def test_one_logit_for_two_classes_equals_two_columns():
    plain = classifier()
    two = plain.with_classes((0, 1), ("a", "b"))
    network = copy.deepcopy(plain.network)
    head = nn.Linear(12, 1)
    with torch.no_grad():
        head.weight.copy_(plain.network[4].weight[1:2] - plain.network[4].weight[0:1])
        head.bias.copy_(plain.network[4].bias[1:2] - plain.network[4].bias[0:1])
    network[4] = head
    one = Classifier(
        network, class_names=("a", "b"), input_size=(SIDE, SIDE), output="binary_logit",
        feature_layer="network.4:input",
    )  # fmt: skip
    images = image_set()
    rows = np.flatnonzero(images.labels < 2)
    images = images.subset(rows).relabelled(images.labels[rows], ("a", "b"))
    methods = ["laplace", "knn", "msp", "entropy", "ddu"]
    first, second = (
        wrap(m, methods, knn={"k": 5}).fit(images, progress=False).predict(images, progress=False)
        for m in (two, one)
    )
    for name in ("knn.representation", "msp.epistemic", "entropy.aleatoric", "ddu.representation"):
        torch.testing.assert_close(first.scores[name], second.scores[name], atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(first.probabilities, second.probabilities, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", SINGLE)
def test_no_method_depends_on_the_batch(name):
    images = image_set(60)
    parameters = SMALL.get(name, {})
    if "queue_size" in make_estimator(name, **parameters).settings():
        parameters = {"queue_size": 30}
    model = wrap(classifier(), name, **parameters)
    model.fit(images, options=FitOptions(epochs=2, batch_size=8), progress=False)
    whole = model.predict(images, batch_size=60, progress=False)
    for size in (1, 7):
        parts = model.predict(images, batch_size=size, progress=False)
        for key, values in whole.scores.items():
            torch.testing.assert_close(values, parts.scores[key], atol=1e-4, rtol=1e-4, msg=key)


def debias_scores(sets, folder, *, model=None):
    data = make_debias_data(
        Sources(*sets, "made here"), classifier=model, size=SIDE, group_column="place"
    )
    run = debias_classifier(
        model or classifier(), data, folder, progress=False,
        settings=DebiasSettings(methods=("dfr", "afr"), seeds=(0,),
                                force=True, parameters={"afr": {"force": True}}),
    )  # fmt: skip
    assert {r.name for r in run.results} == {"dfr", "afr"}
    table = run.table.query("score != 'seconds'").set_index(["method", "score"])
    numbers = table.select_dtypes("number").drop(columns="seeds")
    return run, numbers.sort_index()


def test_broken_images_shift_no_row_of_a_repair(tmp_path):
    """Features, groups and labels of the refits and of the scores stay with their images."""
    broken = ((0, 5, 50), (1, 2, 61), (0, 33, 88))
    damaged = [image_set(seed=s, broken=b) for s, b in enumerate(broken)]
    clean = [
        image_set(seed=s).subset([i for i in range(90) if i not in b]) for s, b in enumerate(broken)
    ]
    _, found = debias_scores(damaged, tmp_path / "a")
    run, wanted = debias_scores(clean, tmp_path / "b")
    pd.testing.assert_frame_equal(found, wanted, atol=1e-6)
    assert run.choice is not None
    assert wanted.loc[("before", "average"), "n"] == 87


def test_a_repair_of_a_classifier_with_other_columns_is_the_same(tmp_path):
    sets = [image_set(seed=s) for s in range(3)]
    _, wanted = debias_scores(sets, tmp_path / "a", model=classifier())
    _, found = debias_scores(sets, tmp_path / "b", model=classifier(("c", "a", "b")))
    score = [t.drop(index="ece", level="score")["value"] for t in (found, wanted)]
    pd.testing.assert_series_equal(*score, atol=0.012)


@pytest.mark.parametrize(
    ("methods", "said"),
    [
        (["laplace", ("knn", {"k": 5}), "histogram"], "by knn, and"),
        (["histogram", "msp"], "by no method, and"),
    ],
)
def test_the_note_names_the_methods_that_leave_an_image_out(tmp_path, methods, said):
    run = score_risks(
        make_subject(image_set(), classifier(), size=SIDE), tmp_path / "r",
        methods=[(m, {}) if isinstance(m, str) else m for m in methods], progress=False,
    )  # fmt: skip
    assert any(said in note for note in run.notes)


def test_members_of_an_ensemble_leave_no_image_out_and_the_note_says_so(tmp_path):
    run = score_risks(
        make_subject(image_set(), classifier(), size=SIDE), tmp_path / "r",
        members=[classifier(seed=1)], methods=["ensemble", ("knn", {"k": 5})], progress=False,
    )  # fmt: skip
    assert any("by no method" in note for note in run.notes)
