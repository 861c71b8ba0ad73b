r"""Exponential families: $\log p(x) = \langle\eta, T(x)\rangle - A(\eta) + \log h(x)$.

What is asked between two members follows from the convex $A$ alone. A KL divergence is a Bregman
remainder of it, for which each family has a form that does not cancel; a Renyi divergence is what
lies between its graph and a chord (Nielsen & Nock 2011, "On Renyi and Tsallis entropies and
divergences for exponential families"): two remainders, or where they would cancel integrals of
$A''$.
"""

import abc
import math
from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool

from .._estimator.rules import find_rule, rule
from .._functional.chernoff import ChernoffInformation, maximise
from .._functional.kl import KL
from .._functional.renyi import Renyi, is_static
from .base import AbstractDistribution, Shape

Natural = tuple[Array, ...]


class AbstractExponentialFamily(AbstractDistribution):
    r"""A family with natural parameters $\eta$, over a support that does not depend on them.

    `natural` and `expectation` are its dual coordinates, $\eta$ and $\nabla A(\eta)$; a KL
    divergence is a Bregman divergence in either, and the Fisher information the Hessian of $A$
    (Amari & Nagaoka 2000, sections 3.3 to 3.5).

    Example:
        >>> import jax, jaxdiv as jd
        >>> p, q = jd.Gamma(3.0, 2.0), jd.Gamma(2.0, 1.0)
        >>> slope = jax.grad(lambda eta: jd.kl(p, q.from_natural(eta)))(q.natural())
        >>> for x, y, z in zip(slope, q.expectation(), p.expectation()):
        ...     print(f"{x:.6f} {y - z:.6f}")
        0.193147 0.193147
        -0.500000 -0.500000
    """

    @abc.abstractmethod
    def natural(self) -> Natural:
        r"""$\eta$: arrays with the batch axes first, and what axes they have of their own."""

    @abc.abstractmethod
    def statistic(self, x: Array) -> Natural:
        r"""$T(x)$, the sufficient statistic, like $\eta$."""

    @abc.abstractmethod
    def expectation(self) -> Natural:
        r"""$E[T(X)] = \nabla A(\eta)$."""

    @abc.abstractmethod
    def from_natural(self, natural: Natural) -> Self:
        r"""The member with these $\eta$."""

    @abc.abstractmethod
    def natural_difference(self, other: Self) -> Natural:
        r"""$\eta - \eta'$, with the digits that the parameters have."""

    @abc.abstractmethod
    def is_natural(self, natural: Natural) -> Bool[Array, "*batch"]:
        r"""Whether there is a member with these $\eta$."""

    @abc.abstractmethod
    def fisher_form(self, direction: Natural) -> Array:
        r"""$\delta^T A''(\eta)\,\delta \ge 0$: the variance of $\langle\delta, T(X)\rangle$."""


class _Path(NamedTuple):
    """The line through q (at t = 0) and p (at t = 1)."""

    q: Any
    delta: Natural
    batch: Shape

    def natural(self, t: Array) -> Natural:
        """At `t`, of the batch's shape, or with more axes before those."""

        def move(eta: Array, change: Array) -> Array:
            own = jnp.ndim(change) - len(self.batch)
            return eta + t.reshape(*t.shape, *(1,) * own) * change

        return tuple(move(*pair) for pair in zip(self.q.natural(), self.delta, strict=True))

    def member(self, t: Array) -> Any:
        return self.q.from_natural(self.natural(t))

    def exists(self, t: Array) -> Array:
        return self.q.is_natural(self.natural(t))

    def curvature(self, t: Array) -> Array:
        return self.member(t).fisher_form(self.delta)


def _path(p: Any, q: Any) -> tuple[_Path, Array]:
    """The path, and zeros of the result's shape and dtype."""
    batch: Any = jnp.broadcast_shapes(p.batch_shape, q.batch_shape)
    delta = p.natural_difference(q)
    return _Path(q, delta, batch), jnp.zeros(batch, jnp.result_type(*delta))


def _kl(p: Any, q: Any) -> Array:
    fn: Any = find_rule(KL(), p, q)
    return fn(KL(), p, q)


@rule(Renyi, AbstractExponentialFamily, AbstractExponentialFamily)
def _(functional, p, q):
    if type(p) is not type(q):
        return None
    path, zero = _path(p, q)
    if is_static(functional.order, 0.0):  # one support
        return zero
    if is_static(functional.order, math.inf):
        return None
    return _renyi(path, p, jnp.asarray(functional.order, zero.dtype) + zero)


def _renyi(path: _Path, p: Any, order: Array) -> Array:
    r"""$\mathrm{KL}(m\|q) + \frac{\alpha}{1-\alpha}\mathrm{KL}(m\|p)$ with $m$ between p and q.

    The first is $\alpha^2\int s\,A''(\alpha s)\,ds$, and the second $\alpha(1 - \alpha)$ times
    $\int (1 - s)\,A''(\alpha + (1 - \alpha)s)\,ds$, on $(0, 1)$ and with $A''$ along $\delta$.
    """
    exists = path.exists(order)
    order = jnp.where(exists, order, 1.0)
    zero, one = jnp.zeros_like(order), jnp.ones_like(order)
    middle = path.member(order)
    to_q = _remainder(path, zero, order, _kl(middle, path.q))
    # Towards p the integral has a factor of its own that vanishes with the distance.
    to_p = _remainder(path, one, order, _kl(middle, p))
    near_q, value_q = to_q
    near_p, value_p = to_p
    gap = jnp.where(order == 1, 1.0, 1 - order)
    first = order * order * value_q
    second = order * jnp.where(near_p, (1 - order) * value_p, value_p / gap)
    first = jnp.where(near_q, first, value_q)
    axes = [tuple(range(len(path.batch), jnp.ndim(x))) for x in path.delta]
    # NaN, not infinite, where a parameter is.
    lost = sum(0 * jnp.sum(x, own) for x, own in zip(path.delta, axes, strict=True))
    return jnp.where(exists, first + second, jnp.where(jnp.isnan(lost), jnp.nan, jnp.inf))


def _remainder(path: _Path, end: Array, order: Array, far: Array) -> tuple[Array, Array]:
    """Whether the path is short, and then the integral of A'' over it; else `far`."""
    count = 14 if order.dtype == jnp.float64 else 8
    x, w = np.polynomial.legendre.leggauss(count)
    s = jnp.asarray(0.5 * (1 + x), order.dtype).reshape(-1, *(1,) * order.ndim)
    weights = jnp.asarray(0.5 * w, order.dtype).reshape(s.shape) * s
    here, there = (path.curvature(lax.stop_gradient(t)) for t in (end, order))
    near = lax.stop_gradient((here < 4 * there) & (there < 4 * here))
    # As far from `end` as s, where s = 1 is the middle.
    t = end + s * (jnp.where(near, order, end) - end)
    inside = jnp.sum(weights * path.curvature(t), 0)
    return near, jnp.where(near, inside, far)


@rule(ChernoffInformation, AbstractExponentialFamily, AbstractExponentialFamily)
def _(functional, p, q):
    r"""At the member $m$ with $\mathrm{KL}(m\|p) = \mathrm{KL}(m\|q)$ (Nielsen 2013)."""
    if type(p) is not type(q):
        return None
    path, zero = _path(p, q)

    # Held fixed from the start: the search is not differentiated, then, only to be left out.
    path_, p_, q_ = jax.tree.map(lax.stop_gradient, (path, p, q))

    def slopes(a: Array) -> tuple[Array, Array]:
        middle = path_.member(a)
        return _kl(middle, q_) - _kl(middle, p_), path_.curvature(a)

    best = maximise(slopes, zero)
    # One more Newton step, of no length: its derivative is that of the maximum's place.
    middle = path.member(best)
    value, curvature = _kl(middle, q) - _kl(middle, p), path_.curvature(best)
    scale = jnp.where(curvature > 0, curvature, jnp.inf)
    best = best - (value - lax.stop_gradient(value)) / scale
    return (1 - best) * _renyi(path, p, best)


def differences(p: AbstractExponentialFamily, q: AbstractExponentialFamily) -> Natural:
    """Of natural parameters that are the parameters themselves, or multiples of them."""
    return tuple(a - b for a, b in zip(p.natural(), q.natural(), strict=True))
