"""Composite Gauss-Legendre quadrature, on the line and over boxes in two and three dimensions."""

import functools
import math
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from .._functional.base import Pair, ratio_of_logs
from .._operand.base import AbstractDistribution, Pieces, greater, lesser
from .base import AbstractEstimator, Estimate, check_normalisation

# Panels end at these multiples of a scale around each piece of a density.
_MULTIPLES = (-9.0, -6.0, -4.0, -2.5, -1.25, 0.0, 1.25, 2.5, 4.0, 6.0, 9.0)
_TAIL_PANELS = 4


class Quadrature(AbstractEstimator):
    r"""Integrates over $R$, an interval, or a box in two or three dimensions.

    The line is cut at multiples of the scales of both operands (and at the `points` of a
    `LogDensity`), with `order` Gauss-Legendre nodes to a panel; in more dimensions the panels are
    tensor products, in coordinates that make both operands' covariances diagonal. The nodes are not
    differentiated: gradients are those of the integrand, integrated.

    Where a normalised operand's mass over the nodes is off 1 by more than `tolerance`, the rule has
    missed something and the value is NaN. A total variation has kinks that the panels do not know:
    its reported error says so.

    Args:
        order: nodes to a panel, at least 4.
        tolerance: on the masses; by default 1e-8 in float64 and 1e-4 in float32.
        normalize: divide unnormalised densities by their integrals over the same nodes.

    `estimate` reports as `standard_error` the difference from a coarser rule: on all but two of the
    nodes of each panel, and without the outer tenths of the range. Where the integrand is spread
    wider than the masses (chi-squared and Renyi divergences of high order) it tells of the tails.

    Example:
        >>> import jaxdiv as jd
        >>> p, q = jd.Normal(0.0, 1.0), jd.Normal(1.0, 2.0)
        >>> print(f"{jd.jensen_shannon(p, q, estimator=jd.Quadrature()):.6f}")
        0.128175
    """

    order: int = eqx.field(static=True, default=8)
    tolerance: float | None = eqx.field(static=True, default=None)
    normalize: bool = eqx.field(static=True, default=False)
    deterministic: ClassVar[bool] = True

    def __check_init__(self):
        if not isinstance(self.order, int) or self.order < 4:
            raise ValueError(
                f"Quadrature: order must be an integer of at least 4, got {self.order}."
            )

    def estimate(self, functional, operands: tuple[Any, ...], key):
        check_normalisation(functional, operands, self.normalize)
        if not all(isinstance(d, AbstractDistribution) for d in operands):
            names = ", ".join(type(d).__name__ for d in operands)
            raise TypeError(
                f"Quadrature integrates densities, got {names}: of classes the sum is the closed "
                "form (leave `estimator` out); of a product use it on each part, or `MonteCarlo`."
            )
        pair, nested, ok = self._pair(*operands)
        value = functional.integrate(pair)
        coarse = functional.integrate(eqx.tree_at(lambda p: p.weights, pair, nested))
        value = jnp.where(ok, value, jnp.nan)
        error = abs(lax.stop_gradient(value - coarse))
        return Estimate(value, error, jnp.full_like(value, jnp.inf), jnp.full_like(value, jnp.nan))

    def refined(self):
        return Quadrature(self.order + 6, self.tolerance, self.normalize)

    def _pair(self, *operands: AbstractDistribution) -> tuple[Pair, Array, Array]:
        pieces = _all_pieces(operands)
        batch = jnp.broadcast_shapes(*(d.batch_shape for d in operands))
        origin, x, weights, nested = _nodes(pieces, operands, batch, self.order)
        event = operands[0].event_shape
        origin = lax.stop_gradient(origin.reshape(*origin.shape[:-1], *event))
        x = lax.stop_gradient(x.reshape(*x.shape[:-1], *event))
        weights, nested = lax.stop_gradient((weights, nested))
        logs, masses, ok = [], [], jnp.ones(batch, bool)
        for d in operands:
            log_density = jnp.moveaxis(d.translate(origin).log_prob(x), 0, -1)
            if self.normalize and not d.normalized:
                log_density = log_density - _log_integral(log_density, weights)[..., None]
            mass = jnp.exp(log_density)
            if d.normalized:
                tolerance = self.tolerance
                if tolerance is None:
                    tolerance = 1e-8 if mass.dtype == jnp.float64 else 1e-4
                ok = ok & (abs(jnp.sum(weights * mass, -1) - 1) <= tolerance)
            logs.append(log_density)
            masses.append(mass)
        complete = self.normalize or all(d.normalized for d in operands)
        (log_p, log_q), (p, q) = (xs * 2 if len(xs) == 1 else xs for xs in (logs, masses))
        r = ratio_of_logs(log_p, log_q)
        log_p, log_q, p, q, r = jnp.broadcast_arrays(log_p, log_q, p, q, r)
        return Pair(log_p, log_q, p, q, r, weights, complete), nested, ok


def _all_pieces(operands: tuple[AbstractDistribution, ...]) -> list[Pieces]:
    shapes = {d.event_shape for d in operands}
    if len(shapes) > 1:
        raise ValueError(f"the operands' outcomes have different shapes: {sorted(shapes)}.")
    event = operands[0].event_shape
    if len(event) > 1 or (event and event[0] > 3):
        raise ValueError(
            f"Quadrature serves outcomes in one to three dimensions, got event shape {event}: use "
            "`MonteCarlo` or `FixedDraws`."
        )
    found = [piece for d in operands if (piece := d.pieces()) is not None]
    if not found:
        names = ", ".join(type(d).__name__ for d in operands)
        raise ValueError(
            f"Quadrature has no break points for {names}: give LogDensity `points=`, places that "
            "bracket its modes, or use `MonteCarlo`."
        )
    return found


@functools.cache
def _panel_rule(order: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Nodes on [-1, 1], their weights, and those of the rule that leaves two of them out."""
    x, w = np.polynomial.legendre.leggauss(order)
    dropped = {order // 4, order - 1 - order // 4}
    kept = np.array([i for i in range(order) if i not in dropped])
    vander = np.polynomial.legendre.legvander(x[kept], len(kept) - 1).T
    moments = np.zeros(len(kept))
    moments[0] = 2.0
    nested = np.zeros(order)
    nested[kept] = np.linalg.solve(vander, moments)
    return x, w, nested


def _nodes(pieces, operands, batch, order):
    """Origin `[*batch, D]`, nodes relative to it `[N, *batch, D]`, two sets of weights."""
    dims = max(piece.centres.shape[-1] for piece in pieces)
    first = next((p.centres[0] for p in pieces if len(p.centres)), None)
    origin = pieces[0].points[len(pieces[0].points) // 2] if first is None else first
    origin = jnp.broadcast_to(origin, (*batch, dims))
    open_tails = any(piece.open_tails for piece in pieces)
    low = functools.reduce(lesser, (d.support[0] for d in operands))
    high = functools.reduce(greater, (d.support[1] for d in operands))
    if dims == 1:
        cuts = [_cuts_on_line(p, origin[..., 0], batch) for p in pieces]
        ends = [end for d in operands for end in d.support]
        ends = [end for end in ends if not (isinstance(end, float) and math.isinf(end))]
        cuts = jnp.concatenate([*cuts, *(end - origin[None, ..., 0] for end in ends)])
        x, w, nested = _composite(
            cuts, low - origin[..., 0], high - origin[..., 0], order, open_tails
        )
        return origin, x[..., None], jnp.moveaxis(w, 0, -1), jnp.moveaxis(nested, 0, -1)
    to_u, to_x = _frame(pieces, batch, dims)
    cuts = jnp.concatenate([_cuts_in_frame(p, origin, to_u, batch) for p in pieces])
    axes = [_composite(cuts[..., d], -jnp.inf, jnp.inf, order, open_tails) for d in range(dims)]
    u, w, nested = (_tensor(parts) for parts in zip(*axes, strict=True))
    x = jnp.einsum("...ij,n...j->n...i", to_x, jnp.stack(u, -1))
    volume = abs(jnp.linalg.det(to_x))
    w, nested = (functools.reduce(jnp.multiply, parts) * volume for parts in (w, nested))
    return origin, x, jnp.moveaxis(w, 0, -1), jnp.moveaxis(nested, 0, -1)


def _cuts_on_line(piece: Pieces, origin: Array, batch) -> Array:
    multiples = jnp.asarray(_MULTIPLES, piece.centres.dtype)
    scales = piece.scale_trils[..., 0, 0]
    centres = _fit_batch(piece.centres[..., 0], batch) - origin
    around = centres + jnp.multiply.outer(multiples, _fit_batch(scales, batch))
    points = _fit_batch(piece.points[..., 0], batch) - origin
    return jnp.concatenate([around.reshape(-1, *batch), points])


def _cuts_in_frame(piece: Pieces, origin: Array, to_u: Array, batch) -> Array:
    dims = origin.shape[-1]
    multiples = jnp.asarray(_MULTIPLES, origin.dtype)
    trils = _fit_batch(piece.scale_trils, batch, 2)
    scales = jnp.linalg.norm(to_u @ trils, axis=-1)
    centres, points = (
        jnp.einsum("...ij,n...j->n...i", to_u, _fit_batch(x, batch, 1) - origin)
        for x in (piece.centres, piece.points)
    )
    around = centres + jnp.multiply.outer(multiples, scales)
    return jnp.concatenate([around.reshape(-1, *batch, dims), points])


def _fit_batch(x: Array, batch: tuple[int, ...], event_ndim: int = 0) -> Array:
    """`[K, *some_batch, *event]` broadcast to `[K, *batch, *event]`."""
    event = x.shape[x.ndim - event_ndim :]
    extra = (1,) * (len(batch) - (x.ndim - event_ndim - 1))
    return jnp.broadcast_to(
        x.reshape(x.shape[0], *extra, *x.shape[1:]), (x.shape[0], *batch, *event)
    )


def _composite(cuts, low, high, order, open_tails):
    """Nodes and weights over the panels between `cuts` `[M, *batch]`: each `[N, *batch]`."""
    x, w, nested = (jnp.asarray(v, cuts.dtype) for v in _panel_rule(order))
    ends = jnp.stack([jnp.broadcast_to(end, cuts.shape[1:]) for end in (low, high)])
    ends = jnp.where(jnp.isinf(ends), cuts[:2], ends).astype(cuts.dtype)
    cuts = jnp.sort(jnp.clip(jnp.concatenate([cuts, ends]), low, high), axis=0)
    start, half = cuts[:-1], 0.5 * jnp.diff(cuts, axis=0)
    shape = (-1, *cuts.shape[1:])

    def lay(values, scale):
        return (jnp.multiply.outer(values, scale)).reshape(shape)

    nodes = (start + half + jnp.multiply.outer(x, half)).reshape(shape)
    # The coarser rule leaves out open ends as well: what they hold, what is beyond may hold too.
    margin = 0.1 * (cuts[-1] - cuts[0])
    inner = (nodes >= cuts[0] + jnp.where(jnp.isinf(low), margin, 0.0)) & (
        nodes <= cuts[-1] - jnp.where(jnp.isinf(high), margin, 0.0)
    )
    rules = [nodes, lay(w, half), jnp.where(inner, lay(nested, half), 0.0)]
    if not open_tails:
        return rules
    # Beyond the last cut x = b + s t / (1 - t), on panels in t; nothing beyond a finite end.
    edges = jnp.linspace(0.0, 1.0, _TAIL_PANELS + 1, dtype=cuts.dtype)
    t = (edges[:-1] + (0.5 / _TAIL_PANELS) * (1 + x[:, None])).reshape(-1)
    spread = jnp.maximum(cuts[-1] - cuts[0], jnp.finfo(cuts.dtype).tiny) / 2
    stretch = jnp.multiply.outer(t / (1 - t), spread)
    jacobian = (0.5 / _TAIL_PANELS) / (1 - t) ** 2
    tail = jnp.multiply.outer(jacobian * jnp.tile(w[:, None], _TAIL_PANELS).reshape(-1), spread)
    tails = [tail, jnp.zeros_like(tail)]
    above = [jnp.where(cuts[-1] < high, v, 0.0) for v in tails]
    below = [jnp.where(cuts[0] > low, v, 0.0) for v in tails]
    rules[0] = jnp.concatenate([nodes, cuts[-1] + stretch, cuts[0] - stretch])
    for i in (0, 1):
        rules[i + 1] = jnp.concatenate([rules[i + 1], above[i], below[i]])
    return rules


def _frame(pieces: list[Pieces], batch, dims: int) -> tuple[Array, Array]:
    """Maps to and from coordinates in which the operands' covariances are both diagonal."""
    covariances = []
    for piece in pieces:
        if len(piece.scale_trils):
            tril = lax.stop_gradient(_fit_batch(piece.scale_trils, batch, 2))
            covariances.append(jnp.mean(tril @ tril.mT, 0))
    if not covariances:
        eye = jnp.broadcast_to(jnp.eye(dims, dtype=pieces[0].points.dtype), (*batch, dims, dims))
        return eye, eye
    tril = jnp.linalg.cholesky(covariances[0])
    if len(covariances) > 1:
        solve = functools.partial(jax.scipy.linalg.solve_triangular, lower=True)
        half = solve(tril, covariances[1])
        _, rotation = jnp.linalg.eigh(solve(tril, half.mT))
        tril = tril @ rotation
    return jnp.linalg.inv(tril), tril


def _tensor(parts: tuple[Array, ...]) -> list[Array]:
    """Each axis' values `[N_d, *batch]` over the product grid, `[N_1 ... N_D, *batch]`."""
    sizes = tuple(len(part) for part in parts)
    grids = []
    for d, part in enumerate(parts):
        shape = tuple(sizes[d] if e == d else 1 for e in range(len(parts)))
        grid = jnp.broadcast_to(part.reshape(*shape, *part.shape[1:]), (*sizes, *part.shape[1:]))
        grids.append(grid.reshape(-1, *part.shape[1:]))
    return grids


def _log_integral(log_density: Float[Array, "*batch n"], weights: Array) -> Array:
    top = lax.stop_gradient(jnp.max(log_density, -1))
    return top + jnp.log(jnp.sum(weights * jnp.exp(log_density - top[..., None]), -1))
