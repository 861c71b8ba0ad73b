"""Where a fit starts, and what it measures lengths by."""

import math
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int, Key, PyTree

from .._operand.base import AbstractDistribution, AbstractOperand, pieces_of, widen
from .._operand.empirical import Samples
from .constraint import map_named

_LONGEST_LOG = 3.0
_SCALE_FACTORS = ("cholesky", "positive_definite")


class Landscape(NamedTuple):
    """Where a target has its mass: `K` centres, a length scale at each, and the whole spread."""

    centres: Float[Array, "K D"]
    scales: Float[Array, "K D"]
    spread: Float[Array, " D"]


class Jitter(eqx.Module):
    r"""$u = u_0 + s \epsilon$, $\epsilon \sim N(0, I)$, laid over the target.

    How the second and later of several `starts` are drawn, in free coordinates. Where the target
    says where its mass is, a location is drawn about one of its centres, each in turn (and one a
    component, if the family is a mixture), with $s$ in units of the target's whole spread; a scale
    about the scale at that centre; and every other coordinate about that of the given family.

    Args:
        spread: $s$ of locations, and of all fields without a constraint.
        log_spread: $s$ of the logarithms of scales, and of all other fields.

    Example:
        >>> import jax, jaxdiv as jd
        >>> wide = jd.Jitter(spread=2.0)
        >>> found = jd.fit(
        ...     jd.reverse_kl(jd.Normal(3.0, 1.0)),
        ...     jd.Normal(0.0, 1.0),
        ...     starts=4,
        ...     key=jax.random.key(0),
        ...     jitter=wide,
        ... )
        >>> print(f"{found.distribution.loc:.3f}")
        3.000
    """

    spread: float = 1.0
    log_spread: float = 0.5

    def draw(
        self,
        family: PyTree,
        free: PyTree,
        landscape: Landscape | None,
        num: int,
        key: Key[Array, ""],
    ) -> PyTree:
        """`num` starts, stacked, in free coordinates; the first is `free` itself."""
        flat, unravel = ravel_pytree(free)
        noise = jr.normal(key, (num, flat.size), flat.dtype)
        landscape = jax.tree.map(lambda lengths: lengths.astype(flat.dtype), landscape)

        def one(index: Int[Array, ""], noise: Float[Array, " n"]) -> PyTree:
            moved = self._move(family, free, unravel(noise), landscape, index)
            return jax.tree.map(lambda u, v: jnp.where(index == 0, u, v), free, moved)

        return jax.vmap(one)(jnp.arange(num), noise)

    def _move(
        self,
        family: PyTree,
        free: PyTree,
        noise: PyTree,
        landscape: Landscape | None,
        index: Int[Array, ""],
    ) -> PyTree:
        def move(name: str, constraint: str, x: Array, u: Array, noise: Array) -> Array | None:
            if constraint == "fixed":
                return None
            noise = (self.spread if constraint == "real" else self.log_spread) * noise
            if landscape is None:
                return u + noise
            if name == "loc" and constraint == "real":
                centre = _lay(landscape.centres, family, x, index)
                return centre + noise * _lay(landscape.spread[None], family, x, index)
            if name == "scale" and constraint == "positive":
                return jnp.log(_lay(landscape.scales, family, x, index)) + noise
            if constraint in _SCALE_FACTORS and x.shape[-1] == landscape.spread.size:
                scales = _lay(landscape.scales, family, x[..., 0], index)
                rows, columns = np.tril_indices(landscape.spread.size)
                scales = scales[..., rows]
                return jnp.where(rows == columns, jnp.log(scales) + noise, scales * noise)
            return u + noise

        return map_named(move, family, free, noise)


def landscape_of(target: AbstractOperand) -> Landscape | None:
    """What the target says of where its mass is; None where it says nothing."""
    if isinstance(target, Samples):
        values = widen(target.values)
        values = values.reshape(len(values), -1)
        spread = _positive(jnp.std(values, 0), 1.0)
        return Landscape(values, jnp.broadcast_to(spread, values.shape), spread)
    pieces = pieces_of(target)
    if pieces is None:
        return None
    centres, points = pieces.centres, pieces.points
    variances = jnp.sum(pieces.scale_trils**2, -1)
    if centres.shape[0] == 0:
        if points.shape[0] < 2:
            return None
        centres, variances = points, jnp.broadcast_to(jnp.var(points, 0), points.shape)
    spread = _positive(jnp.sqrt(jnp.mean(variances, 0) + jnp.var(centres, 0)), 1.0)
    return Landscape(centres, _positive(jnp.sqrt(variances), spread), spread)


def units(family: PyTree, free: PyTree, landscape: Landscape | None) -> PyTree:
    """The length of each free coordinate: what a fit counts as one.

    It is the spread of the target for locations and for the entries below the diagonal of a
    Cholesky factor, so that a fit does not depend on the unit of the data; every other coordinate
    is a logarithm, or has no known unit, and counts as it is.
    """

    def unit(name: str, constraint: str, x: Array, u: Array) -> Array | None:
        if constraint == "fixed":
            return None
        is_place = name == "loc" and constraint == "real"
        if landscape is None or not (is_place or constraint in _SCALE_FACTORS):
            return jnp.ones_like(u)
        spread = landscape.spread[None].astype(u.dtype)
        if name == "loc":
            return jnp.broadcast_to(_lay(spread, family, x, 0), x.shape)
        rows, columns = np.tril_indices(x.shape[-1])
        spread = jnp.broadcast_to(_lay(spread, family, x[..., 0], 0), x.shape[:-1])
        return jnp.where(rows == columns, 1.0, spread[..., rows])

    return map_named(unit, family, free)


def longest_steps(family: PyTree, free: PyTree) -> PyTree:
    """How far one step may move each free coordinate: logarithms by 3, the rest any distance.

    Far from the target a location moves further and further at each step; a logarithm that did so
    too would overflow.
    """

    def longest(name: str, constraint: str, x: Array, u: Array) -> np.ndarray | None:
        if constraint == "fixed":
            return None
        dtype = np.dtype(u.dtype)
        if constraint in _SCALE_FACTORS:
            rows, columns = np.tril_indices(x.shape[-1])
            limits = np.where(rows == columns, _LONGEST_LOG, np.inf).astype(dtype)
            return np.broadcast_to(limits, u.shape)
        return np.full(u.shape, np.inf if constraint == "real" else _LONGEST_LOG, dtype)

    return map_named(longest, family, free)


def _positive(lengths: Array, otherwise: Array | float) -> Array:
    return jnp.where(jnp.isfinite(lengths) & (lengths > 0), lengths, otherwise)


def _lay(
    values: Float[Array, "K D"], family: PyTree, x: Array, index: Int[Array, ""] | int
) -> Array:
    """Values for a leaf shaped `[*components, *event]`: row `index + component` for each."""
    event = family.event_shape if isinstance(family, AbstractDistribution) else ()
    lead = x.shape[: x.ndim - len(event)]
    if x.shape != (*lead, *event) or math.prod(event) != values.shape[-1]:
        return jnp.mean(values[index % len(values)])  # one parameter for all coordinates
    # Coprime with the length, so that centres in order are visited far apart, and all of them.
    stride = next(
        k
        for k in range(max(1, (5 * len(values)) // 13), 2 * len(values) + 1)
        if math.gcd(k, len(values)) == 1
    )
    rows = stride * (index + jnp.arange(math.prod(lead))) % len(values)
    return values[rows].reshape(x.shape)
