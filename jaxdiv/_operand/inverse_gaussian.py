"""The inverse Gaussian distribution and its closed forms."""

import math
from typing import Any, ClassVar

import jax.numpy as jnp
import jax.random as jr
from jax import lax
from jaxtyping import Array, Float

from .._estimator.rules import rule
from .._functional.entropies import Entropy
from .._functional.kl import KL
from .._special import itakura_saito
from .._special.base import horner
from .base import field, floating
from .exponential_family import AbstractExponentialFamily
from .statistics import Log, Power
from .univariate import AbstractContinuous, Shifted, inside_support, on_half_line

_EULER = 0.57721566490153286061


class InverseGaussian(AbstractContinuous, AbstractExponentialFamily):
    r"""Density $\sqrt{\lambda/2\pi x^3}\,e^{-\lambda(x - \mu)^2 / 2\mu^2 x}$ for $x > 0$.

    Args:
        loc: the mean $\mu > 0$.
        concentration: $\lambda > 0$; the variance is $\mu^3/\lambda$.

    Example:
        >>> import jaxdiv as jd
        >>> p, q = jd.InverseGaussian(1.0, 1.0), jd.InverseGaussian(2.0, 1.0)
        >>> print(f"{jd.kl(p, q):.3f}")
        0.125
    """

    loc: Float[Any, "..."] = field(constraint="positive")
    concentration: Float[Any, "..."] = field(constraint="positive")
    reparameterized: ClassVar[bool] = False

    @property
    def support(self):
        return 0.0, math.inf

    @property
    def mean(self):
        return self.parameters()[0]

    @property
    def variance(self):
        loc, shape = self.parameters()
        return loc * loc * (loc / shape)

    def log_prob(self, x):
        x, loc, shape = floating(x, self.loc, self.concentration)
        inside, y = inside_support(x, 0.0, jnp.inf, 1.0)
        z = (y - loc) / loc
        value = 0.5 * (jnp.log(shape) - math.log(2 * math.pi)) - 1.5 * jnp.log(y)
        return jnp.where(inside, value - 0.5 * shape * z * z / y, -jnp.inf)

    def sample(self, key, shape=()):
        loc, concentration = self.parameters()
        mean = jnp.broadcast_to(loc / concentration, (*shape, *self.batch_shape))
        return lax.stop_gradient(concentration * jr.wald(key, mean, mean.shape, mean.dtype))

    def translate(self, by):
        return Shifted(self, -jnp.asarray(by))

    def pieces(self):
        loc, shape = self.parameters()
        # Its mode is near the lesser of mean and lambda / 3, below which the density dies out.
        mode = loc / (1 + 1.5 * loc / shape)
        return on_half_line(mode, mode * jnp.sqrt(mode / shape), heavy_tails=True)

    def natural(self):
        loc, shape = self.parameters()
        return 0.5 * shape / loc / loc, 0.5 * shape

    def statistic(self, x):
        return -x, -1 / x

    def expectation(self):
        loc, shape = self.parameters()
        return -loc, -(1 / loc + 1 / shape)

    def from_natural(self, natural):
        return InverseGaussian(jnp.sqrt(natural[1] / natural[0]), 2 * natural[1])

    def natural_difference(self, other):
        loc_p, shape_p, loc_q, shape_q = floating(*self.parameters(), *other.parameters())
        rise = shape_p - shape_q
        squares = (loc_q - loc_p) / loc_p * ((loc_q + loc_p) / loc_p) / loc_q / loc_q
        return 0.5 * (rise / loc_p / loc_p + shape_q * squares), 0.5 * rise

    def is_natural(self, natural):
        return (natural[0] > 0) & (natural[1] > 0)

    def fisher_form(self, direction):
        loc, shape = self.parameters()
        by_x, by_inverse = direction
        mixed = by_x * loc - by_inverse / loc
        return loc / shape * mixed * mixed + 2 * (by_inverse / shape) ** 2


@rule(KL, InverseGaussian, InverseGaussian)
def _(functional, p, q):
    loc_p, shape_p, loc_q, shape_q = floating(p.loc, p.concentration, q.loc, q.concentration)
    gap = (loc_p - loc_q) / loc_q
    return 0.5 * (itakura_saito(shape_q, shape_p) + shape_q / loc_p * gap * gap)


@rule(Entropy, InverseGaussian)
def _(functional, p):
    _, shape = p.parameters()
    return 0.5 * (1 + math.log(2 * math.pi) - jnp.log(shape)) + 1.5 * _mean_of_log(p)


@rule(Log, InverseGaussian)
def _(statistic, p):
    return _mean_of_log(p)


@rule(Power, InverseGaussian)
def _(statistic, p):
    """Of the powers 1 and -1 only."""
    k = statistic.exponent
    if not (isinstance(k, (int, float)) and abs(k) == 1):
        return None
    loc, shape = p.parameters()
    return loc if k == 1 else 1 / loc + 1 / shape


def _mean_of_log(p: InverseGaussian) -> Array:
    loc, shape = p.parameters()
    return jnp.log(loc) - _scaled_exponential_integral(2 * shape / loc)


def _scaled_exponential_integral(x: Array) -> Array:
    r"""$e^x E_1(x) = \int_0^\infty e^{-t}/(x + t)\,dt$: its series, or continued fraction."""
    low = x < 2
    small, large = jnp.where(low, x, 1.0), jnp.where(low, 2.0, x)
    terms = [(-1.0) ** k / ((k + 1) * math.factorial(k + 1)) for k in range(25)]
    near = jnp.exp(small) * (small * horner(small, terms) - jnp.log(small) - _EULER)
    depth = 60 if x.dtype == jnp.float64 else 24
    far = large + 2 * depth + 1
    for k in range(depth, 0, -1):
        far = large + (2 * k - 1) - k * k / far
    return jnp.where(low, near, 1 / far)
