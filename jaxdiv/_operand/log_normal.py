"""Images of normal distributions under fixed maps: log-normal and logit-normal."""

import abc
import dataclasses
import math
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._estimator.rules import rule
from .._functional.base import AbstractDivergence
from .._functional.entropies import Entropy
from .._functional.variance import InformationVariance
from .._special import expm1, sigmoid
from .base import AbstractWrapper, Pieces, field, floating
from .normal import Normal
from .statistics import Log, Power, SquaredLog
from .univariate import AbstractUnivariate, Shifted, inside_support, on_half_line, on_unit_interval


class AbstractNormalImage(AbstractUnivariate, AbstractWrapper):
    """$f(X)$ for a normal $X$: a divergence between two of them is that of the normals."""

    loc: eqx.AbstractVar[Float[Any, "..."]]
    scale: eqx.AbstractVar[Float[Any, "..."]]
    reparameterized: ClassVar[bool] = True
    integer: ClassVar[bool] = False

    @abc.abstractmethod
    def forward(self, x: Array) -> Array:
        """$f$, increasing."""

    @abc.abstractmethod
    def inverse(self, y: Array) -> tuple[Array, Array]:
        r"""$f^{-1}$ on the support, and $\log f'$ there."""

    def normal(self) -> Normal:
        """The distribution of $X$."""
        return Normal(self.loc, self.scale)

    def log_prob(self, x):
        x, loc, scale = floating(x, self.loc, self.scale)
        inside, y = inside_support(x, *self.support, 0.5)
        z, log_slope = self.inverse(y)
        return jnp.where(inside, Normal(loc, scale).log_prob(z) - log_slope, -jnp.inf)

    def sample(self, key, shape=()):
        return self.forward(self.normal().sample(key, shape))

    def translate(self, by):
        return Shifted(self, -jnp.asarray(by))

    def reduce(self, evaluate, functional, *operands):
        same = all(type(d) is type(self) for d in operands)
        if not same or not isinstance(functional, AbstractDivergence | InformationVariance):
            return None
        return evaluate(functional, *(d.normal() for d in operands))


class LogNormal(AbstractNormalImage):
    r"""The distribution of $e^X$ for $X$ of $N(\mu, \sigma^2)$.

    Args:
        loc: $\mu$, the logarithm of the median.
        scale: $\sigma > 0$, the standard deviation of the logarithm.

    Example:
        >>> import jaxdiv as jd
        >>> print(f"{jd.kl(jd.LogNormal(0.0, 1.0), jd.LogNormal(1.0, 1.0)):.3f}")
        0.500
    """

    loc: Float[Any, "..."] = field()
    scale: Float[Any, "..."] = field(constraint="positive")

    @property
    def support(self):
        return 0.0, math.inf

    @property
    def mean(self):
        loc, scale = self.parameters()
        return jnp.exp(loc + 0.5 * scale * scale)

    @property
    def variance(self):
        loc, scale = self.parameters()
        square = scale * scale
        return jnp.exp(2 * loc + square) * expm1(square)

    def forward(self, x):
        return jnp.exp(x)

    def inverse(self, y):
        z = jnp.log(y)
        return z, z

    def pieces(self):
        loc, scale = self.parameters()
        steps = jnp.arange(-9, 10, dtype=loc.dtype)
        points = jnp.exp(loc + jnp.multiply.outer(steps, scale))
        inner = on_half_line(jnp.exp(loc), scale * jnp.exp(loc))
        points = jnp.concatenate([inner.points, points[..., None]])
        return dataclasses.replace(inner, points=points)


class LogitNormal(AbstractNormalImage):
    r"""The distribution of $1/(1 + e^{-X})$ for $X$ of $N(\mu, \sigma^2)$, on (0, 1).

    Its mean and variance have no closed form: they are integrals by the trapezoidal rule.

    Args:
        loc: $\mu$, the logit of the median.
        scale: $\sigma > 0$, the standard deviation of the logit.

    Example:
        >>> import jaxdiv as jd
        >>> print(f"{jd.kl(jd.LogitNormal(0.0, 1.0), jd.LogitNormal(1.0, 1.0)):.3f}")
        0.500
    """

    loc: Float[Any, "..."] = field()
    scale: Float[Any, "..."] = field(constraint="positive")

    @property
    def support(self):
        return 0.0, 1.0

    @property
    def mean(self):
        z, weights = self._nodes()
        return jnp.sum(weights * sigmoid(z), 0)

    @property
    def variance(self):
        z, weights = self._nodes()
        middle = jnp.sum(weights * sigmoid(z), 0)
        return jnp.sum(weights * (sigmoid(z) - middle) ** 2, 0)

    def _nodes(self) -> tuple[Array, Array]:
        loc, scale = self.parameters()
        steps = jnp.linspace(-9.0, 9.0, 181, dtype=loc.dtype)
        weights = jax.nn.softmax(-0.5 * steps * steps)
        return loc + jnp.multiply.outer(steps, scale), weights.reshape(-1, *(1,) * loc.ndim)

    def forward(self, x):
        return sigmoid(x)

    def inverse(self, y):
        log_y, log_rest = jnp.log(y), jnp.log1p(-y)
        return log_y - log_rest, log_y + log_rest

    def pieces(self):
        loc, scale = self.parameters()
        steps = jnp.arange(-9, 10, dtype=loc.dtype)
        points = sigmoid(loc + jnp.multiply.outer(steps, scale))
        middle = sigmoid(loc)
        inner = on_unit_interval(middle, scale * middle * (1 - middle))
        points = jnp.concatenate([inner.points, points[..., None]])
        return Pieces(inner.centres, inner.scale_trils, points)


@rule(Entropy, LogNormal)
def _(functional, p):
    loc, scale = p.parameters()
    return jnp.log(scale) + (0.5 + 0.5 * math.log(2 * math.pi)) + loc


@rule(Log, LogNormal)
def _(statistic, p):
    return p.parameters()[0]


@rule(SquaredLog, LogNormal)
def _(statistic, p):
    loc, scale, m = floating(p.loc, p.scale, statistic.point)
    return (loc - m) ** 2 + scale * scale


@rule(Power, LogNormal)
def _(statistic, p):
    loc, scale, k = floating(p.loc, p.scale, statistic.exponent)
    return jnp.exp(k * loc + 0.5 * (k * scale) ** 2)
