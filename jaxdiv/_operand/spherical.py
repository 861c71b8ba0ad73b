r"""What distributions of a direction have in common: those whose density depends on the angle.

With $\theta$ the angle from the location and $n = D - 2$, the density of $\theta$ is $e^{-h}$ with
$h$ of a single minimum, at $\theta^*$. Everything is a mean over Gauss-Legendre nodes around it, by
their distances from it: the digits depend neither on the concentration nor on the dimension.
"""

import abc
import math
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from .._special import phi, psi
from .._special.base import log1p, terms
from .._special.legendre import gauss_legendre
from .base import AbstractDistribution, Check, floating, only_stratum
from .univariate import Shifted


class AbstractSpherical(AbstractDistribution):
    """A distribution over the unit sphere, symmetric around `loc`.

    Densities are with respect to the sphere's surface; outcomes are taken to lie on it.
    """

    loc: eqx.AbstractVar[Float[Any, "*batch D"]]
    concentration: eqx.AbstractVar[Float[Any, "*batch"]]
    integer: ClassVar[bool] = False

    @property
    def batch_shape(self):
        shape = jnp.shape(jnp.asarray(self.loc))
        if not shape or shape[-1] < 2:
            raise ValueError(
                f"{type(self).__name__}: expected loc [..., D] with D > 1, got shape {shape}."
            )
        return jnp.broadcast_shapes(shape[:-1], jnp.shape(self.concentration))

    @property
    def event_shape(self):
        return jnp.shape(jnp.asarray(self.loc))[-1:]

    @property
    def normalized(self):
        return True

    @property
    def support(self):
        return -1.0, 1.0

    def parameters(self) -> tuple[Array, Array]:
        """The location and the concentration, of one dtype and one batch shape."""
        loc, kappa = floating(jnp.asarray(self.loc), self.concentration)
        shape = self.batch_shape
        return jnp.broadcast_to(loc, shape + self.event_shape), jnp.broadcast_to(kappa, shape)

    @property
    def extra(self) -> int:
        """$n = D - 2$."""
        return self.event_shape[0] - 2

    @abc.abstractmethod
    def angles(self) -> "Angles":
        """Nodes for the angle from the location."""

    @property
    def mean(self):
        loc, _ = self.parameters()
        return self.resultant()[..., None] * loc

    @abc.abstractmethod
    def resultant(self) -> Array:
        r"""$E[\cos\theta]$, the length of the mean."""

    @property
    def variance(self):
        loc, _ = self.parameters()
        angles = self.angles()
        along = angles.average((angles.rise - angles.average(angles.rise)) ** 2)
        across = angles.average(angles.sine**2) / (self.extra + 1)
        square = loc * loc
        return along[..., None] * square + across[..., None] * (1 - square)

    def strata(self, key, n):
        return only_stratum(self.sample(key, (n,)), self.batch_shape)

    def translate(self, by):
        return Shifted(self, -jnp.asarray(by))

    def pieces(self):
        raise TypeError(
            f"{type(self).__name__} lives on a sphere, over which Quadrature cannot integrate: use "
            "the closed form, or MonteCarlo(n)."
        )

    def value_checks(self):
        name, (loc, kappa) = type(self).__name__, self.parameters()
        off = abs(jnp.linalg.norm(loc, axis=-1) - 1)
        tolerance = 4 * float(jnp.finfo(loc.dtype).eps) * loc.shape[-1] ** 0.5
        return [
            Check(~(off <= tolerance), f"{name}: loc must be a unit vector", "in row"),
            Check(~(kappa >= 0), f"{name}: concentration must not be negative"),
        ]


def check_dimension(p: AbstractSpherical, q: AbstractSpherical) -> None:
    if p.event_shape != q.event_shape:
        raise ValueError(
            f"p is over directions of shape {p.event_shape} and q of {q.event_shape}: they must "
            "agree."
        )


def log_area(size: int) -> float:
    """The logarithm of the area of the unit sphere in that many dimensions."""
    return math.log(2) + 0.5 * size * math.log(math.pi) - math.lgamma(0.5 * size)


def squared_distance(x: Array, y: Array) -> Array:
    r"""$\frac12|x - y|^2$, which is $1 - \cos$ of the angle between them."""
    return 0.5 * jnp.sum((x - y) ** 2, -1)


def directions(key: Any, loc: Array, u: Array) -> Array:
    r"""Random ones at the angles with $1 - \cos\theta = u$ from `loc`."""
    normal = jr.normal(key, (*u.shape, loc.shape[-1]), loc.dtype)
    across = normal - jnp.sum(normal * loc, -1, keepdims=True) * loc
    across = across / jnp.linalg.norm(across, axis=-1, keepdims=True)
    sine = jnp.sqrt(u * (2 - u))
    return (1 - u)[..., None] * loc + sine[..., None] * across


class Angles(NamedTuple):
    r"""Nodes for $\theta$, on a new first axis, and the masses that they stand for.

    All are constants but the exponents, in which the concentration is not: means over the nodes
    then have the derivatives, of every order, of the integrals.
    """

    mode: Array
    ends: tuple[Array, Array]  # whether the nodes go as far as 0, and as pi
    offsets: Array  # theta - mode
    rest: Array  # pi - theta
    rise: Array  # cos(mode) - cos(theta)
    sine: Array
    widths: Array
    exponents: Array  # h, less that of the mode

    @property
    def weights(self) -> Array:
        return self.widths * jnp.exp(-self.exponents)

    def average(self, values: Array) -> Array:
        return jnp.sum(self.weights * values, 0) / jnp.sum(self.weights, 0)

    def log_mass(self) -> Array:
        return jnp.log(jnp.sum(self.weights, 0))


def lay(mode: Array, curvature: Array, rough: Array) -> Angles:
    r"""Around the mode, as far as there is any mass; the exponents are still to come.

    Where it is `rough`, for it has a small power of $\pi - \theta$ as a factor, the nodes come
    near $\pi$ as a high power.
    """
    reach = terms(mode, 16, 20) * lax.rsqrt(curvature)
    left, right = jnp.minimum(mode, reach), jnp.minimum(math.pi - mode, reach)
    x, w = gauss_legendre(terms(mode, 56, 96))
    ends = left == mode, right == math.pi - mode
    graded = rough & ends[1]

    def where_graded(a: np.ndarray, b: np.ndarray) -> Array:
        shape = (-1, *(1,) * mode.ndim)
        return jnp.where(graded, *(jnp.asarray(v.reshape(shape), mode.dtype) for v in (a, b)))

    power = terms(mode, 4, 6)
    before, after = 0.5 * (1 + x), 0.5 * (1 - x)
    scale = left + right
    offsets = scale * where_graded(-np.expm1(power * np.log(after)), before) - left
    rest = scale * where_graded(after**power, after) + (math.pi - mode - right)
    widths = scale * where_graded(0.5 * power * w * after ** (power - 1), 0.5 * w)
    rise = 2 * jnp.sin(mode + 0.5 * offsets) * jnp.sin(0.5 * offsets)
    sine = jnp.sin(jnp.where(offsets + mode > 2, rest, mode + offsets))
    return Angles(mode, ends, offsets, rest, rise, sine, widths, widths)


def lacking(t: Array, log_far: Array) -> Array:
    r"""$t - \log(1 + t)$, from the logarithm where $t$ is near -1."""
    near = t > -0.5
    far = jnp.where(near, 0.0, log_far)
    return jnp.where(near, phi(jnp.where(near, t, 0.0)), jnp.expm1(far) - far)


def mean_remainder(p: Angles, q: Angles, at_q: Array, log_ratio: Array) -> Array:
    r"""$\log E_P[e^{-c}]$ for the log-ratio $c$ of the densities less its mean.

    Where Q may have mass that P's nodes miss, the difference of the entropies instead; `at_q` are
    the exponents of Q at the nodes of P.
    """
    far = p.average(at_q) - p.average(p.exponents) + (q.log_mass() - p.log_mass())
    limit = terms(far, 25, 40)
    low, high = p.ends[0] | (at_q[0] > limit), p.ends[1] | (at_q[-1] > limit)
    near = lax.stop_gradient(low & high & (far < 1))
    c = jnp.where(near, log_ratio, 0.0)
    c = jnp.where(near, c - p.average(c), 0.0)
    # Where P has next to nothing by the mass of Q, which its own may be too small to hold.
    odd = c < -20
    parts = p.weights * jnp.where(odd, c - 1, psi(jnp.where(odd, 0.0, c)))
    parts = parts + jnp.where(odd, p.widths * jnp.exp(jnp.where(odd, -p.exponents - c, 0.0)), 0.0)
    return jnp.where(near, log1p(jnp.sum(parts, 0) / jnp.sum(p.weights, 0)), far)
