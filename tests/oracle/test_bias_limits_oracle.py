"""Tango's closed form against a likelihood that is maximised numerically."""

import math

import numpy as np
import pytest
from scipy import optimize

from sundog.bias.limits import tango_interval, tango_score, with_safe_limits
from sundog.core.statistics import paired_proportions


def slow_score(d, b, c, n):
    """Maximise b log(q + d) + c log(q) + (n - b - c) log(1 - 2q - d) over q, then the score."""

    def negative(q):
        total = 0.0
        for count, p in ((b, q + d), (c, q), (n - b - c, 1 - 2 * q - d)):
            if count:
                total -= count * math.log(max(p, 1e-300))
        return total

    low, high = max(0.0, -d), (1 - d) / 2
    grid = np.linspace(low, high, 2001)
    start = int(np.argmin([negative(q) for q in grid]))
    q = optimize.minimize_scalar(
        negative,
        bounds=(grid[max(start - 1, 0)], grid[min(start + 1, 2000)]),
        method="bounded",
        options={"xatol": 1e-14},
    ).x
    return (b - c - n * d) / math.sqrt(n * (2 * q + d - d * d))


@pytest.mark.parametrize(
    ("b", "c", "n"), [(10, 5, 50), (0, 1, 44), (20, 0, 400), (3, 3, 10), (7, 1, 8), (30, 90, 200)]
)
@pytest.mark.parametrize("d", [-0.6, -0.2, 0.03, 0.05, 0.35, 0.7])
def test_score_equals_the_numerical_likelihood(b, c, n, d):
    fast = tango_score(d, only_a=b, only_b=c, n=n)
    assert fast == pytest.approx(slow_score(d, b, c, n), rel=2e-5, abs=2e-5)


@pytest.mark.parametrize(("b", "c", "n"), [(10, 5, 50), (0, 1, 44), (20, 0, 400), (30, 90, 200)])
def test_interval_ends_are_where_the_score_is_critical(b, c, n):
    low, high = tango_interval(only_a=b, only_b=c, n=n, level=0.95)
    assert tango_score(low, only_a=b, only_b=c, n=n) == pytest.approx(1.959963984540054, abs=1e-7)
    assert tango_score(high, only_a=b, only_b=c, n=n) == pytest.approx(-1.959963984540054, abs=1e-7)
    other = tango_interval(only_a=c, only_b=b, n=n, level=0.95)
    assert other == pytest.approx((-high, -low), abs=1e-9)


def test_no_discordance_and_certainty():
    # With b = c = 0 the score at d is -sqrt(n d / (1 - d)): the ends are ± z² / (n + z²).
    low, high = tango_interval(only_a=0, only_b=0, n=30, level=0.95)
    z2 = 1.959963984540054**2
    assert (low, high) == pytest.approx((-z2 / (30 + z2), z2 / (30 + z2)), abs=1e-9)
    low, high = tango_interval(only_a=30, only_b=0, n=30, level=0.95)
    assert high == pytest.approx(1)
    assert tango_score(low, only_a=30, only_b=0, n=30) == pytest.approx(math.sqrt(z2), abs=1e-7)


def test_the_safe_interval_holds_both():
    a = np.repeat([True, False, True, False], [20, 0, 180, 200])
    b = np.repeat([False, True, True, False], [20, 0, 180, 200])
    plain = paired_proportions(a, b, level=0.95)
    safe = with_safe_limits(plain)
    tango = tango_interval(only_a=20, only_b=0, n=400, level=0.95)
    assert safe.difference.low == min(plain.difference.low, tango[0]) == plain.difference.low
    assert safe.difference.high == max(plain.difference.high, tango[1]) == tango[1]
    assert (safe.p_value, safe.only_a, safe.difference.value) == (plain.p_value, 20, 0.05)
