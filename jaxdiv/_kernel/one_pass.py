"""KL of two rows of logits from one read: the difference of two numbers of order one.

Its gradient is as accurate as that of `divergence.kl`. On a CPU, where one read is slower, the
value is the accurate one, and so it is on a GPU without the gradient in `a`.
"""

from functools import partial

import jax.numpy as jnp
from jaxtyping import Array

from .divergence import Both, Centre, difference_slope, prepare_ratio, ratio_slope
from .pairs import JOINED, Pair, join_pairs, kl_and_pair, pair_of, single_pair
from .reduction import AxisName, join_shards, on, reduce_states
from .rows import Origin, below
from .rules import with_slopes

_NOTHING = (*JOINED, -jnp.inf, -jnp.inf, 0.0, 0.0)


def _join(u: tuple[Array, ...], v: tuple[Array, ...]) -> tuple[Array, ...]:
    """And the weights of `a` that `b` lacks, and the sum of the others' log-ratios less that at the
    origin.
    """
    joined = join_pairs(u[:7], v[:7])
    lost, moment = jnp.zeros_like(u[7]), jnp.zeros_like(u[8])
    for side in (u, v):
        drop, low = below(side[0], joined[0])
        scale = jnp.exp(drop) * (1 + low)
        (high_a, low_a), (high_b, low_b) = (below(side[i], joined[i]) for i in (5, 6))
        shift = jnp.where(side[5] == -jnp.inf, 0, (high_a - high_b) + (low_a - low_b))
        lost = lost + scale * side[7]
        moment = moment + scale * (side[8] + shift * jnp.maximum(1 + side[1] - side[7], 0))
    return *joined, lost, moment


def _on_accelerator(axis_name: AxisName, a: Array, b: Array) -> tuple[Array, Both, Array]:
    lost = ((a != -jnp.inf) & (b == -jnp.inf)).astype(a.dtype)
    states = reduce_states(_join, (*single_pair(a, b, (0,)), lost, jnp.zeros_like(a)), _NOTHING)
    states = join_shards(_join, states, _NOTHING, axis_name)
    pair, start = pair_of(states[:5]), Origin(*states[5:7])
    kept = pair.a.sum - states[7]
    mean = states[8] / jnp.where(kept > 0, kept, 1)
    value = jnp.maximum(pair.entries(*start)[0] + mean, 0)
    return jnp.where(states[7] > 0, jnp.inf, value), Both(pair, start), mean


def _accurate(axis_name: AxisName, a: Array, b: Array) -> tuple[Array, Both, Array]:
    value, pair, (start, _) = kl_and_pair(axis_name, a, b)
    return value, Both(pair, start), jnp.zeros_like(value)


def _forward(axis_name: AxisName, live: tuple[int, ...], a: Array, b: Array):
    cpu, accelerator = (partial(f, axis_name) for f in (_accurate, _on_accelerator))
    value, both, mean = on(cpu, accelerator, a, b, gpu=None if 0 in live else cpu)
    return jnp.where(both.pair.a.empty, 0, value)[..., 0], (both, mean)


def _prepare(axis_name, live, statistics, a, b) -> list[Centre | Pair]:
    both, _ = statistics

    def on_cpu(statistics, a, b):
        return prepare_ratio(axis_name, (0,), statistics[0], a, b)[0]

    def on_accelerator(statistics, a, b):
        both, mean = statistics
        return Centre(both.pair.a, both.origin, mean)

    return [both.pair if i else on(on_cpu, on_accelerator, statistics, a, b) for i in live]


kl = with_slopes(_forward, (ratio_slope, difference_slope), _prepare)
