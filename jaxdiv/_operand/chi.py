"""The chi and chi-squared distributions: a gamma's, of half the degrees of freedom."""

import math
from typing import Any, ClassVar

import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float

from .._estimator.rules import rule
from .._functional.entropies import Entropy
from .._functional.kl import KL
from .._special import (
    digamma,
    gamma_bregman,
    shape_slope,
    shape_value,
    trigamma,
)
from .base import field, floating
from .exponential import Exponential
from .exponential_family import AbstractExponentialFamily, differences
from .gamma import Gamma, gamma_kl, log_density, shape_entropy
from .statistics import Exp, Log, Power, mean_of
from .univariate import AbstractContinuous, Shifted, inside_support, on_half_line


class Chi2(AbstractContinuous, AbstractExponentialFamily):
    r"""The chi-squared distribution: the sum of $\nu$ squares of standard normals.

    (`ChiSquared` is the divergence.)

    Args:
        df: the degrees of freedom $\nu > 0$, not necessarily whole.

    Example:
        >>> import jaxdiv as jd
        >>> print(f"{jd.kl(jd.Chi2(2.0), jd.Chi2(4.0)):.6f}")
        0.577216
    """

    df: Float[Any, "..."] = field(constraint="positive")
    reparameterized: ClassVar[bool] = True

    @property
    def support(self):
        return 0.0, math.inf

    @property
    def mean(self):
        return self.parameters()[0]

    @property
    def variance(self):
        return 2 * self.parameters()[0]

    def log_prob(self, x):
        return as_gamma(self).log_prob(x)

    def sample(self, key, shape=()):
        return as_gamma(self).sample(key, shape)

    def translate(self, by):
        return Shifted(self, -jnp.asarray(by))

    def pieces(self):
        return as_gamma(self).pieces()

    def natural(self):
        return self.parameters()

    def statistic(self, x):
        return (0.5 * jnp.log(x),)

    def expectation(self):
        return (0.5 * (digamma(0.5 * self.parameters()[0]) + math.log(2.0)),)

    def from_natural(self, natural):
        return Chi2(*natural)

    def natural_difference(self, other):
        return differences(self, other)

    def is_natural(self, natural):
        return natural[0] > 0

    def fisher_form(self, direction):
        return _chi_fisher_form(self.parameters()[0], direction[0])


class Chi(AbstractContinuous, AbstractExponentialFamily):
    r"""The root of the sum of $\nu$ squares of standard normals.

    Args:
        df: the degrees of freedom $\nu > 0$, not necessarily whole.

    Example:
        >>> import jaxdiv as jd
        >>> print(f"{jd.kl(jd.Chi(2.0), jd.Chi(4.0)):.6f}")
        0.577216
    """

    df: Float[Any, "..."] = field(constraint="positive")
    reparameterized: ClassVar[bool] = True

    @property
    def support(self):
        return 0.0, math.inf

    @property
    def mean(self):
        x = 0.5 * self.parameters()[0]
        return jnp.sqrt(2 * x) * jnp.exp(half_step(x))

    @property
    def variance(self):
        x = 0.5 * self.parameters()[0]
        return -2 * x * jnp.expm1(2 * half_step(x))

    def log_prob(self, x):
        x, df = floating(x, self.df)
        inside, y = inside_support(x, 0.0, jnp.inf, 1.0)
        value = log_density(y * y, 0.5 * df, jnp.full_like(df, 0.5)) + jnp.log(2 * y)
        return jnp.where(inside, value, -jnp.inf)

    def sample(self, key, shape=()):
        (df,) = self.parameters()
        return jnp.sqrt(2.0) * jnp.exp(
            0.5 * jr.loggamma(key, 0.5 * df, (*shape, *df.shape), df.dtype)
        )

    def translate(self, by):
        return Shifted(self, -jnp.asarray(by))

    def pieces(self):
        (df,) = self.parameters()
        return on_half_line(jnp.sqrt(df), jnp.ones_like(df))

    def natural(self):
        return self.parameters()

    def statistic(self, x):
        return (jnp.log(x),)

    def expectation(self):
        return (0.5 * (digamma(0.5 * self.parameters()[0]) + math.log(2.0)),)

    def from_natural(self, natural):
        return Chi(*natural)

    def natural_difference(self, other):
        return differences(self, other)

    def is_natural(self, natural):
        return natural[0] > 0

    def fisher_form(self, direction):
        return _chi_fisher_form(self.parameters()[0], direction[0])


def half_step(x: Array) -> Array:
    r"""$\log\Gamma(x + \frac12) - \log\Gamma(x) - \frac12\log x < 0$."""
    return gamma_bregman(x + 0.5, x, jnp.full_like(x, 0.5)) + 0.5 * shape_slope(x)


def _chi_fisher_form(df: Array, direction: Array) -> Array:
    x = 0.5 * df
    return 0.25 * trigamma(x) * direction * direction


@rule(KL, Chi2, Chi2)
@rule(KL, Chi, Chi)
def _(functional, p, q):
    df_p, df_q = floating(p.df, q.df)
    return gamma_bregman(0.5 * df_q, 0.5 * df_p, 0.5 * (df_q - df_p))


@rule(Entropy, Chi2)
def _(functional, p):
    (df,) = p.parameters()
    return shape_entropy(0.5 * df) + math.log(2.0)


@rule(Entropy, Chi)
def _(functional, p):
    x = 0.5 * p.parameters()[0]
    return shape_value(x) + (0.5 - x) * shape_slope(x) + 0.5 * jnp.log(x) - 0.5 * math.log(2.0)


@rule(Log, Chi2)
def _(statistic, p):
    return digamma(0.5 * p.parameters()[0]) + math.log(2.0)


def as_gamma(d: Exponential | Gamma | Chi2) -> Gamma:
    """The same distribution."""
    match d:
        case Exponential():
            (rate,) = d.parameters()
            return Gamma(jnp.ones_like(rate), rate)
        case Chi2():
            (df,) = d.parameters()
            return Gamma(0.5 * df, jnp.full_like(df, 0.5))
        case _:
            return d


@rule(Exp, Chi2)
@rule(Power, Chi2)
def _(statistic, p):
    return mean_of(statistic, as_gamma(p))


@rule(KL, Exponential, Gamma)
@rule(KL, Gamma, Exponential)
@rule(KL, Chi2, Gamma)
@rule(KL, Gamma, Chi2)
@rule(KL, Exponential, Chi2)
@rule(KL, Chi2, Exponential)
def _(functional, p, q):
    return gamma_kl(*floating(*as_gamma(p).parameters(), *as_gamma(q).parameters()))
