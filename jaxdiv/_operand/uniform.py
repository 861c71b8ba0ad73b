"""The uniform distribution and its closed forms."""

from typing import Any, ClassVar

import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float

from .._estimator.rules import rule
from .._functional.chernoff import ChernoffInformation
from .._functional.entropies import Entropy
from .._functional.kl import KL
from .._functional.renyi import Renyi
from .._special import expm1, log_ratio
from .._special.base import log1p
from .base import Check, Pieces, field, floating
from .statistics import Distance, Exp, Log, Log1m, Power
from .univariate import AbstractContinuous


class Uniform(AbstractContinuous):
    r"""Density $1/(h - l)$ between $l$ and $h$.

    Its ends bound the support: a divergence is infinite where they stick out, with gradient 0.

    Args:
        low: $l$.
        high: $h > l$.

    Example:
        >>> import jaxdiv as jd
        >>> print(f"{jd.kl(jd.Uniform(0.0, 1.0), jd.Uniform(0.0, 2.0)):.6f}")
        0.693147
    """

    low: Float[Any, "..."] = field()
    high: Float[Any, "..."] = field()
    reparameterized: ClassVar[bool] = True

    @property
    def support(self):
        return self.parameters()

    @property
    def mean(self):
        low, high = self.parameters()
        return low + 0.5 * (high - low)

    @property
    def variance(self):
        low, high = self.parameters()
        return (high - low) ** 2 / 12

    def log_prob(self, x):
        x, low, high = floating(x, *self.parameters())
        return jnp.where((x >= low) & (x <= high), -jnp.log(high - low), -jnp.inf)

    def sample(self, key, shape=()):
        low, high = self.parameters()
        return low + (high - low) * jr.uniform(key, (*shape, *low.shape), low.dtype)

    def translate(self, by):
        low, high, by = floating(*self.parameters(), by)
        return Uniform(low - by, high - by)

    def pieces(self):
        low, high = self.parameters()
        points = jnp.stack([low, high])[..., None]
        return Pieces(points[:1], (high - low)[None, ..., None, None], points)

    def value_checks(self):
        low, high = self.parameters()
        return [Check(~(low < high), "Uniform: low must be less than high")]


@rule(KL, Uniform, Uniform)
def _(functional, p, q):
    inside, excess = _excess(p, q)
    return jnp.where(inside, log1p(jnp.where(inside, excess, 0.0)), jnp.inf)


def _excess(p: Uniform, q: Uniform) -> tuple[Array, Array]:
    """Whether P lies within Q, and by how much of its own width Q is wider."""
    low_p, high_p, low_q, high_q = floating(p.low, p.high, q.low, q.high)
    inside = (low_q <= low_p) & (high_p <= high_q)
    return inside, ((high_q - high_p) + (low_p - low_q)) / (high_p - low_p)


@rule(Renyi, Uniform, Uniform)
def _(functional, p, q):
    inside, excess = _excess(p, q)
    low_p, high_p, low_q, high_q = floating(p.low, p.high, q.low, q.high)
    order = jnp.asarray(functional.order, excess.dtype)
    shared = jnp.minimum(high_p, high_q) - jnp.maximum(low_p, low_q)
    some = (shared > 0) & (order < 1)
    width = jnp.where(some, shared, 1.0)
    kept_p, kept_q = jnp.log(width / (high_p - low_p)), jnp.log(width / (high_q - low_q))
    weight = order / jnp.where(order < 1, 1 - order, 1.0)
    apart = jnp.where(some, -weight * kept_p - kept_q, jnp.inf)
    return jnp.where(inside, log1p(jnp.where(inside, excess, 0.0)), apart)


@rule(ChernoffInformation, Uniform, Uniform)
def _(functional, p, q):
    """The exponent is linear: the wider one's logarithm, less that of what they share."""
    low_p, high_p, low_q, high_q = floating(p.low, p.high, q.low, q.high)
    shared = jnp.minimum(high_p, high_q) - jnp.maximum(low_p, low_q)
    wider = jnp.maximum(high_p - low_p, high_q - low_q)
    some = shared > 0
    return jnp.where(some, log_ratio(wider, jnp.where(some, shared, 1.0)), jnp.inf)


@rule(Entropy, Uniform)
def _(functional, p):
    low, high = p.parameters()
    return jnp.log(high - low)


def _mean_of_log(low: Array, high: Array) -> Array:
    """Of a number between two that are not negative; NaN where they are."""
    legal = (low >= 0) & (high > low)
    a, b = jnp.where(legal, low, 0.0), jnp.where(legal, high, 1.0)
    some = a > 0
    ratio = jnp.where(some, jnp.log(b) - jnp.log(jnp.where(some, a, b)), 0.0)
    return jnp.where(legal, jnp.log(b) - 1 + jnp.where(some, a / (b - a) * ratio, 0.0), jnp.nan)


@rule(Log, Uniform)
def _(statistic, p):
    return _mean_of_log(*p.parameters())


@rule(Log1m, Uniform)
def _(statistic, p):
    low, high = p.parameters()
    return _mean_of_log(1 - high, 1 - low)


@rule(Exp, Uniform)
def _(statistic, p):
    low, high, t = floating(p.low, p.high, statistic.rate)
    x = t * (high - low)
    flat = x == 0
    return jnp.exp(t * low) * jnp.where(flat, 1.0, expm1(x) / jnp.where(flat, 1.0, x))


@rule(Power, Uniform)
def _(statistic, p):
    low, high, k = floating(p.low, p.high, statistic.exponent)
    legal, flat = low >= 0, k == -1
    a, b = jnp.where(legal, low, 0.0), jnp.where(legal, high, 1.0)
    n = jnp.where(flat, 1.0, k + 1)
    some = a > 0
    c = jnp.where(some, a, 1.0)
    powers = (b**n - jnp.where(some, c**n, jnp.where(n > 0, 0.0, jnp.inf))) / n
    logs = jnp.where(some, jnp.log(b / c), jnp.inf)
    return jnp.where(legal, jnp.where(flat, logs, powers) / (b - a), jnp.nan)


@rule(Distance, Uniform)
def _(statistic, p):
    low, high, m = floating(p.low, p.high, statistic.point)
    centre, half = low + 0.5 * (high - low), 0.5 * (high - low)
    gap = abs(m - centre)
    within = gap < half
    return jnp.where(within, 0.5 * (half + gap * jnp.where(within, gap, 0.0) / half), gap)
