"""The demonstration end to end, and its page in a real browser without a network."""

import io
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

from sundog.audit import practical
from sundog.audit.practical import run_practical
from sundog.models.zoo import get_model

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--hide-scrollbars", "--host-resolver-rules=MAP * ~NOTFOUND"),
)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """All digits, as the command takes them; fewer epochs, and fewer digits and methods scored."""
    out = tmp_path_factory.mktemp("demo") / "run"
    with pytest.MonkeyPatch.context() as shorter:
        shorter.setattr(practical, "EPOCHS", 3)
        shorter.setattr(practical, "SCORED", 60)
        shorter.setattr(practical, "METHODS", "gradient_x_input,integrated_gradients,grad_cam")
        shorter.setattr(practical, "SIDE_BY_SIDE", "gradient_x_input,grad_cam")
        yield run_practical(out, photos=False, progress=False)


def test_the_demo_names_the_model_that_was_trained_with_the_cue(demo):
    assert demo.comparison.relies == ("biased",)
    assert demo.comparison.standings["sound"] == "clear"
    assert all(demo.comparison.maps_agree.values())
    table = demo.comparison.table().set_index(["run", "cue"])
    accuracy = {key: value.value for key, value in table["accuracy"].items()}
    assert accuracy["biased", "aligned"] - accuracy["biased", "off"] > 0.25
    assert abs(accuracy["sound", "aligned"] - accuracy["sound", "off"]) <= 0.03
    assert (table["n"] == 1000).all()


def test_controls_stand_beside_the_methods_and_some_method_beats_random(demo):
    deletion = demo.faithfulness.summary.query("metric == 'deletion'")
    assert set(deletion.query("control")["method"]) == {"random", "centre", "edge", "constant"}
    pairs = demo.faithfulness.comparisons.query("metric == 'deletion' and b == 'random'")
    better = dict(zip(pairs["a"], pairs["better"], strict=True))
    assert better["integrated_gradients"] == "integrated_gradients"


def test_a_second_call_goes_on_and_writes_the_same_page(demo):
    before = demo.page.read_bytes()
    again = run_practical(demo.path, photos=False, progress=False)
    assert again.page.read_bytes() == before


def test_the_trained_models_load_again(demo):
    classifier = get_model(demo.path / "biased")
    assert classifier.input_size == (28, 28)
    assert classifier.class_names == tuple("0123456789")


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed; .ci/run installs it")
def test_the_page_shows_in_a_browser_without_a_network(demo, tmp_path):
    def chromium(*arguments):
        return subprocess.run(
            [CHROMIUM, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", *arguments],
            capture_output=True,
            check=True,
            timeout=120,
        )

    address = demo.page.resolve().as_uri()
    dom = chromium("--dump-dom", address).stdout.decode()
    assert "Bias found" in dom
    assert demo.comparison.verdict[:40] in dom
    assert "<script" not in dom
    assert dom.count("<img") >= 6
    assert 'src="http' not in dom
    picture = tmp_path / "page.png"
    chromium(f"--screenshot={picture}", "--window-size=1000,2400", address)
    pixels = np.asarray(Image.open(io.BytesIO(picture.read_bytes())).convert("RGB"))
    assert pixels.shape == (2400, 1000, 3)
    shades = np.unique(pixels.reshape(-1, 3), axis=0)
    assert len(shades) > 200, "the page is blank or its pictures are missing"
