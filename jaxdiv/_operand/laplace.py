"""The Laplace distribution and its closed forms."""

import math
from typing import Any, ClassVar

import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Float

from .._estimator.rules import rule
from .._functional.entropies import Entropy
from .._functional.kl import KL
from .._special import itakura_saito, psi
from .base import field, floating
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
