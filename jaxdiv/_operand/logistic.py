"""The logistic distribution."""

import math
from typing import Any, ClassVar

import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Float

from .._estimator.rules import rule
from .._functional.entropies import Entropy
from .._special import log_gamma, softplus
from .base import field, floating
from .statistics import Distance, Exp
from .univariate import AbstractLocationScale


class Logistic(AbstractLocationScale):
    r"""Density $e^{-z} / s(1 + e^{-z})^2$, $z = (x - \mu)/s$, on the line.

    No closed form is known between two of them, but for the entropy.

    Args:
        loc: the mean $\mu$.
        scale: $s > 0$; the variance is $\pi^2 s^2/3$.

    Example:
        >>> import jaxdiv as jd
        >>> print(f"{jd.entropy(jd.Logistic(0.0, 1.0)):.6f}")
        2.000000
    """

    loc: Float[Any, "..."] = field()
    scale: Float[Any, "..."] = field(constraint="positive")
    heavy_tails: ClassVar[bool] = False

    @property
    def mean(self):
        return self.location_scale()[0]

    @property
    def variance(self):
        return math.pi**2 / 3 * self.location_scale()[1] ** 2

    def standard_log_prob(self, z):
        return -abs(z) - 2 * softplus(-abs(z))

    def standard_sample(self, key, shape, dtype):
        return jr.logistic(key, shape, dtype)


@rule(Entropy, Logistic)
def _(functional, p):
    return jnp.log(p.location_scale()[1]) + 2


@rule(Exp, Logistic)
def _(statistic, p):
    loc, scale, t = floating(p.loc, p.scale, statistic.rate)
    x = t * scale
    finite = abs(x) < 1
    y = jnp.where(finite, x, 0.0)
    value = jnp.exp(t * loc + log_gamma(1 + y) + log_gamma(1 - y))
    return jnp.where(finite, value, jnp.inf)


@rule(Distance, Logistic)
def _(statistic, p):
    loc, scale, m = floating(p.loc, p.scale, statistic.point)
    gap = abs(loc - m)
    return gap + 2 * scale * softplus(-gap / scale)
