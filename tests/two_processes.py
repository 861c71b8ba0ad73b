"""One of two processes between which the class axis is split; `test_sharding.py` starts both.

Usage: python -m tests.two_processes ADDRESS RANK FOLDER
"""

import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

import jaxdiv as jd

CASES: dict[str, Any] = {
    "kl": lambda a, b: jd.kl(jd.logits(a), jd.logits(b)),
    "jensen_shannon": lambda a, b: jd.jensen_shannon(jd.logits(a), jd.logits(b)),
    "entropy": lambda a, b: jd.entropy(jd.logits(b)),
    "labels": lambda a, b: jd.cross_entropy(jd.labels(jnp.arange(4)), jd.logits(b)),
}


def arguments() -> np.ndarray:
    """Two arrays of logits, a pair that is nearly equal and a masked class among them."""
    z = 3 * np.random.default_rng(7).standard_normal((2, 4, 64))
    z[1, 0] = z[0, 0] + 1e-3 * z[1, 0]
    z[:, 1, 40] = -np.inf
    return z.astype(np.float32)


def evaluate(a: Any, b: Any) -> dict[str, Any]:
    """Values, and the gradients of their sums in both arguments, of all cases."""
    found = {}
    for name, f in CASES.items():
        gradients = jax.grad(lambda a, b, f=f: f(a, b).sum(), (0, 1))(a, b)
        found |= {name: f(a, b), f"{name} gradient": jnp.stack(gradients)}
    return found


def main(address: str, rank: int, folder: str) -> None:
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(address, num_processes=2, process_id=rank)
    mesh = Mesh(np.array(jax.devices()), ("class",), axis_types=(AxisType.Auto,))
    assert (len(jax.devices()), len(jax.local_devices())) == (2, 1)
    spread = NamedSharding(mesh, P(None, "class"))
    a, b = (jax.make_array_from_callback(z.shape, spread, lambda i, z=z: z[i]) for z in arguments())
    found = jax.jit(evaluate, out_shardings=NamedSharding(mesh, P()))(a, b)
    arrays: dict[str, Any] = {k: np.asarray(v) for k, v in found.items()}
    np.savez(Path(folder) / f"{rank}.npz", **arrays)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
