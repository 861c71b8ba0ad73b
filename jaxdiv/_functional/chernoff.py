"""The Chernoff information."""

from collections.abc import Callable
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from .._special import expm1, psi
from .base import AbstractDivergence, Pair, no_average
from .renyi import renyi_of, renyi_of_support

_STEPS = 24  # every third a bisection: the others are Newton's, from within 2^-8


class ChernoffInformation(AbstractDivergence):
    r"""$C(P, Q) = \max_{0 \le a \le 1} -\log \sum p^a q^{1-a}$ (Chernoff 1952), in nats.

    The best exponent of the error in telling $P$ from $Q$. Symmetric; at least the Bhattacharyya
    distance, whose exponent is one half. Infinite for disjoint supports.

    Example:
        >>> import jaxdiv as jd
        >>> print(f"{jd.chernoff_information(jd.Normal(0.0, 1.0), jd.Normal(2.0, 1.0)):.3f}")
        0.500
    """

    logarithmic: ClassVar[bool] = True
    additive: ClassVar[bool] = False
    linear_in_r: ClassVar[bool] = False
    needs_normalized: ClassVar[bool] = True

    def integrate(self, pair):
        return _value(pair)

    def terms(self, draws):
        raise no_average(self)

    def reverse_terms(self, draws):
        return None

    def link(self, mean):
        return mean

    def compose(self, evaluate, *operands):
        return None


@jax.custom_jvp
def _value(pair: Pair) -> Float[Array, "*batch"]:
    return _exponent(pair, _best(pair))


@_value.defjvp
def _(primals, tangents):
    # The envelope theorem: at its maximum the exponent's own change counts nothing.
    (pair,) = primals
    best = _best(pair)
    return jax.jvp(lambda pair: _exponent(pair, best), primals, tangents)


def _exponent(pair: Pair, a: Array) -> Array:
    inside = (a > 0) & (a < 1)
    between = jnp.where(inside, a, 0.5)
    at_end = jnp.where(a <= 0, renyi_of_support(pair), renyi_of_support(pair.swapped))
    return jnp.where(inside, (1 - between) * renyi_of(pair, between), at_end)


@jax.custom_jvp
def _best(pair: Pair) -> Float[Array, "*batch"]:
    return maximise(lambda a: _slopes(pair, a), jnp.zeros_like(pair.p[..., 0]))


@_best.defjvp
def _(primals, tangents):
    (pair,) = primals
    best = _best(pair)
    _, curvature = _slopes(pair, best)
    _, change = jax.jvp(lambda pair: _slopes(pair, best)[0], primals, tangents)
    inside = (curvature > 0) & (best > 0) & (best < 1)
    return best, -jnp.where(inside, change / jnp.where(inside, curvature, 1.0), 0.0)


def _slopes(pair: Pair, a: Array) -> tuple[Array, Array]:
    r"""$\sum p^a q^{1-a} r$ and $\sum p^a q^{1-a} r^2$: the slope in $a$ and its own, reversed.

    The terms of first order in `r` sum to what stands on one support alone, and are left out.
    """
    r = pair.finite_r
    more, s = r > 0, abs(r)
    mass = jnp.where(more, pair.p, pair.q)
    rate = jnp.where(more, 1 - a[..., None], a[..., None])
    slope = jnp.where(more, 1.0, -1.0) * mass * (psi(s) + s * expm1(-rate * s))
    alone = jnp.where(pair.p_is_zero, pair.q, 0.0) - jnp.where(pair.q_is_zero, pair.p, 0.0)
    return pair.total(slope + alone), pair.total(mass * s * s * jnp.exp(-rate * s))


def maximise(slopes: Callable[[Array], tuple[Array, Array]], like: Array) -> Array:
    """The zero in [0, 1] of an increasing function, given with its slope; else the nearer end."""

    def step(i, state):
        low, high, a = state
        value, slope = slopes(a)
        low, high = jnp.where(value <= 0, a, low), jnp.where(value >= 0, a, high)
        to = a - value / jnp.where(slope > 0, slope, 1.0)
        newton = (slope > 0) & (to > low) & (to < high) & (i % 3 != 2)
        return low, high, jnp.where(value == 0, a, jnp.where(newton, to, 0.5 * (low + high)))

    zero = jnp.zeros_like(like)
    _, _, a = lax.fori_loop(0, _STEPS, step, (zero, zero + 1, zero + 0.5))
    return jnp.where(slopes(zero)[0] > 0, 0.0, jnp.where(slopes(zero + 1)[0] < 0, 1.0, a))
