"""The von Mises-Fisher distribution of a direction and its closed forms."""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import jax.random as jr
from jax import lax
from jaxtyping import Array, Float

from .._estimator.rules import rule
from .._functional.entropies import Entropy
from .._functional.kl import KL
from .._special import expm1
from .._special.base import log1p
from .base import field, floating
from .exponential_family import AbstractExponentialFamily
from .spherical import (
    AbstractSpherical,
    Angles,
    check_dimension,
    directions,
    lacking,
    lay,
    log_area,
    mean_remainder,
    squared_distance,
)
from .univariate import uniform


class VonMisesFisher(AbstractSpherical, AbstractExponentialFamily):
    r"""Density proportional to $e^{\kappa\mu\cdot x}$ on the unit sphere of $R^D$.

    Args:
        loc: $\mu$, a unit vector, `[*batch, D]`.
        concentration: $\kappa \ge 0$; with 0 it is the uniform distribution, whatever $\mu$.

    Example:
        >>> import jax.numpy as jnp, jaxdiv as jd
        >>> pole = jnp.array([0.0, 0.0, 1.0])
        >>> print(f"{jd.kl(jd.VonMisesFisher(pole, 1.0), jd.VonMisesFisher(pole, 0.0)):.6f}")
        0.151596
    """

    loc: Float[Any, "*batch D"] = field(constraint="sphere", event_ndim=1)
    concentration: Float[Any, "*batch"] = field(constraint="positive")
    reparameterized: ClassVar[bool] = False

    def angles(self):
        return _angles(self.parameters()[1], self.extra)

    def resultant(self):
        kappa, angles = self.parameters()[1], self.angles()
        return kappa * angles.average(angles.sine**2) / (self.extra + 1)

    def log_prob(self, x):
        loc, kappa = self.parameters()
        x, loc, kappa = floating(x, loc, kappa)
        norm = _log_mass(kappa, self.extra) + log_area(self.extra + 1)
        return -kappa * squared_distance(x, loc) - norm

    def sample(self, key, shape=()):
        loc, kappa = self.parameters()
        key, key_across = jr.split(key)
        u = _sample(key, lax.stop_gradient(kappa), self.extra, (*shape, *kappa.shape))
        return directions(key_across, loc, u)

    def natural(self):
        loc, kappa = self.parameters()
        return (kappa[..., None] * loc,)

    def statistic(self, x):
        return (x,)

    def expectation(self):
        return (self.mean,)

    def from_natural(self, natural):
        square = jnp.sum(natural[0] ** 2, -1)
        none = square == 0
        kappa = jnp.where(none, 0.0, jnp.sqrt(jnp.where(none, 1.0, square)))
        pole = jax.nn.one_hot(0, natural[0].shape[-1], dtype=kappa.dtype)
        safe = jnp.where(none, 1.0, kappa)[..., None]
        return VonMisesFisher(jnp.where(none[..., None], pole, natural[0] / safe), kappa)

    def natural_difference(self, other):
        (a, k), (b, c) = self.parameters(), other.parameters()
        a, k, b, c = floating(a, k, b, c)
        return ((k - c)[..., None] * a + c[..., None] * (a - b),)

    def is_natural(self, natural):
        return jnp.all(jnp.isfinite(natural[0]), -1)

    def fisher_form(self, direction):
        loc, _ = self.parameters()
        angles, along = self.angles(), jnp.sum(direction[0] * loc, -1)
        across = jnp.sum((direction[0] - along[..., None] * loc) ** 2, -1)
        spread = angles.average((angles.rise - angles.average(angles.rise)) ** 2)
        return spread * along**2 + angles.average(angles.sine**2) / (self.extra + 1) * across


def _length(kappa: Array, n: int) -> Array:
    r"""$\kappa/\cos\theta^*$, for which $\sin^2\theta^*$ is $n$ over it."""
    return 0.5 * (n + jnp.sqrt(n * n + 4 * kappa * kappa))


def _angles(kappa: Array, n: int) -> Angles:
    r"""For the density $e^{-\kappa(1 - \cos\theta)}\sin^n\theta$."""
    fixed = lax.stop_gradient(kappa)
    length = _length(fixed, n)
    some = jnp.where(length > 0, length, 1.0)  # on the circle it is the concentration
    mode, curvature = jnp.arctan2(jnp.sqrt(n * some), fixed), fixed * fixed / some + length
    angles = lay(mode, curvature, rough=jnp.zeros_like(mode, bool))
    return angles._replace(exponents=at_angles(kappa, n, angles, angles))


def at_angles(kappa: Array, n: int, own: Angles, at: Angles) -> Array:
    r"""$h(\theta) - h(\theta^*)$: what the sine lacks to be linear, and the rest.

    Neither is negative; the linear terms of both parts of $h$ cancel, by what the mode is.
    """
    fixed, mode, offsets = lax.stop_gradient(kappa), own.mode, at.offsets + (at.mode - own.mode)
    value = 2 * _length(fixed, n) * jnp.sin(0.5 * offsets) ** 2
    sloping = 2 * jnp.sin(0.5 * offsets)
    if n:
        ratio = jnp.cos(mode + 0.5 * offsets) * sloping / jnp.sin(mode)
        value = value + n * lacking(ratio, jnp.log(at.sine / jnp.sin(mode)))
    return value + (kappa - fixed) * jnp.sin(mode + 0.5 * offsets) * sloping


def _log_mass(kappa: Array, n: int) -> Array:
    r"""$\log\int e^{-\kappa(1 - \cos\theta)}\sin^n\theta\,d\theta$."""
    fixed = lax.stop_gradient(kappa)
    length, angles = _length(fixed, n), _angles(kappa, n)
    if n == 0:
        return angles.log_mass()
    return angles.log_mass() - kappa * n / (length + fixed) + 0.5 * n * jnp.log(n / length)


@rule(KL, VonMisesFisher, VonMisesFisher)
def _(functional, p, q):
    check_dimension(p, q)
    (loc_p, kappa_p), (loc_q, kappa_q) = p.parameters(), q.parameters()
    loc_p, kappa_p, loc_q, kappa_q = floating(loc_p, kappa_p, loc_q, kappa_q)
    kappa_p, kappa_q = jnp.broadcast_arrays(kappa_p, kappa_q)
    n = p.extra
    one, other = _angles(kappa_p, n), _angles(kappa_q, n)
    at_q = at_angles(kappa_q, n, other, one)
    turned = kappa_q * p.resultant() * squared_distance(loc_p, loc_q)
    return turned + mean_remainder(one, other, at_q, (kappa_q - kappa_p) * one.rise)


@rule(Entropy, VonMisesFisher)
def _(functional, p):
    kappa, angles = p.parameters()[1], p.angles()
    n, own = p.extra, kappa * angles.average(angles.rise) + angles.log_mass()
    at_mode = 0.5 * n * jnp.log(n / _length(lax.stop_gradient(kappa), n)) if n else 0.0
    return own + at_mode + log_area(n + 1)


def _sample(key: Any, kappa: Array, n: int, shape: tuple[int, ...]) -> Array:
    r"""$1 - \cos\theta$: by inversion in three dimensions, else by rejection (Wood 1994)."""
    if n == 1:
        u, some = uniform(key, shape, kappa.dtype), kappa > 0
        most = expm1(-2 * kappa)
        return jnp.where(some, -log1p(u * most) / jnp.where(some, kappa, 1.0), 2 * u)
    size = n + 1
    b = size / (2 * kappa + jnp.hypot(2 * kappa, float(size)))
    start = 2 * b / (1 + b)

    def step(state):
        key, u, done = state
        key, key_squares, key_accept = jr.split(key, 3)
        normal = jr.normal(key_squares, (2, *shape, size), kappa.dtype)
        one, other = jnp.sum(normal * normal, -1)  # their shares have a beta distribution
        new = 2 * b * one / (b * one + other)
        ratio = (start + new - start * new) / (start * (2 - start))
        accept = jnp.log(uniform(key_accept, shape, kappa.dtype))
        good = kappa * (start - new) + size * jnp.log(ratio) >= accept
        return key, jnp.where(~done & good, new, u), done | good

    lost = jnp.broadcast_to(~(jnp.isfinite(kappa) & (kappa >= 0)), shape)
    begin = key, jnp.where(lost, jnp.nan, jnp.zeros(shape, kappa.dtype)), lost
    return lax.while_loop(lambda state: ~jnp.all(state[2]), step, begin)[1]
