"""The tape: every operation between an image and the output, as PyTorch's dispatcher ran it.

Below modules and functions there is one place that every call passes: the dispatcher. What is
recorded there does not depend on how the network is written: a module that is used twice is two
steps, ``F.relu``, ``relu_`` and ``nn.ReLU(inplace=True)`` are the same step (in-place operations
are made functional first), and a TorchScript network is as visible as any other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

from sundog.explain.plain_kernels import plain_kernels

Keep = Literal["", "inputs", "all"]
"""Which values a rule needs again: none, those that the step reads, or its results as well."""


@dataclass(frozen=True)
class Ref:
    """Stands in a step's arguments for the value with this number."""

    value: int


@dataclass(frozen=True)
class Meta:
    """What is remembered of every value: enough to run a linear operation backwards."""

    shape: torch.Size
    stride: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device

    def empty(self) -> Tensor:
        """Return a tensor of this layout with undefined content."""
        return torch.empty_strided(self.shape, self.stride, dtype=self.dtype, device=self.device)


@dataclass(frozen=True, eq=False)
class Step:
    """One operation that reads at least one value that depends on the image.

    Attributes:
        op: the operation, an ``OpOverload``.
        args: positional arguments, with :class:`Ref` for values that depend on the image.
        kwargs: keyword arguments, likewise.
        inputs: the numbers of these values, in order; a value that is read twice is there twice.
        outputs: the number of each tensor that came out.
    """

    op: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    @property
    def name(self) -> str:
        """Name without namespace, for error messages: ``relu``."""
        return str(self.op.overloadpacket).removeprefix("aten.")


@dataclass(eq=False)
class Tape:
    """The steps of one forward pass over some rows.

    Attributes:
        rows: number of images in the pass.
        steps: in the order in which they ran.
        metas: layout of every value; value 0 is the input.
        values: the values that some step's rule needs again.
        output: number of the result, or None if the result does not depend on the input.
        result: the result itself.
    """

    rows: int
    steps: list[Step] = field(default_factory=list)
    metas: list[Meta] = field(default_factory=list)
    values: dict[int, Tensor] = field(default_factory=dict)
    output: int | None = None
    result: Tensor = field(default_factory=lambda: torch.empty(0))

    @property
    def nbytes(self) -> int:
        """Bytes of the values that the tape holds."""
        held = {v.untyped_storage().data_ptr(): v.nbytes for v in self.values.values()}
        return sum(held.values())


def leaves(argument: Any) -> Iterator[Any]:
    """Yield what an argument holds, looking into lists, tuples and dictionaries."""
    if isinstance(argument, (list, tuple)):
        for item in argument:
            yield from leaves(item)
    elif isinstance(argument, dict):
        for item in argument.values():
            yield from leaves(item)
    else:
        yield argument


def replace(argument: Any, function: Callable[[Any], Any]) -> Any:
    """Return the argument with ``function`` applied to every leaf."""
    if isinstance(argument, (list, tuple)):
        return type(argument)([replace(item, function) for item in argument])
    if isinstance(argument, dict):
        return {key: replace(item, function) for key, item in argument.items()}
    return function(argument)


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Writes each operation on image-dependent tensors to a tape while it runs.

    Args:
        tape: written to.
        keeps: which of a step's values are needed again: ``""``, ``"inputs"`` or ``"all"``.
        expand: returns an operation as simpler ones, or None if it is to be recorded itself.
        ignores: whether an operation reads only the shape of what it is given.
    """

    def __init__(
        self,
        tape: Tape,
        *,
        keeps: Callable[[Step], Keep],
        expand: Callable[[Any], Callable[..., Any] | None],
        ignores: Callable[[Any], bool],
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.tape = tape
        self.keeps = keeps
        self.expand = expand
        self.ignores = ignores
        self.numbers = WeakTensorKeyDictionary()

    def number(self, tensor: Tensor) -> int:
        """Give a new value its number."""
        if tensor not in self.numbers:
            self.numbers[tensor] = len(self.tape.metas)
            self.tape.metas.append(Meta(tensor.shape, tensor.stride(), tensor.dtype, tensor.device))
        return int(self.numbers[tensor])

    def reference(self, leaf: Any) -> Any:
        """Return a :class:`Ref` for a value that depends on the image, else the leaf itself."""
        if isinstance(leaf, Tensor) and leaf in self.numbers:
            return Ref(int(self.numbers[leaf]))
        return leaf

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run the operation and record it if it reads a value that depends on the image."""
        kwargs = kwargs or {}
        stored_args, stored_kwargs = replace((args, kwargs), self.reference)
        inputs = tuple(
            leaf.value for leaf in leaves((stored_args, stored_kwargs)) if isinstance(leaf, Ref)
        )
        if not inputs or self.ignores(func):
            return func(*args, **kwargs)
        functional = _functional(func)
        if functional is not None:
            return self.in_place(args[0], functional, types, args, kwargs)
        simpler = self.expand(func)
        if simpler is not None:
            with self:
                return simpler(*args, **kwargs)
        out = func(*args, **kwargs)
        produced = [leaf for leaf in leaves(out) if isinstance(leaf, Tensor)]
        step = Step(
            func, stored_args, stored_kwargs, inputs, tuple(self.number(t) for t in produced)
        )
        self.tape.steps.append(step)
        keep = self.keeps(step)
        if keep:
            for leaf in leaves((args, kwargs, out if keep == "all" else None)):
                if isinstance(leaf, Tensor) and leaf in self.numbers:
                    self.tape.values[int(self.numbers[leaf])] = leaf
        return out

    def in_place(
        self,
        changed: Tensor,
        functional: Any,
        types: Sequence[type],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Tensor:
        """Record an operation that overwrites ``changed`` as one that makes a new value.

        Such operations are left inside a few of PyTorch's own composite kernels.
        """
        result = self.__torch_dispatch__(functional, types, args, kwargs)
        for value, kept in self.tape.values.items():
            if kept is changed:
                self.tape.values[value] = kept.clone()
        changed.copy_(result)
        self.numbers[changed] = self.numbers[result]
        return changed


def _functional(op: Any) -> Any | None:
    """Return the operation that makes a new value where ``op`` overwrites its first argument."""
    name = op.overloadpacket.__name__
    if not op._schema.is_mutable or not name.endswith("_") or name == "as_strided_":
        return None
    packet = getattr(torch.ops.aten, name[:-1], None)
    return getattr(packet, op._overloadname, None)


def record(function: Callable[[Tensor], Tensor], rows: Tensor, recorder: Recorder) -> Tape:
    """Run ``function`` on ``rows`` and return the recorder's tape of what it did.

    Automatic mixed precision is off meanwhile: differences of rounded numbers do not add up.
    """
    start = rows.detach().clone()
    recorder.number(start)
    with plain_kernels(), torch.autocast(rows.device.type, enabled=False), recorder:
        last = torch.func.functionalize(function)(start).clone()
    tape = recorder.tape
    tape.result = last
    tape.output = int(recorder.numbers[last]) if last in recorder.numbers else None
    return tape
