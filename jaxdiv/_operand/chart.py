"""Trees of spaces: named values as one flat vector of free coordinates, and back."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import jax.tree_util as jtu
from jaxtyping import Array, ArrayLike, PyTree

from .base import widen
from .space import AbstractSpace


def is_space(x: Any) -> bool:
    """Where a tree of spaces has its leaves."""
    return isinstance(x, AbstractSpace)


def named_spaces(parameters: PyTree[AbstractSpace]) -> list[tuple[str, AbstractSpace]]:
    """The spaces in the order of the tree, each with the words of its path: `a`, `b.c`, `d.0`.

    Raises:
        TypeError: where a leaf is no space, or there is none.
    """
    if is_space(parameters):
        return [("x", parameters)]
    named = []
    for path, space in jtu.tree_flatten_with_path(parameters, is_space)[0]:
        name = jtu.keystr(path, simple=True, separator=".")
        if not is_space(space):
            raise TypeError(
                f"parameters: {name} must be a space, such as Real(), Positive() or Simplex(3), "
                f"got {space!r}."
            )
        named.append((name, space))
    if not named:
        raise TypeError(f"parameters must name at least one space, got {parameters!r}.")
    return named


def constrain_tree(parameters: PyTree[AbstractSpace], u: Array) -> tuple[PyTree[Array], Array]:
    """The tree of values at a flat vector of free coordinates, and the log-determinant."""
    spaces = [space for _, space in named_spaces(parameters)]
    dim = sum(space.size for space in spaces)
    if u.shape != (dim,):
        raise ValueError(
            f"the free coordinates of one point have shape ({dim},), got {u.shape}: `jax.vmap` "
            "over many points."
        )
    values, log_det, start = [], jnp.zeros((), u.dtype), 0
    for space in spaces:
        x, part = space.constrain(u[start : start + space.size])
        values.append(x)
        log_det, start = log_det + part, start + space.size
    return jax.tree.structure(parameters, is_leaf=is_space).unflatten(values), log_det


def unconstrain_tree(parameters: PyTree[AbstractSpace], values: PyTree[ArrayLike]) -> Array:
    """The flat vector of free coordinates of a tree of values."""
    structure = jax.tree.structure(parameters, is_leaf=is_space)
    try:
        leaves = structure.flatten_up_to(values)
    except ValueError as error:
        names = [name for name, _ in named_spaces(parameters)]
        raise ValueError(f"the values must be a tree of {names}: {error}") from None
    parts = []
    for (name, space), x in zip(named_spaces(parameters), leaves, strict=True):
        if jnp.shape(x) != space.shape:
            raise ValueError(f"{name} must have shape {space.shape}, got {jnp.shape(x)}.")
        parts.append(space.unconstrain(x))
    return jnp.concatenate(parts)


def over_points(
    parameters: PyTree[AbstractSpace], fn: Callable[..., Array]
) -> Callable[..., Array]:
    """`fn` of one tree of values, made to take values with leading axes in common."""

    def over(values: PyTree[ArrayLike]) -> Array:
        values = jax.tree.map(widen, values)
        first, *_ = jax.tree.structure(parameters, is_leaf=is_space).flatten_up_to(values)
        mapped = fn
        for _ in range(first.ndim - len(named_spaces(parameters)[0][1].shape)):
            mapped = jax.vmap(mapped)
        return mapped(values)

    return over
