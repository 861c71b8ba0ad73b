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
HELD = ("entropy", "cross entropy", "kl", "js 0.5", "renyi 0.25", "label cross entropy")
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


def compiled(devices: list[Any], names: Iterable[str], how: str, *, gradient: bool) -> Program:
    """The value, or the value and its gradient in both arguments."""
    mesh = Mesh(np.array(devices), ("class",), axis_types=(AxisType.Auto,))
    spread = NamedSharding(mesh, P(None, "class"))
    z = jax.ShapeDtypeStruct((ROWS, CLASSES), "float32", sharding=spread)
    f = loss(names, how, mesh)
    f = jax.value_and_grad(f, (0, 1)) if gradient else f
    return Program(jax.jit(f).lower(z, z).compile())


def exchanged(program: Program) -> tuple[int, float, float]:
    """Rounds; elements per row of the largest array that a device gives, and of all of them."""
    sizes = program.exchanged
    return program.rounds, max(sizes, default=0) / ROWS, sum(sizes) / ROWS


def measure(devices: list[Any], name: str, how: str) -> dict[str, float]:
    """Rounds of the value, and of it with its gradient; the largest array; what the gradient adds
    to all that is exchanged for the value.
    """
    rounds, _, forward = exchanged(compiled(devices, [name], how, gradient=False))
    all_rounds, largest, both = exchanged(compiled(devices, [name], how, gradient=True))
    return {
        "rounds": rounds,
        "with gradient": all_rounds,
        "largest": largest,
        "backward": both - forward,
    }
