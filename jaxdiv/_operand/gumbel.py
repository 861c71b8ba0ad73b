"""The Gumbel and the Weibull distributions and their closed forms."""

import math
from typing import Any, ClassVar

import jax.numpy as jnp
import jax.random as jr
from jax.scipy.special import exp1
from jaxtyping import Array, Float

from .._estimator.rules import rule
from .._functional.chernoff import ChernoffInformation
from .._functional.entropies import Entropy
from .._functional.kl import KL
from .._functional.renyi import Renyi
from .._special import expm1, gamma_bregman, log_gamma, log_ratio, psi
from .agree import only_where_equal
from .base import field, floating
from .exponential import of_rates
from .statistics import Distance, Exp, Log, Power
from .univariate import (
    AbstractContinuous,
    AbstractLocationScale,
    Shifted,
    inside_support,
    on_half_line,
)

_EULER = 0.57721566490153286061


class Gumbel(AbstractLocationScale):
    r"""Density $e^{-z - e^{-z}} / \beta$, $z = (x - \mu)/\beta$: of maxima.

    Between two of them KL has a closed form, and Renyi divergences where both have the same scale
    (else there is none, and under `jit`, which cannot tell, it is NaN).

    Args:
        loc: the mode $\mu$.
        scale: $\beta > 0$.

    Example:
        >>> import jaxdiv as jd
        >>> print(f"{jd.kl(jd.Gumbel(0.0, 1.0), jd.Gumbel(1.0, 1.0)):.6f}")
        0.718282
    """

    loc: Float[Any, "..."] = field()
    scale: Float[Any, "..."] = field(constraint="positive")
    heavy_tails: ClassVar[bool] = False

    @property
    def mean(self):
        loc, scale = self.location_scale()
        return loc + _EULER * scale

    @property
    def variance(self):
        return math.pi**2 / 6 * self.location_scale()[1] ** 2

    def standard_log_prob(self, z):
        return -z - jnp.exp(-z)

    def standard_sample(self, key, shape, dtype):
        return jr.gumbel(key, shape, dtype)


class Weibull(AbstractContinuous):
    r"""Density $\frac k\lambda y^{k-1} e^{-y^k}$, $y = x/\lambda$, on the positive numbers.

    Between two of them KL has a closed form, and Renyi divergences where both have the same shape
    (else there is none, and under `jit`, which cannot tell, it is NaN).

    Args:
        scale: $\lambda > 0$.
        concentration: the shape $k > 0$.

    Example:
        >>> import jaxdiv as jd
        >>> print(f"{jd.kl(jd.Weibull(1.0, 1.0), jd.Weibull(0.5, 1.0)):.6f}")
        0.306853
    """

    scale: Float[Any, "..."] = field(constraint="positive")
    concentration: Float[Any, "..."] = field(constraint="positive")
    reparameterized: ClassVar[bool] = True

    @property
    def support(self):
        return 0.0, math.inf

    @property
    def mean(self):
        scale, k = self.parameters()
        return scale * jnp.exp(log_gamma(1 + 1 / k))

    @property
    def variance(self):
        scale, k = self.parameters()
        first = log_gamma(1 + 1 / k)
        # The second moment less the square of the first, by the remainders of log Gamma.
        x, d = 1 + 1 / k, 1 / k
        one = jnp.ones_like(x)
        excess = gamma_bregman(x + d, x, d) + gamma_bregman(one, x, -d)
        return (scale * jnp.exp(first)) ** 2 * expm1(excess)

    def log_prob(self, x):
        x, scale, k = floating(x, self.scale, self.concentration)
        inside, y = inside_support(x, 0.0, jnp.inf, 1.0)
        z = k * (jnp.log(y) - jnp.log(scale))
        return jnp.where(inside, z - jnp.exp(z) + jnp.log(k) - jnp.log(y), -jnp.inf)

    def sample(self, key, shape=()):
        scale, k = self.parameters()
        draws = jr.exponential(key, (*shape, *self.batch_shape), scale.dtype)
        return scale * draws ** (1 / k)

    def translate(self, by):
        return Shifted(self, -jnp.asarray(by))

    def pieces(self):
        scale, k = self.parameters()
        return on_half_line(scale, scale / k)


def _kl(gap: Array, scale_p: Array, scale_q: Array) -> Array:
    r"""Between Gumbel distributions; `gap` is $(\mu_q - \mu_p)/\beta_q$.

    With $t = \beta_p/\beta_q - 1$ and $w$ the logarithm of $E_P[e^{-(x - \mu_q)/\beta_q}]$, it is
    $e^w - 1 - w$ and the remainder of $\log\Gamma(1 + t)$.
    """
    t, ratio = (scale_p - scale_q) / scale_q, scale_p / scale_q
    one = jnp.ones_like(t)
    lifted = gamma_bregman(1 + ratio, 2 * one, t) + (1 - _EULER) * t
    return psi(-(gap + lifted)) + gamma_bregman(ratio, one, t)


@rule(KL, Gumbel, Gumbel)
def _(functional, p, q):
    loc_p, scale_p, loc_q, scale_q = floating(p.loc, p.scale, q.loc, q.scale)
    return _kl((loc_q - loc_p) / scale_q, scale_p, scale_q)


@rule(KL, Weibull, Weibull)
def _(functional, p, q):
    """Minus the logarithm of it has a Gumbel distribution, of scale $1/k$."""
    scale_p, k_p, scale_q, k_q = floating(p.scale, p.concentration, q.scale, q.concentration)
    return weibull_kl(log_ratio(scale_p, scale_q), k_p, k_q)


def weibull_kl(higher: Array, k_p: Array, k_q: Array) -> Array:
    r"""`higher` is $\log(\lambda_p/\lambda_q)$."""
    return _kl(k_q * higher, k_q, k_p)


@rule(Renyi, Gumbel, Gumbel)
@rule(ChernoffInformation, Gumbel, Gumbel)
def _(functional, p, q):
    r"""$e^{-X/\beta}$ has an exponential distribution, of rate $e^{\mu/\beta}$."""
    loc_p, scale_p, loc_q, scale_q = floating(p.loc, p.scale, q.loc, q.scale)
    r = (loc_p - loc_q) / scale_q
    return only_where_equal(scale_p, scale_q, of_rates(functional, r, expm1(r), expm1(-r)))


@rule(Renyi, Weibull, Weibull)
@rule(ChernoffInformation, Weibull, Weibull)
def _(functional, p, q):
    r"""$X^k$ has an exponential distribution, of rate $\lambda^{-k}$."""
    scale_p, k_p, scale_q, k_q = floating(p.scale, p.concentration, q.scale, q.concentration)
    r = k_q * log_ratio(scale_q, scale_p)
    return only_where_equal(k_p, k_q, of_rates(functional, r, expm1(r), expm1(-r)))


@rule(Entropy, Gumbel)
def _(functional, p):
    return jnp.log(p.location_scale()[1]) + (1 + _EULER)


@rule(Entropy, Weibull)
def _(functional, p):
    scale, k = p.parameters()
    return jnp.log(scale) - jnp.log(k) + _EULER * (1 - 1 / k) + 1


@rule(Exp, Gumbel)
def _(statistic, p):
    loc, scale, t = floating(p.loc, p.scale, statistic.rate)
    finite = t * scale < 1
    value = jnp.exp(t * loc + log_gamma(1 - jnp.where(finite, t * scale, 0.0)))
    return jnp.where(finite, value, jnp.inf)


@rule(Distance, Gumbel)
def _(statistic, p):
    """The distribution function has the exponential integral for its own."""
    loc, scale, m = floating(p.loc, p.scale, statistic.point)
    z = (m - loc) / scale
    high, low = z > 20, z < -6  # at a number that is next to nothing, or at a large one
    below = exp1(jnp.exp(-jnp.where(high | low, 0.0, z)))
    below = jnp.where(high, z - _EULER, jnp.where(low, 0.0, below))
    return scale * (_EULER - z + 2 * below)


@rule(Log, Weibull)
def _(statistic, p):
    scale, k = p.parameters()
    return jnp.log(scale) - _EULER / k


@rule(Power, Weibull)
def _(statistic, p):
    scale, k, m = floating(p.scale, p.concentration, statistic.exponent)
    finite = m > -k
    value = jnp.exp(log_gamma(jnp.where(finite, 1 + m / k, 1.0)) + m * jnp.log(scale))
    return jnp.where(finite, value, jnp.inf)
