"""The Chernoff information."""

from collections.abc import Callable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from .._special import expm1, psi
from .._special.base import log1p
from .base import AbstractDivergence, Pair, no_average

_STEPS = 24  # of the first 16 every other a bisection: the last are Newton's, from within 2^-8


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
    r"""$-\log \sum p^a q^{1-a}$, at the ends too."""
    shared = ~jnp.isinf(pair.r)
    log_terms = jnp.where(shared, pair.log_q + a[..., None] * pair.finite_r, -jnp.inf)
    top = pair.maximum(log_terms)
    top = jnp.where(jnp.isinf(top), 0.0, top)
    affinity = pair.total(jnp.exp(log_terms - top[..., None]))
    # Where it is near 1, what is left of it is summed instead.
    rest = pair.total(jnp.where(shared, _rest(pair, a), _alone(pair, a)))
    near, disjoint = rest < 0.5, affinity <= 0
    close = -log1p(-jnp.where(near, rest, 0.0))
    far = -jnp.log(jnp.where(disjoint, 1.0, affinity)) - top
    return jnp.where(near, close, jnp.where(disjoint, jnp.inf, far))


def _alone(pair: Pair, a: Array) -> Array:
    """$a p + (1 - a) q$, where one of them is zero."""
    a = a[..., None]
    return jnp.where(pair.p_is_zero, (1 - a) * pair.q, 0) + jnp.where(pair.q_is_zero, a * pair.p, 0)


def _rest(pair: Pair, a: Array) -> Array:
    r"""$a p + (1 - a) q - p^a q^{1-a} \ge 0$.

    With $s = |r|$ and $c$ the power of the lesser mass it is the greater one times
    $c \psi(s) - \psi(c s)$, or the same in $b = 1 - c$ for $c$ above one half.
    """
    r = pair.finite_r
    more, s = r > 0, abs(r)
    c = jnp.where(more, 1 - a[..., None], a[..., None])
    b = jnp.where(more, a[..., None], 1 - a[..., None])
    low, near = c < 0.5, s < 1
    x = jnp.where(near & ~low, s, 0.0)
    small = jnp.exp(-x) * (b * psi(-x) - psi(-b * x))
    large = jnp.exp(-c * s) * expm1(-b * s) - b * expm1(-s)
    part = jnp.where(low, c * psi(s) - psi(c * s), jnp.where(near, small, large))
    return jnp.where(more, pair.p, pair.q) * part


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
    r"""$A - B$, or $\log A - \log B$ where both are small: increasing in $a$; and its slope.

    $A$ and $B$ are the sums of $p^a q^{1-a} |r|$ over the outcomes with $p > q$ and with $p < q$:
    the exponent is stationary where they are equal.
    """
    r = pair.finite_r
    more, s = r > 0, abs(r)
    rate = jnp.where(more, 1 - a[..., None], a[..., None])
    some = s > 0
    log_mass = jnp.where(some, jnp.where(more, pair.log_p, pair.log_q), 0.0)
    log_terms = log_mass - rate * s + jnp.log(jnp.where(some, s, 1.0))
    (log_a, rise_a), (log_b, rise_b) = (
        _log_sum(pair, log_terms, s, some & side) for side in (more, ~more)
    )
    # A - B, less the terms of first order in r: of these remains what stands on one support alone.
    mass = jnp.where(more, pair.p, pair.q)
    sign = jnp.where(more, 1.0, jnp.where(some, -1.0, 0.0))
    alone = jnp.where(pair.p_is_zero, pair.q, 0.0) - jnp.where(pair.q_is_zero, pair.p, 0.0)
    apart = pair.total(sign * mass * (psi(s) + s * expm1(-rate * s)) + alone)
    none_a, none_b = jnp.isinf(log_a), jnp.isinf(log_b)
    sum_a = jnp.where(none_a, 0.0, jnp.exp(jnp.where(none_a, 0.0, log_a)))
    sum_b = jnp.where(none_b, 0.0, jnp.exp(jnp.where(none_b, 0.0, log_b)))
    rounding = pair.total(jnp.where(s < 1, 0.0, mass * s))  # of `apart`, in its own units
    # Between masses of one support both are there, but for what rounding has left of tiny ones.
    one_support = pair.maximum(jnp.isinf(pair.r).astype(r.dtype)) == 0
    near = (rounding < 16 * (sum_a + sum_b)) | (one_support & (none_a | none_b))
    none = (none_a & none_b) | near
    far = jnp.where(none, 0.0, log_a) - jnp.where(none, 0.0, log_b)
    slope = jnp.where(near, rise_a * sum_a + rise_b * sum_b, rise_a + rise_b)
    return jnp.where(near, apart, far), slope


def _log_sum(pair: Pair, log_terms: Array, s: Array, side: Array) -> tuple[Array, Array]:
    """The logarithm of a sum of exponentials, and the mean of `s` under its terms."""
    log_terms = jnp.where(side, log_terms, -jnp.inf)
    top = pair.maximum(log_terms)
    empty = jnp.isinf(top)
    terms = jnp.exp(log_terms - jnp.where(empty, 0.0, top)[..., None])
    total = jnp.where(empty, 1.0, pair.total(terms))
    return jnp.where(empty, -jnp.inf, jnp.log(total) + top), pair.total(s * terms) / total


def maximise(slopes: Callable[[Array], tuple[Array, Array]], like: Array) -> Array:
    """The zero in [0, 1] of an increasing function, given with its slope; else the nearer end."""

    def step(i, state):
        low, high, a = state
        value, slope = slopes(a)
        low, high = jnp.where(value <= 0, a, low), jnp.where(value >= 0, a, high)
        newton = jnp.clip(a - value / jnp.where(slope > 0, slope, 1.0), low, high)
        middle = (i < 16) & (i % 2 == 1) | (slope <= 0)
        to = jnp.where(middle, 0.5 * (low + high), newton)
        return low, high, jnp.where(value == 0, a, to)

    zero = jnp.zeros_like(like)
    _, _, a = lax.fori_loop(0, _STEPS, step, (zero, zero + 1, zero + 0.5))
    return jnp.where(slopes(zero)[0] > 0, 0.0, jnp.where(slopes(zero + 1)[0] < 0, 1.0, a))


def largest_exponent(renyi: Callable[..., Array], *parameters: Any) -> Array:
    r"""$\max_a (1 - a) R_a$ over [0, 1] from `renyi(a, *parameters)`, the Renyi divergences."""

    def slope(a: Array, *at: Any) -> Array:
        return -jax.jvp(lambda a: (1 - a) * renyi(a, *at), (a,), (jnp.ones_like(a),))[1]

    def slopes(a: Array, *at: Any) -> tuple[Array, Array]:
        return jax.jvp(lambda a: slope(a, *at), (a,), (jnp.ones_like(a),))

    # Held fixed from the start: the search is not differentiated, then, only to be left out.
    fixed = jax.tree.map(lax.stop_gradient, parameters)
    best = maximise(lambda a: slopes(a, *fixed), jnp.zeros_like(renyi(0.5, *fixed)))
    curvature = slopes(best, *fixed)[1]
    # One more Newton step, of no length: its derivative is that of the maximum's place.
    inside = (curvature > 0) & (best > 0) & (best < 1)
    value = slope(best, *parameters)
    best = best - (value - lax.stop_gradient(value)) / jnp.where(inside, curvature, jnp.inf)
    return (1 - best) * renyi(best, *parameters)
