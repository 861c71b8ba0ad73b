"""The exponential distribution and its closed forms."""

import math
from typing import Any, ClassVar

import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float

from .._estimator.rules import rule
from .._functional.chernoff import ChernoffInformation, largest_exponent
from .._functional.entropies import Entropy
from .._functional.kl import KL
from .._functional.renyi import is_static
from .._special import digamma, itakura_saito, log_gamma, log_mixture_gap
from .base import field, floating
from .exponential_family import AbstractExponentialFamily, differences
from .statistics import Distance, Exp, Log, Power
from .univariate import AbstractContinuous, Shifted, on_half_line


class Exponential(AbstractContinuous, AbstractExponentialFamily):
    r"""Density $\lambda e^{-\lambda x}$ on the positive numbers.

    Args:
        rate: $\lambda > 0$, the inverse of the mean.

    Example:
        >>> import jaxdiv as jd
        >>> print(f"{jd.kl(jd.Exponential(1.0), jd.Exponential(2.0)):.6f}")
        0.306853
    """

    rate: Float[Any, "..."] = field(constraint="positive")
    reparameterized: ClassVar[bool] = True

    @property
    def support(self):
        return 0.0, math.inf

    @property
    def mean(self):
        return 1 / self.parameters()[0]

    @property
    def variance(self):
        return 1 / self.parameters()[0] ** 2

    def log_prob(self, x):
        x, rate = floating(x, self.rate)
        return jnp.where(x >= 0, jnp.log(rate) - rate * x, -jnp.inf)

    def sample(self, key, shape=()):
        (rate,) = self.parameters()
        return jr.exponential(key, (*shape, *self.batch_shape), rate.dtype) / rate

    def translate(self, by):
        return Shifted(self, -jnp.asarray(by))

    def pieces(self):
        return on_half_line(self.mean, 4 * self.mean)

    def natural(self):
        return self.parameters()

    def statistic(self, x):
        return (-x,)

    def expectation(self):
        return (-self.mean,)

    def from_natural(self, natural):
        return Exponential(*natural)

    def natural_difference(self, other):
        return differences(self, other)

    def is_natural(self, natural):
        return natural[0] > 0

    def fisher_form(self, direction):
        return (direction[0] / self.parameters()[0]) ** 2


@rule(KL, Exponential, Exponential)
def _(functional, p, q):
    return itakura_saito(*floating(q.rate, p.rate))


def renyi_of_rates(order: Any, log_ratio: Array, t: Array, s: Array) -> Array:
    r"""Between exponential distributions of rates $a$ and $b$: of all those of images of them.

    `log_ratio` is $\log(a/b)$, `t` is $a/b - 1$ and `s` is $b/a - 1$.
    """
    if is_static(order, 0.0):  # one support
        return jnp.zeros_like(t)
    if is_static(order, math.inf):
        return jnp.where(t >= 0, jnp.where(t >= 0, log_ratio, 0.0), jnp.inf)
    order = jnp.asarray(order, t.dtype)
    finite = 1 + order * t > 0
    log_ratio, t, s = (jnp.where(finite, x, 0.0) for x in (log_ratio, t, s))
    return jnp.where(finite, log_mixture_gap(log_ratio, t, s, order), jnp.inf)


def of_rates(functional: Any, log_ratio: Array, t: Array, s: Array) -> Array:
    """The Renyi divergence, or the Chernoff information, as `renyi_of_rates`."""
    log_ratio, t, s = jnp.broadcast_arrays(log_ratio, t, s)
    if isinstance(functional, ChernoffInformation):
        return largest_exponent(renyi_of_rates, log_ratio, t, s)
    return renyi_of_rates(functional.order, log_ratio, t, s)


@rule(Entropy, Exponential)
def _(functional, p):
    return 1 - jnp.log(*p.parameters())


@rule(Log, Exponential)
def _(statistic, p):
    (rate,) = p.parameters()
    return digamma(jnp.ones_like(rate)) - jnp.log(rate)


@rule(Exp, Exponential)
def _(statistic, p):
    rate, t = floating(p.rate, statistic.rate)
    finite = t < rate
    return jnp.where(finite, rate / jnp.where(finite, rate - t, 1.0), jnp.inf)


@rule(Power, Exponential)
def _(statistic, p):
    rate, k = floating(p.rate, statistic.exponent)
    finite = k > -1
    value = jnp.exp(log_gamma(jnp.where(finite, 1 + k, 1.0)) - k * jnp.log(rate))
    return jnp.where(finite, value, jnp.inf)


@rule(Distance, Exponential)
def _(statistic, p):
    rate, m = floating(p.rate, statistic.point)
    above = jnp.maximum(m, 0.0)
    return jnp.where(m > 0, m + (2 * jnp.exp(-rate * above) - 1) / rate, 1 / rate - m)
