"""Reductions over the class axis, the last, in as few passes over memory as the hardware allows.

An accelerator reads a row once: one variadic reduction. A CPU is slow at that, but fast at a plain
maximum or sum: there each block of a row has a maximum and then a sum, and the blocks are joined.
What holds up a GPU is the arithmetic of joining: it may join less, and read once more.
"""

from collections.abc import Callable
from functools import reduce
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

AxisName = str | tuple[str, ...] | None

_BLOCKS = 8  # a multiple of the devices over which the class axis is commonly split
_LONG = 2048  # a shorter row is one block: nobody splits it, and its blocks would be slow
_STREAMS = 16  # places in memory that one loop reads from
_LANES = 8  # of single precision in a vector
_SHORT = 128  # longer sums are not fused with their terms anyway, and have more digits


def widen(*xs: Array) -> tuple[Array, ...]:
    """Floats as float32, or float64 if any is: half precision is exact there."""
    real = [jnp.issubdtype(x.dtype, jnp.floating) for x in xs]
    double = any(x.dtype == jnp.float64 for x in xs)
    dtype = jnp.float64 if double else jnp.float32
    return tuple(x.astype(dtype) if r else x for x, r in zip(xs, real, strict=True))


def on(
    cpu: Callable[..., Any],
    accelerator: Callable[..., Any],
    *args: Any,
    gpu: Callable[..., Any] | None = None,
) -> Any:
    """What stands for the platform that is compiled for; the derivatives are the caller's."""
    gpus = {} if gpu is None else {"cuda": gpu, "rocm": gpu}
    return lax.platform_dependent(*args, cpu=cpu, **gpus, default=accelerator)


def total(x: Float[Array, "*batch v"], axis_name: AxisName) -> Float[Array, "*batch 1"]:
    """The sum over the class axis."""
    local = jnp.sum(x, -1, keepdims=True)
    return local if axis_name is None else lax.psum(local, axis_name)


def largest(x: Float[Array, "*batch v"], axis_name: AxisName) -> Float[Array, "*batch 1"]:
    """The maximum over the class axis, not differentiated."""
    local = jnp.max(lax.stop_gradient(x), -1, keepdims=True)
    return local if axis_name is None else lax.pmax(local, axis_name)


def blocks(z: Float[Array, "*batch v"]) -> Float[Array, "*batch block w"]:
    """The class axis as blocks, each on one device."""
    length = z.shape[-1]
    count = _BLOCKS if length >= _LONG and length % _BLOCKS == 0 else 1
    return z.reshape(*z.shape[:-1], count, length // count)


Terms = Callable[..., tuple[Array, Array]]


def _in_parts(
    of: Callable[..., Array],
    join: Callable[[Array, Array], Array],
    statistics: Any,
    *xs: Array,
) -> list[Array]:
    """`of(statistics, *xs)` with the parts of a row joined, and apart what is left over.

    The compiler of a CPU does not fuse a reduction with its terms, or fuses them into scalar code.
    So it writes them and reads them again, but an eighth or less, and in whole vectors.
    """
    # Lest terms be shared with another pass, and so be written out.
    statistics, xs = lax.optimization_barrier((statistics, xs))

    def part(start: int, stop: int) -> Array:
        return of(statistics, *(x[..., start:stop] for x in xs))

    length, count = xs[0].shape[-1], _STREAMS
    while count > 1 and (count * len(xs) > _STREAMS or length % (count * _LANES) * 8 > length):
        count //= 2
    width = length // (count * _LANES) * _LANES if count > 1 else length
    parts = [part(i * width, (i + 1) * width) for i in range(count)]
    while len(parts) > 1:
        parts = [join(u, v) for u, v in zip(parts[::2], parts[1::2], strict=True)]
    return parts + ([part(count * width, length)] if count * width < length else [])


def two_sums_on_cpu(terms: Terms, statistics: Any, *xs: Array) -> tuple[Array, Array]:
    """The sums of both `terms(statistics, *xs)` over the last axis, without it."""
    # A complex number for two: they are written in one loop.
    parts = _in_parts(lambda *xs: lax.complex(*terms(*xs)), jnp.add, statistics, *xs)
    both = sum(map(_sum_of_written, parts[1:]), _sum_of_written(parts[0]))
    return both.real, both.imag


def _sum_of_written(x: Array) -> Array:
    """The sum over the last axis, not fused with its terms."""
    if x.shape[-1] > _SHORT or not x.size:
        return jnp.sum(x, -1)
    shape = (*(x.ndim - 1) * (1,), x.shape[-1])
    return lax.reduce_window(x, jnp.zeros((), x.dtype), lax.add, shape, shape, "VALID")[..., 0]


def largest_on_cpu(of: Callable[..., Array], statistics: Any, *xs: Array) -> Array:
    """The maximum of `of(statistics, *xs)` over the last axis, which is kept."""
    parts = _in_parts(of, jnp.maximum, statistics, *xs)
    # Its library has no clamp. It would take in the maxima before, which then would be written out.
    low, high = (jnp.asarray(x, parts[0].dtype) for x in (-jnp.inf, jnp.inf))
    parts = (lax.clamp(low, x, high) for x in parts)
    return reduce(jnp.maximum, (jnp.max(x, -1, keepdims=True) for x in parts))


def two_totals(
    terms: Terms, axis_name: AxisName, statistics: Any, *xs: Float[Array, "*batch v"]
) -> tuple[Array, Array]:
    """The same over the class axis, which is kept, in one pass on every platform."""

    def on_cpu(statistics, *xs):
        statistics = jax.tree.map(lambda s: s[..., None, :], statistics)
        sums = two_sums_on_cpu(terms, statistics, *(blocks(x) for x in xs))
        return jnp.sum(sums[0], -1, keepdims=True), jnp.sum(sums[1], -1, keepdims=True)

    def on_gpu(statistics, *xs):
        both = jnp.sum(lax.complex(*terms(statistics, *xs)), -1, keepdims=True)
        return both.real, both.imag

    def elsewhere(statistics, *xs):
        one, two = terms(statistics, *xs)
        return jnp.sum(one, -1, keepdims=True), jnp.sum(two, -1, keepdims=True)

    # A complex sum is one reduction to the compiler of a GPU, which does not fuse two of one array.
    sums: Any = lax.platform_dependent(
        statistics, *xs, cpu=on_cpu, cuda=on_gpu, rocm=on_gpu, default=elsewhere
    )
    return sums if axis_name is None else lax.psum(sums, axis_name)


def reduce_states(
    join: Callable[..., tuple], states: tuple[Array, ...], nothing: tuple[float, ...]
) -> tuple[Array, ...]:
    """All states of the last axis joined into one, in one pass."""
    start = tuple(jnp.asarray(x, s.dtype) for x, s in zip(nothing, states, strict=True))
    joined = lax.reduce(states, start, join, (states[0].ndim - 1,))
    return tuple(s[..., None] for s in joined)


def join_shards(
    join: Callable[..., tuple],
    states: tuple[Array, ...],
    nothing: tuple[float, ...],
    axis_name: AxisName,
) -> tuple[Array, ...]:
    """The states of all shards of the mesh axis joined, in one round of communication."""
    if axis_name is None:
        return states
    # A gather by way of a sum, whose result is known to be the same on every device.
    index, count = lax.axis_index(axis_name), lax.axis_size(axis_name)
    mine = jax.nn.one_hot(index, count, dtype=bool)
    spread = lax.psum(jnp.where(mine, jnp.stack(states), 0), axis_name)
    return reduce_states(join, tuple(spread), nothing)
