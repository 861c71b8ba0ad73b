"""Many fits at once: how many run in step, so that memory is bounded and no lane waits for all."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import ShapedArray
from jax.custom_batching import custom_vmap
from jax.extend.core import ClosedJaxpr, Jaxpr
from jaxtyping import PyTree

_MOST_LANES = 64
# Elements of the largest intermediate array, over all lanes: within a cache, or a device's memory.
_BUDGET = {"cpu": 2**17}
_DEVICE_BUDGET = 2**27


def count_lanes(fn: Callable[..., Any], *args: Any) -> int:
    """How many evaluations of `fn` to do in step."""
    size = _widest(jax.make_jaxpr(fn)(*args).jaxpr)
    backend = jax.default_backend()
    most = _MOST_LANES if backend in _BUDGET else 64 * _MOST_LANES
    return max(1, min(most, _BUDGET.get(backend, _DEVICE_BUDGET) // max(1, size)))


def uses_key(fn: Callable[..., Any], *args: Any) -> bool:
    """Whether a jitted `fn` does anything with the key that is its last argument."""
    (call,) = jax.make_jaxpr(fn)(*args).jaxpr.eqns
    body = call.params["jaxpr"].jaxpr
    key = body.invars[-1]
    return any(v is key for e in body.eqns for v in e.invars)


def in_turns(
    solve: Callable[[PyTree, PyTree], PyTree], shared: PyTree, inputs: PyTree, num: int, lanes: int
) -> PyTree:
    """`solve(shared, inputs)` for `num` inputs on a leading axis, at most `lanes` in step.

    `solve` takes its inputs stacked and returns outputs stacked likewise. Under `vmap` the batch is
    gone through in turns too: there a loop would otherwise run until its slowest lane has stopped.
    """
    together = min(num, lanes)

    @custom_vmap
    def turn(shared: PyTree, inputs: PyTree) -> PyTree:
        return solve(shared, inputs)

    @turn.def_vmap
    def rule(axis_size, in_batched, shared, inputs):
        leaves, treedef = jax.tree.flatten((shared, inputs))
        batched = jax.tree.leaves(in_batched)
        mapped = [x for x, yes in zip(leaves, batched, strict=True) if yes]

        def some(mapped: list) -> PyTree:
            each = iter(mapped)
            merged = [next(each) if yes else x for x, yes in zip(leaves, batched, strict=True)]
            return solve(*treedef.unflatten(merged))

        out = _map(jax.vmap(some), mapped, axis_size, max(1, lanes // together))
        return out, jax.tree.map(lambda _: True, out)

    return _map(lambda inputs: turn(shared, inputs), inputs, num, together)


def _map(fn: Callable[[PyTree], PyTree], inputs: PyTree, num: int, most: int) -> PyTree:
    """`fn` of stacked inputs, in equal parts of at most `most`; the last part is filled up."""
    turns = -(-num // most)
    if turns == 1:
        return fn(inputs)
    size = -(-num // turns)
    index = jnp.minimum(jnp.arange(turns * size), num - 1).reshape(turns, size)
    out = jax.lax.map(lambda i: fn(jax.tree.map(lambda x: x[i], inputs)), index)
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[:num], out)


def _widest(jaxpr: Jaxpr) -> int:
    """The number of elements of the largest array that a computation makes."""
    made = [v.aval for e in jaxpr.eqns for v in e.outvars]
    size = max((a.size for a in made if isinstance(a, ShapedArray)), default=1)
    inner = [
        leaf.jaxpr if isinstance(leaf, ClosedJaxpr) else leaf
        for e in jaxpr.eqns
        for leaf in jax.tree.leaves(list(e.params.values()), is_leaf=_is_jaxpr)
        if _is_jaxpr(leaf)
    ]
    return max([size, *map(_widest, inner)])


def _is_jaxpr(x: Any) -> bool:
    return isinstance(x, ClosedJaxpr | Jaxpr)
