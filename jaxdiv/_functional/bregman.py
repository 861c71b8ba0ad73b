"""Bregman divergences of masses."""

from collections.abc import Callable
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .base import AbstractDecomposable, no_average

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(8)


class Bregman(AbstractDecomposable):
    r"""$B_\phi(P, Q) = \sum \phi(p) - \phi(q) - \phi'(q)\,(p - q)$ (Bregman 1967).

    For a convex $\phi$ of one mass: the squared Euclidean distance for $\phi(x) = x^2$, the
    generalised KL for $x \log x$, Itakura-Saito for $-\log x$. Masses within a factor of 1.5 of
    each other are summed as $(p - q)^2 \int_0^1 (1 - t)\,\phi''(q + t(p - q))\,dt$, so that no
    digits cancel. 0 where $p = q = 0$.

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
        near = positive & (abs(d) <= 0.5 * jnp.minimum(p, q))
        x, y = jnp.where(positive, p, 1.0), jnp.where(positive, q, 1.0)
        slope = jax.grad(self.generator)
        curvature, step = jax.grad(slope), jnp.where(near, d, 0.0)
        mean = jnp.zeros_like(p)
        for node, weight in zip(_NODES, _WEIGHTS, strict=True):
            t = 0.5 * (1 + float(node))
            mean = mean + 0.5 * float(weight) * (1 - t) * _each(curvature, y + t * step)
        apart = _each(self.generator, x) - _each(self.generator, y) - _each(slope, y) * (x - y)
        inside = jnp.where(near, step * step * mean, jnp.where(positive, apart, 0.0))
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


def _each(fn: Callable[[Array], Array], x: Array) -> Array:
    return jnp.vectorize(fn)(x)
