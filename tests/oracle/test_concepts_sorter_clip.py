"""CLIP sorters against the libraries' own forward, on tiny checkpoints in the real formats."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from sundog.concepts.clip import load_clip
from sundog.concepts.clip_prompts import Templates
from sundog.concepts.tagger import Rows

PAIRS = (
    ("a photo of a {class} with {concept}", "a photo of a {class}"),
    ("{concept}, {class}", "{class}"),
)
SIZES = [(40, 60), (61, 33), (32, 32), (20, 90), (128, 128)]


def rows_of_pictures(seed=0):
    rng = np.random.default_rng(seed)
    images = [
        np.asarray(
            Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)).resize(
                (w, h), Image.Resampling.BICUBIC
            )
        )
        for h, w in SIZES
    ]
    n = len(images)
    return Rows(
        images=images,
        ids=tuple(str(i) for i in range(n)),
        indices=np.arange(n),
        sources=tuple(str(i) for i in range(n)),
        labels=np.zeros(n, dtype=np.int64),
        metadata=pd.DataFrame(index=range(n)),
    )


def unit(features):
    return features / features.norm(dim=1, keepdim=True)


# --- Hugging Face -----------------------------------------------------------------------------


def save_hugging_face_clip(folder, seed=0):
    transformers = pytest.importorskip("transformers")
    folder.mkdir(exist_ok=True)
    letters = [*"abcdefghijklmnopqrstuvwxyz0123456789,.'-"]
    pieces = [*letters, *(f"{c}</w>" for c in letters), "ph", "ot", "<|startoftext|>"]
    vocabulary = {piece: i for i, piece in enumerate([*pieces, "<|endoftext|>"])}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\np h\no t\n")
    tokenizer = transformers.CLIPTokenizer.from_pretrained(str(folder))
    small = {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }
    last = len(vocabulary) - 1
    ends = {"bos_token_id": last - 1, "eos_token_id": last, "pad_token_id": last}
    torch.manual_seed(seed)
    config = transformers.CLIPConfig(
        text_config={**small, **ends, "vocab_size": last + 1, "max_position_embeddings": 60},
        vision_config={**small, "image_size": 32, "patch_size": 8},
        projection_dim=16,
    )
    network = transformers.CLIPModel(config).eval()
    with torch.no_grad():  # the usual initialisation gives features that hardly depend on the input
        for parameter in network.parameters():
            parameter.mul_(3)
    network.save_pretrained(folder)
    images = transformers.CLIPImageProcessor(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
    )
    transformers.CLIPProcessor(image_processor=images, tokenizer=tokenizer).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def hugging_face_folder(tmp_path_factory):
    return save_hugging_face_clip(tmp_path_factory.mktemp("clip") / "hf")


@torch.no_grad()
def hugging_face_oracle(folder, rows, texts):
    """Return image and text embeds as transformers' own whole forward returns them."""
    transformers = pytest.importorskip("transformers")
    network = transformers.CLIPModel.from_pretrained(folder).eval()
    processor = transformers.CLIPProcessor.from_pretrained(folder)
    inputs = processor(
        text=texts,
        images=[Image.fromarray(p) for p in rows.images],
        padding=True,
        return_tensors="pt",
    )
    out = network(**inputs)
    return out.image_embeds.numpy(), out.text_embeds.numpy()


def test_hugging_face_features_equal_the_librarys_forward(hugging_face_folder):
    rows = rows_of_pictures()
    sorter = load_clip(hugging_face_folder)
    texts = ["a photo of a dog", "a photo of a dog with snow, and more", "x"]
    images, sentences = hugging_face_oracle(hugging_face_folder, rows, texts)
    found = sorter.embed(rows)
    assert found.shape == (5, 16)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, images, atol=1e-5)
    with torch.no_grad():
        ours = unit(sorter.model.encode_texts(texts)).numpy()
    np.testing.assert_allclose(ours, sentences, atol=1e-5)
    assert np.ptp(images, axis=0).max() > 0.1  # the pictures are told apart


@pytest.mark.parametrize("class_name", ["church", "gas_pump", None])
def test_hugging_face_score_is_the_mean_difference_of_cosines(hugging_face_folder, class_name):
    rows = rows_of_pictures()
    alone = (("{concept}", "a photo"), ("a photo of {concept}", "a photo of"))
    sorter = load_clip(hugging_face_folder, templates=Templates(in_class=PAIRS, alone=alone))
    name = None if class_name is None else class_name.replace("_", " ")
    texts = []
    for pair in alone if name is None else PAIRS:
        for sentence in pair:
            texts.append(sentence.replace("{concept}", "snow").replace("{class}", str(name)))
    images, sentences = hugging_face_oracle(hugging_face_folder, rows, texts)
    cosines = images.astype(np.float64) @ sentences.astype(np.float64).T
    expected = ((cosines[:, 0] - cosines[:, 1]) + (cosines[:, 2] - cosines[:, 3])) / 2
    found = sorter.score(sorter.embed(rows), "snow", class_name)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.ptp(expected) > 1e-3


def test_hugging_face_preparation_is_bicubic_crop_and_normalise(hugging_face_folder):
    """Against Pillow: the same within one step of 8 bits, the resizing library's rounding."""
    rows = rows_of_pictures()
    sorter = load_clip(hugging_face_folder)
    mean = np.array([0.48145466, 0.4578275, 0.40821073])
    std = np.array([0.26862954, 0.26130258, 0.27577711])
    for pixels in rows.images:
        h, w = pixels.shape[:2]
        new = (32, int(32 * h / w)) if w <= h else (int(32 * w / h), 32)
        grown = Image.fromarray(pixels).resize(new, Image.Resampling.BICUBIC)
        left, top = (new[0] - 32) // 2, (new[1] - 32) // 2
        cut = np.asarray(grown.crop((left, top, left + 32, top + 32))) / 255
        expected = ((cut - mean) / std).transpose(2, 0, 1)
        np.testing.assert_allclose(
            sorter.model.prepare(pixels).numpy(), expected, atol=1.6 / 255 / std.min()
        )


def test_hub_names_and_prefix_open_the_same(hugging_face_folder):
    first = load_clip(hugging_face_folder).identity()
    assert load_clip(f"hf:{hugging_face_folder}").identity() == first
    assert load_clip(str(hugging_face_folder), batch_size=1).identity() == first


def test_other_weights_have_another_identity(hugging_face_folder, tmp_path):
    other = save_hugging_face_clip(tmp_path / "other", seed=1)
    assert load_clip(other).identity() != load_clip(hugging_face_folder).identity()


# --- open_clip --------------------------------------------------------------------------------

CONFIG = {
    "embed_dim": 16,
    "vision_cfg": {
        "image_size": 32,
        "layers": 2,
        "width": 32,
        "head_width": 16,
        "patch_size": 8,
    },
    "text_cfg": {"context_length": 40, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}
PREPROCESS = {
    "mean": [0.5, 0.4, 0.3],
    "std": [0.2, 0.25, 0.3],
    "interpolation": "bicubic",
    "resize_mode": "shortest",
}


@pytest.fixture(scope="module")
def open_clip():
    return pytest.importorskip("open_clip")


@pytest.fixture
def tiny_name(open_clip, tmp_path, monkeypatch):
    """An architecture of our own in open_clip's table, gone after the test."""
    from open_clip import factory

    monkeypatch.setattr(factory, "_MODEL_CONFIGS", dict(factory._MODEL_CONFIGS))
    monkeypatch.setattr(factory, "_MODEL_CONFIG_PATHS", list(factory._MODEL_CONFIG_PATHS))
    file = tmp_path / "sundog-tiny.json"
    file.write_text(json.dumps(CONFIG))
    open_clip.add_model_config(file)
    return "sundog-tiny"


def tiny_network(open_clip, name, *, quick_gelu=False):
    torch.manual_seed(3)
    network = open_clip.create_model(name, force_quick_gelu=quick_gelu).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(3)
    return network


@torch.no_grad()
def open_clip_oracle(open_clip, network, rows, texts, *, mean=None, std=None):
    transform = open_clip.image_transform(32, is_train=False, mean=mean, std=std)
    images = torch.stack([transform(Image.fromarray(p)) for p in rows.images])
    tokens = open_clip.tokenize(texts, context_length=40)
    image, text, _ = network(images, tokens)
    return image.numpy(), text.numpy()


TEXTS = ["a photo of a dog", "a photo of a dog with snow"]


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_open_clip_name_with_a_file(open_clip, tiny_name, tmp_path, suffix):
    network = tiny_network(open_clip, tiny_name)
    file = tmp_path / f"weights{suffix}"
    state = {k: v.contiguous().clone() for k, v in network.state_dict().items()}
    save_file(state, file) if suffix == ".safetensors" else torch.save(state, file)
    sorter = load_clip(tiny_name, pretrained=file, templates=PAIRS)
    rows = rows_of_pictures()
    images, sentences = open_clip_oracle(
        open_clip,
        network,
        rows,
        ["a photo of a dog with snow", "a photo of a dog", "snow, dog", "dog"],
    )
    np.testing.assert_allclose(sorter.embed(rows), images, atol=1e-5)
    cosines = images.astype(np.float64) @ sentences.astype(np.float64).T
    expected = ((cosines[:, 0] - cosines[:, 1]) + (cosines[:, 2] - cosines[:, 3])) / 2
    np.testing.assert_allclose(sorter.score(sorter.embed(rows), "snow", "dog"), expected, atol=1e-5)
    assert np.ptp(expected) > 1e-3


def test_open_clip_folder_brings_its_own_preparation(open_clip, tiny_name, tmp_path):
    network = tiny_network(open_clip, tiny_name)
    folder = tmp_path / "folder"
    folder.mkdir()
    about = {"model_cfg": CONFIG, "preprocess_cfg": PREPROCESS}
    (folder / "open_clip_config.json").write_text(json.dumps(about))
    state = {k: v.contiguous().clone() for k, v in network.state_dict().items()}
    save_file(state, folder / "open_clip_model.safetensors")
    sorter = load_clip(folder)
    rows = rows_of_pictures()
    images, sentences = open_clip_oracle(
        open_clip, network, rows, TEXTS, mean=PREPROCESS["mean"], std=PREPROCESS["std"]
    )
    np.testing.assert_allclose(sorter.embed(rows), images, atol=1e-5)
    with torch.no_grad():
        ours = unit(sorter.model.encode_texts(TEXTS)).numpy()
    np.testing.assert_allclose(ours, sentences, atol=1e-5)
    assert sorter.identity()["preparation"]["mean"] == PREPROCESS["mean"]


def test_a_tag_says_which_activation_and_preparation(open_clip, tiny_name, tmp_path, monkeypatch):
    """open_clip itself only warns when a tag was trained with another activation."""
    from open_clip import pretrained

    network = tiny_network(open_clip, tiny_name, quick_gelu=True)
    file = tmp_path / "weights.pt"
    torch.save(network.state_dict(), file)
    tag = {"file": str(file), "quick_gelu": True, "mean": (0.1,) * 3, "std": (0.5,) * 3}
    monkeypatch.setitem(pretrained._PRETRAINED, tiny_name, {"ours": tag})
    rows = rows_of_pictures()
    images, _ = open_clip_oracle(open_clip, network, rows, TEXTS, mean=(0.1,) * 3, std=(0.5,) * 3)
    found = load_clip(tiny_name, pretrained="ours").embed(rows)
    np.testing.assert_allclose(found, images, atol=1e-5)


# --- both -------------------------------------------------------------------------------------


def test_an_image_has_the_same_vector_in_any_batch(hugging_face_folder):
    rows = rows_of_pictures()
    sorter = load_clip(hugging_face_folder)
    whole = sorter.embed(rows)
    for i in range(len(rows)):
        np.testing.assert_array_equal(sorter.embed(rows.take(np.array([i])))[0], whole[i])
    np.testing.assert_allclose(
        load_clip(hugging_face_folder, batch_size=2).embed(rows), whole, atol=1e-6
    )


def test_unknown_images_stay_unknown(hugging_face_folder):
    sorter = load_clip(hugging_face_folder)
    vectors = sorter.embed(rows_of_pictures())
    before = sorter.score(vectors, "snow", "dog")
    vectors[1] = np.nan
    after = sorter.score(vectors, "snow", "dog")
    assert np.isnan(after[1])
    keep = [0, 2, 3, 4]
    np.testing.assert_array_equal(after[keep], before[keep])
