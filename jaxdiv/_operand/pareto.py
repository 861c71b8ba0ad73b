"""The Pareto distribution and its closed forms."""

import math
from typing import Any, ClassVar

import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float

from .._estimator.rules import rule
from .._functional.chernoff import ChernoffInformation, largest_exponent
from .._functional.entropies import Entropy
from .._functional.kl import KL
from .._functional.renyi import Renyi, is_static
from .._special import expm1, itakura_saito, log_ratio
from .base import Pieces, field, floating
from .exponential import renyi_of_rates
from .statistics import Distance, Log, Power
from .univariate import AbstractContinuous, Shifted


class Pareto(AbstractContinuous):
    r"""Density $a s^a / x^{a+1}$ above $s$.

    Its scale bounds the support: KL is infinite where that of P is the lesser, with gradient 0.

    Args:
        scale: $s > 0$, the least outcome.
        concentration: $a > 0$; moments of order $a$ and above are infinite.

    Example:
        >>> import jaxdiv as jd
        >>> print(f"{jd.kl(jd.Pareto(2.0, 1.0), jd.Pareto(1.0, 1.0)):.6f}")
        0.693147
    """

    scale: Float[Any, "..."] = field(constraint="positive")
    concentration: Float[Any, "..."] = field(constraint="positive")
    reparameterized: ClassVar[bool] = True

    @property
    def support(self):
        return self.parameters()[0], math.inf

    @property
    def mean(self):
        scale, a = self.parameters()
        return jnp.where(a > 1, scale * a / jnp.where(a > 1, a - 1, 1.0), jnp.inf)

    @property
    def variance(self):
        scale, a = self.parameters()
        b = jnp.where(a > 2, a, 3.0)
        return jnp.where(a > 2, (scale / (b - 1)) ** 2 * b / (b - 2), jnp.inf)

    def log_prob(self, x):
        x, scale, a = floating(x, self.scale, self.concentration)
        inside = x >= scale
        y = jnp.where(inside, x, scale)
        return jnp.where(inside, jnp.log(a) - a * log_ratio(y, scale) - jnp.log(y), -jnp.inf)

    def sample(self, key, shape=()):
        scale, a = self.parameters()
        draws = jr.exponential(key, (*shape, *self.batch_shape), scale.dtype)
        return scale * jnp.exp(draws / a)

    def translate(self, by):
        return Shifted(self, -jnp.asarray(by))

    def pieces(self):
        scale, a = self.parameters()
        steps = 2.0 ** jnp.arange(-3, 40, dtype=scale.dtype)
        points = scale + jnp.multiply.outer(steps, scale / a)
        return Pieces(
            scale[None, ..., None], (scale / a)[None, ..., None, None], points[..., None], True
        )


@rule(KL, Pareto, Pareto)
def _(functional, p, q):
    scale_p, a_p, scale_q, a_q = floating(p.scale, p.concentration, q.scale, q.concentration)
    inside = scale_p >= scale_q
    higher = log_ratio(jnp.where(inside, scale_p, scale_q), scale_q)
    return jnp.where(inside, a_q * higher + itakura_saito(a_q, a_p), jnp.inf)


@rule(Renyi, Pareto, Pareto)
def _(functional, p, q):
    return _renyi(functional.order, *_parameters(p, q))


@rule(ChernoffInformation, Pareto, Pareto)
def _(functional, p, q):
    return largest_exponent(_renyi, *_parameters(p, q))


def _parameters(p: Pareto, q: Pareto) -> list[Array]:
    return jnp.broadcast_arrays(*floating(p.scale, p.concentration, q.scale, q.concentration))


def _renyi(order: Any, scale_p: Array, a_p: Array, scale_q: Array, a_q: Array) -> Array:
    """Of the logarithms over the common support, exponential ones; and what that leaves out."""
    gap = a_p - a_q
    shapes = renyi_of_rates(order, log_ratio(a_p, a_q, gap), gap / a_q, -gap / a_p)
    inside = scale_p >= scale_q
    rise = log_ratio(scale_p, scale_q)
    if is_static(order, math.inf):
        return jnp.where(inside, a_q * rise + shapes, jnp.inf)
    order = jnp.asarray(order, gap.dtype)
    some = inside | (order < 1)
    outside = order / jnp.where(order < 1, 1 - order, 1.0) * -a_p * rise
    shapes = jnp.where(some, shapes, jnp.inf)
    return shapes + jnp.where(inside, a_q * rise, jnp.where(some, outside, 0.0))


@rule(Entropy, Pareto)
def _(functional, p):
    scale, a = p.parameters()
    return jnp.log(scale) - jnp.log(a) + 1 / a + 1


@rule(Log, Pareto)
def _(statistic, p):
    scale, a = p.parameters()
    return jnp.log(scale) + 1 / a


@rule(Power, Pareto)
def _(statistic, p):
    scale, a, k = floating(p.scale, p.concentration, statistic.exponent)
    finite = k < a
    value = scale**k * a / jnp.where(finite, a - k, 1.0)
    return jnp.where(finite, value, jnp.inf)


@rule(Distance, Pareto)
def _(statistic, p):
    """Twice the integral of the distribution function up to the point, and what that leaves."""
    scale, a, m = floating(p.scale, p.concentration, statistic.point)
    finite, above = a > 1, m > scale
    rest = jnp.where(finite, a - 1, 1.0)
    log_m = jnp.log(jnp.where(above, m / scale, 1.0))
    below = jnp.where(above, m - scale, 0.0) + scale * expm1(-rest * log_m) / rest
    return jnp.where(finite, scale * (1 + 1 / rest) - m + 2 * below, jnp.inf)
