"""Vectors of 16 numbers in numba: one AVX-512 register, two of AVX, or four of NEON.

LLVM's own vectoriser loads and stores its sums at every step; with vectors as values they stay
in registers. Numbers next to a vector act on all of its lanes.
"""

from __future__ import annotations

import math
import operator
from typing import Any

import numba.extending
from llvmlite import binding, ir
from numba.core import cgutils, types
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import lower_builtin, models, register_model

LANES = 16
#: Whether a vector of single precision is one register, of which there are 32.
WIDE = bool(binding.get_host_cpu_features().get("avx512f"))
_FAST = ("fast",)
#: Without numba's own type, by which the kernels' calls would seem wrong to mypy.
intrinsic: Any = numba.extending.intrinsic


class VectorType(types.Type):
    """Type of a vector of floats."""

    def __init__(self, dtype: types.Float) -> None:
        self.dtype = dtype
        super().__init__(name=f"Vector({dtype})")


@register_model(VectorType)
class _VectorModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, vector: VectorType) -> None:
        number = manager.lookup(vector.dtype).get_value_type()
        super().__init__(manager, vector, ir.VectorType(number, LANES))


def _filled(builder: Any, value: Any) -> Any:
    """A number in all lanes."""
    kind = ir.VectorType(value.type, LANES)
    first = builder.insert_element(ir.Constant(kind, ir.Undefined), value, ir.IntType(32)(0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(first, ir.Constant(kind, ir.Undefined), zeros)


def _define(operation: Any, method: str) -> None:
    """Let an operator take two vectors, or a vector and a number."""

    class Template(AbstractTemplate):  # type: ignore[misc]
        def generic(self, args: Any, kws: Any) -> Any:
            vectors = [a for a in args if isinstance(a, VectorType)]
            if len(args) == 2 and vectors:
                vector = vectors[0]
                kinds = [a if isinstance(a, VectorType) else vector.dtype for a in args]
                return signature(vector, *kinds)
            return None

    infer_global(operation)(Template)

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        a, b = (
            v if isinstance(kind, VectorType) else _filled(builder, v)
            for v, kind in zip(args, sig.args, strict=True)
        )
        return getattr(builder, method)(a, b, flags=_FAST)

    for kinds in ((VectorType, VectorType), (VectorType, types.Float), (types.Float, VectorType)):
        lower_builtin(operation, *kinds)(lower)


for _operation, _method in (
    (operator.add, "fadd"),
    (operator.iadd, "fadd"),
    (operator.sub, "fsub"),
    (operator.mul, "fmul"),
    (operator.truediv, "fdiv"),
):
    _define(_operation, _method)


def _llvm(builder: Any, name: str, *vectors: Any) -> Any:
    """What an intrinsic of LLVM makes of vectors: another one."""
    kind = vectors[0].type
    short = "f32" if kind.element == ir.FloatType() else "f64"
    function_type = ir.FunctionType(kind, [kind] * len(vectors))
    name = f"llvm.{name}.v{LANES}{short}"
    function = cgutils.get_or_insert_function(builder.module, function_type, name)
    return builder.call(function, vectors)


def _place(context: Any, builder: Any, sig: Any, args: Any, at: int = 0, row: int = 0) -> Any:
    """Pointer to 16 numbers of the array ``args[at]`` from the index ``args[at + 1]`` on.

    ``row`` is added to the first part of the index.
    """
    kind, kinds = sig.args[at], sig.args[at + 1]
    array = context.make_array(kind)(context, builder, args[at])
    parts = cgutils.unpack_tuple(builder, args[at + 1], kind.ndim)
    first, *rest = (
        context.cast(builder, part, t, types.intp) for part, t in zip(parts, kinds, strict=True)
    )
    index = [builder.add(first, first.type(row)), *rest]
    pointer = cgutils.get_item_pointer(context, builder, kind, array, index)
    vector = ir.VectorType(context.get_value_type(kind.dtype), LANES)
    return builder.bitcast(pointer, vector.as_pointer())


def _alignment(context: Any, sig: Any) -> int:
    """Bytes of one number: an array need not begin where a vector would."""
    width: int = context.get_abi_sizeof(context.get_value_type(sig.args[0].dtype))
    return width


@intrinsic
def load(typing: Any, array: Any, index: Any) -> Any:
    """16 numbers of an array along its last axis, from an index on.

    Parameters
    ----------
    typing
        Context of numba's typing.
    array, index
        Typed by numba.

    Returns
    -------
    signature and generator
        As numba's intrinsics return them.
    """

    def code(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.load(_place(context, builder, sig, args), align=_alignment(context, sig))

    return VectorType(array.dtype)(array, index), code


@intrinsic
def store(typing: Any, array: Any, index: Any, vector: Any) -> Any:
    """Write a vector into an array along its last axis, from an index on.

    Parameters
    ----------
    typing
        Context of numba's typing.
    array, index, vector
        Typed by numba.

    Returns
    -------
    signature and generator
        As numba's intrinsics return them.
    """

    def code(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        place = _place(context, builder, sig, args)
        builder.store(args[2], place, align=_alignment(context, sig))

    return types.void(array, index, vector), code


@intrinsic
def total(typing: Any, vector: Any) -> Any:
    """Sum of the lanes."""

    def code(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        kind = args[0].type
        short = "f32" if kind.element == ir.FloatType() else "f64"
        name = f"llvm.vector.reduce.fadd.v{LANES}{short}"
        function_type = ir.FunctionType(kind.element, [kind.element, kind])
        function = cgutils.get_or_insert_function(builder.module, function_type, name)
        return builder.call(function, [kind.element(0.0), args[0]], fastmath=_FAST)

    return vector.dtype(vector), code


@intrinsic
def larger(typing: Any, a: Any, b: Any) -> Any:
    """The larger of two vectors' numbers in each lane.

    Parameters
    ----------
    typing
        Context of numba's typing.
    a, b
        Typed by numba.

    Returns
    -------
    signature and generator
        As numba's intrinsics return them.
    """

    def code(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _llvm(builder, "maxnum", *args)

    return a(a, b), code


@intrinsic
def exp(typing: Any, vector: Any) -> Any:
    """e^x of each lane: 2^n times a Taylor series for what is left, at most half of ln 2."""

    def code(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        kind = args[0].type
        single = kind.element == ir.FloatType()
        terms = 7 if single else 14
        bits, shift, bias, most = (32, 23, 127, 87.0) if single else (64, 52, 1023, 708.0)
        high = 0.693359375  # exact in few bits, so that n · high is exact
        whole = ir.VectorType(ir.IntType(bits), LANES)

        def constant(value: float) -> Any:
            return ir.Constant(kind, [value] * LANES)

        x = _llvm(
            builder, "maxnum", _llvm(builder, "minnum", args[0], constant(most)), constant(-most)
        )
        n = _llvm(builder, "rint", builder.fmul(x, constant(1.0 / math.log(2.0))))
        left = _llvm(builder, "fma", n, constant(-high), x)
        left = _llvm(builder, "fma", n, constant(high - math.log(2.0)), left)
        y = constant(1.0 / math.factorial(terms - 1))
        for k in reversed(range(terms - 1)):
            y = _llvm(builder, "fma", y, left, constant(1.0 / math.factorial(k)))
        exponent = builder.add(builder.fptosi(n, whole), ir.Constant(whole, [bias] * LANES))
        power = builder.shl(exponent, ir.Constant(whole, [shift] * LANES))
        return builder.fmul(y, builder.bitcast(power, kind))

    return vector(vector), code


@intrinsic
def transpose(typing: Any, source: Any, start: Any, target: Any, to: Any) -> Any:
    """Copy 16 rows of 16 numbers of a matrix, from ``start`` on, into 16 columns of another.

    Parameters
    ----------
    typing
        Context of numba's typing.
    source, start, target, to
        Typed by numba.

    Returns
    -------
    signature and generator
        As numba's intrinsics return them.
    """

    def code(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        width = _alignment(context, sig)
        rows = [
            builder.load(_place(context, builder, sig, args, row=r), align=width)
            for r in range(LANES)
        ]
        for apart in (8, 4, 2, 1):
            rows = _exchanged(builder, rows, apart)
        for r in range(LANES):
            builder.store(rows[r], _place(context, builder, sig, args, 2, r), align=width)

    return types.void(source, start, target, to), code


def _exchanged(builder: Any, rows: list[Any], apart: int) -> list[Any]:
    """Each square block of ``apart`` rows and lanes right of the diagonal, with that below it."""
    kind = ir.VectorType(ir.IntType(32), LANES)
    upper = [i + LANES - apart if i & apart else i for i in range(LANES)]
    lower = [i + LANES if i & apart else i + apart for i in range(LANES)]
    new = list(rows)
    for i in range(LANES):
        if not i & apart:
            pair = rows[i], rows[i + apart]
            new[i] = builder.shuffle_vector(*pair, ir.Constant(kind, upper))
            new[i + apart] = builder.shuffle_vector(*pair, ir.Constant(kind, lower))
    return new
