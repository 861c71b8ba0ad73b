"""Bregman divergences of masses."""

from collections.abc import Callable
from functools import partial
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from .base import AbstractDecomposable, no_average

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(8)


class Bregman(AbstractDecomposable):
    r"""$B_\phi(P, Q) = \sum \phi(p) - \phi(q) - \phi'(q)\,(p - q)$ (Bregman 1967).

    For a convex $\phi$ of one mass: the squared Euclidean distance for $\phi(x) = x^2$, the
    generalised KL for $x \log x$, Itakura-Saito for $-\log x$. Masses within a factor of 1.5 of
    each other are summed as $(p - q)^2 \int_0^1 (1 - t)\,\phi''(q + t(p - q))\,dt$, so that no
    digits cancel. 0 where $p = q$. JAX's second derivative of a generator overflows for small
    masses (of $x \log x$ below 5e-20 in float32): there the definition is summed as it stands,
    and the slope in $q$ is reported as 0.

    Args:
        generator: $\phi$, of one number, twice differentiable by JAX on $(0, \infty)$.
        at_zero: $\phi(0)$, where `generator(0.)` does not give it.
        slope_at_zero: $\phi'(0)$, where its derivative does not.

    Example:
        >>> import jaxdiv as jd
        >>> p, q = jd.probs([1.0, 0.0]), jd.probs([0.5, 0.5])
        >>> print(f"{jd.bregman(p, q, lambda x: x * x):.2f}")
        0.50
    """

    generator: Callable[[Float[Array, ""]], Float[Array, ""]] = eqx.field(static=True)
    at_zero: float | None = eqx.field(static=True, default=None)
    slope_at_zero: float | None = eqx.field(static=True, default=None)
    logarithmic: ClassVar[bool] = False
    additive: ClassVar[bool] = False
    linear_in_r: ClassVar[bool] = False
    needs_normalized: ClassVar[bool] = True

    def nodes(self, pair):
        p, q, d = pair.p, pair.q, pair.difference
        positive = (p > 0) & (q > 0)
        x, y, step = (jnp.where(positive, *z) for z in ((p, 1.0), (q, 1.0), (d, 0.0)))
        # A generator that closes over what is differentiated is differentiated as it stands.
        _, traced = jax.closure_convert(self.generator, jnp.zeros((), p.dtype))
        inside = (_term if traced else _term_with_slopes)(self.generator, x, y, step)
        return jnp.where(positive, inside, self._with_zero(p, q))

    def _with_zero(self, p, q):
        """A term in which one of the masses is zero, or both."""
        zero = jnp.zeros((), p.dtype)
        start = self.generator(zero) if self.at_zero is None else zero + self.at_zero
        slope = jax.grad(self.generator)
        rise = slope(zero) if self.slope_at_zero is None else zero + self.slope_at_zero
        # What is infinite, or not known, has no slope to give.
        known = jnp.where(jnp.isfinite(rise), rise, 0.0)
        bend = jax.grad(slope)(zero)
        bend = jnp.where(jnp.isfinite(bend), bend, 0.0)
        only_p, only_q = (q == 0) & (p > 0), (p == 0) & (q > 0)
        x, y = jnp.where(only_p, p, 1.0), jnp.where(only_q, q, 1.0)
        in_q = start + known * jnp.where(only_q, p, 0.0) - _each(self.generator, y)
        in_q = in_q + _each(slope, y) * jnp.where(only_q, y - p, 0.0)
        in_p = _each(self.generator, x) - start - (known + bend * jnp.where(only_p, q, 0.0)) * x
        in_p = jnp.where(jnp.isfinite(rise), in_p, jnp.where(jnp.isnan(rise), rise, -rise))
        return jnp.where(only_q, in_q, jnp.where(only_p, in_p, 0.0))

    def terms(self, draws):
        raise no_average(self)

    def reverse_terms(self, draws):
        return None

    def link(self, mean):
        return mean

    def compose(self, evaluate, *operands):
        return None


def _mean(curvature: Callable, q: Array, step: Array, weight: Callable[[float], float]) -> Array:
    """The integral of `weight(t)` times the curvature at q + t step."""
    mean = jnp.zeros_like(q)
    for node, share in zip(_NODES, _WEIGHTS, strict=True):
        t = 0.5 * (1 + float(node))
        mean = mean + 0.5 * float(share) * weight(t) * _each(curvature, q + t * step)
    return mean


def _near(curvature: Callable, p: Array, q: Array, step: Array) -> tuple[Array, Array, Array]:
    """Where the integral serves, and masses and step that are harmless elsewhere."""
    near = (abs(step) <= 0.5 * jnp.minimum(p, q)) & _finite(curvature, q)
    return near, jnp.where(near, q, 1), jnp.where(near, step, 0)


def _finite(fn: Callable, x: Array) -> Array:
    return jnp.isfinite(lax.stop_gradient(_each(fn, lax.stop_gradient(x))))


def _guarded(fn: Callable, derivative: Callable, x: Array) -> Array:
    """`fn`, whose derivative is reported as 0 where JAX does not find it finite."""
    known = _finite(derivative, x)
    return jnp.where(known, _each(fn, jnp.where(known, x, 1)), _each(fn, lax.stop_gradient(x)))


def _term(generator: Callable, p: Array, q: Array, step: Array) -> Array:
    """Of masses that are positive, with `step` their difference."""
    slope = jax.grad(generator)
    curvature = jax.grad(slope)
    near, y, small = _near(curvature, p, q, step)
    close = small * small * _mean(curvature, y, small, lambda t: 1 - t)
    x, y = jnp.where(near, 1, p), jnp.where(near, 1, q)
    apart = _each(generator, x) - _each(generator, y) - _each(slope, y) * (x - y)
    return jnp.where(near, close, jnp.where(p == q, 0, apart))


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _term_with_slopes(generator, p, q, step):
    return _term(generator, p, q, step)


@_term_with_slopes.defjvp
def _(generator, primals, tangents):
    (p, q, step), (dp, dq, _) = primals, tangents
    value = _term_with_slopes(generator, p, q, step)
    slope = jax.grad(generator)
    curvature = jax.grad(slope)
    third = jax.grad(curvature)
    near, y, small = _near(curvature, p, q, step)

    def mean(y, small):
        return small * _mean(curvature, y, small, lambda t: 1.0)

    known = near & _finite(third, y)
    close = mean(jnp.where(known, y, 1), jnp.where(known, small, 0))
    close = jnp.where(known, close, mean(*lax.stop_gradient((y, small))))
    apart = _guarded(slope, curvature, jnp.where(near, 1, p))
    apart = apart - _guarded(slope, curvature, jnp.where(near, 1, q))
    rise = jnp.where(near, close, apart)
    known = _finite(curvature, q)
    bend = jnp.where(known, _guarded(curvature, third, jnp.where(known, q, 1)), 0)
    return value, rise * dp - bend * step * dq


def _each(fn: Callable[[Array], Array], x: Array) -> Array:
    return jnp.vectorize(fn)(x)
