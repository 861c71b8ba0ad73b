"""Parameters that must be the same for a closed form to hold.

Whether they are is a question of values. Where those are known, the caller is told that there is no
closed form; a program that is being compiled cannot raise for some of the values that it will meet,
and must not answer with a number, so that it answers NaN for those.
"""

from typing import Any

import jax
import jax.core
import jax.numpy as jnp
from jaxtyping import Array

from .base import floating


def only_where_equal(a: Any, b: Any, value: Array) -> Array | None:
    """`value` where `a == b`; None where it is known that they differ, NaN where they may."""
    if a is b:
        return value
    a, b = floating(a, b)
    if not isinstance(a, jax.core.Tracer) and not isinstance(b, jax.core.Tracer):
        if not bool(jnp.all(a == b)):
            return None
        return value
    return jnp.where(a == b, value, jnp.nan)
