"""The statistics of a row of logits, and its entries relative to them."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

from .._special.base import log1p
from .reduction import (
    AxisName,
    blocks,
    join_shards,
    largest,
    largest_on_cpu,
    on,
    reduce_states,
    total,
    two_sums_on_cpu,
)


def class_index(shape: tuple[int, ...], axis_name: AxisName) -> Array:
    """The index of each class, counted over all shards."""
    index = lax.broadcasted_iota(jnp.int32, shape, len(shape) - 1)
    return index if axis_name is None else index + lax.axis_index(axis_name) * shape[-1]


def two_difference(x: Array, y: Array) -> tuple[Array, Array]:
    """`x - y` and its rounding error, exactly (Knuth's TwoSum); the error is 0 where x is -inf."""
    d = x - y
    z = d - x
    return d, jnp.where(x == -jnp.inf, 0, (x - (d - z)) - (y + z))


class Row(NamedTuple):
    """What is known of a row after it was read. Nothing in it is differentiated."""

    top: Float[Array, "*batch 1"]
    """the largest entry; -inf in an empty row"""
    others: Float[Array, "*batch 1"]
    """exp(z - top), summed over all but one top class: exact digits at a point mass; 0 if empty"""

    @property
    def empty(self) -> Bool[Array, "*batch 1"]:
        return self.top == -jnp.inf

    @property
    def sum(self) -> Float[Array, "*batch 1"]:
        """The normaliser relative to the top; 1 for an empty row."""
        return 1 + self.others

    @property
    def log_sum(self) -> Float[Array, "*batch 1"]:
        return log1p(self.others)

    def gap(self, z: Float[Array, "*batch v"]) -> tuple[Array, Array, Array]:
        """`z - top`, its rounding error, and its exponential."""
        gap, low = two_difference(z, jnp.where(self.empty, 0, self.top))
        weight = jnp.exp(gap)
        # At a gap of 80 the rounding of z - top alone would cost 30 ulp of the exponential.
        return gap, low, weight + weight * low

    def probability(self, z: Float[Array, "*batch v"]) -> Float[Array, "*batch v"]:
        """By division: exp(z - logsumexp) would lose |z| ulps."""
        return self.gap(z)[2] / self.sum


NOTHING = (-jnp.inf, -1.0)


def single(z: Array) -> tuple[Array, Array]:
    """The state of one entry: nothing where it is masked."""
    return z, -(z == -jnp.inf).astype(z.dtype)


def join(u: tuple[Array, ...], v: tuple[Array, ...]) -> tuple[Array, ...]:
    """The online softmax: top and others of two parts of a row."""
    first = u[0] >= v[0]
    top = jnp.maximum(u[0], v[0])
    drop, low = below(jnp.minimum(u[0], v[0]), top)
    more, less = jnp.where(first, u[1], v[1]), jnp.where(first, v[1], u[1])
    return top, more + (1 + less) * (jnp.exp(drop) * (1 + low))


def join_coarsely(u: tuple[Array, ...], v: tuple[Array, ...]) -> tuple[Array, ...]:
    """`join` without the rounding error of how far the tops are apart."""
    first = u[0] >= v[0]
    top = jnp.maximum(u[0], v[0])
    drop = jnp.minimum(u[0], v[0]) - jnp.maximum(top, jnp.finfo(top.dtype).min)
    more, less = jnp.where(first, u[1], v[1]), jnp.where(first, v[1], u[1])
    return top, more + (1 + less) * jnp.exp(drop)


def below(x: Array, top: Array) -> tuple[Array, Array]:
    """`two_difference`, 0 where both are -inf."""
    nothing = top == -jnp.inf
    return two_difference(jnp.where(nothing, 0, x), jnp.where(nothing, 0, top))


def coarse_states_on_cpu(z: Array) -> tuple[Array, ...]:
    """Without the digits of the others at a point mass."""
    return _join_blocks(*coarse_states_of_blocks(blocks(z)))


def coarse_states_of_blocks(z: Float[Array, "*batch block w"]) -> tuple[Array, ...]:
    """Those of each block."""
    top = jnp.max(z, -1, keepdims=True)
    # A sum of operations that its library has, which a comparison is not.
    others = jnp.sum(jnp.exp(z - jnp.maximum(top, jnp.finfo(z.dtype).min)), -1) - 1
    return top[..., 0], others


def states_on_cpu(z: Array) -> tuple[Array, ...]:
    z = blocks(z)
    top = jnp.max(z, -1, keepdims=True)

    def terms(top, z):
        gap, _, weight = Row(top, top).gap(z)
        is_top = gap == 0
        return jnp.where(is_top, 0, weight), is_top.astype(z.dtype)

    others, ties = two_sums_on_cpu(terms, top, z)
    return _join_blocks(top[..., 0], others + (ties - 1))


def states_of_weights(z: Array) -> tuple[Array, ...]:
    """`states_on_cpu`, of exponentials that are written out."""
    top = jnp.max(z, -1, keepdims=True)

    def terms(_, weight):
        is_top = weight >= 1
        return jnp.where(is_top, 0, weight), is_top.astype(z.dtype)

    others, ties = two_sums_on_cpu(terms, None, Row(top, top).gap(z)[2])
    return top, (others + (ties - 1))[..., None]


def _join_blocks(*states: Array) -> tuple[Array, ...]:
    return states if states[0].shape[-1] == 1 else reduce_states(join, states, NOTHING)


def _states(z: Array) -> tuple[Array, ...]:
    return reduce_states(join, single(z), NOTHING)


def row(z: Float[Array, "*batch v"], axis_name: AxisName) -> Row:
    """Top and others of each row, in one round."""
    states = join_shards(join, on(states_on_cpu, _states, z), NOTHING, axis_name)
    return finished(*states)


def finished(top: Array, others: Array) -> Row:
    return Row(top, jnp.where(top == -jnp.inf, 0, others))


def centred(
    x: Float[Array, "*batch v"], key: Float[Array, "*batch v"], axis_name: AxisName
) -> Float[Array, "*batch v"]:
    """`x` minus its entry where `key` is largest (its mean over ties); 0 where `key` is -inf."""
    top = key == largest(key, axis_name)
    ties = total(top.astype(x.dtype), axis_name)
    return jnp.where(key == -jnp.inf, 0, x - total(jnp.where(top, x, 0), axis_name) / ties)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def gap_below_top(axis_name: AxisName, z: Float[Array, "*batch v"]) -> Float[Array, "*batch v"]:
    """`z` minus its maximum; 0 where masked."""
    return jnp.where(z == -jnp.inf, 0, z - largest(z, axis_name))


@gap_below_top.defjvp
def _(axis_name, primals, tangents):
    (z,), (dz,) = primals, tangents
    return gap_below_top(axis_name, z), centred(dz, z, axis_name)


class Origin(NamedTuple):
    """The largest entry of `a` among the outcomes that `b` has too, and the entry of `b` there."""

    a: Float[Array, "*batch 1"]
    b: Float[Array, "*batch 1"]


def _shared(a, b):
    """`a`, and -inf where `b` is masked."""
    return jnp.where(b == -jnp.inf, -jnp.inf, a)


def origin(axis_name: AxisName, a: Array, b: Array) -> Origin:
    """-inf where nothing is shared."""
    key = _shared(a, b)
    top = largest(key, axis_name)
    return Origin(top, largest(jnp.where(key == top, b, -jnp.inf), axis_name))


def sought(axis_name: AxisName, known: Origin, a: Array, b: Array) -> Origin:
    """The origin, on a CPU only now."""

    def on_cpu(_, a: Array, b: Array) -> Origin:
        a, b = blocks(a), blocks(b)
        top = largest_on_cpu(lambda _, a, b: _shared(a, b), None, a, b)

        def at_top(top, a, b):
            return jnp.where(_shared(a, b) == top, b, -jnp.inf)

        other, nothing = largest_on_cpu(at_top, top, a, b), (-jnp.inf, -jnp.inf)
        states = reduce_states(join_origins, (top[..., 0], other[..., 0]), nothing)
        return Origin(*join_shards(join_origins, states, nothing, axis_name))

    return on(on_cpu, lambda known, *_: known, known, a, b)


def single_origin(a: Array, b: Array) -> tuple[Array, Array]:
    key = _shared(a, b)
    return key, jnp.where(key == -jnp.inf, -jnp.inf, b)


def join_origins(u: tuple[Array, ...], v: tuple[Array, ...]) -> tuple[Array, ...]:
    other = jnp.where(u[0] > v[0], u[1], v[1])
    return jnp.maximum(u[0], v[0]), jnp.where(u[0] == v[0], jnp.maximum(u[1], v[1]), other)


def ratio_from(start: Origin, a: Array, b: Array) -> Array:
    """`a - b` minus the same at the origin, relatively accurate; 0 where either is -inf."""
    high_a, low_a = two_difference(a, start.a)
    high_b, low_b = two_difference(b, start.b)
    return jnp.where(_shared(a, b) == -jnp.inf, 0, (high_a - high_b) + (low_a - low_b))


def score_from(start: Origin, a: Array, b: Array) -> Array:
    """`b` at the origin minus `b`; 0 where either is -inf."""
    return jnp.where(_shared(a, b) == -jnp.inf, 0, start.b - b)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def centred_ratio(axis_name: AxisName, a: Array, b: Array) -> Array:
    """`ratio_from` the origin: the normalisers drop out, and so do offsets."""
    return ratio_from(origin(axis_name, a, b), a, b)


@centred_ratio.defjvp
def _(axis_name, primals, tangents):
    (a, b), (da, db) = primals, tangents
    return centred_ratio(axis_name, a, b), centred(da - db, _shared(a, b), axis_name)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def centred_score(axis_name: AxisName, a: Array, b: Array) -> Array:
    """`score_from` the origin."""
    return score_from(origin(axis_name, a, b), a, b)


@centred_score.defjvp
def _(axis_name, primals, tangents):
    (a, b), (_, db) = primals, tangents
    return centred_score(axis_name, a, b), -centred(db, _shared(a, b), axis_name)
