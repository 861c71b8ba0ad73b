"""The Cauchy and Student's t distributions and their closed forms."""

import math
from typing import Any, ClassVar

import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float

from .._estimator.rules import rule
from .._functional.entropies import Entropy
from .._functional.kl import KL
from .._functional.renyi import Renyi
from .._special import digamma_difference
from .._special.base import horner, log1p
from .base import field, floating
from .chi import half_step
from .univariate import AbstractLocationScale


class Cauchy(AbstractLocationScale):
    r"""Density $1 / \pi\gamma(1 + z^2)$, $z = (x - \mu)/\gamma$, on the line.

    It has no mean, and so no variance: both are NaN.

    Args:
        loc: the median $\mu$.
        scale: $\gamma > 0$, half the distance of the quartiles.

    Example:
        >>> import jaxdiv as jd
        >>> print(f"{jd.kl(jd.Cauchy(0.0, 1.0), jd.Cauchy(2.0, 1.0)):.6f}")
        0.693147
    """

    loc: Float[Any, "..."] = field()
    scale: Float[Any, "..."] = field(constraint="positive")
    heavy_tails: ClassVar[bool] = True

    @property
    def mean(self):
        return jnp.full_like(self.location_scale()[0], jnp.nan)

    @property
    def variance(self):
        return jnp.full_like(self.location_scale()[0], jnp.nan)

    def standard_log_prob(self, z):
        return -log_one_plus_square(z) - math.log(math.pi)

    def standard_sample(self, key, shape, dtype):
        return jr.cauchy(key, shape, dtype)


class StudentT(AbstractLocationScale):
    r"""$\mu + \sigma T$, $T$ of Student's t distribution with $\nu$ degrees of freedom.

    No closed form is known between two of them, but for the entropy.

    Args:
        df: the degrees of freedom $\nu > 0$; moments of order $\nu$ and above are infinite, or do
            not exist.
        loc: the median $\mu$.
        scale: $\sigma > 0$; the variance is $\sigma^2\nu/(\nu - 2)$.

    Example:
        >>> import jaxdiv as jd
        >>> print(f"{jd.entropy(jd.StudentT(1.0, 0.0, 1.0)):.6f}")
        2.531024
    """

    df: Float[Any, "..."] = field(constraint="positive")
    loc: Float[Any, "..."] = field(default=0.0)
    scale: Float[Any, "..."] = field(constraint="positive", default=1.0)
    heavy_tails: ClassVar[bool] = True

    @property
    def mean(self):
        df, loc, _ = self.parameters()
        return jnp.where(df > 1, loc, jnp.nan)

    @property
    def variance(self):
        df, _, scale = self.parameters()
        finite = df > 2
        value = scale * scale * df / jnp.where(finite, df - 2, 1.0)
        return jnp.where(finite, value, jnp.where(df > 1, jnp.inf, jnp.nan))

    def standard_log_prob(self, z):
        z, df = floating(z, self.df)
        x = 0.5 * df
        power = (x + 0.5) * log_one_plus_square(z / jnp.sqrt(df))
        return half_step(x) - 0.5 * math.log(2 * math.pi) - power

    def standard_sample(self, key, shape, dtype):
        df = self.parameters()[0]
        return jr.t(key, df, shape, dtype)


def log_one_plus_square(z):
    r"""$\log(1 + z^2)$, where the square overflows too."""
    far = abs(z) > 1e9
    near = log1p(jnp.where(far, 0.0, z) ** 2)
    return jnp.where(far, 2 * jnp.log(jnp.where(far, abs(z), 1.0)), near)


@rule(KL, Cauchy, Cauchy)
def _(functional, p, q):
    """Chyzak & Nielsen 2019, "A closed-form formula for the Kullback-Leibler divergence"."""
    return log1p(0.5 * _chi_squared(p, q))


def _chi_squared(p: Cauchy, q: Cauchy) -> Array:
    loc_p, scale_p, loc_q, scale_q = floating(p.loc, p.scale, q.loc, q.scale)
    scales = (scale_p - scale_q) / scale_p * ((scale_p - scale_q) / scale_q)
    places = (loc_p - loc_q) / scale_p * ((loc_p - loc_q) / scale_q)
    return 0.5 * (scales + places)


@rule(Renyi, Cauchy, Cauchy)
def _(functional, p, q):
    r"""Of whole orders, $\log P_{\alpha-1}(1 + \chi^2) / (\alpha - 1)$ with Legendre's polynomials.

    Nielsen & Okamura 2022, "On f-divergences between Cauchy distributions"; of other orders it is a
    Legendre function, of one half an elliptic integral.
    """
    half, order = 0.5 * _chi_squared(p, q), functional.order
    if not isinstance(order, (int, float)) or not (order == math.inf or order == int(order)):
        return None
    if order == math.inf:  # the limit, arcosh(1 + chi^2)
        apart = half > 0
        square = jnp.where(apart, half * (1 + half), 1.0)
        return log1p(2 * (half + jnp.where(apart, jnp.sqrt(square), 0.0)))
    n = int(order) - 1
    if n < 1:
        return jnp.zeros_like(half) if n < 0 else log1p(half)
    powers = [math.comb(n, k) * math.comb(n + k, k) for k in range(1, n + 1)]
    return log1p(half * horner(half, [float(c) for c in powers])) / n


@rule(Entropy, Cauchy)
def _(functional, p):
    return jnp.log(p.location_scale()[1]) + math.log(4 * math.pi)


@rule(Entropy, StudentT)
def _(functional, p):
    df, _, scale = p.parameters()
    x = 0.5 * df
    slopes = (x + 0.5) * digamma_difference(x + 0.5, x, jnp.full_like(x, 0.5))
    return slopes - half_step(x) + 0.5 * math.log(2 * math.pi) + jnp.log(scale)
