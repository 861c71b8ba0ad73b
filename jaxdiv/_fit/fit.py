"""The fit: from an objective and a family to the optima that it has."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int, Key, PyTree

from .._estimator.exact import Enumerate, Exact
from .._estimator.monte_carlo import FixedDraws, MonteCarlo
from .._operand.base import AbstractOperand
from .constraint import as_parameters, unconstrain
from .diagnostics import certify, cluster
from .loop import Descent, descend
from .newton import newton, newton_state, second_order, second_order_at
from .objective import AbstractObjective
from .solution import RESULTS, Certificate, Fit
from .starts import Jitter, landscape_of, units
from .turns import count_lanes, in_turns

Family = TypeVar("Family")
Objective = Callable[[Any, Key[Array, ""] | None], Float[Array, ""]]

_NEWTON = newton()
_LBFGS = optax.with_extra_args_support(optax.lbfgs())
_MOST_NEWTON = 32  # parameters, beyond which the Hessian costs more than it saves
_JITTER = Jitter()
_EXACT = Exact | Enumerate
_SAMPLING = MonteCarlo | FixedDraws


def fit(
    objective: Objective,
    family: Family,
    optim: optax.GradientTransformation | None = None,
    *,
    num_steps: int | None = None,
    starts: int | Family = 1,
    key: Key[Array, ""] | None = None,
    tolerance: float | None = None,
    jitter: Jitter = _JITTER,
    throw: bool = True,
    record: bool = False,
) -> Fit[Family]:
    r"""$\arg\min_\theta$ `objective` $(q_\theta)$ over a family, with every optimum that was found.

    Args:
        objective: `forward_kl(target)`, `reverse_kl(target)`, or any `(family, key) -> scalar`. If
            it is a pytree (an `equinox.Module`, a `jax.tree_util.Partial`) its arrays are traced,
            so that a fit to other data of the same shape does not compile again; a bare function is
            compiled once for each function object.
        family: the first member: any operand or `equinox.Module`. It is optimised in the free
            coordinates of `unconstrain`, with lengths in units of the spread of the target.
        optim: any optax optimiser, made once and reused (each new object compiles anew). By default
            `newton` for up to 32 parameters and `optax.lbfgs` beyond, or, where the objective is
            sampled anew at each step, Adam with a step that decays to zero.
        num_steps: the most steps; by default 200, or with Adam 2,000, all of which are taken.
        starts: how many members to start from (the first is `family`, the others are drawn by
            `jitter`), or the members themselves, stacked along a leading axis of every field.
        key: needed for several drawn starts and for a sampled objective.
        tolerance: a start stops when the decrease that its next step promises is at most this many
            nats: $\frac12 g^T H^{-1} g$ with `newton`, $|g^T \Delta|$ with any other optimiser. By
            default $\epsilon^{9/8}$ of the floating type: 2e-18 or 2e-8.
        jitter: how the starts are drawn.
        throw: whether to raise if no start ends at an optimum (never inside another
            transformation: look at `result` there).
        record: whether to keep the members that each start passed through.

    Returns:
        A `Fit`: all starts, judged by an independent evaluation of the objective, sorted and
        grouped into the distinct optima. It jits and vmaps; to differentiate through the optimum is
        not possible yet.

    Raises:
        ValueError: where `optim` or `key` is needed, or for a batched family (`vmap` the fit).
        RuntimeError: if no start ends at an optimum.
        NotImplementedError: if differentiated.

    Example:
        >>> import jax, jax.numpy as jnp, jaxdiv as jd
        >>> target = jd.Mixture(jd.probs([0.7, 0.3]), jd.Normal(jnp.array([-2.0, 2.0]), 0.5))
        >>> found = jd.fit(jd.reverse_kl(target), jd.Normal(0.0, 1.0), starts=8, key=jax.random.key(0))
        >>> for i in jnp.flatnonzero(found.is_distinct):
        ...     print(f"KL {found.values[i]:.4f} at {found.optima.loc[i]:.3f}")
        KL 0.3566 at -2.000
        KL 1.2038 at 2.000
    """
    known = isinstance(objective, AbstractObjective)
    if optim is None and not known:
        raise ValueError(
            "fit: nothing is known of this objective, so `optim` must be given: jaxdiv.newton() or "
            "optax.lbfgs() if it is deterministic, optax.adam(...) if it is not."
        )
    family = as_parameters(family)
    num_starts = _count(starts)
    if num_starts is None:
        starts = _stack(as_parameters(starts), family)
    elif isinstance(family, AbstractOperand) and family.batch_shape != ():
        raise ValueError(
            f"fit: the family has batch shape {family.batch_shape}, and a fit is of one member: "
            "vmap `fit` over a batch of problems, or pass a stack of starting points as `starts=`."
        )
    stochastic = known and not objective.deterministic
    if key is None and (stochastic or (num_starts or 1) > 1):
        why = "the objective is sampled" if stochastic else f"{num_starts} starts are drawn"
        raise ValueError(f"fit: `key` is needed, since {why}: give key=jax.random.key(seed).")
    dynamic, static = _split((objective, family, None if num_starts else starts, jitter))
    options = _Options(static, optim, num_starts, num_steps, record)
    found = _run(options, dynamic, key, tolerance)
    if throw:
        _throw(found)
    return found


class _Options(NamedTuple):
    """All that a compiled fit depends on besides shapes; hashable."""

    static: tuple
    optim: optax.GradientTransformation | None
    num_starts: int | None
    num_steps: int | None
    record: bool


@functools.partial(jax.jit, static_argnums=0)
def _run(options: _Options, dynamic: PyTree, key, tolerance) -> Fit:
    dynamic = _opaque(dynamic)
    objective, family, stack, jitter = _join(dynamic, options.static)
    known = isinstance(objective, AbstractObjective)
    free, rebuild = unconstrain(family)
    landscape = landscape_of(objective.target) if known else None
    unit = units(family, free, landscape)
    if stack is not None:
        starts = jax.vmap(lambda one: unconstrain(one)[0])(stack)
    elif options.num_starts == 1:
        starts = jax.tree.map(lambda u: u[None], free)
    else:
        starts = jitter.draw(family, free, landscape, options.num_starts, key)
    starts = jax.tree.map(jnp.divide, starts, unit)
    num = jax.tree.leaves(starts)[0].shape[0]
    stochastic = not objective.deterministic if known else key is not None
    keys = jr.split(jr.fold_in(key, num), num) if stochastic else None
    sampled = isinstance(objective.plan(family).judged_by, _SAMPLING) if known else stochastic
    same = not stochastic and _is_judged_by_itself(objective, family)
    optim, num_steps = _choose(options, free, stochastic)
    dtype = jnp.result_type(*jax.tree.leaves(free))
    if tolerance is None:
        tolerance = float(jnp.finfo(dtype).eps) ** (9 / 8)
    shared = (dynamic, rebuild, unit, jnp.asarray(tolerance, dtype))

    # Inner jits: each is traced once however often it is called and transformed.
    @jax.jit
    def member(rebuild, unit: PyTree, scaled: PyTree) -> PyTree:
        return rebuild(jax.tree.map(jnp.multiply, scaled, unit))

    @jax.jit
    def value(shared: PyTree, scaled: PyTree, key) -> Array:
        dynamic, rebuild, unit, _ = shared
        objective = _join(dynamic, options.static)[0]
        return objective(member(rebuild, unit, scaled), key)

    @jax.jit
    def judge(shared: PyTree, scaled: PyTree, key) -> Array:
        if not known:
            return value(shared, scaled, None if key is None else jr.fold_in(key, num_steps))
        dynamic, rebuild, unit, _ = shared
        objective = _join(dynamic, options.static)[0]
        return objective.evaluate(member(rebuild, unit, scaled))

    def solve(shared: PyTree, inputs: PyTree) -> tuple[Descent, Certificate]:
        starts, keys = inputs
        descent = descend(
            functools.partial(value, shared),
            optim,
            starts,
            keys,
            num_steps=num_steps,
            tolerance=shared[-1],
            record=options.record,
        )

        def at_end(scaled: PyTree, state: PyTree, key) -> Certificate:
            newton = newton_state(state)
            if same and newton is not None:
                return certify(*second_order_at(newton), sampled=sampled)
            flat, unravel = ravel_pytree(scaled)
            derivatives = second_order(lambda x: judge(shared, unravel(x), key), flat)
            return certify(*derivatives, sampled=sampled)

        return descent, jax.vmap(at_end)(descent.free, descent.opt_state, keys)

    first = jax.tree.map(lambda x: x[0], (starts, keys))
    lanes = count_lanes(value, shared, *first)
    descent, certificate = in_turns(solve, shared, (starts, keys), num, lanes)
    values = jnp.where(jnp.isnan(certificate.value), jnp.inf, certificate.value)
    order = jnp.lexsort((values, ~certificate.is_optimum))
    descent, certificate = jax.tree.map(lambda x: x[order], (descent, certificate))
    to_member = functools.partial(member, rebuild, unit)
    optima = jax.vmap(to_member)(descent.free)
    number, is_distinct = cluster(optima, certificate.is_optimum, sampled=sampled)
    path = None
    if descent.path is not None:
        path = jax.vmap(jax.vmap(to_member))(descent.path)
    return Fit(
        distribution=jax.tree.map(lambda x: x[0], optima),
        value=certificate.value[0],
        quantity=objective.quantity(family) if known else "the objective",
        optima=optima,
        values=certificate.value,
        cluster=number,
        is_distinct=is_distinct,
        losses=descent.losses,
        num_steps=descent.num_steps,
        num_evaluations=descent.num_evaluations,
        result=_explain(descent, certificate, dtype),
        certificate=certificate,
        opt_state=descent.opt_state,
        path=path,
    )


def _is_judged_by_itself(objective: Objective, family: PyTree) -> bool:
    """Whether there is nothing more exact to judge a fit by than what was minimised."""
    if not isinstance(objective, AbstractObjective):
        return True
    plan = objective.plan(family)
    exact = isinstance(plan.by, _EXACT) and isinstance(plan.judged_by, _EXACT)
    return exact and plan.judge is plan.descend


def _choose(options: _Options, free: PyTree, stochastic: bool):
    size = sum(leaf.size for leaf in jax.tree.leaves(free))
    if options.optim is not None:
        return optax.with_extra_args_support(options.optim), options.num_steps or 1000
    if stochastic:
        num_steps = options.num_steps or 2000
        return optax.with_extra_args_support(_adam(num_steps)), num_steps
    return (_NEWTON if size <= _MOST_NEWTON else _LBFGS), options.num_steps or 200


@functools.cache
def _adam(num_steps: int) -> optax.GradientTransformation:
    return optax.adam(optax.cosine_decay_schedule(0.05, num_steps))


def _explain(descent: Descent, certificate: Certificate, dtype) -> RESULTS:
    """The reason for each start."""
    finite = descent.finite & jnp.isfinite(certificate.decrement)
    flat = (certificate.decrement <= jnp.finfo(dtype).eps ** (2 / 3)) | (certificate.curvature <= 0)

    def one(is_optimum, finite, stopped, flat):
        reason = RESULTS.where(flat, RESULTS.not_an_optimum, RESULTS.stalled)
        reason = RESULTS.where(stopped, reason, RESULTS.max_steps)
        reason = RESULTS.where(finite, reason, RESULTS.diverged)
        return RESULTS.where(is_optimum, RESULTS.converged, reason)

    return jax.vmap(one)(certificate.is_optimum, finite, descent.stopped, flat)


def _count(starts: Any) -> int | None:
    """The number of starts to draw; None where the starts themselves were given."""
    if not isinstance(starts, int):
        return None
    if isinstance(starts, bool) or starts < 1:
        raise ValueError(f"fit: `starts` must be a positive number or a stack, got {starts}.")
    return starts


def _stack(stack: PyTree, family: PyTree) -> PyTree:
    """The given starts with a leading axis on every array, also on one that they share."""
    if jtu.tree_structure(stack) != jtu.tree_structure(family):
        raise ValueError(
            f"fit: `starts` must be a number or a stacked {type(family).__name__} like `family`, "
            f"got {jtu.tree_structure(stack)} for {jtu.tree_structure(family)}."
        )
    leaves, treedef = jtu.tree_flatten(stack)
    ranks = [jnp.ndim(x) for x in jax.tree.leaves(family)]
    stacked = [eqx.is_array(x) and x.ndim > rank for x, rank in zip(leaves, ranks, strict=True)]
    sizes = {x.shape[0] for x, yes in zip(leaves, stacked, strict=True) if yes}
    if len(sizes) != 1:
        raise ValueError(
            "fit: a stack of starts has one leading axis, of the same length in every field; got "
            f"lengths {sorted(sizes)}."
        )
    (num,) = sizes
    return treedef.unflatten(
        [
            x if yes or not eqx.is_array(x) else jnp.broadcast_to(x, (num, *x.shape))
            for x, yes in zip(leaves, stacked, strict=True)
        ]
    )


def _split(tree: PyTree) -> tuple[PyTree, tuple]:
    """The arrays and numbers of a pytree, which are traced, and the rest, which is hashed."""
    dynamic, static = eqx.partition(tree, eqx.is_array_like)
    leaves, treedef = jtu.tree_flatten(static)
    return dynamic, (tuple(leaves), treedef)


def _join(dynamic: PyTree, static: tuple) -> PyTree:
    leaves, treedef = static
    return eqx.combine(dynamic, jtu.tree_unflatten(treedef, leaves))


@jax.custom_jvp
def _opaque(inputs: PyTree) -> PyTree:
    """The inputs, not to be differentiated."""
    return inputs


@_opaque.defjvp
def _(primals, tangents):
    raise NotImplementedError(
        "The derivative of `fit` with respect to its inputs is not available. It is not that of the "
        "iterations: by the implicit function theorem it is -H^-1 d(gradient)/d(input) at the "
        "optimum, with H the Hessian of the objective in the free coordinates (`unconstrain`). "
        "Stop the gradient with jax.lax.stop_gradient, or apply this rule to the fitted member."
    )


def _throw(found: Fit) -> None:
    """Raises if no start succeeded; silent under a trace, where there is nothing to look at."""
    if isinstance(found.result._value, jax.core.Tracer):
        return
    if not np.any(found.certificate.is_optimum):
        first = jax.tree.map(lambda code: code[0], found.result)
        raise RuntimeError(
            f"fit: none of {found.values.shape[0]} starts found an optimum. Of the best one: "
            f"{RESULTS[first]} (`throw=False` returns what there is.)"
        )
