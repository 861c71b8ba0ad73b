r"""The truncated normal distribution and its closed forms.

With $m$ the mode, everything is a mean over $e^{-g}$, $g(x) = \frac12(x-\mu)^2/\sigma^2 - \frac12
(m-\mu)^2/\sigma^2$, whose digits do not depend on how far the bounds are from $\mu$. The density is
a smooth function on an interval that is known, so that Gauss-Legendre rules give these means to
rounding; a KL divergence is the mean of what is never negative.
"""

import math
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
from jax import lax
from jaxtyping import Array, Float

from .._estimator.rules import rule
from .._functional.entropies import Entropy
from .._functional.kl import KL
from .._special import expm1, psi, softplus
from .._special.base import log1p, terms
from .._special.legendre import gauss_legendre
from .base import Check, Pieces, field, floating
from .half_normal import HalfNormal
from .normal import Normal
from .support import infinity, is_covered
from .univariate import AbstractContinuous, uniform


def _lower(x: Any) -> Any:
    """None for a Python number that is no bound."""
    return None if isinstance(x, float) and x == -math.inf else x


def _upper(x: Any) -> Any:
    return None if isinstance(x, float) and x == math.inf else x


class TruncatedNormal(AbstractContinuous):
    r"""$N(\mu, \sigma^2)$, given that it lies between $l$ and $h$.

    Args:
        loc: $\mu$, of the normal distribution, within the bounds or not.
        scale: $\sigma > 0$, of the normal distribution.
        low: $l$; None, or the Python number `-math.inf`, where there is no bound. An array is of
            finite bounds.
        high: $h > l$, likewise.

    A KL divergence is infinite where the bounds of P are not within those of Q. `fit` leaves the
    bounds as they are.

    Example:
        >>> import jaxdiv as jd
        >>> p, q = jd.TruncatedNormal(0.0, 1.0, low=0.0), jd.TruncatedNormal(0.0, 2.0, low=0.0)
        >>> print(f"{jd.kl(p, q):.6f}")
        0.318147
    """

    loc: Float[Any, "..."] = field()
    scale: Float[Any, "..."] = field(constraint="positive")
    low: Float[Any, "..."] | None = field(constraint="fixed", default=None, converter=_lower)
    high: Float[Any, "..."] | None = field(constraint="fixed", default=None, converter=_upper)
    reparameterized: ClassVar[bool] = True

    def __check_init__(self):
        low = -math.inf if self.low is None else self.low
        high = math.inf if self.high is None else self.high
        if isinstance(low, float) and isinstance(high, float) and not low < high:
            raise ValueError(f"TruncatedNormal: low must be less than high, got {low} and {high}.")

    def fields(self) -> tuple[Array, Array, Array, Array]:
        """All four, as arrays of one dtype and shape."""
        low, high = (-math.inf, math.inf)
        low, high = low if self.low is None else self.low, high if self.high is None else self.high
        loc, scale, low, high = jnp.broadcast_arrays(*floating(self.loc, self.scale, low, high))
        return loc, scale, low, high

    @property
    def support(self):
        _, _, low, high = self.fields()
        return -math.inf if self.low is None else low, math.inf if self.high is None else high

    @property
    def mean(self):
        part = _part(*self.fields())
        return part.mode + part.average(part.offsets)

    @property
    def variance(self):
        part = _part(*self.fields())
        return part.average((part.offsets - part.average(part.offsets)) ** 2)

    def log_prob(self, x):
        x, loc, scale, low, high = floating(x, *self.fields())
        part = _part(loc, scale, low, high)
        inside = (x >= low) & (x <= high)
        x = jnp.where(inside, x, part.mode)
        return jnp.where(inside, -part.exponent(x - part.mode) - part.log_mass(), -jnp.inf)

    def sample(self, key, shape=()):
        loc, scale, low, high = self.fields()
        x = _sample(key, *lax.stop_gradient((loc, scale, low, high)), (*shape, *loc.shape))
        return _moved(x, loc, scale, low, high)

    def translate(self, by):
        loc, scale, low, high = self.fields()
        low, high = (None if x is None else y - by for x, y in ((self.low, low), (self.high, high)))
        return TruncatedNormal(loc - by, scale, low=low, high=high)

    def pieces(self):
        part = _part(*self.fields())
        steps = jnp.asarray([0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0], part.mode.dtype)
        sides = [jnp.multiply.outer(steps, reach) for reach in (part.right, -part.left)]
        points = (part.mode + jnp.concatenate([part.mode[None] * 0, *sides]))[..., None]
        return Pieces(points[:0], points[:0, ..., None], points)

    def value_checks(self):
        _, scale, low, high = self.fields()
        checks = [
            Check(~(scale > 0), "TruncatedNormal: scale must be positive"),
            Check(~(low < high), "TruncatedNormal: low must be less than high"),
        ]
        for name, given in (("low", self.low), ("high", self.high)):
            if given is not None:
                bad = ~jnp.isfinite(floating(given)[0])
                checks.append(Check(bad, f"TruncatedNormal: {name} must be finite, or None"))
        return checks


class _Part(NamedTuple):
    """What a normal distribution has between two bounds, relative to its mode there."""

    scale: Array
    mode: Array  # a constant: derivatives are those of the exponent and of the bounds
    tilt: Array  # (mode - loc) / scale
    left: Array
    right: Array
    ends: tuple[Array, Array]  # whether these are the bounds
    offsets: Array  # of the nodes from the mode, on a new first axis
    weights: Array

    def exponent(self, offset: Array) -> Array:
        """$g$, never negative, at a distance from the mode."""
        z = offset / self.scale
        return z * (0.5 * z + self.tilt)

    def average(self, values: Array) -> Array:
        return jnp.sum(self.weights * values, 0) / jnp.sum(self.weights, 0)

    def log_mass(self) -> Array:
        r"""$\log\int e^{-g}$."""
        return jnp.log(jnp.sum(self.weights, 0))


def _part(loc: Array, scale: Array, low: Array, high: Array) -> _Part:
    mode = lax.stop_gradient(jnp.clip(loc, low, high))
    tilt = (mode - loc) / scale

    def reach(ahead: Array, slope: Array) -> tuple[Array, Array]:
        """How far the density extends: to where it has dropped, or to the bound; and which."""
        slope = jnp.maximum(lax.stop_gradient(slope), 0.0)
        drop = terms(loc, 50, 100)  # in e-foldings: what is beyond is lost in rounding
        far = lax.stop_gradient(scale) * (2 * drop / (slope + jnp.sqrt(slope**2 + 2 * drop)))
        bounded = ahead < far
        return jnp.where(bounded, jnp.where(bounded, ahead, 0.0), far), bounded

    (left, at_low), (right, at_high) = reach(mode - low, -tilt), reach(high - mode, tilt)
    x, w = gauss_legendre(terms(loc, 24, 54))
    shape = (-1, *(1,) * loc.ndim)
    x, w = (jnp.asarray(0.5 * v.reshape(shape), loc.dtype) for v in (1 + x, w))
    offsets = jnp.concatenate([-left * x, right * x])
    part = _Part(scale, mode, tilt, left, right, (at_low, at_high), offsets, offsets)
    widths = jnp.concatenate([left * w, right * w])
    return part._replace(weights=widths * jnp.exp(-part.exponent(offsets)))


@rule(Entropy, TruncatedNormal)
def _(functional, p):
    part = _part(*p.fields())
    return part.average(part.exponent(part.offsets)) + part.log_mass()


def mean_surprisal(q: TruncatedNormal, mean: Array, variance: Array) -> Array:
    r"""$E[-\log q(X)]$ for any $X$ within the bounds, of this mean and variance."""
    mean, variance, *fields = floating(mean, variance, *q.fields())
    part = _part(*fields)
    square = 0.5 * variance / part.scale / part.scale
    return square + part.exponent(mean - part.mode) + part.log_mass()


@rule(KL, TruncatedNormal, TruncatedNormal)
@rule(KL, TruncatedNormal, Normal)
@rule(KL, TruncatedNormal, HalfNormal)
@rule(KL, Normal, TruncatedNormal)
@rule(KL, HalfNormal, TruncatedNormal)
def _(functional, p, q):
    r"""Between P and Q within the bounds of P, less $\log Q$ of them."""
    p, q = as_truncated(p), as_truncated(q)
    if is_covered(p, q) is False:
        return infinity(p, q)
    fields = jnp.broadcast_arrays(*floating(*p.fields(), *q.fields()))
    loc_p, scale_p, low, high, loc_q, scale_q, low_q, high_q = fields
    inside = (low_q <= low) & (high <= high_q)
    one, other = _part(loc_p, scale_p, low, high), _part(loc_q, scale_q, low, high)
    value = _within(one, other, (loc_p - loc_q) / scale_q)
    value = value + _outside(other, loc_q, (low_q, low), (high, high_q))
    return jnp.where(inside, value, jnp.inf)


def _within(p: _Part, q: _Part, shift: Array) -> Array:
    r"""For one pair of bounds; `shift` is $(\mu_p - \mu_q) / \sigma_q$.

    $\log E_P[e^{-c}]$ for the log-ratio $c$ of the densities less its mean, or where Q may have
    mass that P's nodes miss the difference of the entropies.
    """
    ratio, gap = p.scale / q.scale, (p.scale - q.scale) / q.scale
    excess = gap * (ratio + 1)
    at_q = q.exponent(p.offsets + (p.mode - q.mode))
    far = p.average(at_q) - p.average(p.exponent(p.offsets))
    far = far + (q.log_mass() - p.log_mass())
    # P's nodes have to reach the bounds, or as far as Q has anything.
    limit, half = terms(far, 25, 40), len(at_q) // 2
    left, right = (
        end | (e > limit) for end, e in zip(p.ends, (at_q[half - 1], at_q[-1]), strict=True)
    )
    near = lax.stop_gradient(left & right & (far < 1))
    z = p.offsets / p.scale
    c = z * (0.5 * excess * z + (ratio * shift + excess * p.tilt))
    c = jnp.where(near, c - p.average(c), 0.0)
    return jnp.where(near, log1p(p.average(psi(c))), far)


def _log_ratio(one: _Part, other: _Part) -> Array:
    """Of the masses that one normal distribution has in two intervals."""
    drop = 0.5 * (one.mode - other.mode) / one.scale * (one.tilt + other.tilt)
    return one.log_mass() - other.log_mass() - drop


def _outside(part: _Part, loc: Array, left: tuple[Array, Array], right: tuple[Array, Array]):
    r"""$\log(1 + M_l/M + M_r/M)$ for the masses of Q below, above and within P's bounds."""
    logs, used = [], []
    for low, high in (left, right):
        some = low < high
        beyond = _part(
            loc, part.scale, jnp.where(some, low, loc), jnp.where(some, high, loc + part.scale)
        )
        logs.append(_log_ratio(beyond, part))
        used.append(some)
    below, above = (softplus(jnp.where(some, x, 0.0)) for some, x in zip(used, logs, strict=True))
    both = jnp.where(used[0] & used[1], jnp.logaddexp(*logs), 0.0)
    one = jnp.where(used[0], below, jnp.where(used[1], above, 0.0))
    return jnp.where(used[0] & used[1], softplus(both), one)


def as_truncated(d: Any) -> TruncatedNormal:
    """A normal or half-normal distribution as what it is within its bounds."""
    match d:
        case Normal():
            return TruncatedNormal(d.loc, d.scale)
        case HalfNormal():
            (scale,) = d.parameters()
            return TruncatedNormal(0.0, scale, 0.0)
        case _:
            return d


# Draws, and how they move with the parameters.


def _sample(key: Any, loc: Array, scale: Array, low: Array, high: Array, shape: Any) -> Array:
    """Distances from loc, or from the nearer bound where it is not within them, by rejection.

    From a normal or a uniform distribution, or from a truncated exponential one (Robert 1995).
    """
    a, b = (low - loc) / scale, (high - loc) / scale
    within = (a <= 0) & (b >= 0)
    narrow = b - a < math.sqrt(2 * math.pi)
    start, stop = jnp.where(narrow, a, 0.0), jnp.where(narrow, b, 1.0)
    # From the bound that is nearer, inwards.
    tilt = jnp.where(within, 1.0, jnp.where(a > 0, a, -b))
    width = (high - low) / scale
    rate = 0.5 * (tilt + jnp.hypot(tilt, 2.0))
    most = -expm1(-rate * width)

    def step(state):
        key, offset, done = state
        key, *keys = jr.split(key, 4)
        u, accept = (uniform(k, shape, loc.dtype) for k in keys[:2])
        z = jnp.where(narrow, start + (stop - start) * u, jr.normal(keys[2], shape, loc.dtype))
        centre = (z >= a) & (z <= b) & (~narrow | (jnp.log(accept) < -0.5 * z * z))
        e = jnp.minimum(-log1p(-u * most) / rate, width)
        tail = jnp.log(accept) < -0.5 * (e + (tilt - rate)) ** 2
        new, good = jnp.where(within, z, e), jnp.where(within, centre, tail)
        return key, jnp.where(~done & good, new, offset), done | good

    # Nothing would ever be accepted for parameters that are none.
    lost = ~((scale > 0) & (low <= high) & jnp.isfinite(rate))
    lost = jnp.broadcast_to(lost, shape)
    begin = key, jnp.where(lost, jnp.nan, jnp.zeros(shape, loc.dtype)), lost
    offset = lax.while_loop(lambda state: ~jnp.all(state[2]), step, begin)[1]
    edge = jnp.where(a > 0, low + scale * offset, high - scale * offset)
    return jnp.where(within, loc + scale * offset, edge)


@jax.custom_jvp
def _moved(x: Array, loc: Array, scale: Array, low: Array, high: Array) -> Array:
    """`x`, with the derivatives that keep its place in the distribution (its quantile)."""
    return x


@_moved.defjvp
def _(primals, tangents):
    x, loc, scale, low, high = primals
    _, dloc, dscale, dlow, dhigh = tangents
    part = _part(loc, scale, low, high)
    beyond = _part(*jnp.broadcast_arrays(loc, scale, x, high))
    z, height = (x - loc) / scale, part.exponent(x - part.mode)
    above = jnp.exp(_log_ratio(beyond, part))  # the mass there
    change = dloc + z * dscale
    for end, dend, share in ((low, dlow, above), (high, dhigh, 1 - above)):
        finite = jnp.isfinite(end)
        safe = jnp.where(finite, end, x)
        weight = share * jnp.exp(height - part.exponent(safe - part.mode))
        own = dend - dloc - (safe - loc) / scale * dscale
        change = change + jnp.where(finite, weight, 0.0) * own
    return _moved(*primals), change
