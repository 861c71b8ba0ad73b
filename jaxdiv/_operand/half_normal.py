"""The half-normal distribution and its closed forms."""

import math
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Float

from .._estimator.rules import rule
from .._functional.entropies import Entropy
from .._functional.kl import KL
from .._special import log_gamma
from .base import field, floating
from .exponential_family import AbstractExponentialFamily
from .normal import log_det_divergence
from .statistics import Log, Power
from .univariate import AbstractContinuous, Shifted, on_half_line

_LOG_HALF_PI = math.log(math.pi / 2)
_EULER = 0.57721566490153286061


class HalfNormal(AbstractContinuous, AbstractExponentialFamily):
    r"""The distribution of $|X|$ for $X$ of $N(0, \sigma^2)$.

    Args:
        scale: $\sigma > 0$, of the normal distribution.

    Example:
        >>> import jaxdiv as jd
        >>> print(f"{jd.kl(jd.HalfNormal(1.0), jd.HalfNormal(2.0)):.6f}")
        0.318147
    """

    scale: Float[Any, "..."] = field(constraint="positive")
    reparameterized: ClassVar[bool] = True

    @property
    def support(self):
        return 0.0, math.inf

    @property
    def mean(self):
        return math.sqrt(2 / math.pi) * self.parameters()[0]

    @property
    def variance(self):
        return (1 - 2 / math.pi) * self.parameters()[0] ** 2

    def log_prob(self, x):
        x, scale = floating(x, self.scale)
        z = x / scale
        value = -0.5 * z * z - jnp.log(scale) - 0.5 * _LOG_HALF_PI
        return jnp.where(x >= 0, value, -jnp.inf)

    def sample(self, key, shape=()):
        (scale,) = self.parameters()
        return scale * abs(jr.normal(key, (*shape, *self.batch_shape), scale.dtype))

    def translate(self, by):
        return Shifted(self, -jnp.asarray(by))

    def pieces(self):
        (scale,) = self.parameters()
        return on_half_line(scale, scale)

    def natural(self):
        (scale,) = self.parameters()
        return (0.5 / (scale * scale),)

    def statistic(self, x):
        return (-x * x,)

    def expectation(self):
        return (-(self.parameters()[0] ** 2),)

    def from_natural(self, natural):
        return HalfNormal(jax.lax.rsqrt(2 * natural[0]))

    def natural_difference(self, other):
        a, b = floating(self.scale, other.scale)
        return (0.5 * ((b - a) / a) * ((b + a) / b) / (a * b),)

    def is_natural(self, natural):
        return natural[0] > 0

    def fisher_form(self, direction):
        (scale,) = self.parameters()
        return 2 * (scale * scale * direction[0]) ** 2


@rule(KL, HalfNormal, HalfNormal)
def _(functional, p, q):
    return log_det_divergence(*floating(p.scale, q.scale))


@rule(Entropy, HalfNormal)
def _(functional, p):
    return jnp.log(p.parameters()[0]) + 0.5 * (1 + _LOG_HALF_PI)


@rule(Log, HalfNormal)
def _(statistic, p):
    return jnp.log(p.parameters()[0]) - 0.5 * (_EULER + math.log(2.0))


@rule(Power, HalfNormal)
def _(statistic, p):
    scale, k = floating(p.scale, statistic.exponent)
    finite = k > -1
    half = 0.5 * (1 + jnp.where(finite, k, 0.0))
    root = math.sqrt(2.0)
    value = jnp.exp(log_gamma(half) - 0.5 * math.log(math.pi) + k * jnp.log(root * scale))
    return jnp.where(finite, value, jnp.inf)
