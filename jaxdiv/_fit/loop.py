"""The compiled loop: all starts in step, each frozen where it stops."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox.internal as eqxi
import jax
import jax.numpy as jnp
import jax.random as jr
import optax
from jaxtyping import Array, Bool, Float, Int, Key, PyTree

from .newton import newton_state

_PATIENCE = 20  # steps that may fail before most of those taken must have succeeded
ValueFn = Callable[[PyTree, Key[Array, ""] | None], Float[Array, ""]]


class Descent(NamedTuple):
    """What is left of the loop, starts first."""

    free: PyTree
    opt_state: PyTree
    losses: Float[Array, "starts steps"]
    path: PyTree | None
    num_steps: Int[Array, " starts"]
    num_evaluations: Int[Array, " starts"]
    num_bad: Int[Array, " starts"]
    stopped: Bool[Array, " starts"]  # by the criterion, not because the steps ran out
    finite: Bool[Array, " starts"]


class _Lane(NamedTuple):
    free: PyTree
    opt_state: PyTree
    known: (
        tuple[Array, PyTree] | None
    )  # value and gradient here, from a line search that ended here
    num_steps: Int[Array, ""]
    num_evaluations: Int[Array, ""]
    num_bad: Int[Array, ""]
    active: Bool[Array, ""]
    finite: Bool[Array, ""]


class Carry(NamedTuple):
    """All that a descent has come to, starts first: what is saved of it."""

    lanes: _Lane
    losses: Float[Array, "starts steps"]
    path: PyTree | None


def begin(
    value_fn: ValueFn,
    optim: optax.GradientTransformationExtraArgs,
    starts: PyTree,
    keys: Key[Array, " starts"] | None,
    *,
    num_steps: int,
    dtype: jnp.dtype,
    record: bool,
) -> Carry:
    """A descent of at most `num_steps` before its first step."""
    lanes = jax.vmap(lambda free, key: _begin(value_fn, optim, free, key))(starts, keys)
    losses = jnp.full((lanes.active.shape[0], num_steps), jnp.nan, dtype)
    path = None
    if record:
        path = jax.tree.map(lambda x: jnp.repeat(x[:, None], num_steps + 1, 1), starts)
    return Carry(lanes, losses, path)


def advance(
    value_fn: ValueFn,
    optim: optax.GradientTransformationExtraArgs,
    carry: Carry,
    keys: Key[Array, " starts"] | None,
    first: Int[Array, ""],
    last: Int[Array, ""],
    *,
    tolerance: Float[Array, ""],
    longest: PyTree,
) -> Carry:
    r"""The steps from number `first` to before `last`, in a loop whose body is one vmapped step.

    A lane stops where the decrease that its step promises, $|g^T \Delta|$ (with `newton` the
    decrement $\frac12 g^T H^{-1} g$), is at most `tolerance`, or where something is not finite: at
    once, or, where a key gives the next step other draws, if most steps are such. `longest` bounds
    the steps of `newton` along each free coordinate. A key is folded with the number of the step;
    without one the objective gets None.
    """
    step = _make_step(value_fn, optim, tolerance, longest)

    def body(state):
        k, lanes, losses, path = state
        step_keys = None if keys is None else jax.vmap(jr.fold_in, (0, None))(keys, k)
        moved, loss = jax.vmap(step)(lanes, step_keys)
        losses = losses.at[k].set(jnp.where(lanes.active, loss, jnp.nan))
        lanes = jax.vmap(_select)(lanes.active, moved, lanes)
        if path is not None:
            path = jax.tree.map(lambda p, x: p.at[k + 1].set(x), path, lanes.free)
        return k + 1, lanes, losses, path

    def proceed(state):
        k, lanes, _, _ = state
        # `unvmap_any` keeps this unbatched under an outer vmap, so that nothing is copied there.
        return (k < last) & eqxi.unvmap_any(lanes.active)

    path = jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), carry.path)
    state = first, carry.lanes, carry.losses.T, path
    _, lanes, losses, path = jax.lax.while_loop(proceed, body, state)
    return Carry(lanes, losses.T, jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), path))


def end(carry: Carry) -> Descent:
    """What a descent came to."""
    lanes, losses, path = carry
    if path is not None:
        steps = jnp.arange(losses.shape[1] + 1, dtype=jnp.int32)
        last = jnp.minimum(steps, lanes.num_steps[:, None])
        path = jax.tree.map(lambda x: jax.vmap(lambda x, i: x[i])(x, last), path)
    return Descent(
        lanes.free,
        lanes.opt_state,
        losses,
        path,
        lanes.num_steps,
        lanes.num_evaluations,
        lanes.num_bad,
        ~lanes.active & lanes.finite,
        lanes.finite,
    )


def _begin(value_fn: ValueFn, optim, free: PyTree, key) -> _Lane:
    state = optim.init(free)
    known = None
    if _searches(state):
        known = jax.value_and_grad(value_fn)(free, key)
    evaluations = jnp.array(0 if known is None else 1, jnp.int32)
    zero, yes = jnp.array(0, jnp.int32), jnp.array(True)
    return _Lane(free, state, known, zero, evaluations, zero, yes, yes)


def _make_step(value_fn: ValueFn, optim, tolerance: Array, longest: PyTree):
    def step(lane: _Lane, key: Key[Array, ""] | None) -> tuple[_Lane, Float[Array, ""]]:
        def fn(free: PyTree) -> Array:
            return value_fn(free, key)

        free, state, known, evaluations = lane.free, lane.opt_state, None, 1
        again = jnp.array(False)
        if newton_state(state) is None:
            loss, grad = lane.known or jax.value_and_grad(fn)(free)
            # optax mixes integer types, which strict promotion (set by a user's tests) forbids.
            with jax.numpy_dtype_promotion("standard"):
                updates, state = optim.update(grad, state, free, value=loss, grad=grad, value_fn=fn)
            products = jax.tree.map(lambda g, u: jnp.sum(g * u), grad, updates)
            gap = jnp.abs(sum(jax.tree.leaves(products)))
            finite, stop = jnp.isfinite(loss) & jnp.isfinite(gap), gap <= tolerance
            if key is not None:
                again = 2 * lane.num_bad < lane.num_steps + _PATIENCE
                state = _select(finite, state, lane.opt_state)
            bad = ~finite
            if _searches(state):
                known = _get(state, "value"), _get(state, "grad")
                evaluations = _get(state, "num_linesearch_steps", 1)
        else:
            updates, state = optim.update(free, state, free, value_fn=fn, longest=longest)
            newton = newton_state(state)
            assert newton is not None
            loss, finite = newton.value, jnp.isfinite(newton.value)
            stop = (newton.decrement <= tolerance) | (newton.radius == 0)
            bad = ~newton.finite
        return _Lane(
            _select(finite, optax.apply_updates(free, updates), free),
            state,
            known,
            lane.num_steps + 1,
            lane.num_evaluations + jnp.asarray(evaluations, jnp.int32),
            lane.num_bad + bad.astype(jnp.int32),
            jnp.where(finite, ~stop, again),
            finite | again,
        ), loss

    return step


def _searches(state: PyTree) -> bool:
    """Whether the state holds value and gradient at the end of a line search."""
    return _get(state, "value") is not None and _get(state, "grad") is not None


def _get(state: PyTree, name: str, default: Any = None) -> Any:
    # A field of a state, and not of a family that a state holds.
    def is_state(path, value):
        return isinstance(path[-1], optax.tree_utils.NamedTupleKey)

    return optax.tree_utils.tree_get(state, name, default, filtering=is_state)


def _select(keep: Bool[Array, ""], new: PyTree, old: PyTree) -> PyTree:
    def select(new: Array, old: Array) -> Array:
        # The state of some optimisers changes its integer type at the first update.
        return jnp.where(keep, new if new.dtype == old.dtype else new.astype(old.dtype), old)

    return jax.tree.map(select, new, old)
