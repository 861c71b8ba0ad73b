"""The gamma distribution and its inverse, and their closed forms."""

import math
from typing import Any, ClassVar

import jax.numpy as jnp
import jax.random as jr
from jax.scipy.special import gammainc
from jaxtyping import Array, Float

from .._estimator.rules import rule
from .._functional.entropies import Entropy
from .._functional.kl import KL
from .._special import (
    digamma,
    itakura_saito,
    log_gamma,
    product_difference,
    shape_bregman,
    shape_curvature,
    shape_slope,
    shape_value,
)
from .base import field, floating
from .exponential_family import AbstractExponentialFamily, differences
from .statistics import Distance, Exp, Log, Power
from .univariate import AbstractContinuous, Shifted, inside_support, on_half_line


class Gamma(AbstractContinuous, AbstractExponentialFamily):
    r"""Density $b^a x^{a-1} e^{-bx} / \Gamma(a)$ on the positive numbers.

    Args:
        concentration: the shape $a > 0$.
        rate: $b > 0$, the inverse of the scale.

    Example:
        >>> import jaxdiv as jd
        >>> print(f"{jd.kl(jd.Gamma(2.0, 1.0), jd.Gamma(2.0, 2.0)):.6f}")
        0.613706
    """

    concentration: Float[Any, "..."] = field(constraint="positive")
    rate: Float[Any, "..."] = field(constraint="positive")
    reparameterized: ClassVar[bool] = True

    @property
    def support(self):
        return 0.0, math.inf

    @property
    def mean(self):
        a, b = self.parameters()
        return a / b

    @property
    def variance(self):
        a, b = self.parameters()
        return a / (b * b)

    def log_prob(self, x):
        x, a, b = floating(x, self.concentration, self.rate)
        inside, y = inside_support(x, 0.0, jnp.inf, 1.0)
        return jnp.where(inside, log_density(y, a, b), -jnp.inf)

    def sample(self, key, shape=()):
        a, b = self.parameters()
        return jnp.exp(jr.loggamma(key, a, (*shape, *a.shape), a.dtype)) / b

    def translate(self, by):
        return Shifted(self, -jnp.asarray(by))

    def pieces(self):
        a, b = self.parameters()
        return on_half_line(a / b, jnp.sqrt(a + 1) / b)

    def natural(self):
        return self.parameters()

    def statistic(self, x):
        return jnp.log(x), -x

    def expectation(self):
        a, b = self.parameters()
        return digamma(a) - jnp.log(b), -self.mean

    def from_natural(self, natural):
        return Gamma(*natural)

    def natural_difference(self, other):
        return differences(self, other)

    def is_natural(self, natural):
        return (natural[0] > 0) & (natural[1] > 0)

    def fisher_form(self, direction):
        return _fisher_form(*self.parameters(), *direction)


def log_density(x: Array, a: Array, b: Array) -> Array:
    r"""With $y = bx/a$ it is $a(\log y - y + 1) - \log x - g(a)$: right at a large $a$."""
    return -(a * itakura_saito(b * x, a) + shape_value(a) + jnp.log(x))


def _fisher_form(a: Array, b: Array, da: Array, db: Array) -> Array:
    return shape_curvature(a) * da * da + a * (da / a - db / b) ** 2


def gamma_kl(a: Array, b: Array, c: Array, d: Array) -> Array:
    """What the means cost, and what the shapes do."""
    means = itakura_saito(a * d, b * c, product_difference(a, d, b, c))
    return c * means + shape_bregman(c, a, c - a)


@rule(KL, Gamma, Gamma)
def _(functional, p, q):
    return gamma_kl(*floating(p.concentration, p.rate, q.concentration, q.rate))


def shape_entropy(a: Array) -> Array:
    return shape_value(a) + (1 - a) * shape_slope(a) + jnp.log(a)


@rule(Entropy, Gamma)
def _(functional, p):
    a, b = p.parameters()
    return shape_entropy(a) - jnp.log(b)


@rule(Log, Gamma)
def _(statistic, p):
    a, b = p.parameters()
    return digamma(a) - jnp.log(b)


@rule(Exp, Gamma)
def _(statistic, p):
    a, b, t = floating(p.concentration, p.rate, statistic.rate)
    finite = t < b
    return jnp.where(finite, jnp.exp(-a * jnp.log1p(-jnp.where(finite, t, 0.0) / b)), jnp.inf)


@rule(Power, Gamma)
def _(statistic, p):
    a, b, k = floating(p.concentration, p.rate, statistic.exponent)
    finite = a + k > 0
    log_ratio = log_gamma(jnp.where(finite, a + k, 1.0)) - log_gamma(a)
    return jnp.where(finite, jnp.exp(log_ratio - k * jnp.log(b)), jnp.inf)


@rule(Distance, Gamma)
def _(statistic, p):
    """By the distribution functions of this one and of that with one more in shape."""
    a, b, m = floating(p.concentration, p.rate, statistic.point)
    y = b * jnp.where(m > 0, m, 1.0)
    value = m * (2 * gammainc(a, y) - 1) + a / b * (1 - 2 * gammainc(a + 1, y))
    return jnp.where(m > 0, value, a / b - m)


class InverseGamma(AbstractContinuous, AbstractExponentialFamily):
    r"""The distribution of $1/X$ for $X$ of `Gamma(concentration, scale)`.

    Its density is $b^a x^{-a-1} e^{-b/x} / \Gamma(a)$.

    Args:
        concentration: the shape $a > 0$; moments of order $a$ and above are infinite.
        scale: $b > 0$.

    Example:
        >>> import jaxdiv as jd
        >>> print(f"{jd.kl(jd.InverseGamma(2.0, 1.0), jd.InverseGamma(2.0, 2.0)):.6f}")
        0.613706
    """

    concentration: Float[Any, "..."] = field(constraint="positive")
    scale: Float[Any, "..."] = field(constraint="positive")
    reparameterized: ClassVar[bool] = True

    @property
    def support(self):
        return 0.0, math.inf

    @property
    def mean(self):
        a, b = self.parameters()
        return jnp.where(a > 1, b / jnp.where(a > 1, a - 1, 1.0), jnp.inf)

    @property
    def variance(self):
        a, b = self.parameters()
        c = jnp.where(a > 2, a, 3.0)
        return jnp.where(a > 2, (b / (c - 1)) ** 2 / (c - 2), jnp.inf)

    def log_prob(self, x):
        x, a, b = floating(x, self.concentration, self.scale)
        inside, y = inside_support(x, 0.0, jnp.inf, 1.0)
        return jnp.where(inside, log_density(1 / y, a, b) - 2 * jnp.log(y), -jnp.inf)

    def sample(self, key, shape=()):
        a, b = self.parameters()
        return b * jnp.exp(-jr.loggamma(key, a, (*shape, *a.shape), a.dtype))

    def translate(self, by):
        return Shifted(self, -jnp.asarray(by))

    def pieces(self):
        a, b = self.parameters()
        return on_half_line(b / a, b / (a * jnp.sqrt(a)), heavy_tails=True)

    def natural(self):
        return self.parameters()

    def statistic(self, x):
        return -jnp.log(x), -1 / x

    def expectation(self):
        a, b = self.parameters()
        return digamma(a) - jnp.log(b), -a / b

    def from_natural(self, natural):
        return InverseGamma(*natural)

    def natural_difference(self, other):
        return differences(self, other)

    def is_natural(self, natural):
        return (natural[0] > 0) & (natural[1] > 0)

    def fisher_form(self, direction):
        return _fisher_form(*self.parameters(), *direction)


@rule(KL, InverseGamma, InverseGamma)
def _(functional, p, q):
    return gamma_kl(*floating(p.concentration, p.scale, q.concentration, q.scale))


@rule(Entropy, InverseGamma)
def _(functional, p):
    a, b = p.parameters()
    return shape_value(a) - (1 + a) * shape_slope(a) - jnp.log(a) + jnp.log(b)


@rule(Log, InverseGamma)
def _(statistic, p):
    a, b = p.parameters()
    return jnp.log(b) - digamma(a)


@rule(Power, InverseGamma)
def _(statistic, p):
    a, b, k = floating(p.concentration, p.scale, statistic.exponent)
    finite = a > k
    log_ratio = log_gamma(jnp.where(finite, a - k, 1.0)) - log_gamma(a)
    return jnp.where(finite, jnp.exp(log_ratio + k * jnp.log(b)), jnp.inf)
