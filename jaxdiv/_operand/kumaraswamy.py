"""The Kumaraswamy distribution and its closed forms."""

from typing import Any, ClassVar

import jax.numpy as jnp
from jaxtyping import Float

from .._estimator.rules import rule
from .._functional.chernoff import ChernoffInformation
from .._functional.entropies import Entropy
from .._functional.kl import KL
from .._functional.renyi import Renyi
from .._special import digamma, expm1, itakura_saito, log_gamma, log_ratio
from .agree import only_where_equal
from .base import field, floating
from .exponential import of_rates
from .statistics import Log, Power
from .univariate import AbstractContinuous, Shifted, inside_support, on_unit_interval, uniform

_EULER = 0.57721566490153286061


class Kumaraswamy(AbstractContinuous):
    r"""Density $ab\,x^{a-1} (1 - x^a)^{b-1}$ on (0, 1): $X^a$ has a `Beta(1, b)` distribution.

    Between two of them KL and Renyi divergences have a closed form where both have the same $a$.
    Elsewhere `NoClosedFormError` is raised, or under `jit`, where values are not known, it is NaN.

    Args:
        concentration1: $a > 0$.
        concentration0: $b > 0$.

    Example:
        >>> import jaxdiv as jd
        >>> print(f"{jd.kl(jd.Kumaraswamy(2.0, 1.0), jd.Kumaraswamy(2.0, 2.0)):.6f}")
        0.306853
    """

    concentration1: Float[Any, "..."] = field(constraint="positive")
    concentration0: Float[Any, "..."] = field(constraint="positive")
    reparameterized: ClassVar[bool] = True

    @property
    def support(self):
        return 0.0, 1.0

    @property
    def mean(self):
        return _moment(self, 1.0)

    @property
    def variance(self):
        return _moment(self, 2.0) - _moment(self, 1.0) ** 2

    def log_prob(self, x):
        x, a, b = floating(x, self.concentration1, self.concentration0)
        inside, y = inside_support(x, 0.0, 1.0, 0.5)
        rest = jnp.log(-expm1(a * jnp.log(y)))
        value = jnp.log(a) + jnp.log(b) + (a - 1) * jnp.log(y) + (b - 1) * rest
        return jnp.where(inside, value, -jnp.inf)

    def sample(self, key, shape=()):
        a, b = self.parameters()
        u = uniform(key, (*shape, *self.batch_shape), a.dtype)
        return (-expm1(jnp.log(u) / b)) ** (1 / a)

    def translate(self, by):
        return Shifted(self, -jnp.asarray(by))

    def pieces(self):
        return on_unit_interval(self.mean, jnp.sqrt(self.variance))


def _moment(p: Kumaraswamy, k: Any) -> Any:
    a, b, k = floating(p.concentration1, p.concentration0, k)
    finite = k > -a
    x = jnp.where(finite, 1 + k / a, 1.0)
    value = jnp.exp(log_gamma(x) + log_gamma(b + 1) - log_gamma(x + b))
    return jnp.where(finite, value, jnp.inf)


@rule(KL, Kumaraswamy, Kumaraswamy)
def _(functional, p, q):
    a_p, b_p, a_q, b_q = floating(
        p.concentration1, p.concentration0, q.concentration1, q.concentration0
    )
    value = itakura_saito(b_q, b_p)
    return only_where_equal(p.concentration1, q.concentration1, value + 0 * (a_p - a_q))


@rule(Renyi, Kumaraswamy, Kumaraswamy)
@rule(ChernoffInformation, Kumaraswamy, Kumaraswamy)
def _(functional, p, q):
    r"""$-\log(1 - X^a)$ has an exponential distribution, of rate $b$."""
    b_p, b_q, _, _ = jnp.broadcast_arrays(
        *floating(p.concentration0, q.concentration0, p.concentration1, q.concentration1)
    )
    gap = b_p - b_q
    value = of_rates(functional, log_ratio(b_p, b_q, gap), gap / b_q, -gap / b_p)
    return only_where_equal(p.concentration1, q.concentration1, value)


@rule(Entropy, Kumaraswamy)
def _(functional, p):
    a, b = p.parameters()
    harmonic = digamma(b + 1) + _EULER
    return (1 - 1 / b) + (1 - 1 / a) * harmonic - jnp.log(a) - jnp.log(b)


@rule(Log, Kumaraswamy)
def _(statistic, p):
    a, b = p.parameters()
    return -(digamma(b + 1) + _EULER) / a


@rule(Power, Kumaraswamy)
def _(statistic, p):
    return _moment(p, statistic.exponent)
