"""Derivative rules that keep a few numbers a row for the backward pass, and sum nothing in it."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array

from .reduction import AxisName, on, total, widen

Statistics = Any  # a pytree of `[*batch, 1]` arrays
Slope = Callable[..., Array]


def from_statistics(definition: Callable[..., Array]) -> Callable[[Slope], Slope]:
    """A function of statistics that were taken before, in place of `definition(axis_name, *args)`.

    The decorated `fn(axis_name, statistics, *args)` forms the same value with no sum over the
    classes. Its derivatives in `args` are those of the definition, and it has none in the
    statistics: they have changed with the arguments.
    """

    def decorate(fn: Slope) -> Slope:
        given = jax.custom_jvp(fn, nondiff_argnums=(0,))

        @partial(given.defjvp, symbolic_zeros=True)
        def _(axis_name, primals, tangents):
            statistics, *args = primals
            live = _live(tangents[1:])

            def moved(*some):
                every = list(args)
                for i, x in zip(live, some, strict=True):
                    every[i] = x
                return definition(axis_name, *every)

            value = given(axis_name, statistics, *args)
            if not live:
                return value, jnp.zeros_like(value)
            at, by = (tuple(xs[i] for i in live) for xs in (args, tangents[1:]))
            return value, jax.jvp(moved, at, by)[1]

        return given

    return decorate


def with_slopes(
    forward: Callable[..., tuple[Array, Statistics]],
    slopes: tuple[Slope, ...],
    prepare: Callable[..., list[Statistics]],
    *,
    shared_on_cpu: bool = False,
) -> Callable[..., Array]:
    """`fn(axis_name, *args)`, the value of `forward`, whose gradient in each argument is a slope.

    `forward(axis_name, live, *args)` gives the value of each row and statistics, `live` being the
    arguments in which slopes are wanted. A slope is `slope(axis_name, known, *args)`, where what is
    known of each row, for every live argument, is `prepare(axis_name, live, statistics, *args)`.
    All but `fn` see wide arguments: what is kept for a backward pass is the narrow ones. With
    `shared_on_cpu` a CPU writes out what `forward` and the slopes have in common.
    """
    separate = jax.lax.optimization_barrier
    if shared_on_cpu:
        separate = partial(on, lambda known: known, separate)

    @partial(jax.custom_jvp, nondiff_argnums=(0, 1))
    def run(axis_name, live, *args):
        return forward(axis_name, live, *widen(*args))

    @partial(run.defjvp, symbolic_zeros=True)
    def _(axis_name, live, primals, tangents):
        moving = tuple(_live(tangents))
        live = tuple(sorted({*live, *moving}))
        value, statistics = run(axis_name, live, *primals)
        fixed = jax.lax.stop_gradient(widen(*primals))
        # Lest exponentials be shared between the passes, and so be written out.
        known = separate(prepare(axis_name, moving, statistics, *fixed))

        def change(known, args, by):
            args, by = widen(*args), widen(*by)
            rows = zip(moving, known, by, strict=True)
            terms = [slopes[i](axis_name, k, *args) * t for i, k, t in rows]
            return sum(total(x, axis_name)[..., 0] for x in terms)

        by = tuple(tangents[i] for i in moving)
        moved = jax.checkpoint(change, prevent_cse=False)(known, primals, by)
        return (value, statistics), (moved, jax.tree.map(jnp.zeros_like, statistics))

    return lambda axis_name, *args: run(axis_name, (), *args)[0]


def as_they_are(
    axis_name: AxisName, live: tuple[int, ...], statistics: Statistics, *args: Array
) -> list[Statistics]:
    """What `prepare` is where the statistics are all that a slope needs."""
    return [statistics for _ in live]


def _live(tangents: Any) -> list[int]:
    """Which arguments move; integers do not."""
    return [
        i
        for i, t in enumerate(tangents)
        if not isinstance(t, SymbolicZero) and t.dtype != jax.dtypes.float0
    ]
