"""The disentanglement error against scipy and by hand."""

import math

import numpy as np
import pytest
from scipy import stats

from sundog.core.errors import InputError
from sundog.risk.disentangle import disentanglement_error

ERROR = np.array([0.5, 0.4, 0.3, 0.25, 0.2])


def _of(**changes):
    given = {
        "size_accuracy": 1 - ERROR,
        "size_epistemic": 2 * ERROR + 1,
        "size_aleatoric": np.ones(5),
        "noise_accuracy": 1 - ERROR,
        "noise_epistemic": np.ones(5),
        "noise_aleatoric": 3 * ERROR,
    } | changes
    return disentanglement_error(**given)


def test_perfect_swapped_and_entangled_risks():
    assert _of().error == pytest.approx(0, abs=1e-12)
    swapped = _of(size_aleatoric=ERROR, noise_epistemic=ERROR)
    assert swapped.error == pytest.approx(0.5)  # both follow everything
    opposite = _of(
        size_epistemic=-ERROR,
        size_aleatoric=ERROR,
        noise_aleatoric=-ERROR,
        noise_epistemic=ERROR,
    )
    assert opposite.error == pytest.approx(1.5)
    assert math.isnan(_of(size_epistemic=np.ones(5)).error)
    assert math.isnan(_of(size_accuracy=np.full(5, 0.5), size_aleatoric=ERROR).error)


def test_parts_are_pearsons_correlations():
    rng = np.random.default_rng(0)
    a, b, c, d = rng.normal(size=(4, 5))
    got = _of(size_epistemic=a, size_aleatoric=b, noise_epistemic=c, noise_aleatoric=d)
    want = [stats.pearsonr(part, ERROR).statistic for part in (a, b, c, d)]
    assert [
        got.epistemic_on_size,
        got.aleatoric_on_size,
        got.epistemic_on_noise,
        got.aleatoric_on_noise,
    ] == pytest.approx(want)
    assert got.error == pytest.approx(
        (abs(want[0] - 1) + abs(want[1]) + abs(want[2]) + abs(want[3] - 1)) / 4
    )
    assert (got.sizes, got.noises) == (5, 5)


def test_short_uneven_and_missing_series_are_refused():
    with pytest.raises(InputError, match="three trainings"):
        _of(noise_accuracy=[1.0, 0.5], noise_epistemic=[1.0, 2.0], noise_aleatoric=[1.0, 2.0])
    with pytest.raises(InputError, match="aleatoric 4"):
        _of(size_aleatoric=np.ones(4))
    with pytest.raises(InputError, match="finite"):
        _of(size_aleatoric=np.full(5, np.nan))
