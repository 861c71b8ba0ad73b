"""The normal distribution and its closed forms."""

import math
from typing import Any, ClassVar

import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, Key

from .._estimator.rules import rule
from .._functional.entropies import CrossEntropy, Entropy
from .._functional.kl import KL
from .._functional.renyi import Renyi
from .._special import phi
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
    return 0.5 * (z * z + ratio * ratio) + jnp.log(scale_q) + _LOG_SQRT_2PI


@rule(Renyi, Normal, Normal)
def _(functional, p, q):
    # Gil, Alajaji & Linder 2013, Table 2; the log-determinant part without cancellation.
    order, loc_p, scale_p, loc_q, scale_q = floating(
        functional.order, p.loc, p.scale, q.loc, q.scale
    )
    t = (scale_q - scale_p) * (scale_q + scale_p) / (scale_p * scale_p)
    mixed = 1 + order * t  # the variance (1 - order) var_p + order var_q, over var_p
    finite = mixed > 0
    mixed, t = jnp.where(finite, mixed, 1.0), jnp.where(finite, t, 0.0)
    z = (loc_p - loc_q) / scale_p
    return jnp.where(finite, 0.5 * (order * z * z / mixed + _log_mixture_gap(t, order)), jnp.inf)


def _log_mixture_gap(t: Array, order: Array) -> Array:
    r"""$(\log(1 + \alpha t) - \alpha\log(1 + t)) / (1 - \alpha)$, smooth through $\alpha = 1$.

    With $s = -t / (1 + t)$ and $\beta = 1 - \alpha$ it is $\phi(s) - \phi(\beta s) / \beta$; the
    mirrored form serves small orders. Both are differences that never cancel by more than half.
    """
    high = order >= 0.5
    beta = 1 - order
    s, small = jnp.where(high, -t / (1 + t), t), jnp.where(high, beta, order)
    zero = small == 0
    inner = jnp.where(zero, 0.0, phi(small * s) / jnp.where(zero, 1.0, small))
    return (phi(s) - inner) * jnp.where(high, 1.0, order / jnp.where(high, 1.0, beta))


def log_det_divergence(scale_p: Array, scale_q: Array) -> Array:
    r"""$\frac12(\rho^2 - 1) - \log\rho$, $\rho = \sigma_p / \sigma_q$, without cancellation."""
    t = (scale_p - scale_q) / scale_q
    near = (t > -0.5) & (t < 1.0)
    far = t - (jnp.log(scale_p) - jnp.log(scale_q))
    return 0.5 * t * t + jnp.where(near, phi(jnp.where(near, t, 0.0)), far)
