"""How long the head refits take on 10,000 images of cached features (1,024 each, 10 classes)."""

import time
from typing import Any

import numpy as np
import torch

from benchmarks.debias.work import Work
from sundog.debias.dfr import dfr
from sundog.debias.projection import projection
from sundog.models.feature_table import FeatureTable

ROWS = 10_000


def time_refits(work: Work) -> dict[str, Any]:
    """Time projection and DFR on the plain network's features of real images, one thread."""
    pictures = work.pictures
    images = pictures.prepare(pictures.train)
    rounds = -(-ROWS // len(images))
    tables, shown = [], []
    for number in range(rounds):  # the same images with other cues are other features
        cue = pictures.setting.make_cue(
            pictures.classes, seed=100 + number, strength=0.5 + 0.1 * number
        )
        drawn = cue.draw(torch.from_numpy(pictures.train.labels), pictures.train.ids).numpy()
        tables.append(
            work.features("x", pictures.with_cue(pictures.train, drawn, seed=100 + number))
        )
        shown.append(drawn)
    table = FeatureTable.joined(tables).rows(np.arange(ROWS))
    labels = table.labels.numpy()
    groups = 2 * labels + (np.concatenate(shown)[:ROWS] != labels)
    without = work.features("x", images).rows(np.arange(1000))
    with_cue = tables[0].rows(np.arange(1000))
    refits = {
        "projection": lambda: projection(
            table, with_cue, without, directions=max(8, pictures.classes)
        ),
        "dfr": lambda: dfr(table, groups, seed=0, progress=False),
    }
    seconds, processor = {}, {}
    for name, refit in refits.items():
        begun, spent = time.perf_counter(), time.process_time()
        refit()
        seconds[name] = time.perf_counter() - begun
        processor[name] = time.process_time() - spent
    return {
        "images": ROWS,
        "features": int(table.features.shape[1]),
        "classes": pictures.classes,
        "threads": torch.get_num_threads(),
        "seconds": seconds,
        "processor_seconds": processor,
    }
