"""Entropy of a row of logits, and the cross-entropy of integer labels."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from .reduction import AxisName, on, total, two_totals
from .rows import Row, class_index, gap_below_top, row
from .rules import as_they_are, from_statistics, with_slopes
from .softmax import softmax, softmax_tangent

# Entropy.


class _Spread(NamedTuple):
    row: Row
    mean: Float[Array, "*batch 1"]
    """the mean of max z - z"""


def _entropy(axis_name: AxisName, z: Array) -> tuple[Array, _Spread]:
    a = row(z, axis_name)

    def terms(a, z):
        gap, _, weight = a.gap(z)
        return weight * jnp.where(weight == 0, 0, -gap), weight

    mean = two_totals(terms, axis_name, a, z)[0] / a.sum
    return (a.log_sum + mean)[..., 0], _Spread(a, mean)


def _entropy_slope_definition(axis_name, z):
    p, e = softmax(axis_name, z), gap_below_top(axis_name, z)
    return -p * (e - total(p * e, axis_name))


@from_statistics(_entropy_slope_definition)
def _entropy_slope(axis_name: AxisName, spread: _Spread, z: Array) -> Array:
    gap, _, weight = spread.row.gap(z)
    return -weight / spread.row.sum * (jnp.where(z == -jnp.inf, 0, gap) + spread.mean)


entropy = with_slopes(_entropy, (_entropy_slope,), (as_they_are,))


# Cross-entropy of integer labels.


class _Labelled(NamedTuple):
    row: Row
    rest: Float[Array, "*batch 1"]
    """1 less the probability of the label"""


def _index(y: Array) -> Array:
    index = y.astype(jnp.int32)
    return jnp.where(index.astype(y.dtype) == y, index, -1)[..., None]  # an int64 may have wrapped


def _at_label(axis_name: AxisName, y: Array, z: Array) -> Array:
    """The entry of `z` at the label; NaN where there is none."""

    def gathered(index, z):
        local = index if axis_name is None else index - lax.axis_index(axis_name) * z.shape[-1]
        here = (local >= 0) & (local < z.shape[-1])
        found = jnp.take_along_axis(z, jnp.where(here, local, 0), -1)
        return jnp.where(here, found, 0), here.astype(z.dtype)

    def compared(index, z):
        one = class_index(z.shape, axis_name) == index
        found = jnp.sum(jnp.where(one, z, 0), -1, keepdims=True)
        return found, jnp.sum(one.astype(z.dtype), -1, keepdims=True)

    found, here = on(gathered, compared, _index(y), z)
    if axis_name is not None:
        found, here = lax.psum((found, here), axis_name)
    return jnp.where(here > 0, found, jnp.nan)


def _label_loss(axis_name: AxisName, y: Array, z: Array) -> tuple[Array, _Labelled]:
    a, at_label = row(z, axis_name), _at_label(axis_name, y, z)
    gap, _, weight = a.gap(at_label)
    rest = jnp.where(gap == 0, a.others, a.sum - weight) / a.sum
    return (a.log_sum - gap)[..., 0], _Labelled(a, rest)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _excess(axis_name, y, z):
    """p, less 1 at the label."""
    return _label_slope(axis_name, _label_loss(axis_name, y, z)[1], y, z)


@_excess.defjvp
def _(axis_name, primals, tangents):
    (_, z), (_, dz) = primals, tangents
    return _excess(axis_name, *primals), softmax_tangent(axis_name, z, dz)


@from_statistics(_excess)
def _label_slope(axis_name: AxisName, labelled: _Labelled, y: Array, z: Array) -> Array:
    one = class_index(z.shape, axis_name) == _index(y)
    return jnp.where(one, -labelled.rest, labelled.row.probability(z))


label_loss = with_slopes(_label_loss, (_label_slope, _label_slope), (as_they_are, as_they_are))
