"""How long a call of a compiled program took, compiling and running apart."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.core
import jax.numpy as jnp
from jaxtyping import Array, Float


class Seconds(NamedTuple):
    """Wall time of a fit."""

    compiling: Float[Array, ""]
    running: Float[Array, ""]


def timed(run: Callable[..., Any], *args: Any) -> tuple[Any, Seconds | None]:
    """`run(*args)` of a jitted `run`, and its time; None under a trace.

    What is compiled here is found again by the call.
    """
    if any(isinstance(x, jax.core.Tracer) for x in jax.tree.leaves(args)):
        return run(*args), None
    start = time.perf_counter()
    run.lower(*args).compile()  # pyright: ignore[reportFunctionMemberAccess]
    ready = time.perf_counter()
    found = jax.block_until_ready(run(*args))
    return found, Seconds(jnp.array(ready - start), jnp.array(time.perf_counter() - ready))
