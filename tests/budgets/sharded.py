"""Programs whose class axis is split over eight devices, and the collectives in them.

A *round* is a link of the longest chain of collectives each of which needs the result of the one
before: collectives that do not wait for each other can run, and be combined, in one round.
"""

from collections.abc import Iterable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

import jaxdiv as jd

from ..registry import FUNCTIONALS
from .hlo import Program

ROWS, CLASSES = 16, 8 * 256
# By name: function of the operands of p and q. The label is whole on every device.
MENU: dict[str, Any] = {
    f.name: f if f.arity == 2 else lambda p, q, f=f: f(q, None) for f in FUNCTIONALS
}
MENU["label cross entropy"] = lambda p, q: jd.cross_entropy(jd.labels(jnp.arange(ROWS)), q)
# Held to budgets: one of each kind of program.
HELD = (
    "entropy",
    "cross entropy",
    "kl",
    "js 0.5",
    "squared hellinger",
    "renyi 0.25",
    "label cross entropy",
)
HOW = ("jit", "shard_map")


def loss(names: Iterable[str], how: str, mesh: Mesh) -> Any:
    """The sum over rows and functionals, a function of two arrays of logits."""

    def total(a, b, **axis):
        p, q = jd.logits(a, **axis), jd.logits(b, **axis)
        return sum(MENU[name](p, q).sum() for name in names)

    if how == "jit":
        return total
    local = partial(total, axis_name="class")
    return jax.shard_map(local, mesh=mesh, in_specs=P(None, "class"), out_specs=P())


def passes(devices: list[Any], names: Iterable[str], how: str) -> tuple[Program, Program]:
    """The forward pass, with all that it keeps for the gradient in both arguments; the backward."""
    mesh = Mesh(np.array(devices), ("class",), axis_types=(AxisType.Auto,))
    spread = NamedSharding(mesh, P(None, "class"))
    z = jax.ShapeDtypeStruct((ROWS, CLASSES), "float32", sharding=spread)
    forward = partial(jax.vjp, loss(names, how, mesh))
    compiled = jax.jit(forward).lower(z, z).compile()
    kept = jax.tree.map(
        lambda x, sharding: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding),
        jax.eval_shape(forward, z, z),
        compiled.output_shardings,
    )
    value, pull = kept
    backward = jax.jit(lambda pull, change: pull(change)).lower(pull, value).compile()
    return Program(compiled), Program(backward)


def measure(devices: list[Any], name: str, how: str) -> dict[str, float]:
    """Rounds of the two passes, and elements per row of the largest array that a device gives."""
    forward, backward = passes(devices, [name], how)
    largest = max([*forward.exchanged, *backward.exchanged], default=0) / ROWS
    return {"rounds": forward.rounds, "backward": backward.rounds, "largest": largest}
