"""The doors of the face lab: one logit for two classes, BGR files by name, sizes checked first."""

import numpy as np
import pytest

from sundog.core.errors import InputError
from sundog.data.arrays import from_arrays
from sundog.data.load import load_image_set
from sundog.models.zoo import get_model
from sundog.risk.fit_options import FitOptions
from sundog.risk.wrapping import wrap

h5py = pytest.importorskip("h5py")


@pytest.mark.parametrize(
    "given", [{"classes": 1}, {"classes": 2}, {"class_names": ("no face", "face")}]
)
def test_a_single_logit_network_has_one_column_and_two_classes(given):
    names = {"class_names": ("no face", "face")}
    classifier = get_model("lab-cnn", output="binary_logit", **{**names, **given})
    assert classifier.network.head.out_features == 1
    assert classifier.class_names == ("no face", "face")


def test_a_bgr_file_is_read_as_rgb(tmp_path):
    pixels = np.zeros((2, 4, 4, 3), dtype=np.uint8)
    pixels[..., 0] = 200  # blue first
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["images"], file["labels"] = pixels, [0, 1]
    assert load_image_set(tmp_path / "f.h5", channels="bgr").image(0)[0, 0].tolist() == [0, 0, 200]
    assert load_image_set(tmp_path / "f.h5").image(0)[0, 0].tolist() == [200, 0, 0]
    with pytest.raises(InputError, match="channels"):
        load_image_set("digits", channels="bgr")


@pytest.mark.parametrize("train", ["heads", "all"])
def test_a_queue_larger_than_the_data_is_refused_before_the_training(train, monkeypatch):
    random = np.random.default_rng(0)
    images = from_arrays(
        random.integers(0, 255, (20, 16, 16, 3), dtype=np.uint8), np.arange(20) % 2, ("a", "b")
    )
    classifier = get_model("small-cnn", classes=2, input_size=16).with_class_names(("a", "b"))
    model = wrap(classifier, "histogram_vae", queue_size=50)
    monkeypatch.setattr(type(model.estimators[0]), "loss", lambda *_: pytest.fail("trained"))
    with pytest.raises(InputError, match="queue_size must be at most 20"):
        model.fit(images, train=train, options=FitOptions(epochs=1, batch_size=8))
