"""The Laplace distribution and its closed forms."""

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
from .._special import divided, itakura_saito, log_ratio, moment, phi, psi
from .base import field, floating
from .exponential import renyi_of_rates
from .statistics import Distance, Exp
from .univariate import AbstractLocationScale


class Laplace(AbstractLocationScale):
    r"""Density $e^{-|x - \mu|/b} / 2b$ on the line.

    Args:
        loc: the mean $\mu$.
        scale: $b > 0$; the variance is $2 b^2$.

    Example:
        >>> import jaxdiv as jd
        >>> print(f"{jd.kl(jd.Laplace(0.0, 1.0), jd.Laplace(1.0, 1.0)):.6f}")
        0.367879
    """

    loc: Float[Any, "..."] = field()
    scale: Float[Any, "..."] = field(constraint="positive")
    heavy_tails: ClassVar[bool] = False

    @property
    def mean(self):
        return self.location_scale()[0]

    @property
    def variance(self):
        return 2 * self.location_scale()[1] ** 2

    def standard_log_prob(self, z):
        return -abs(z) - math.log(2.0)

    def standard_sample(self, key, shape, dtype):
        return jr.laplace(key, shape, dtype)


@rule(KL, Laplace, Laplace)
def _(functional, p, q):
    loc_p, scale_p, loc_q, scale_q = floating(p.loc, p.scale, q.loc, q.scale)
    apart = scale_p / scale_q * psi(abs(loc_p - loc_q) / scale_p)
    return apart + itakura_saito(scale_p, scale_q)


@rule(Renyi, Laplace, Laplace)
def _(functional, p, q):
    return _renyi(functional.order, *_parameters(p, q))


@rule(ChernoffInformation, Laplace, Laplace)
def _(functional, p, q):
    return largest_exponent(_renyi, *_parameters(p, q))


def _parameters(p: Laplace, q: Laplace) -> list[Array]:
    """How far they are apart, and the scales."""
    loc_p, scale_p, loc_q, scale_q = floating(p.loc, p.scale, q.loc, q.scale)
    gap = loc_p - loc_q
    # Not the absolute value: at 0, where this is smooth, its second derivative is that of a kink.
    gap = jnp.where(gap >= 0, gap, -gap)
    return jnp.broadcast_arrays(gap, scale_p, scale_q)


def _renyi(order: Any, gap: Array, scale_p: Array, scale_q: Array) -> Array:
    r"""As if at one place, which is as between exponential distributions, and what the gap adds.

    With $x = \alpha g/b_p$ and $y = (1 - \alpha) g/b_q$ that is a factor of
    $(x e^{-y} - y e^{-x})/(x - y)$ on $\int p^\alpha q^{1-\alpha}$.
    """
    wider = scale_q - scale_p
    scales = renyi_of_rates(
        order, log_ratio(scale_q, scale_p, wider), wider / scale_p, -wider / scale_q
    )
    if is_static(order, 0.0):
        return scales
    if is_static(order, math.inf):
        return scales + gap / scale_q
    order = jnp.asarray(order, gap.dtype)
    finite = scales < jnp.inf
    beta, gap = 1 - order, jnp.where(finite, gap, 0.0)
    x, y = order * gap / scale_p, beta * gap / scale_q
    first = x < y
    # The lesser of them, y say, as a multiple of beta.
    share = jnp.where(first, x / jnp.where(first, beta, 1.0), gap / scale_q)
    apart = jnp.where(first, y - x, x - y)
    near = moment(0, -apart)
    # -log of the factor is y - log(1 + y m), m = (1 - e^{-(x - y)})/(x - y) <= 1.
    rest = share * apart * (near - moment(1, -apart))
    return scales + rest + divided(phi, share * near, beta, (0.0, 1 / 2, -1 / 3, 1 / 4))


@rule(Entropy, Laplace)
def _(functional, p):
    return jnp.log(p.location_scale()[1]) + (1 + math.log(2.0))


@rule(Exp, Laplace)
def _(statistic, p):
    loc, scale, t = floating(p.loc, p.scale, statistic.rate)
    square = (t * scale) ** 2
    finite = square < 1
    value = jnp.exp(t * loc) / (1 - jnp.where(finite, square, 0.0))
    return jnp.where(finite, value, jnp.inf)


@rule(Distance, Laplace)
def _(statistic, p):
    loc, scale, m = floating(p.loc, p.scale, statistic.point)
    gap = abs(loc - m)
    return gap + scale * jnp.exp(-gap / scale)
