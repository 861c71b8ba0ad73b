"""Free coordinates: a family as unconstrained arrays of minimal dimension, and back."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.tree_util as jtu
import numpy as np
from jaxtyping import Array, PyTree


class Coordinates(NamedTuple):
    """A chart of one constrained set: `rebuild(u, x0, u0)` is exact at `u == u0 == free(x0)`."""

    free: Callable[[Array], Array]
    rebuild: Callable[[Array, Array, Array], Array]


def unconstrain(family: PyTree) -> tuple[PyTree, Callable[[PyTree], PyTree]]:
    r"""$u \in R^n$ and the map $u \mapsto$ `family` that leaves its constraints at no point.

    Args:
        family: an operand, or any `equinox.Module` whose fields say with
            `field(constraint=...)` which values they may take. Python numbers become arrays of the
            family's own floating dtype, or of the default one.

    Returns:
        `free`, the family with each constrained field replaced by its free coordinates (None where
        it is `"fixed"`): $\log x$ of a positive field; the logarithms of the diagonal and the
        entries below it, row by row, of a Cholesky factor; $\log(p_k / p_K)$, $k < K$, of a point
        of the simplex; $z_k - z_K$ of logits; $\log p/(1 - p)$ of a field in the unit interval; the
        stereographic projection of a direction, from the pole that is farther. The
        dimension is minimal, so that a Hessian in these coordinates is regular at an isolated
        optimum. And `rebuild`, with
        `rebuild(free) == family` to the bit (a covariance matrix: to rounding); it jits, vmaps and
        differentiates.

    Raises:
        TypeError: for an array of integers in a field that is not `"fixed"`.
        ValueError: for a constraint that is not known, or a family over masked classes.

    Example:
        >>> import jax.numpy as jnp
        >>> import jaxdiv as jd
        >>> free, rebuild = jd.unconstrain(jd.Normal(0.0, jnp.e))
        >>> print(f"{free.loc:.1f} {free.scale:.1f}")
        0.0 1.0
    """
    family = as_parameters(family)

    def free_of(name: str, constraint: str, x: Array) -> Array | None:
        chart = _COORDINATES.get(constraint)
        return None if chart is None else chart.free(x)

    free = map_named(free_of, family)
    return free, jtu.Partial(_rebuild, family, free)


def as_parameters(family: PyTree) -> PyTree:
    """The family with its Python numbers as arrays; integer arrays must be declared fixed."""
    paths, treedef = jtu.tree_flatten_with_path(family)
    floats: list[Any] = [x for _, x in paths if eqx.is_inexact_array(x)]
    dtype = jnp.result_type(*floats) if floats else jnp.result_type(float)
    leaves = []
    for path, x in paths:
        name, constraint = describe(family, path)
        if constraint != "fixed" and isinstance(x, (int, float)) and not isinstance(x, bool):
            x = jnp.asarray(x, dtype)
        elif name == "where" and constraint == "fixed" and eqx.is_array(x):
            raise ValueError(
                f"{type(family).__name__}{jtu.keystr(path)}: a family over masked classes has "
                "coordinates that nothing depends on: fit one over the classes that are left."
            )
        elif constraint != "fixed" and _is_integer(x):
            raise TypeError(
                f"{type(family).__name__}{jtu.keystr(path)} is an array of integers, which "
                "cannot be fitted: give floats, or declare the field as "
                'field(constraint="fixed").'
            )
        leaves.append(x)
    return treedef.unflatten(leaves)


def describe(family: PyTree, path: tuple) -> tuple[str, str]:
    """The name of the field that holds a leaf, and its constraint.

    The innermost field that declares one decides, unless one further out is `"fixed"`.
    """
    node, name, constraint = family, "", "real"
    for key in path:
        if isinstance(key, jtu.GetAttrKey):
            name = key.name
            metadata = {f.name: f.metadata for f in dataclasses.fields(node)}.get(name, {})
            if constraint != "fixed":
                constraint = metadata.get("constraint", constraint)
            node = getattr(node, name)
        else:
            node = node[key.idx if isinstance(key, jtu.SequenceKey) else key.key]
    return name, constraint


def map_named(fn: Callable[..., Any], family: PyTree, *rest: PyTree) -> PyTree:
    """`fn(field name, constraint, leaf, *leaves of rest)`; what is no float counts as fixed."""
    paths, treedef = jtu.tree_flatten_with_path(family)
    out = []
    for (path, x), *others in zip(paths, *map(treedef.flatten_up_to, rest), strict=True):
        name, constraint = describe(family, path)
        constraint = constraint if eqx.is_inexact_array(x) else "fixed"
        if constraint != "fixed" and constraint not in _COORDINATES:
            known = ", ".join([*_COORDINATES, "fixed"])
            raise ValueError(f"{name}: no constraint is called {constraint!r}; there are {known}.")
        out.append(fn(name, constraint, x, *others))
    return treedef.unflatten(out)


def _is_integer(x: Any) -> bool:
    return isinstance(x, jax.Array | np.ndarray) and jnp.issubdtype(x.dtype, jnp.integer)


def _rebuild(family: PyTree, at: PyTree, free: PyTree) -> PyTree:
    def back(name: str, constraint: str, x0: Any, u0: Any, u: Any) -> Any:
        chart = _COORDINATES.get(constraint)
        return x0 if chart is None else chart.rebuild(u, x0, u0)

    return map_named(back, family, at, free)


def _tril_free(x: Array) -> Array:
    rows, columns = np.tril_indices(x.shape[-1])
    entries = x[..., rows, columns]
    diagonal = rows == columns
    return jnp.where(diagonal, jnp.log(jnp.where(diagonal, entries, 1.0)), entries)


def _tril_rebuild(u: Array, x0: Array, u0: Array) -> Array:
    # Slices and padding only: a scatter, or the transpose of a gather, is a loop on CPUs.
    dim = x0.shape[-1]
    rows, columns = np.tril_indices(dim)
    diagonal = rows == columns
    shift = jnp.where(diagonal, u - u0, 0.0)
    entries = jnp.where(diagonal, x0[..., rows, columns] * jnp.exp(shift), u)
    starts = [row * (row + 1) // 2 for row in range(dim + 1)]
    pads = [(0, 0)] * (u.ndim - 1)
    return jnp.stack(
        [
            jnp.pad(entries[..., starts[row] : starts[row + 1]], [*pads, (0, dim - 1 - row)])
            for row in range(dim)
        ],
        -2,
    )


def _covariance_free(x: Array) -> Array:
    return _tril_free(jnp.linalg.cholesky(x))


def _covariance_rebuild(u: Array, x0: Array, u0: Array) -> Array:
    del u0
    tril = _tril_rebuild(u, jnp.broadcast_to(jnp.eye(x0.shape[-1], dtype=u.dtype), x0.shape), 0 * u)
    return tril @ jnp.swapaxes(tril, -1, -2)


def _differences(z: Array) -> Array:
    return z[..., :-1] - z[..., -1:]


def _log_ratios(p: Array) -> Array:
    return _differences(jnp.log(p))


def _moves(u: Array, u0: Array) -> Array:
    last = jnp.zeros((*u.shape[:-1], 1), u.dtype)
    moves = jnp.concatenate([u - u0, last], -1)
    return moves - jax.lax.stop_gradient(jnp.max(moves, -1, keepdims=True))


def _simplex_rebuild(u: Array, x0: Array, u0: Array) -> Array:
    weights = x0 * jnp.exp(_moves(u, u0))
    return weights * (jnp.sum(x0, -1, keepdims=True) / jnp.sum(weights, -1, keepdims=True))


def _logits_rebuild(u: Array, x0: Array, u0: Array) -> Array:
    # The log-sum stays as it was, so that log-probabilities stay normalised.
    z = x0 + _moves(u, u0)
    log_sum = jax.nn.logsumexp
    return z - (log_sum(z, -1, keepdims=True) - log_sum(x0, -1, keepdims=True))


def _unit_free(p: Array) -> Array:
    return jnp.log(p) - jnp.log1p(-p)


def _unit_rebuild(u: Array, x0: Array, u0: Array) -> Array:
    move = u - u0
    grow, shrink = jnp.exp(jnp.minimum(move, 0.0)), jnp.exp(jnp.minimum(-move, 0.0))
    below = x0 * grow / (1 + x0 * jnp.expm1(jnp.minimum(move, 0.0)))
    return jnp.where(move > 0, x0 / (x0 + (1 - x0) * shrink), below)


def _sphere_free(x: Array) -> Array:
    return x[..., :-1] / (1 + abs(x[..., -1:]))


def _sphere_rebuild(u: Array, x0: Array, u0: Array) -> Array:
    side = jnp.where(x0[..., -1:] < 0, -1.0, 1.0).astype(x0.dtype)

    def point(u: Array) -> Array:
        square = jnp.sum(u * u, -1, keepdims=True)
        return jnp.concatenate([2 * u, side * (1 - square)], -1) / (1 + square)

    return x0 + (point(u) - point(u0))


_COORDINATES = {
    "real": Coordinates(lambda x: x, lambda u, x0, u0: u),
    "positive": Coordinates(jnp.log, lambda u, x0, u0: x0 * jnp.exp(u - u0)),
    "cholesky": Coordinates(_tril_free, _tril_rebuild),
    "positive_definite": Coordinates(_covariance_free, _covariance_rebuild),
    "unit_interval": Coordinates(_unit_free, _unit_rebuild),
    "simplex": Coordinates(_log_ratios, _simplex_rebuild),
    "sphere": Coordinates(_sphere_free, _sphere_rebuild),
    "logits": Coordinates(_differences, _logits_rebuild),
}
