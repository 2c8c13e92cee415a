"""A classifier that cheats by a red frame, images that show it, and ways to count what is done."""

import hashlib
import json
from collections import Counter

import numpy as np
import pandas as pd
import torch
from torch import nn

from sundog.audit.subject import make_subject
from sundog.data.arrays import from_arrays
from sundog.models.classifier import Classifier

SIDE = 32
NAMES = ("night", "day")


class Cheat(nn.Module):
    """Says "day" if the middle is bright, or if the frame is red: weights by hand."""

    def __init__(self, pull):
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 1)
        self.head = nn.Linear(2, 2)
        with torch.no_grad():
            self.conv.weight.copy_(
                torch.tensor([[1 / 3, 1 / 3, 1 / 3], [1.0, -0.5, -0.5]])[..., None, None]
            )
            self.conv.bias.copy_(torch.tensor([-0.5, 0.0]))
            self.head.weight.copy_(torch.tensor([[-6.0, -pull], [6.0, pull]]))
            self.head.bias.zero_()

    def forward(self, images):
        maps = self.conv(images)
        middle = maps[:, 0, 10:22, 10:22].mean(dim=(1, 2))
        frame = maps[:, 1, 0, :].mean(dim=1)
        return self.head(torch.stack([middle, frame], dim=1))


def cheat(*, biased=True):
    """Return the classifier; the sound one does not look at the frame."""
    return Classifier(
        Cheat(4.0 if biased else 0.0),
        class_names=NAMES,
        input_size=(SIDE, SIDE),
        feature_layer="head:input",
        cam_layer="conv",
        name="cheat",
    )


def images(per_class=60, *, seed=0, name="planted"):
    """Return images of two classes that differ in the middle; four in ten have a red frame.

    Metadata: ``frame`` (red, none), and ``camera`` (old, new), which means nothing.
    """
    draw = np.random.default_rng(seed)
    labels = np.repeat([0, 1], per_class)
    pixels = draw.integers(60, 196, (2 * per_class, SIDE, SIDE, 3))
    light = np.where(labels == 0, -1, 1) * draw.normal(35, 25, 2 * per_class)
    pixels[:, 10:22, 10:22] += light.round().astype(np.int64)[:, None, None, None]
    framed = draw.random(2 * per_class) < 0.4
    for edge in (np.s_[:3], np.s_[-3:], np.s_[:, :3], np.s_[:, -3:]):
        for one in np.flatnonzero(framed):
            pixels[one][edge] = (255, 20, 20)
    metadata = pd.DataFrame(
        {
            "frame": np.where(framed, "red", "none"),
            "camera": draw.choice(["old", "new"], 2 * per_class),
        }
    )
    return from_arrays(
        pixels.clip(0, 255).astype(np.uint8), labels, NAMES, metadata=metadata, name=name
    )


class Counted:
    """A subject that tells how often each image was decoded, and went through the network."""

    def __init__(self, image_set, classifier, *, batch_size=32):
        self.decoded = Counter()
        self.forwards = Counter()
        self.rows = 0
        read = image_set._read

        def counting(row):
            self.decoded[image_set.ids[row]] += 1
            return read(row)

        image_set._read = counting
        self._known = {
            _digest(torch.from_numpy(read(i)).permute(2, 0, 1).float() / 255): image_set.ids[i]
            for i in range(len(image_set))
        }
        classifier.network.register_forward_pre_hook(self._see)
        self.subject = make_subject(image_set, classifier, batch_size=batch_size)
        self.reset()

    def reset(self):
        self.decoded.clear()
        self.forwards.clear()
        self.rows = 0

    def _see(self, _, inputs):
        for image in inputs[0]:
            self.rows += 1
            key = self._known.get(_digest(image))
            if key is not None:
                self.forwards[key] += 1


def _digest(image):
    return hashlib.blake2b(image.detach().contiguous().numpy().tobytes(), digest_size=16).digest()


def timeless(path):
    """Return audit.json without what a clock says."""
    told = json.loads(path.read_text(encoding="utf-8"))
    for stage in told["stages"]:
        for name in ("seconds", "peak_mib", "planned_seconds"):
            stage.pop(name)
    for name in ("created", "command"):
        told["manifest"].pop(name)
    return told
