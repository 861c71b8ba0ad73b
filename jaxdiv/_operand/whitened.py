r"""Two normal distributions as each is seen from the other: what Renyi divergences need of them.

With $L_q$ the factor of Q's covariance, P is seen from Q as $N(z, I + M)$. Between orders 0 and 1
only the log-determinants $\log|I + (1 - \alpha)M|/(1 - \alpha) - \log|I + M|$ could cancel: near
equality they are sums of non-negative terms over the eigenvalues of $M$. Orders below one half are
those of the pair exchanged, $R_\alpha(P\|Q) = \alpha/(1 - \alpha)\,R_{1-\alpha}(Q\|P)$.
"""

import math
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from .._functional.chernoff import ChernoffInformation, largest_exponent
from .._functional.renyi import is_static
from .._special import divided, log1prel_derivative, phi


class Whitened(NamedTuple):
    r"""P as seen from Q: $z$, $M$ and, with the digits that they have, $\log|I + M|$."""

    shift: Float[Array, "*batch D"]
    excess: Float[Array, "*batch D D"]
    log_det: Float[Array, "*batch"]


def of_whitened(functional: Any, p: Whitened, q: Whitened) -> Array:
    """The Renyi divergence, or the Chernoff information, from P seen from Q and Q from P."""
    shapes = jnp.broadcast_shapes(p.shift.shape[:-1], p.log_det.shape, q.log_det.shape)
    zero = jnp.zeros(shapes, p.log_det.dtype)
    if isinstance(functional, ChernoffInformation):
        return largest_exponent(_renyi, p, q)
    if is_static(functional.order, 0.0):  # nowhere is a density zero
        return zero
    if is_static(functional.order, math.inf):
        return _largest_ratio(p) + zero
    return _renyi(functional.order, p, q) + zero


def _renyi(order: Any, p: Whitened, q: Whitened) -> Array:
    """Gil, Alajaji & Linder 2013, Table 2: infinite where the mixed covariance is not positive."""
    order = jnp.asarray(order, p.excess.dtype)
    high = order >= 0.5
    rest = jnp.where(high, 1 - order, order)
    shift, excess, log_det = (
        jnp.where(high.reshape(high.shape + (1,) * rank), x, y)
        for x, y, rank in zip(p, q, (1, 2, 0), strict=True)
    )
    eye = jnp.eye(excess.shape[-1], dtype=excess.dtype)
    scaled = rest[..., None, None]
    root = jnp.linalg.cholesky(lax.stop_gradient(eye + scaled * excess))
    finite = jnp.all(jnp.diagonal(root, axis1=-2, axis2=-1) > 0, -1)
    excess = jnp.where(finite[..., None, None], excess, 0.0)
    away = jnp.linalg.solve(eye + scaled * excess, shift[..., None])[..., 0]
    square = jnp.sum(shift * away, -1)
    value = 0.5 * ((1 - rest) * square + _log_gap(excess, log_det, rest))
    times = jnp.where(high, 1.0, order / jnp.where(high, 1.0, 1 - order))
    beyond = jnp.where(jnp.isnan(log_det), log_det, jnp.inf)
    return jnp.where(finite, times * value, beyond)


@jax.custom_jvp
def _log_gap(excess: Array, log_det: Array, rest: Array) -> Array:
    r"""$\log|I + bM|/b - \log|I + M|$ for $b \le 1/2$, without derivatives of eigenvalues."""
    values = jnp.linalg.eigvalsh(excess)
    near = jnp.all((values > -0.5) & (values < 1), -1)
    small = jnp.where(near[..., None], values, 0.0)
    parts = phi(small) - divided(phi, small, rest[..., None], (0.0, 1 / 2, -1 / 3, 1 / 4))
    # Of large ones the factor has the digits, where the axes differ in scale.
    some = jnp.any(abs(rest[..., None] * values) > 1, -1)
    eye = jnp.eye(excess.shape[-1], dtype=excess.dtype)
    scaled = jnp.where(some, rest, 0.0)[..., None, None] * excess
    root = jnp.diagonal(jnp.linalg.cholesky(eye + scaled), axis1=-2, axis2=-1)
    mixed = 2 * jnp.sum(jnp.log(root), -1) / jnp.where(some, rest, 1.0)
    mixed = jnp.where(some, mixed, _log_det_over(0, excess, rest))
    return jnp.where(near, jnp.sum(parts, -1), mixed - log_det)


@_log_gap.defjvp
def _(primals, tangents):
    excess, _, rest = primals
    change, _, move = tangents
    eye = jnp.eye(excess.shape[-1], dtype=excess.dtype)
    inside = jnp.linalg.solve(eye + rest[..., None, None] * excess, excess)
    slope = jnp.sum(jnp.linalg.solve(eye + excess, inside) * change, (-2, -1))
    return _log_gap(*primals), (1 - rest) * slope + _log_det_over(1, excess, rest) * move


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _log_det_over(k: int, excess: Array, rest: Array) -> Array:
    r"""The derivative of order $k$ in $b$ of $\log|I + bM|/b$."""
    values = jnp.linalg.eigvalsh(excess)
    return jnp.sum(log1prel_derivative(k, values, rest[..., None]), -1)


@_log_det_over.defjvp
def _(k, primals, tangents):
    (excess, rest), (change, move) = primals, tangents
    mixed = jnp.eye(excess.shape[-1], dtype=excess.dtype) + rest[..., None, None] * excess
    slope = jnp.linalg.solve(mixed, change)
    for j in range(1, k + 1):
        slope = -j * jnp.linalg.solve(mixed, excess @ slope)
    trace = jnp.trace(slope, axis1=-2, axis2=-1)
    return _log_det_over(k, excess, rest), trace + _log_det_over(k + 1, excess, rest) * move


def _largest_ratio(p: Whitened) -> Array:
    r"""$\log\max p/q$: finite where Q is the wider in every direction, or the same in it."""
    values, axes = jnp.linalg.eigh(lax.stop_gradient(p.excess))
    same = values == 0
    along = jnp.einsum("...ij,...i->...j", axes, lax.stop_gradient(p.shift))
    finite = jnp.all((values < 0) | (same & (along == 0)), -1)
    flat = jnp.einsum("...ik,...k,...jk->...ij", axes, same.astype(values.dtype), axes)
    eye = jnp.eye(values.shape[-1], dtype=values.dtype)
    narrower = jnp.where(finite[..., None, None], flat - p.excess, eye)
    shift = jnp.where(finite[..., None], p.shift, 0.0)
    square = jnp.sum(shift * jnp.linalg.solve(narrower, shift[..., None])[..., 0], -1)
    near = jnp.all((values > -0.5) & (values < 1), -1)
    inside = jnp.where(near[..., None, None], p.excess, 0.0)
    small = _log_det_over(0, inside, jnp.ones_like(inside[..., 0, 0]))
    return jnp.where(finite, 0.5 * (square - jnp.where(near, small, p.log_det)), jnp.inf)
