"""Peers that need no tags: what they say of the same classifier and images."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.planted.finder import maps
from benchmarks.planted.loading import open_setting
from benchmarks.planted.map_peers import concentration, spray
from benchmarks.planted.settings import Setting

BATCH = 64


def run_peers(setting: Setting, folder: Path, imagenette: Path | None) -> dict[str, Any]:
    """Return the score of heat-map concentration and the flags of SpRAy, as JSON."""
    loaded = open_setting(setting, folder, imagenette)
    parts = torch.split(loaded.images, BATCH)
    found = np.concatenate([maps(loaded.classifier, part).numpy() for part in parts])
    begun = time.process_time()
    score = concentration(found)
    first = time.process_time()
    flagged = spray(found, loaded.labels.numpy(), seed=setting.seed)
    return {
        "setting": setting.to_dict(),
        "concentration": {"score": score, "seconds": round(first - begun, 3)},
        "spray": {**flagged, "seconds": round(time.process_time() - first, 3)},
    }
