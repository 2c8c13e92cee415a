import pytest
import torch

from sundog.core.errors import InputError
from sundog.explain.quadrature import quadrature

RULES = ("gauss_legendre", "trapezoid", "midpoint", "right", "left", "riemann")


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("points", [2, 3, 10, 51, 200])
def test_weights_sum_to_one_and_nodes_are_on_the_path(rule, points):
    nodes, weights = quadrature(rule, points)
    assert nodes.shape == weights.shape == (points,)
    assert nodes.dtype == weights.dtype == torch.float64
    assert abs(float(weights.sum()) - 1) < 1e-12
    assert (weights > 0).all()
    assert nodes.min() >= 0
    assert nodes.max() <= 1


@pytest.mark.parametrize(
    ("rule", "degree"),
    [
        ("gauss_legendre", 9),
        ("trapezoid", 1),
        ("midpoint", 1),
        ("right", 0),
        ("left", 0),
        ("riemann", 1),
    ],
)
def test_degree_of_exactness_with_five_points(rule, degree):
    nodes, weights = quadrature(rule, 5)
    for power in range(degree + 1):
        assert abs(float((weights * nodes**power).sum()) - 1 / (power + 1)) < 1e-12
    too_high = float((weights * nodes ** (degree + 1)).sum())
    assert abs(too_high - 1 / (degree + 2)) > 1e-8


def test_riemann_is_the_practicals():
    nodes, weights = quadrature("riemann", 5)
    assert nodes.tolist() == [1.0, 0.75, 0.5, 0.25, 0.0]
    assert weights.tolist() == [0.2] * 5


@pytest.mark.parametrize(
    ("rule", "points"),
    [
        ("trapezoid", 1),
        ("riemann", 1),
        ("midpoint", 0),
        ("gauss_legendre", -3),
        ("right", 2.0),
        ("left", True),
        ("simpson", 5),
    ],
)
def test_refused(rule, points):
    with pytest.raises(InputError, match=r"rule must be|n_steps must be"):
        quadrature(rule, points)
