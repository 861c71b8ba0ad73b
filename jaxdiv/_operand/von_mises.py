r"""The von Mises distribution and its closed forms.

Everything is in terms of $u = 1 - \cos\theta$, whose moments are sums of positive terms: by the
trapezoidal rule, which converges geometrically for periodic functions, at small concentrations, and
by asymptotic series at large ones.
"""

import math
from fractions import Fraction
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from .._estimator.rules import rule
from .._functional.entropies import Entropy
from .._functional.kl import KL
from .._special import itakura_saito, psi
from .._special.base import horner, log1p
from .._special.gamma import power_remainders, power_slopes
from .base import Pieces, field, floating
from .exponential_family import AbstractExponentialFamily
from .univariate import AbstractContinuous, uniform


class VonMises(AbstractContinuous, AbstractExponentialFamily):
    r"""Density $e^{\kappa\cos(x - \mu)} / 2\pi I_0(\kappa)$ of an angle in $[-\pi, \pi]$.

    `mean` is the mean direction $\mu$, and `variance` the circular variance $1 - E[\cos(x - \mu)]$.

    Args:
        loc: $\mu$, an angle.
        concentration: $\kappa > 0$.

    Example:
        >>> import jaxdiv as jd
        >>> print(f"{jd.kl(jd.VonMises(0.0, 1.0), jd.VonMises(3.14159, 1.0)):.6f}")
        0.892780
    """

    loc: Float[Any, "..."] = field()
    concentration: Float[Any, "..."] = field(constraint="positive")
    reparameterized: ClassVar[bool] = False

    @property
    def support(self):
        return -math.pi, math.pi

    @property
    def mean(self):
        return self.parameters()[0]

    @property
    def variance(self):
        return _spread(self.parameters()[1])

    def log_prob(self, x):
        x, loc, kappa = floating(x, self.loc, self.concentration)
        half = jnp.sin(0.5 * (x - loc))
        return -2 * kappa * half * half - _log_mass(kappa) - math.log(2 * math.pi)

    def sample(self, key, shape=()):
        loc, kappa = self.parameters()
        angle = loc + _sample(key, lax.stop_gradient(kappa), (*shape, *self.batch_shape))
        return (angle + math.pi) % (2 * math.pi) - math.pi

    def translate(self, by):
        loc, kappa, by = floating(self.loc, self.concentration, by)
        return VonMises(loc - by, kappa)

    def pieces(self):
        loc, kappa = self.parameters()
        scale = lax.rsqrt(kappa + 0.25)
        turns = jnp.asarray([-2 * math.pi, 0.0, 2 * math.pi], loc.dtype)
        centres = loc + turns.reshape(3, *(1,) * loc.ndim)
        scales = jnp.broadcast_to(scale, centres.shape)
        return Pieces(centres[..., None], scales[..., None, None], centres[:0, ..., None])

    def natural(self):
        loc, kappa = self.parameters()
        return kappa * jnp.cos(loc), kappa * jnp.sin(loc)

    def statistic(self, x):
        return jnp.cos(x), jnp.sin(x)

    def expectation(self):
        loc, kappa = self.parameters()
        resultant = _resultant(kappa)
        return resultant * jnp.cos(loc), resultant * jnp.sin(loc)

    def from_natural(self, natural):
        return VonMises(jnp.arctan2(natural[1], natural[0]), jnp.hypot(*natural))

    def natural_difference(self, other):
        loc_p, kappa_p, loc_q, kappa_q = floating(*self.parameters(), *other.parameters())
        middle, turn = 0.5 * (loc_p + loc_q), 2 * jnp.sin(0.5 * (loc_p - loc_q))
        longer = kappa_p - kappa_q
        return (
            longer * jnp.cos(loc_p) - kappa_q * jnp.sin(middle) * turn,
            longer * jnp.sin(loc_p) + kappa_q * jnp.cos(middle) * turn,
        )

    def is_natural(self, natural):
        return jnp.isfinite(natural[0] + natural[1])

    def fisher_form(self, direction):
        loc, kappa = self.parameters()
        x, y = direction
        along = x * jnp.cos(loc) + y * jnp.sin(loc)
        across = y * jnp.cos(loc) - x * jnp.sin(loc)
        return _curvature(kappa) * along**2 + _resultant_over(kappa) * across**2


# f = log I0, f' = 1 - E[u] and f'' = Var(u).


def _asymptotic_series(count: int) -> tuple[float, ...]:
    r"""$c_n$ of $\log I_0(\kappa) = \kappa - \frac12\log(2\pi\kappa) + \sum_n c_n \kappa^{-n}$."""
    a = [Fraction(1)]
    for n in range(1, count + 1):
        a.append(a[-1] * (2 * n - 1) ** 2 / (8 * n))
    c = [Fraction(0)]
    for n in range(1, count + 1):
        c.append(a[n] - sum((k * c[k] * a[n - k] for k in range(1, n)), Fraction(0)) / n)
    return tuple(map(float, c[1:]))


_ASYMPTOTIC = _asymptotic_series(18)


def _series(x: Array) -> tuple[float, ...]:
    return _ASYMPTOTIC if x.dtype == jnp.float64 else _ASYMPTOTIC[:10]


def _switch(x: Array) -> float:
    """From here on the asymptotic series holds; the trapezoidal rule holds up to twice this."""
    return 40.0 if x.dtype == jnp.float64 else 16.0


def _nodes(kappa: Array) -> tuple[Array, Array, Array]:
    r"""$u$, $\sin^2\theta$ and the weights of the angles under the distribution; on a new axis."""
    count = 42 if kappa.dtype == jnp.float64 else 21
    theta = np.pi * np.arange(count + 1) / count
    ends = np.where(np.isin(np.arange(count + 1), [0, count]), 0.5, 1.0) / count
    shape = (-1, *(1,) * kappa.ndim)
    u, sine, ends = (
        jnp.asarray(x.reshape(shape), kappa.dtype)
        for x in (2 * np.sin(theta / 2) ** 2, np.sin(theta) ** 2, ends)
    )
    return u, sine, ends * jnp.exp(-kappa * u)


def _by_size(kappa: Array) -> tuple[Array, Array, Array]:
    """Whether it is small, and it with something harmless elsewhere, for either way."""
    switch = _switch(kappa)
    low = kappa < switch
    return low, jnp.where(low, kappa, 1.0), jnp.where(low, switch, kappa)


def _log_mass(kappa: Array) -> Array:
    r"""$\log I_0(\kappa) - \kappa$."""
    low, small, large = _by_size(kappa)
    _, _, weights = _nodes(small)
    far = horner(1 / large, list(_series(kappa))) / large - 0.5 * jnp.log(2 * math.pi * large)
    return jnp.where(low, jnp.log(jnp.sum(weights, 0)), far)


def _spread(kappa: Array) -> Array:
    """$E[u]$."""
    low, small, large = _by_size(kappa)
    u, _, weights = _nodes(small)
    near = jnp.sum(weights * u, 0) / jnp.sum(weights, 0)
    series = [(n + 1) * c for n, c in enumerate(_series(kappa))]
    far = (0.5 + horner(1 / large, series) / large) / large
    return jnp.where(low, near, far)


def _resultant_over(kappa: Array) -> Array:
    r"""$f'(\kappa)/\kappa = E[\sin^2\theta]$."""
    low, small, large = _by_size(kappa)
    _, sine, weights = _nodes(small)
    near = jnp.sum(weights * sine, 0) / jnp.sum(weights, 0)
    return jnp.where(low, near, (1 - _spread(large)) / large)


@jax.custom_jvp
def _resultant(kappa: Array) -> Array:
    r"""$f'(\kappa)$."""
    return kappa * _resultant_over(kappa)


@_resultant.defjvp
def _(primals, tangents):
    return _resultant(*primals), _curvature(*primals) * tangents[0]


def _central_moment(kappa: Array, order: int) -> Array:
    """Of $u$: the variance and the third, with the digits that their derivatives by AD lack."""
    low, small, large = _by_size(kappa)
    u, _, weights = _nodes(small)
    total = jnp.sum(weights, 0)
    middle = jnp.sum(weights * u, 0) / total
    near = jnp.sum(weights * (u - middle) ** order, 0) / total
    series = [math.prod(range(n, n + order)) * c for n, c in enumerate(_series(kappa), 1)]
    far = (0.5 * (order - 1) + horner(1 / large, series) / large) / large**order
    return jnp.where(low, near, far)


@jax.custom_jvp
def _curvature(kappa: Array) -> Array:
    r"""$f''(\kappa)$."""
    return _central_moment(kappa, 2)


@_curvature.defjvp
def _(primals, tangents):
    (kappa,) = primals
    return _curvature(kappa), -_central_moment(kappa, 3) * tangents[0]


@jax.custom_jvp
def _remainder(k1: Array, k0: Array) -> Array:
    r"""$f(\kappa_1) - f(\kappa_0) - f'(\kappa_0)(\kappa_1 - \kappa_0) \ge 0$."""
    (low1, low0), (high1, high0), apart = _parts(k1, k0)
    u, weights = _around_mean(low0)
    low = log1p(jnp.sum(weights * psi((low1 - low0) * u), 0))
    d = high1 - high0
    series = d * d * power_remainders(1 / high0, 1 / high1, _series(k0))
    across = (_spread(k0) - _spread(jnp.full_like(k0, _switch(k0)))) * (k1 - _switch(k0))
    return low + (0.5 * itakura_saito(high1, high0) + series) + jnp.where(apart, across, 0.0)


@_remainder.defjvp
def _(primals, tangents):
    k1, k0 = primals
    slopes = _slope_difference(k1, k0), (k0 - k1) * _curvature(k0)
    return _remainder(k1, k0), slopes[0] * tangents[0] + slopes[1] * tangents[1]


@jax.custom_jvp
def _slope_difference(k1: Array, k0: Array) -> Array:
    r"""$f'(\kappa_1) - f'(\kappa_0)$."""
    (low1, low0), (high1, high0), _ = _parts(k1, k0)
    u, weights = _around_mean(low0)
    change = jnp.expm1(-(low1 - low0) * u)
    low = -jnp.sum(weights * change * u, 0) / (1 + jnp.sum(weights * change, 0))
    u, v = 1 / high0, 1 / high1
    return low + (high1 - high0) * (0.5 * u * v + power_slopes(u, v, _series(k0)))


@_slope_difference.defjvp
def _(primals, tangents):
    k1, k0 = primals
    change = _curvature(k1) * tangents[0] - _curvature(k0) * tangents[1]
    return _slope_difference(k1, k0), change


def _parts(k1: Array, k0: Array) -> tuple[tuple[Array, Array], tuple[Array, Array], Array]:
    """By one way where both are small, by the other where both are large.

    In between, where they are never near, from either side of the point where the ways part.
    """
    c = jnp.full_like(k0, _switch(k0))
    high = jnp.minimum(k1, k0) >= c
    low = ~high & (jnp.maximum(k1, k0) <= 2 * c)
    low1, low0 = (jnp.where(high, c, jnp.where(low, k, jnp.minimum(k, c))) for k in (k1, k0))
    high1, high0 = (jnp.where(low, c, jnp.maximum(k, c)) for k in (k1, k0))
    return (low1, low0), (high1, high0), ~high & ~low


def _around_mean(kappa: Array) -> tuple[Array, Array]:
    """$u$ less its mean, and the weights, which add up to one."""
    u, _, weights = _nodes(kappa)
    weights = weights / jnp.sum(weights, 0)
    return u - jnp.sum(weights * u, 0), weights


@rule(KL, VonMises, VonMises)
def _(functional, p, q):
    loc_p, kappa_p, loc_q, kappa_q = floating(p.loc, p.concentration, q.loc, q.concentration)
    kappa_p, kappa_q = jnp.broadcast_arrays(kappa_p, kappa_q)
    half = jnp.sin(0.5 * (loc_p - loc_q))
    turned = 2 * _resultant(kappa_p) * kappa_q * half * half
    return turned + _remainder(kappa_q, kappa_p)


@rule(Entropy, VonMises)
def _(functional, p):
    _, kappa = p.parameters()
    return kappa * _spread(kappa) + (_log_mass(kappa) + math.log(2 * math.pi))


def _sample(key: Any, kappa: Array, shape: tuple[int, ...]) -> Array:
    """Angles around 0, by rejection from a wrapped Cauchy distribution (Best & Fisher 1979)."""
    root = jnp.sqrt(1 + 4 * kappa * kappa)
    rho = 2 * kappa / (1 + root + jnp.sqrt(2 * (1 + root)))
    r = (1 + rho * rho) / (2 * rho)

    def step(state):
        key, angle, done = state
        key, *keys = jr.split(key, 4)
        z, accept, side = (uniform(k, shape, kappa.dtype) for k in keys)
        z = jnp.cos(math.pi * z)
        f = jnp.clip((1 + r * z) / (r + z), -1.0, 1.0)
        c = kappa * (r - f)
        good = (c * (2 - c) > accept) | (jnp.log(c / accept) + 1 - c >= 0)
        new = jnp.where(side > 0.5, 1.0, -1.0) * jnp.arccos(f)
        return key, jnp.where(~done & good, new, angle), done | good

    # Nothing would ever be accepted for what is no concentration.
    lost = jnp.broadcast_to(~(jnp.isfinite(r) & (kappa >= 0)), shape)
    start = key, jnp.where(lost, jnp.nan, jnp.zeros(shape, kappa.dtype)), lost
    return jax.lax.while_loop(lambda state: ~jnp.all(state[2]), step, start)[1]
