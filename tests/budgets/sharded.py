"""Programs whose class axis is split over eight devices, and the collectives in them.

A *round* is a link of the longest chain of collectives each of which needs the result of the one
before: collectives that do not wait for each other can run, and be combined, in one round.
"""

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
HOW = ("jit", "shard_map")


def loss(name: str, how: str, mesh: Mesh) -> Any:
    """The sum over rows, a function of two arrays of logits."""
    functional = MENU[name]
    if how == "jit":
        return lambda a, b: functional(jd.logits(a), jd.logits(b)).sum()

    def local(a, b):
        return functional(*(jd.logits(z, axis_name="class") for z in (a, b)))

    split = jax.shard_map(local, mesh=mesh, in_specs=P(None, "class"), out_specs=P())
    return lambda a, b: split(a, b).sum()


def measure(devices: list[Any], name: str, how: str) -> dict[str, float]:
    """Rounds of the value, and of it with its gradient in both arguments; the largest array that a
    device contributes, and all that the gradient adds to the value's, in elements per row.
    """
    mesh = Mesh(np.array(devices), ("class",), axis_types=(AxisType.Auto,))
    spread = NamedSharding(mesh, P(None, "class"))
    z = jax.ShapeDtypeStruct((ROWS, CLASSES), "float32", sharding=spread)
    f = loss(name, how, mesh)
    forward, both = (
        Program(jax.jit(f).lower(z, z).compile().as_text())
        for f in (f, jax.value_and_grad(f, (0, 1)))
    )
    return {
        "rounds": forward.rounds,
        "with gradient": both.rounds,
        "largest": max(both.exchanged, default=0) / ROWS,
        "backward": (sum(both.exchanged) - sum(forward.exchanged)) / ROWS,
    }
