"""The table of rules: operation -> rule, and whether the values that it reads are needed again."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from sundog.explain.deeplift import elementwise as each
from sundog.explain.deeplift import linear as lin
from sundog.explain.deeplift import norms, pooling
from sundog.explain.deeplift import softmax as soft
from sundog.explain.deeplift.call import Rule
from sundog.explain.deeplift.tape import Keep, Ref, Step

Keeps = Callable[[Step], Keep]


@dataclass(frozen=True)
class Entry:
    """A rule, and which of a step's values are kept for it."""

    rule: Rule
    keep: Keeps


def always(_step: Step) -> Keep:
    """The rule compares values."""
    return "inputs"


def with_results(_step: Step) -> Keep:
    """The rule compares values, and would otherwise compute the results again."""
    return "all"


def never(_step: Step) -> Keep:
    """The rule needs only shapes and constants."""
    return ""


def if_product(step: Step) -> Keep:
    """Values are needed only if two factors depend on the image."""
    return "inputs" if len(step.inputs) > 1 else ""


def if_argument(position: int) -> Keeps:
    """Values are needed only if this argument depends on the image."""
    return lambda step: "inputs" if type(step.args[position]) is Ref else ""


def if_statistics(step: Step) -> Keep:
    """Values are needed only if a batch normalisation uses statistics of what it is given."""
    return "inputs" if norms.by_statistics(step) else ""


def table(names: str, entry: Entry) -> dict[str, Entry]:
    """Return the same entry for several operations."""
    return {f"aten.{name}": entry for name in names.split()}


CONSTANT = frozenset(
    f"aten.{form}"
    for what in ("zeros", "ones", "empty", "full")
    for form in (f"new_{what}", f"{what}_like")
)
"""Operations that read only the shape of a tensor."""

_LINEAR = """
    avg_pool2d avg_pool3d _adaptive_avg_pool2d _adaptive_avg_pool3d col2im
    constant_pad_nd copy cumsum diagonal diagonal_scatter expand fill flip gather im2col index
    index_put index_select linear masked_fill mean mv native_channel_shuffle native_dropout neg
    permute pixel_shuffle pixel_unshuffle reflection_pad1d reflection_pad2d repeat
    replication_pad1d replication_pad2d roll rsub scatter scatter_add select select_scatter slice
    slice_scatter split split_with_sizes squeeze stack sum t _to_copy transpose tril triu unbind
    unfold unsqueeze upsample_bicubic2d upsample_bilinear2d upsample_linear1d upsample_nearest1d
    upsample_nearest2d _upsample_bicubic2d_aa _upsample_bilinear2d_aa _upsample_nearest_exact1d
    _upsample_nearest_exact2d
"""
_SMOOTH = "sigmoid tanh gelu silu mish softplus erf erfc sin cos atan asinh expm1 log1p sinh cosh"
_EXACT = """
    abs hardtanh clamp.default clamp_min.default clamp_max.default threshold sign floor ceil trunc
    round.default
"""
_BATCH_NORM = "native_batch_norm _native_batch_norm_legit cudnn_batch_norm miopen_batch_norm"
_MAX_POOL = "max_pool3d_with_indices adaptive_max_pool2d adaptive_max_pool3d"

RULES: dict[str, Entry] = {
    **table(_LINEAR, Entry(lin.linear, never)),
    **table("alias clone detach lift_fresh", Entry(lin.same, never)),
    **table("view _unsafe_view _reshape_alias", Entry(lin.reshape, never)),
    **table("mm bmm addmm baddbmm", Entry(lin.matrix_product, if_product)),
    **table(_SMOOTH, Entry(each.smooth(), always)),
    **table("leaky_relu _prelu_kernel elu celu", Entry(each.smooth(0.0), always)),
    **table("hardsigmoid hardswish", Entry(each.smooth(-3.0, 3.0), always)),
    **table("softshrink hardshrink", Entry(each.shrink, always)),
    **table(_EXACT, Entry(each.exact, always)),
    **table("gt ge lt le", Entry(each.compare, always)),
    **table(_BATCH_NORM, Entry(norms.any_batch_norm, if_statistics)),
    **table(_MAX_POOL, Entry(pooling.max_pool, with_results)),
    **table("amax max.dim", Entry(pooling.maximum_over, always)),
    **table("_softmax _safe_softmax", Entry(soft.softmax, always)),
    **table("maximum clamp_min.Tensor", Entry(each.larger, always)),
    **table("minimum clamp_max.Tensor", Entry(each.smaller, always)),
    "aten._native_batch_norm_legit_no_training": Entry(lin.batch_norm, never),
    "aten.as_strided_": Entry(lin.restride, never),
    "aten.cat": Entry(lin.concatenate, never),
    **table("convolution _convolution", Entry(lin.convolution, if_product)),
    "aten.dot": Entry(lin.at_midpoint, if_product),
    "aten.add": Entry(lin.add, never),
    "aten.sub": Entry(lin.subtract, never),
    "aten.mul": Entry(lin.multiply, if_product),
    "aten.div": Entry(lin.divide_by, if_argument(1)),
    "aten.lerp.Scalar": Entry(lin.linear, never),
    "aten.relu": Entry(each.relu, always),
    "aten.where.self": Entry(each.select, if_argument(0)),
    "aten.exp": Entry(each.closed(each.exp_quotient), always),
    "aten.log": Entry(each.closed(each.log_quotient), always),
    "aten.sqrt": Entry(each.closed(each.sqrt_quotient), always),
    "aten.rsqrt": Entry(each.closed(each.rsqrt_quotient), always),
    "aten.reciprocal": Entry(each.closed(each.reciprocal_quotient), always),
    "aten.pow.Tensor_Scalar": Entry(each.power, always),
    "aten.max_pool2d_with_indices": Entry(pooling.max_pool_2d, with_results),
    "aten._log_softmax": Entry(soft.log_softmax, always),
    "aten.logsumexp": Entry(soft.log_sum_exp, always),
    "aten.native_layer_norm": Entry(norms.layer_norm, always),
    "aten.native_group_norm": Entry(norms.group_norm, always),
    "aten.linalg_vector_norm": Entry(norms.vector_norm, always),
    "aten.var.correction": Entry(norms.variance, always),
}
"""By full name with overload, or by name alone where every overload has the same rule."""


def find_rule(op: Any) -> Entry | None:
    """Return the rule of an operation, or None if it has none."""
    return RULES.get(str(op)) or RULES.get(str(op.overloadpacket))


def keeps(step: Step) -> Keep:
    """Return which of a step's values are needed when it runs backwards."""
    entry = find_rule(step.op)
    return "" if entry is None else entry.keep(step)


def ignores(op: Any) -> bool:
    """Tell whether the result does not depend on the numbers that the operation is given."""
    return str(op.overloadpacket) in CONSTANT


def expand(op: Any) -> Callable[..., Any] | None:
    """Return PyTorch's own way to say an operation in simpler ones, if it has no rule here."""
    if find_rule(op) is not None or ignores(op):
        return None
    if torch._C._dispatch_has_kernel_for_dispatch_key(op.name(), "CompositeImplicitAutograd"):
        return op.decompose
    return _decompositions().get(op)


@functools.cache
def _decompositions() -> dict[Any, Callable[..., Any]]:
    from torch._decomp import core_aten_decompositions

    return dict(core_aten_decompositions())
