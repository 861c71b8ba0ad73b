"""What need not be computed, and is not, under `vmap` where no member of the batch needs it."""

from collections.abc import Callable
from typing import Any

import equinox.internal as eqxi
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool


def unless(skip: Bool[Array, ""], fn: Callable[[], Any], otherwise: Any) -> Any:
    """`fn()`, but `otherwise` where `skip`; it runs if any member of a batch needs it."""

    def compute() -> Any:
        return jax.tree.map(lambda new, old: jnp.where(skip, old, new), fn(), otherwise)

    return jax.lax.cond(eqxi.unvmap_all(skip), lambda: otherwise, compute)


def map_unless(skip: Bool[Array, " S"], fn: Callable[[Any], Any], inputs: Any) -> Any:
    """`fn` of each input on a leading axis, in turn; zeros where `skip`."""

    def one(item: tuple[Array, Any]) -> Any:
        skip, x = item
        shapes = jax.eval_shape(fn, x)
        zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
        return unless(skip, lambda: fn(x), zeros)

    return jax.lax.map(one, (skip, inputs))
