"""The normal distribution and its closed forms."""

import math
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, Key

from .._estimator.rules import rule
from .._functional.chernoff import ChernoffInformation, largest_exponent
from .._functional.entropies import CrossEntropy, Entropy
from .._functional.kl import KL
from .._functional.renyi import Renyi, is_static
from .._functional.renyi_entropy import RenyiEntropy
from .._functional.variance import InformationVariance, Varentropy
from .._special import log1prel, log_mixture_gap
from .._special.base import log1p, over
from .._special.generators import phi_series
from .base import (
    AbstractDistribution,
    Check,
    Pieces,
    Shape,
    broadcast_shapes,
    field,
    floating,
    only_stratum,
)

_LOG_SQRT_2PI = 0.5 * math.log(2 * math.pi)


class Normal(AbstractDistribution):
    r"""$N(\mu, \sigma^2)$ with density $e^{-(x - \mu)^2 / 2\sigma^2} / \sigma\sqrt{2\pi}$.

    Args:
        loc: the mean $\mu$.
        scale: the standard deviation $\sigma > 0$ (not the variance).

    The fields keep the shapes that they were given (`vmap` over a batched `loc` and a shared
    `scale` takes `in_axes=Normal(0, None)`); the batch shape is their broadcast.

    Example:
        >>> import jaxdiv as jd
        >>> print(f"{jd.kl(jd.Normal(0.0, 1.0), jd.Normal(1.0, 1.0)):.3f}")
        0.500
    """

    loc: Float[Any, "..."] = field()
    scale: Float[Any, "..."] = field(constraint="positive")
    reparameterized: ClassVar[bool] = True
    integer: ClassVar[bool] = False

    @property
    def batch_shape(self) -> Shape:
        return broadcast_shapes(self.loc, self.scale)

    @property
    def event_shape(self) -> Shape:
        return ()

    @property
    def normalized(self) -> bool:
        return True

    @property
    def support(self):
        return -math.inf, math.inf

    @property
    def mean(self):
        loc, _ = floating(self.loc, self.scale)
        return jnp.broadcast_to(loc, self.batch_shape)

    @property
    def variance(self):
        _, scale = floating(self.loc, self.scale)
        return jnp.broadcast_to(scale * scale, self.batch_shape)

    def log_prob(self, x):
        x, loc, scale = floating(x, self.loc, self.scale)
        z = (x - loc) / scale
        return -0.5 * z * z - jnp.log(scale) - _LOG_SQRT_2PI

    def sample(self, key: Key[Array, ""], shape: Shape = ()):
        loc, scale = floating(self.loc, self.scale)
        return loc + scale * jr.normal(key, (*shape, *self.batch_shape), loc.dtype)

    def strata(self, key, n):
        return only_stratum(self.sample(key, (n,)), self.batch_shape)

    def translate(self, by):
        return Normal(jnp.asarray(self.loc) - by, self.scale)

    def pieces(self):
        loc, scale = jnp.broadcast_arrays(*floating(self.loc, self.scale))
        return Pieces(loc[None, ..., None], scale[None, ..., None, None], loc[None, ..., None][:0])

    def value_checks(self):
        return [Check(~(jnp.asarray(self.scale) > 0), "Normal: scale must be positive")]


@rule(KL, Normal, Normal)
def _(functional, p, q):
    loc_p, scale_p, loc_q, scale_q = floating(p.loc, p.scale, q.loc, q.scale)
    z = (loc_p - loc_q) / scale_q
    return 0.5 * z * z + log_det_divergence(scale_p, scale_q)


@rule(Entropy, Normal)
def _(functional, p):
    (scale,) = floating(p.scale)
    entropy = jnp.log(scale) + (0.5 + _LOG_SQRT_2PI)
    return jnp.broadcast_to(entropy, p.batch_shape)


@rule(CrossEntropy, Normal, Normal)
def _(functional, p, q):
    loc_p, scale_p, loc_q, scale_q = floating(p.loc, p.scale, q.loc, q.scale)
    z, ratio = (loc_p - loc_q) / scale_q, scale_p / scale_q
    # Entropy and KL where the scales are near: the slope in scale_q passes through zero there.
    near = (ratio > 0.5) & (ratio < 2.0)
    close = jnp.log(scale_p) + log_det_divergence(scale_p, jnp.where(near, scale_q, scale_p))
    far = jnp.log(scale_q) + 0.5 * (ratio * ratio - 1)
    return 0.5 * z * z + jnp.where(near, close, far) + (0.5 + _LOG_SQRT_2PI)


@rule(Renyi, Normal, Normal)
def _(functional, p, q):
    loc_p, scale_p, loc_q, scale_q = floating(p.loc, p.scale, q.loc, q.scale)
    if is_static(functional.order, 0.0):  # nowhere is a density zero
        return jnp.zeros_like(loc_p - loc_q + (scale_p - scale_q))
    if is_static(functional.order, math.inf):
        return _largest_ratio(loc_p, scale_p, loc_q, scale_q)
    return _renyi(functional.order, loc_p, scale_p, loc_q, scale_q)


def _renyi(order: Any, loc_p: Array, scale_p: Array, loc_q: Array, scale_q: Array) -> Array:
    """Gil, Alajaji & Linder 2013, Table 2; the log-determinant part without cancellation."""
    order = jnp.asarray(order, loc_p.dtype)
    gap, ratio = (scale_q - scale_p) * (scale_q + scale_p), scale_q / scale_p
    t, s = gap / (scale_p * scale_p), -gap / (scale_q * scale_q)
    # The variance (1 - order) var_p + order var_q, over var_p: infinite where it is not positive.
    mixed = jnp.where(order > 1, 1 + order * t, (1 - order) + order * ratio * ratio)
    finite = mixed > 0
    safe_t, safe_s = jnp.where(finite, t, 0.0), jnp.where(finite, s, 0.0)
    log_squares = 2 * jnp.log(jnp.where(finite, ratio, 1.0))
    parts = log_mixture_gap(log_squares, safe_t, safe_s, order)
    z = (loc_p - loc_q) / scale_p
    shift = order * z * z / jnp.where(finite, mixed, 1.0)
    return jnp.where(finite, 0.5 * (shift + parts), jnp.where(jnp.isnan(mixed), mixed, jnp.inf))


def _largest_ratio(loc_p: Array, scale_p: Array, loc_q: Array, scale_q: Array) -> Array:
    r"""$\log\max p/q$: finite only where $q$ is the wider, or the same."""
    wide = scale_q > scale_p
    excess = (scale_q - scale_p) * (scale_q + scale_p)
    shift = (loc_p - loc_q) ** 2 / jnp.where(wide, excess, 1.0)
    t = jnp.where(wide, (scale_q - scale_p) / scale_p, 0.0)
    same = (scale_q == scale_p) & (loc_p == loc_q)
    return jnp.where(wide, 0.5 * shift + log1p(t), jnp.where(same, 0.0, jnp.inf))


@rule(ChernoffInformation, Normal, Normal)
def _(functional, p, q):
    parameters = jnp.broadcast_arrays(*floating(p.loc, p.scale, q.loc, q.scale))

    return largest_exponent(_renyi, *parameters)


@rule(RenyiEntropy, Normal)
def _(functional, p):
    (scale,) = floating(p.scale)
    entropy = jnp.log(scale) + (renyi_entropy_excess(functional.order, scale) + _LOG_SQRT_2PI)
    return jnp.broadcast_to(entropy, p.batch_shape)


def renyi_entropy_excess(order: Any, like: Array) -> Array:
    r"""$\frac12 \log(\alpha) / (\alpha - 1)$: a half at 1, the limits at 0 and infinity."""
    if is_static(order, 0.0) or is_static(order, math.inf):
        return jnp.full((), math.inf if order == 0 else 0.0, like.dtype)
    return 0.5 * log1prel(jnp.asarray(order, like.dtype) - 1)


@rule(Varentropy, Normal)
def _(functional, p):
    (scale,) = floating(p.scale)
    return jnp.full(p.batch_shape, 0.5, scale.dtype)


@rule(InformationVariance, Normal, Normal)
def _(functional, p, q):
    loc_p, scale_p, loc_q, scale_q = floating(p.loc, p.scale, q.loc, q.scale)
    z, ratio = (loc_p - loc_q) / scale_q, scale_p / scale_q
    near = (ratio > 0.5) & (ratio < 2)
    close = (scale_p - scale_q) / scale_q * (ratio + 1)
    excess = jnp.where(near, close, ratio * ratio - 1)
    return 0.5 * excess * excess + (ratio * z) ** 2


@jax.custom_jvp
def log_det_divergence(scale_p: Array, scale_q: Array) -> Array:
    r"""$\frac12(\rho^2 - 1) - \log\rho$, $\rho = \sigma_p / \sigma_q$, without cancellation."""
    t = (scale_p - scale_q) / scale_q
    near = (t > -0.5) & (t < 1.0)
    far = t - (jnp.log(scale_p) - jnp.log(scale_q))
    return 0.5 * t * t + jnp.where(near, phi_series(jnp.where(near, t, 0.0)), far)


@log_det_divergence.defjvp
def _(primals, tangents):
    scale_p, scale_q = primals
    t = (scale_p - scale_q) / scale_q
    change = t * (2 + t)  # rho^2 - 1
    slope = over(change, scale_p) * tangents[0] - over(change, scale_q) * tangents[1]
    return log_det_divergence(*primals), slope
