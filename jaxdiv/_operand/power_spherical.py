"""The power spherical distribution of a direction and its closed forms."""

import math
from typing import Any, ClassVar

import jax
import jax.core
import jax.numpy as jnp
import jax.random as jr
from jax import lax
from jaxtyping import Array, Float

from .._estimator.rules import rule
from .._functional.entropies import Entropy
from .._functional.kl import KL
from .._special import digamma, digamma_difference, gamma_bregman, phi
from .._special.base import log1p, terms
from .base import field, floating
from .beta import beta_kl
from .spherical import (
    AbstractSpherical,
    Angles,
    check_dimension,
    directions,
    lacking,
    lay,
    mean_remainder,
    squared_distance,
)
from .von_mises_fisher import VonMisesFisher, at_angles


class PowerSpherical(AbstractSpherical):
    r"""Density proportional to $(1 + \mu\cdot x)^\kappa$ on the unit sphere of $R^D$.

    It is nearly a `VonMisesFisher` distribution, of half the concentration where that is large, and
    is drawn from without rejection (De Cao & Aziz 2020, "The power spherical distribution"):
    $\frac12(1 + \mu\cdot x)$ has a `Beta` distribution. Between two that differ in `loc` there is
    no closed form (under `jit`, which cannot tell, it is NaN).

    Args:
        loc: $\mu$, a unit vector, `[*batch, D]`.
        concentration: $\kappa \ge 0$; with 0 it is the uniform distribution, whatever $\mu$.

    Example:
        >>> import jax.numpy as jnp, jaxdiv as jd
        >>> pole = jnp.array([0.0, 0.0, 1.0])
        >>> print(f"{jd.kl(jd.PowerSpherical(pole, 2.0), jd.VonMisesFisher(pole, 1.0)):.6f}")
        0.093385
    """

    loc: Float[Any, "*batch D"] = field(constraint="sphere", event_ndim=1)
    concentration: Float[Any, "*batch"] = field(constraint="positive")
    reparameterized: ClassVar[bool] = True

    def shapes(self) -> tuple[Array, Array]:
        r"""Of the beta distribution of $\frac12(1 + \mu\cdot x)$."""
        _, kappa = self.parameters()
        half = jnp.full_like(kappa, 0.5 * (self.extra + 1))
        return kappa + half, half

    def angles(self):
        return _angles(self.parameters()[1], self.extra)

    def resultant(self):
        _, kappa = self.parameters()
        return kappa / (kappa + (self.extra + 1))

    def log_prob(self, x):
        loc, kappa = self.parameters()
        x, loc, kappa = floating(x, loc, kappa)
        depth = jnp.minimum(0.5 * squared_distance(x, loc), 1.0)
        flat = (kappa == 0) & (depth == 1)
        return kappa * log1p(-jnp.where(flat, 0.0, depth)) - self.log_mass()

    def log_mass(self) -> Array:
        r"""$\log\int ((1 + \mu\cdot x)/2)^\kappa$ over the sphere."""
        a, half = self.shapes()
        # The difference of two logarithms of gamma functions.
        rise = gamma_bregman(a + half, a, half) + digamma(a) * half
        return half * math.log(4 * math.pi) - rise

    def sample(self, key, shape=()):
        loc, _ = self.parameters()
        a, half = self.shapes()
        key, key_across = jr.split(key)
        # The distance from the pole, so that it has its digits where it is small.
        rest = jr.beta(key, half, a, (*shape, *a.shape), a.dtype)
        return directions(key_across, loc, 2 * rest)


def _angles(kappa: Array, n: int) -> Angles:
    r"""For the density $\cos^{2\kappa}(\theta/2)\sin^n\theta$."""
    fixed = lax.stop_gradient(kappa)
    power = 2 * fixed + n
    whole = power + n
    mode = 2 * jnp.arctan2(jnp.full_like(power, math.sqrt(n)), jnp.sqrt(power))
    mode = jnp.where(whole > 0, mode, 0.0)
    angles = lay(mode, 0.5 * whole, rough=power < terms(power, 8, 16))
    exponent, log_cosine = _exponent(power, n, angles)
    return angles._replace(exponents=exponent - 2 * (kappa - fixed) * log_cosine)


def _exponent(power: Array, n: int, at: Angles) -> tuple[Array, Array]:
    r"""$h(\theta) - h(\theta^*)$, none of whose terms is negative, and that of $\log\cos\theta/2$.

    With $h = -a\log\cos(\theta/2) - n\log\sin(\theta/2)$.
    """
    turn, middle = jnp.sin(0.25 * at.offsets), 0.5 * at.mode + 0.25 * at.offsets
    at_mode = jnp.cos(0.5 * at.mode)
    cosine = -2 * jnp.sin(middle) * turn / at_mode
    near, log_far = cosine > -0.5, jnp.log(jnp.sin(0.5 * at.rest) / at_mode)
    value = power * lacking(cosine, log_far) + 2 * (power + n) * turn**2
    if n:
        sine = 2 * jnp.cos(middle) * turn / jnp.sin(0.5 * at.mode)
        value = value + n * phi(jnp.maximum(sine, -1.0))
    return value, jnp.where(near, log1p(jnp.where(near, cosine, 0.0)), log_far)


@rule(KL, PowerSpherical, VonMisesFisher)
def _(functional, p, q):
    r"""Between those that share P's direction, and what it costs that Q's is another."""
    check_dimension(p, q)
    (loc_p, kappa_p), (loc_q, kappa_q) = p.parameters(), q.parameters()
    loc_p, kappa_p, loc_q, kappa_q = floating(loc_p, kappa_p, loc_q, kappa_q)
    kappa_p, kappa_q = jnp.broadcast_arrays(kappa_p, kappa_q)
    n = p.extra
    one, other = _angles(kappa_p, n), VonMisesFisher(loc_q, kappa_q).angles()
    at_q = at_angles(kappa_q, n, other, one)
    # The log-ratio, linear in the rise but for what the logarithm of 1 - x lacks to be.
    fixed, share = lax.stop_gradient(kappa_p), 0.5 / jnp.cos(0.5 * one.mode) ** 2
    whole = 2 * fixed + n
    some = whole > 0  # else P is uniform on the circle
    linear = fixed * (2 * kappa_q - fixed) + n * (kappa_q - fixed)
    linear = jnp.where(some, linear / jnp.where(some, whole, 1.0), kappa_q)
    linear = linear - share * (kappa_p - fixed)
    log_depth = 2 * jnp.log(jnp.sin(0.5 * one.rest) / jnp.cos(0.5 * one.mode))
    log_ratio = linear * one.rise - kappa_p * lacking(-share * one.rise, log_depth)
    turned = kappa_q * p.resultant() * squared_distance(loc_p, loc_q)
    return turned + mean_remainder(one, other, at_q, log_ratio)


@rule(KL, PowerSpherical, PowerSpherical)
def _(functional, p, q):
    check_dimension(p, q)
    loc_p, loc_q = floating(jnp.asarray(p.loc), jnp.asarray(q.loc))
    same = jnp.all(loc_p == loc_q, -1)
    if not isinstance(same, jax.core.Tracer) and not bool(jnp.all(same)):
        return None
    value = beta_kl(*jnp.broadcast_arrays(*floating(*p.shapes(), *q.shapes())))
    return jnp.where(same, value, jnp.nan)


@rule(Entropy, PowerSpherical)
def _(functional, p):
    _, kappa = p.parameters()
    a, half = p.shapes()
    return kappa * digamma_difference(a + half, a, half) + p.log_mass()
