"""The interval of a loss does not go below 0."""

import pytest

from sundog.core.statistics import mean_interval


def test_a_t_interval_is_cut_at_the_least_possible_mean():
    plain = mean_interval([0.0, 0.0, 0.0, 1.0])
    cut = mean_interval([0.0, 0.0, 0.0, 1.0], at_least=0.0)
    assert plain.low == pytest.approx(-0.5456, abs=1e-3)
    assert cut.low == 0.0
    assert (cut.value, cut.high, cut.n) == (plain.value, plain.high, plain.n)
    assert mean_interval([5.0, 6.0, 7.0], at_least=0.0) == mean_interval([5.0, 6.0, 7.0])
