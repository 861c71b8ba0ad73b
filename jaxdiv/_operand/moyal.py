"""The Moyal distribution and its closed forms."""

import math
from typing import Any, ClassVar

import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Float

from .._estimator.rules import rule
from .._functional.entropies import Entropy
from .._functional.kl import KL
from .._special import gamma_bregman, itakura_saito, psi
from .base import field, floating
from .univariate import AbstractLocationScale

_EULER = 0.57721566490153286061
_LOG_2 = math.log(2.0)


class Moyal(AbstractLocationScale):
    r"""Density $e^{-(z + e^{-z})/2} / \sigma\sqrt{2\pi}$, $z = (x - \mu)/\sigma$: of energy losses.

    $e^{-z}$ is the square of a standard normal number.

    Args:
        loc: the mode $\mu$.
        scale: $\sigma > 0$.

    Example:
        >>> import jaxdiv as jd
        >>> print(f"{jd.kl(jd.Moyal(0.0, 1.0), jd.Moyal(1.0, 1.0)):.6f}")
        0.359141
    """

    loc: Float[Any, "..."] = field()
    scale: Float[Any, "..."] = field(constraint="positive")
    heavy_tails: ClassVar[bool] = True  # above, where it falls off as exp(-z / 2)

    @property
    def mean(self):
        loc, scale = self.location_scale()
        return loc + (_EULER + _LOG_2) * scale

    @property
    def variance(self):
        return 0.5 * math.pi**2 * self.location_scale()[1] ** 2

    def standard_log_prob(self, z):
        return -0.5 * (z + jnp.exp(-z)) - 0.5 * math.log(2 * math.pi)

    def standard_sample(self, key, shape, dtype):
        return -2 * jnp.log(abs(jr.normal(key, shape, dtype)))


@rule(KL, Moyal, Moyal)
def _(functional, p, q):
    r"""As between Gumbel distributions, with $\log\Gamma$ half a step further on.

    $w$ is the logarithm of $E_P[e^{-(x - \mu_q)/\sigma_q}]$.
    """
    loc_p, scale_p, loc_q, scale_q = floating(p.loc, p.scale, q.loc, q.scale)
    t, ratio = (scale_p - scale_q) / scale_q, scale_p / scale_q
    lifted = gamma_bregman(ratio + 0.5, jnp.full_like(t, 1.5), t)
    w = (loc_q - loc_p) / scale_q + lifted + (2 - _EULER - _LOG_2) * t
    return 0.5 * (psi(-w) + lifted) + itakura_saito(scale_p, scale_q)


@rule(Entropy, Moyal)
def _(functional, p):
    constant = 0.5 * (1 + _EULER + math.log(4 * math.pi))
    return jnp.log(p.location_scale()[1]) + constant
