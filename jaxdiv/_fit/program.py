"""The compiled program of a fit: starts, descent, judgement, and the optima in order."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Key, PyTree

from .._estimator.exact import Enumerate, Exact
from .._estimator.gradients import StickTheLanding
from .._estimator.monte_carlo import FixedDraws, MonteCarlo
from .closed_form import closed_form
from .constraint import unconstrain
from .diagnostics import Margins, certify, cluster
from .implicit import follow, hold
from .loop import Carry, Descent, advance, begin, end
from .newton import newton, newton_state, second_order, second_order_at
from .objective import AbstractObjective, Plan
from .solution import RESULTS, Certificate, Fit
from .starts import landscape_of, longest_steps, units
from .turns import count_lanes, in_turns, uses_key

Objective = Callable[[Any, Key[Array, ""] | None], Float[Array, ""]]

_NEWTON = newton()
_LBFGS = optax.lbfgs()
_MOST_NEWTON = 32  # parameters, beyond which the Hessian costs more than it saves
_MOST_PARAMETERS = 2048  # of which a fit can be judged, by its Hessian
_JUDGE = 2**31 - 1  # folded into the key of an objective that must judge itself: no step's number
_EXACT = Exact | Enumerate


class Options(NamedTuple):
    """All that a compiled fit depends on besides shapes; hashable."""

    static: tuple
    optim: optax.GradientTransformation | None
    num_starts: int | None
    num_steps: int | None
    record: bool
    closed_form: bool = False  # whether to begin at the optimum, where it is known


@functools.partial(jax.jit, static_argnums=0, static_argnames="finish")
def run(
    options: Options,
    dynamic: PyTree,
    key: Key[Array, ""] | None,
    tolerance: Float[Array, ""] | None,
    carry: Carry | None = None,
    span: tuple[Array, Array] | None = None,
    *,
    finish: bool = True,
) -> Any:
    """All of a fit but the checks of its arguments; or one part of it, for a `Session`.

    Without a `carry` and with `finish=False` the carry before the first step; with both, the carry
    after the steps of `span`; with a `carry` alone the fit that it ends as.
    """
    live, dynamic = dynamic, jax.lax.stop_gradient(dynamic)
    objective, family, stack, jitter = join(dynamic, options.static)
    known = isinstance(objective, AbstractObjective)
    plan = objective.plan(family) if known else None
    optimum = None
    if options.closed_form and isinstance(objective, AbstractObjective) and plan is not None:
        optimum = closed_form(objective, family, plan)
    free, rebuild = unconstrain(family if optimum is None else optimum)
    leaves = jax.tree.leaves(free)
    if not leaves:
        raise ValueError(f"fit: {type(family).__name__} has no free parameters.")
    size, dtype = sum(leaf.size for leaf in leaves), jnp.result_type(*leaves)
    if tolerance is None:
        tolerance = jnp.array(float(jnp.finfo(dtype).eps) ** (9 / 8), dtype)

    landscape = landscape_of(objective.target) if known else None
    unit, longest = units(family, free, landscape), longest_steps(family, free)
    if stack is not None:
        starts = jax.vmap(lambda member: unconstrain(member)[0])(stack)
    elif options.num_starts == 1:
        starts = jax.tree.map(lambda u: u[None], free)
    else:
        starts = jitter.draw(family, free, landscape, options.num_starts, key)
    starts = jax.tree.map(jnp.divide, starts, unit)
    num = jax.tree.leaves(starts)[0].shape[0]

    # What a turn sees is passed to it, never closed over. Inner jits are traced once, however often
    # they are called and transformed.
    shared = (dynamic, rebuild, unit, jax.lax.stop_gradient(jnp.asarray(tolerance, dtype)), span)

    @jax.jit
    def member(rebuild: Callable[[PyTree], PyTree], unit: PyTree, scaled: PyTree) -> PyTree:
        return rebuild(jax.tree.map(jnp.multiply, scaled, unit))

    @jax.jit
    def value(shared: tuple, scaled: PyTree, key: Key[Array, ""] | None) -> Float[Array, ""]:
        dynamic, rebuild, unit, *_ = shared
        objective = join(dynamic, options.static)[0]
        return objective(member(rebuild, unit, scaled), key)

    @jax.jit
    def judge(shared: tuple, scaled: PyTree, key: Key[Array, ""] | None) -> Float[Array, ""]:
        dynamic, rebuild, unit, *_ = shared
        objective = join(dynamic, options.static)[0]
        if known:
            return objective.evaluate(member(rebuild, unit, scaled))
        return value(shared, scaled, None if key is None else jr.fold_in(key, _JUDGE))

    first = jax.tree.map(lambda x: x[0], starts)
    shape = jax.eval_shape(value, shared, first, key).shape
    if shape != ():
        raise ValueError(
            f"fit: the objective has shape {shape} and must be a scalar: vmap `fit` over a batch."
        )
    if known:
        stochastic = not objective.deterministic
    else:
        stochastic = key is not None and uses_key(value, shared, first, key)
    keys = None
    if stochastic and key is not None:
        keys = jr.split(jr.fold_in(key, num), num)
    optim, num_steps = _choose(options, size, stochastic)
    by = None if plan is None else plan.by
    sampled = stochastic or isinstance(by, FixedDraws)
    margins = Margins.exact(dtype)
    if sampled:
        # Nothing is known of the noise of a bare function: allow for little data.
        num_draws = by.num_draws if isinstance(by, MonteCarlo | FixedDraws) else 30 * size
        margins = Margins.sampled(size, num_draws)
    same = not sampled and _is_its_own_judge(plan)
    lanes = count_lanes(value, shared, first, key)

    def certificate_of(shared: tuple, scaled: PyTree, opt_state: PyTree, key) -> Certificate:
        flat, unravel = ravel_pytree(scaled)

        def judged(x: Float[Array, " n"]) -> Float[Array, ""]:
            return judge(shared, unravel(x), key)

        state = newton_state(opt_state)
        if state is None or sampled:
            return certify(*second_order(judged, flat), margins)
        # A sample may curve otherwise than what it stands for; a quadrature or a closed form does
        # not, so that the Hessian at hand serves, with a value and a gradient of the judge's own.
        value, grad, hessian = second_order_at(state)
        if not same:
            found = jnp.isfinite(value)
            value, grad = jax.value_and_grad(judged)(flat)
            value = jnp.where(found, value, jnp.nan)
        return certify(value, grad, hessian, margins)

    def start(shared: tuple, inputs: PyTree) -> Carry:
        starts, keys = inputs
        value_fn = functools.partial(value, shared)
        settings = {"num_steps": num_steps, "dtype": dtype, "record": options.record}
        return begin(value_fn, optim, starts, keys, **settings)

    def proceed(shared: tuple, inputs: PyTree) -> Carry:
        carry, keys = inputs
        tolerance, span = shared[-2:]
        first, last = (jnp.array(0), jnp.array(num_steps)) if span is None else span
        value_fn = functools.partial(value, shared)
        limits = {"tolerance": tolerance, "longest": longest}
        return advance(value_fn, optim, carry, keys, first, last, **limits)

    def stop(shared: tuple, inputs: PyTree) -> tuple[Descent, Certificate]:
        carry, keys = inputs
        descent = end(carry)
        judged = jax.vmap(functools.partial(certificate_of, shared))
        return descent, judged(descent.free, descent.opt_state, keys)

    def solve(shared: tuple, inputs: PyTree) -> tuple[Descent, Certificate]:
        keys = inputs[1]
        return stop(shared, (proceed(shared, (start(shared, inputs), keys)), keys))

    if not finish:
        part, begun = (start, starts) if carry is None else (proceed, carry)
        return in_turns(part, shared, (begun, keys), num, lanes)
    part, begun = (solve, starts) if carry is None else (stop, carry)
    descent, certificate = in_turns(part, shared, (begun, keys), num, lanes)

    values = jnp.where(jnp.isnan(certificate.value), jnp.inf, certificate.value)
    order = jnp.lexsort((values, ~certificate.is_optimum))
    descent, certificate = jax.tree.map(lambda x: x[order], (descent, certificate))
    to_member = functools.partial(member, rebuild, unit)
    optima = jax.vmap(to_member)(descent.free)
    number, is_distinct = cluster(optima, certificate.is_optimum, margins)

    def report(shared: tuple, scaled: PyTree, key: Key[Array, ""] | None) -> PyTree:
        return member(*shared[1:3], scaled), judge(shared, scaled, key)

    best, is_optimum = jax.tree.map(lambda x: x[0], (descent.free, certificate.is_optimum))
    if optimum is None:
        _, rebuild = unconstrain(hold(join(live, options.static)[1]))
    moving = follow(value, report, not stochastic and _has_true_gradient(by))
    first = jax.tree.map(lambda x: x[0], (optima, certificate.value))
    distribution, best_value = moving((live, rebuild, *shared[2:]), best, key, is_optimum, first)
    return Fit(
        distribution=distribution,
        value=best_value,
        quantity=objective.quantity(family, optimum is not None) if known else "the objective",
        optima=optima,
        values=certificate.value,
        cluster=number,
        is_distinct=is_distinct,
        losses=descent.losses,
        num_steps=descent.num_steps,
        num_evaluations=descent.num_evaluations,
        result=_explain(descent, certificate, margins),
        certificate=certificate,
        opt_state=descent.opt_state,
        path=jax.vmap(jax.vmap(to_member))(descent.path) if options.record else None,
        num_bad=descent.num_bad,
    )


def _is_its_own_judge(plan: Plan | None) -> bool:
    """Whether there is nothing more exact to judge a fit by than what was minimised."""
    if plan is None:
        return True
    exact = isinstance(plan.by, _EXACT) and isinstance(plan.judged_by, _EXACT)
    return exact and plan.judge is plan.descend


def _has_true_gradient(by: Any) -> bool:
    """Whether the gradient of the objective is that of its value."""
    return not (isinstance(by, FixedDraws) and isinstance(by.gradient, StickTheLanding))


def _choose(options: Options, size: int, stochastic: bool):
    if size > _MOST_PARAMETERS:
        raise ValueError(
            f"fit: the family has {size} free parameters, and its optima are judged by their "
            f"Hessians: at most {_MOST_PARAMETERS}. Use `unconstrain` in a loop of your own."
        )
    if options.optim is not None:
        return optax.with_extra_args_support(options.optim), options.num_steps or 1000
    if stochastic:
        num_steps = options.num_steps or 2000
        return optax.with_extra_args_support(_adam(num_steps)), num_steps
    return (_NEWTON if size <= _MOST_NEWTON else _LBFGS), options.num_steps or 200


@functools.cache
def _adam(num_steps: int) -> optax.GradientTransformation:
    return optax.adam(optax.cosine_decay_schedule(0.05, num_steps))


def _explain(descent: Descent, certificate: Certificate, margins: Margins) -> RESULTS:
    """The reason for each start."""
    finite = descent.finite & jnp.isfinite(certificate.value) & ~jnp.isnan(certificate.decrement)
    flat = certificate.decrement <= margins.gain

    def one(is_optimum, finite, stopped, flat, num_steps):
        reason = RESULTS.where(flat, RESULTS.not_an_optimum, RESULTS.stalled)
        ran_out = num_steps == descent.losses.shape[1]
        moving = RESULTS.where(ran_out, RESULTS.max_steps, RESULTS.interrupted)
        reason = RESULTS.where(stopped, reason, moving)
        reason = RESULTS.where(finite, reason, RESULTS.diverged)
        return RESULTS.where(is_optimum, RESULTS.converged, reason)

    return jax.vmap(one)(certificate.is_optimum, finite, descent.stopped, flat, descent.num_steps)


def split(tree: PyTree) -> tuple[PyTree, tuple]:
    """The arrays and numbers of a pytree, which are traced, and the rest, which is hashed."""
    dynamic, static = eqx.partition(tree, eqx.is_array_like)
    leaves, treedef = jtu.tree_flatten(static)
    return dynamic, (tuple(leaves), treedef)


def join(dynamic: PyTree, static: tuple) -> PyTree:
    leaves, treedef = static
    return eqx.combine(dynamic, jtu.tree_unflatten(treedef, leaves))
