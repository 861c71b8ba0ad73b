"""The Poisson distribution and its closed forms."""

import math
from typing import Any

import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Float

from .._estimator.rules import rule
from .._functional.kl import KL
from .._special import bd0, log_ratio, shape_value
from .base import field, floating
from .bernoulli import Bernoulli
from .exponential_family import AbstractExponentialFamily
from .statistics import Exp
from .univariate import AbstractInteger


class Poisson(AbstractInteger, AbstractExponentialFamily):
    r"""Mass $\lambda^x e^{-\lambda} / x!$ at $x = 0, 1, 2, ...$

    Its entropy has no closed form.

    Args:
        rate: $\lambda > 0$, the mean and the variance.

    Example:
        >>> import jaxdiv as jd
        >>> print(f"{jd.kl(jd.Poisson(1.0), jd.Poisson(2.0)):.6f}")
        0.306853
    """

    rate: Float[Any, "..."] = field(constraint="positive")

    @property
    def support(self):
        return 0.0, math.inf

    @property
    def mean(self):
        return self.parameters()[0]

    @property
    def variance(self):
        return self.parameters()[0]

    def log_mass(self, x):
        x, rate = floating(x, self.rate)
        none = x == 0
        y = jnp.where(none, 1.0, x)
        return jnp.where(none, -rate, -bd0(y, rate) - shape_value(y) - jnp.log(y))

    def sample(self, key, shape=()):
        (rate,) = self.parameters()
        return jr.poisson(key, rate, (*shape, *rate.shape)).astype(rate.dtype)

    def natural(self):
        return (jnp.log(*self.parameters()),)

    def statistic(self, x):
        return (x,)

    def expectation(self):
        return (self.mean,)

    def from_natural(self, natural):
        return Poisson(jnp.exp(natural[0]))

    def natural_difference(self, other):
        return (log_ratio(*floating(self.rate, other.rate)),)

    def is_natural(self, natural):
        return jnp.isfinite(natural[0])

    def fisher_form(self, direction):
        return self.parameters()[0] * direction[0] ** 2


@rule(KL, Poisson, Poisson)
def _(functional, p, q):
    return bd0(*floating(p.rate, q.rate))


@rule(Exp, Poisson)
def _(statistic, p):
    rate, t = floating(p.rate, statistic.rate)
    return jnp.exp(rate * jnp.expm1(t))


@rule(KL, AbstractInteger, Bernoulli)
def _(functional, p, q):
    """Infinite, where P has more outcomes than two whatever its parameters."""
    unbounded = p.support[1] == math.inf if isinstance(p.support[1], float) else False
    shape = jnp.broadcast_shapes(p.batch_shape, q.batch_shape)
    return jnp.full(shape, jnp.inf, p.parameters()[0].dtype) if unbounded else None


@rule(KL, Bernoulli, Poisson)
def _(functional, p, q):
    if p.probs is None:
        p = Bernoulli(probs=jnp.exp(-jnp.logaddexp(0.0, -floating(p.logits)[0])))
    probs, rate = floating(p.probs, q.rate)
    return bd0(probs, rate) + bd0(1 - probs, 1.0)
