"""Images with a half-transparent pattern of their class at changing places, and the truth."""

import numpy as np
import torch

GLYPHS = torch.tensor(
    [
        [[1, 1, 1, 1, 1], [1, 0, 0, 0, 0], [1, 0, 0, 0, 0], [1, 0, 0, 0, 0], [1, 1, 1, 1, 1]],
        [[1, 0, 0, 0, 1], [0, 1, 0, 1, 0], [0, 0, 1, 0, 0], [0, 1, 0, 1, 0], [1, 0, 0, 0, 1]],
    ],
    dtype=torch.float32,
)


def marked(count=40, size=32, *, opacity=0.75, share=1.0, seed=0):
    """Soft noise of two classes; the class's glyph at a place drawn for every image."""
    draw = torch.Generator().manual_seed(seed)
    random = np.random.default_rng(seed)
    images = torch.rand(count, 3, size // 4, size // 4, generator=draw)
    images = torch.nn.functional.interpolate(images, size=(size, size), mode="bilinear") * 0.6 + 0.2
    labels = torch.arange(count) % 2
    truth = torch.zeros(count, size, size, dtype=torch.bool)
    for row, label in enumerate(labels.tolist()):
        if random.random() >= share:
            continue
        y, x = (int(random.integers(size - 10)) for _ in range(2))
        glyph = GLYPHS[label].repeat_interleave(2, 0).repeat_interleave(2, 1)
        part = images[row, :, y : y + 10, x : x + 10]
        images[row, :, y : y + 10, x : x + 10] = (1 - opacity) * part + opacity * glyph
        truth[row, y : y + 10, x : x + 10] = True
    return images, labels, truth
