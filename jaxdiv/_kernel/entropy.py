"""Entropy of a row of logits, and the cross-entropy of integer labels."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from .reduction import AxisName, blocks, join_shards, on, reduce_states, total, two_totals
from .rows import (
    NOTHING,
    Row,
    below,
    class_index,
    finished,
    gap_below_top,
    join,
    row,
    single,
    states_of_weights,
    states_on_cpu,
)
from .rules import as_they_are, from_statistics, with_slopes
from .softmax import softmax, softmax_tangent

# Entropy.


class _Spread(NamedTuple):
    row: Row
    mean: Float[Array, "*batch 1"]
    """the mean of max z - z"""


def _spread_on_cpu(axis_name: AxisName, z: Array) -> _Spread:
    a = row(z, axis_name)

    def terms(a, z):
        gap, _, weight = a.gap(z)
        return weight * jnp.where(weight == 0, 0, -gap), weight

    return _Spread(a, two_totals(terms, axis_name, a, z)[0] / a.sum)


def _spread_on_accelerator(axis_name: AxisName, z: Array) -> _Spread:
    states = reduce_states(_join_spreads, (*single(z), jnp.zeros_like(z)), (*NOTHING, 0.0))
    top, others, moment = join_shards(_join_spreads, states, (*NOTHING, 0.0), axis_name)
    a = finished(top, others)
    return _Spread(a, moment / a.sum)


def _join_spreads(u: tuple[Array, ...], v: tuple[Array, ...]) -> tuple[Array, ...]:
    """And the sum of (top - z) exp(z - top)."""
    top, others = join(u[:2], v[:2])
    first = u[0] >= v[0]
    more, less = jnp.where(first, u[2], v[2]), jnp.where(first, v[2], u[2])
    drop, low = below(jnp.minimum(u[0], v[0]), top)
    scale = jnp.exp(drop) * (1 + low)
    lower = 1 + jnp.where(first, v[1], u[1])
    return top, others, more + scale * (less - jnp.where(scale == 0, 0, drop) * lower)


def _entropy(axis_name: AxisName, live: tuple[int, ...], z: Array) -> tuple[Array, _Spread]:
    on_cpu, elsewhere = (
        partial(_spread_on_cpu, axis_name),
        partial(_spread_on_accelerator, axis_name),
    )
    spread = on(on_cpu, elsewhere, z)
    return (spread.row.log_sum + spread.mean)[..., 0], spread


def _entropy_slope_definition(axis_name, z):
    p, e = softmax(axis_name, z), gap_below_top(axis_name, z)
    return -p * (e - total(p * e, axis_name))


@from_statistics(_entropy_slope_definition)
def _entropy_slope(axis_name: AxisName, spread: _Spread, z: Array) -> Array:
    gap, _, weight = spread.row.gap(z)
    return -weight / spread.row.sum * (jnp.where(z == -jnp.inf, 0, gap) + spread.mean)


entropy = with_slopes(_entropy, (_entropy_slope,), as_they_are)


# Cross-entropy of integer labels.


class _Labelled(NamedTuple):
    row: Row
    rest: Float[Array, "*batch 1"]
    """1 less the probability of the label"""


def _index(y: Array) -> Array:
    index = y.astype(jnp.int32)
    return jnp.where(index.astype(y.dtype) == y, index, -1)[..., None]  # an int64 may have wrapped


def _labelled_on_cpu(
    axis_name: AxisName, live: tuple[int, ...], index: Array, z: Array
) -> tuple[Array, ...]:
    local = index if axis_name is None else index - lax.axis_index(axis_name) * z.shape[-1]
    here = (local >= 0) & (local < z.shape[-1])
    found = jnp.take_along_axis(z, jnp.where(here, local, 0), -1)
    # The array of the gradient holds the weights before.
    shared = live and axis_name is None and blocks(z).shape[-2] == 1
    states = states_of_weights(z) if shared else states_on_cpu(z)
    return *states, jnp.where(here, found, 0)


def _labelled_on_accelerator(axis_name: AxisName, index: Array, z: Array) -> tuple[Array, ...]:
    found = jnp.where(class_index(z.shape, axis_name) == index, z, 0)
    return reduce_states(_join_labelled, (*single(z), found), (*NOTHING, 0.0))


def _join_labelled(u: tuple[Array, ...], v: tuple[Array, ...]) -> tuple[Array, ...]:
    """And the entry at the label."""
    return *join(u[:2], v[:2]), u[2] + v[2]


def _label_loss(
    axis_name: AxisName, live: tuple[int, ...], y: Array, z: Array
) -> tuple[Array, _Labelled]:
    index = _index(y)
    on_cpu = partial(_labelled_on_cpu, axis_name, live)
    states = on(on_cpu, partial(_labelled_on_accelerator, axis_name), index, z)
    top, others, found = join_shards(_join_labelled, states, (*NOTHING, 0.0), axis_name)
    a = finished(top, others)
    shards = 1 if axis_name is None else lax.axis_size(axis_name)
    at_label = jnp.where((index >= 0) & (index < shards * z.shape[-1]), found, jnp.nan)
    gap, _, weight = a.gap(at_label)
    rest = jnp.where(gap == 0, a.others, a.sum - weight) / a.sum
    return (a.log_sum - gap)[..., 0], _Labelled(a, rest)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _excess(axis_name, y, z):
    """p, less 1 at the label."""
    return _label_slope(axis_name, _label_loss(axis_name, (), y, z)[1], y, z)


@_excess.defjvp
def _(axis_name, primals, tangents):
    (_, z), (_, dz) = primals, tangents
    return _excess(axis_name, *primals), softmax_tangent(axis_name, z, dz)


@from_statistics(_excess)
def _label_slope(axis_name: AxisName, labelled: _Labelled, y: Array, z: Array) -> Array:
    one = class_index(z.shape, axis_name) == _index(y)
    return jnp.where(one, -labelled.rest, labelled.row.probability(z))


label_loss = with_slopes(_label_loss, (_label_slope, _label_slope), as_they_are, shared_on_cpu=True)
