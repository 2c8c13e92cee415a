"""Training does what it says: order, cue, evaluation, artefacts, refusals."""

import json
import math

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from torch import nn
from torch.nn import functional as F

from sundog.core.errors import DataError, DeviceError, InputError, ModelStateError, RunFolderError
from sundog.core.seeds import generator
from sundog.data.arrays import from_arrays
from sundog.data.image_set import ImageSet
from sundog.data.planting import make_cue
from sundog.models.augment import augment_images, augmentation_draws
from sundog.models.classifier import Classifier
from sundog.models.evaluate import evaluate_classifier
from sundog.models.fingerprint import model_fingerprint
from sundog.models.nets import SmallCNN
from sundog.models.prepared import PreparedImages
from sundog.models.train import train_classifier
from sundog.models.training_options import TrainingOptions
from sundog.models.zoo import get_model


def shapes(count=48, side=16, seed=0):
    """Two classes: a bright upper or lower half on noise."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    images = random.integers(0, 120, (count, side, side, 3), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[: side // 2] += np.uint8(90 * label)
        image[side // 2 :] += np.uint8(90 * (1 - label))
    return from_arrays(images, labels, ("lower", "upper"))


QUICK = {"epochs": 2, "batch_size": 20, "device": "cpu", "progress": False}


def weights(classifier):
    return classifier.network.state_dict()


def same_weights(a, b):
    return all(torch.equal(v, weights(b)[k]) for k, v in weights(a).items())


def test_training_equals_a_plain_loop():
    data, seed = shapes(), 11
    run = train_classifier("small-cnn", data, seed=seed, **QUICK)
    model = get_model("small-cnn", classes=2, seed=seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-4)
    images = torch.stack([torch.from_numpy(data.image(i)) for i in range(len(data))])
    images = images.permute(0, 3, 1, 2).contiguous().float() / 255
    labels = torch.from_numpy(data.labels)
    model.train()
    step = 0
    for epoch in range(2):
        order = torch.randperm(48, generator=generator(seed, "order", epoch))
        for start in (0, 20, 40):
            rows = order[start : start + 20]
            share = (epoch * 48 + start) / 96
            for group in optimizer.param_groups:
                group["lr"] = 1e-3 * 0.5 * (1 + math.cos(math.pi * share))
            loss = F.cross_entropy(model(images[rows]), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
    assert step == 6
    assert same_weights(run.classifier, model)


def test_streaming_gives_the_same_weights_as_keeping_the_images():
    data = shapes()
    kept = train_classifier("small-cnn", data, augment="flip-shift", **QUICK)
    streamed = train_classifier("small-cnn", data, augment="flip-shift", cache_bytes=0, **QUICK)
    assert same_weights(kept.classifier, streamed.classifier)
    pd.testing.assert_frame_equal(kept.history, streamed.history)


def test_another_seed_gives_other_weights_and_nobody_touches_the_global_generator():
    before = torch.get_rng_state()
    first = train_classifier("cnn5", shapes(), size=32, seed=1, **QUICK)
    again = train_classifier("cnn5", shapes(), size=32, seed=1, **QUICK)
    other = train_classifier("cnn5", shapes(), size=32, seed=2, **QUICK)
    assert torch.equal(before, torch.get_rng_state())
    assert same_weights(first.classifier, again.classifier)
    assert not same_weights(first.classifier, other.classifier)
    first.classifier.require_eval()


def damaged(data, broken):
    def read(index):
        if index in broken:
            raise DataError("image", expected="readable", got="damage")
        return data.image(index)

    return ImageSet(
        name="damaged",
        class_names=data.class_names,
        labels=data.labels,
        ids=data.ids,
        sources=data.sources,
        read=read,
    )


@pytest.mark.parametrize("cache_bytes", [0, 1 << 20])
def test_damaged_images_are_left_out_and_listed(cache_bytes):
    data = damaged(shapes(12), {3, 7})
    prepared = PreparedImages(data, size=16, cache_bytes=cache_bytes)
    assert prepared.cached is bool(cache_bytes)
    order = torch.tensor([7, 5, 3, 11, 0, 1, 2])
    batches = list(prepared.batches(order, batch_size=2))
    assert [b.indices.tolist() for b in batches] == [[5, 11], [0, 1], [2]]
    for batch in batches:
        for image, place, name in zip(batch.images, batch.indices, batch.ids, strict=True):
            expected = torch.from_numpy(data.image(int(place))).permute(2, 0, 1).float() / 255
            assert torch.equal(image, expected)
            assert name == data.ids[place]
    assert len(data.skipped) == 2


def test_too_many_images_for_the_budget_are_streamed():
    data = shapes(12)
    need = 12 * 3 * 16 * 16
    assert PreparedImages(data, size=None, cache_bytes=need).cached
    assert not PreparedImages(data, size=None, cache_bytes=need - 1).cached


def test_flips_and_shifts_depend_on_the_image_and_the_epoch_alone():
    images = torch.rand(6, 3, 16, 24, generator=torch.Generator().manual_seed(0))
    places = torch.tensor([9, 2, 4, 0, 7, 5])
    draws = augmentation_draws(10, seed=3, epoch=1)
    whole = augment_images(images, places, draws, augment="flip-shift")
    for row in range(6):
        one = augment_images(
            images[row : row + 1], places[row : row + 1], draws, augment="flip-shift"
        )
        assert torch.equal(one[0], whole[row])
        flip, up, left = draws[places[row]].tolist()
        expected = images[row].flip(2) if flip < 0.5 else images[row]
        dy, dx = int(up * 5) - 2, int(left * 7) - 3
        for y in range(16):
            for x in range(24):
                inside = 0 <= y + dy < 16 and 0 <= x + dx < 24
                pixel = expected[:, y + dy, x + dx] if inside else torch.zeros(3)
                assert torch.equal(whole[row, :, y, x], pixel)
    assert not torch.equal(draws, augmentation_draws(10, seed=3, epoch=2))
    assert augment_images(images, places, draws, augment="none") is images


class Brightness(nn.Module):
    def forward(self, images):
        upper, lower = images.chunk(2, dim=2)
        return torch.stack([lower.mean((1, 2, 3)), upper.mean((1, 2, 3))], dim=1) * 8 + 0.1


def test_an_evaluation_equals_its_definition():
    data = shapes(25)
    noisy = data.labels.copy()
    noisy[:4] = 1 - noisy[:4]
    data = from_arrays(np.stack([data.image(i) for i in range(25)]), noisy, data.class_names)
    classifier = Classifier(Brightness(), class_names=data.class_names)
    result = evaluate_classifier(classifier, data, batch_size=7)
    losses, right = [], 0
    for index in range(25):
        image = torch.from_numpy(data.image(index)).permute(2, 0, 1)[None].float() / 255
        p = classifier(image)[0].double().softmax(0)
        label = int(data.labels[index])
        losses.append(-math.log(p[label]))
        right += int(p.argmax()) == label
        row = result.predictions.iloc[index]
        assert row["id"] == data.ids[index]
        assert row["label"] == label
        assert row["prediction"] == int(p.argmax())
        assert row["probability"] == pytest.approx(float(p[label]), abs=1e-6)
        assert (row["cue_on"], row["cue_class"]) == (False, -1)
    interval = stats.binomtest(right, 25).proportion_ci(method="wilson")
    assert right == 21
    assert result.accuracy.value == right / 25
    assert (result.accuracy.low, result.accuracy.high) == pytest.approx(interval)
    assert result.loss == pytest.approx(np.mean(losses), rel=1e-5)


def test_the_folder_tells_everything_about_the_run(tmp_path):
    train, validation = shapes(48), shapes(20, seed=1)
    cue = make_cue("patch", class_count=2, strength=0.9, seed=4)
    run = train_classifier(
        "small-cnn",
        train,
        validation_set=validation,
        train_cue=cue,
        out_dir=tmp_path / "biased",
        seed=3,
        weight_decay=0.01,
        **QUICK,
    )
    assert sorted(p.name for p in run.path.iterdir()) == [
        "args.json",
        "classifier.json",
        "predictions.parquet",
        "test.json",
        "weights.safetensors",
    ]
    args = json.loads((run.path / "args.json").read_text())
    assert args == run.args
    assert args["run_id"] == "biased"
    assert (args["train_cue"], args["train_cue_strength"]) == ("patch", 0.9)
    assert args["train_cue_details"] == json.loads(json.dumps(cue.to_dict()))
    assert (args["epochs"], args["seed"], args["weight_decay"]) == (2, 3, 0.01)
    assert args["class_names"] == ["lower", "upper"]
    assert args["model_fingerprint"] == model_fingerprint(run.classifier)
    lines = [json.loads(line) for line in (run.path / "test.json").read_text().splitlines()]
    assert [(e["epoch"], e["split"], e["cue_on"], e["cue"]) for e in lines] == [
        (1, "validation", False, None),
        (1, "validation", True, "patch"),
        (2, "validation", False, None),
        (2, "validation", True, "patch"),
    ]
    assert {(e["run_id"], e["unique_id"], e["n"]) for e in lines} == {
        ("biased", args["unique_id"], 20)
    }
    table = pd.read_parquet(run.path / "predictions.parquet")
    assert len(table) == 40
    for cue_on, line in ((False, lines[2]), (True, lines[3])):
        part = table[table["cue_on"] == cue_on]
        assert list(part["id"]) == list(validation.ids)
        assert (part["prediction"] == part["label"]).mean() == line["accuracy"]
        assert -np.log(part["probability"]).mean() == pytest.approx(line["loss"])
    labels = torch.from_numpy(validation.labels)
    expected = cue.draw(labels, validation.ids).tolist()
    assert list(table[table["cue_on"]]["cue_class"]) == expected
    loaded = get_model(run.path)
    images = next(validation.batches(size=16)).images
    assert torch.equal(loaded(images), run.classifier(images))
    assert loaded.class_names == ("lower", "upper")


def test_two_runs_in_one_folder_stay_two_runs(tmp_path):
    runs = [
        train_classifier("small-cnn", shapes(), out_dir=tmp_path / name, **QUICK)
        for name in ("biased", "unbiased")
    ]
    assert [set(r.history["run_id"]) for r in runs] == [{"biased"}, {"unbiased"}]
    assert runs[0].args["unique_id"] != runs[1].args["unique_id"]


def test_an_unbiased_model_is_evaluated_with_the_cue_too():
    cue = make_cue("patch", class_count=2)
    plain = train_classifier("small-cnn", shapes(), **QUICK)
    judged = train_classifier("small-cnn", shapes(), eval_cue=cue, **QUICK)
    assert same_weights(plain.classifier, judged.classifier)
    assert list(judged.history["cue_on"]) == [False, True, False, True]
    assert set(judged.history["split"]) == {"train"}


def test_evaluations_can_be_rarer_but_never_miss_the_last_epoch():
    run = train_classifier("small-cnn", shapes(), evaluate_every=2, **{**QUICK, "epochs": 3})
    assert list(run.history["epoch"]) == [2, 3]


def test_a_module_is_copied_and_a_classifier_keeps_its_normalisation():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = SmallCNN(2)
    before = {k: v.clone() for k, v in module.state_dict().items()}
    run = train_classifier(module, shapes(), **QUICK)
    assert all(torch.equal(v, before[k]) for k, v in module.state_dict().items())
    assert run.classifier.network is not module
    custom = Classifier(module, mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7), input_size=(16, 16))
    tuned = train_classifier(custom, shapes(), **QUICK).classifier
    assert torch.equal(tuned.mean, custom.mean)
    assert tuned.class_names == ("lower", "upper")


def test_a_finished_run_is_loaded_and_a_changed_one_refused(tmp_path):
    first = train_classifier("small-cnn", shapes(), out_dir=tmp_path / "run", **QUICK)
    stamp = (tmp_path / "run" / "weights.safetensors").stat().st_mtime_ns
    again = train_classifier("small-cnn", shapes(), out_dir=tmp_path / "run", **QUICK)
    assert (tmp_path / "run" / "weights.safetensors").stat().st_mtime_ns == stamp
    assert same_weights(first.classifier, again.classifier)
    assert again.history.to_dict() == first.history.to_dict()
    with pytest.raises(RunFolderError, match="differs in learning_rate"):
        train_classifier(
            "small-cnn", shapes(), learning_rate=0.1, out_dir=tmp_path / "run", **QUICK
        )
    with pytest.raises(RunFolderError, match="differs in train_set"):
        train_classifier("small-cnn", shapes(seed=5), out_dir=tmp_path / "run", **QUICK)
    anew = train_classifier(
        "small-cnn", shapes(), learning_rate=0.1, out_dir=tmp_path / "run", resume=False, **QUICK
    )
    assert anew.args["unique_id"] != first.args["unique_id"]
    assert anew.args["learning_rate"] == 0.1


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    for resume in (True, False):
        with pytest.raises(RunFolderError, match="empty or a training run"):
            train_classifier("small-cnn", shapes(), out_dir=tmp_path, resume=resume, **QUICK)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_bad_sets_are_refused():
    data = shapes(12)
    images = np.stack([data.image(i) for i in range(12)])
    with pytest.raises(DataError, match="at least 2 classes"):
        train_classifier("small-cnn", from_arrays(images, [0] * 12, ("a", "b")), **QUICK)
    with pytest.raises(DataError, match="labelled"):
        train_classifier(
            "small-cnn", from_arrays(images, [-1] + [0, 1] * 5 + [0], ("a", "b")), **QUICK
        )
    other = from_arrays(images, data.labels, ("upper", "lower"))
    with pytest.raises(DataError, match="in the same order"):
        train_classifier("small-cnn", data, validation_set=other, **QUICK)
    with pytest.raises(InputError, match="made for 2 classes"):
        train_classifier("small-cnn", data, eval_cue=make_cue("patch", class_count=3), **QUICK)
    with pytest.raises(DataError, match="of the classifier's classes"):
        train_classifier(get_model("small-cnn", class_names=["x", "y"]), data, **QUICK)
    three = from_arrays(images, [0, 2] * 6, ("a", "b", "c"))
    run = train_classifier("small-cnn", three, **QUICK)
    assert run.args["classes_without_images"] == ["b"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0),
        ("batch_size", 1),
        ("learning_rate", 0.0),
        ("learning_rate", math.nan),
        ("weight_decay", -1.0),
        ("optimizer", "adam"),
        ("schedule", "step"),
        ("augment", "mixup"),
        ("precision", "8-bit"),
        ("resize", "squeeze"),
        ("evaluate_every", 0),
    ],
)
def test_options_out_of_range_are_refused(name, value):
    with pytest.raises(InputError, match=f"^{name} must be"):
        train_classifier("small-cnn", shapes(4), **{**QUICK, name: value})


def test_other_refusals():
    if not torch.cuda.is_available():
        with pytest.raises(DeviceError, match="cuda"):
            train_classifier("small-cnn", shapes(4), **{**QUICK, "device": "cuda"})
    with pytest.raises(ModelStateError, match="Lower learning_rate"):
        train_classifier(
            "small-cnn", shapes(), optimizer="sgd", learning_rate=1e30, **{**QUICK, "epochs": 4}
        )


def test_the_schedules():
    options = TrainingOptions(learning_rate=0.2)
    assert [options.learning_rate_at(p) for p in (0, 0.5, 1)] == pytest.approx([0.2, 0.1, 0])
    constant = TrainingOptions(learning_rate=0.2, schedule="constant")
    assert [constant.learning_rate_at(p) for p in (0, 0.5, 1)] == [0.2, 0.2, 0.2]


def test_half_precision_trains():
    run = train_classifier("small-cnn", shapes(), precision="bf16-mixed", **{**QUICK, "epochs": 4})
    assert run.classifier.network.head.weight.dtype is torch.float32
    assert run.history["train_loss"].iloc[-1] < run.history["train_loss"].iloc[0]
