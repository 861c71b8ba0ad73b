"""The fit: from an objective and a family to the optima that it has."""

import dataclasses
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.core
import jax.numpy as jnp
import jax.tree_util as jtu
import numpy as np
import optax
from jaxtyping import Array, Key, PyTree

from .._estimator.gradients import DoublyReparameterised, StickTheLanding
from .._estimator.monte_carlo import FixedDraws
from .._operand.base import AbstractDistribution, AbstractOperand
from .._operand.discrete import AbstractDiscrete
from .._operand.foreign import Foreign
from .._operand.product import Product, converted
from .algorithm import AbstractAlgorithm
from .by_algorithm import Options as AlgorithmOptions
from .by_algorithm import run as run_algorithm
from .choice import NUM_STARTS, choose, dim_of, template_of
from .clock import timed
from .constraint import as_parameters
from .objective import AbstractObjective
from .program import Objective, Options, run, split
from .session import Session, run_in
from .solution import RESULTS, Fit
from .starts import Jitter
from .stochastic_gradient import StochasticGradient

Family = TypeVar("Family")

_JITTER = Jitter()
_ONLY_IN_MEAN = StickTheLanding | DoublyReparameterised  # a gradient of the expectation alone


def fit(
    objective: Objective,
    family: Any = None,
    optim: optax.GradientTransformation | AbstractAlgorithm | None = None,
    *,
    num_steps: int | None = None,
    starts: int | Family | None = None,
    key: Key[Array, ""] | None = None,
    tolerance: float | None = None,
    jitter: Jitter = _JITTER,
    throw: bool = True,
    record: bool = False,
    session: Session | None = None,
) -> Fit[Any]:
    r"""$\arg\min_\theta$ `objective` $(q_\theta)$ over a family, with every optimum that was found.

    Args:
        objective: `forward_kl(target)`, `reverse_kl(target)`, or any `(family, key) -> scalar`. If
            it is a pytree (an `equinox.Module`, a `jax.tree_util.Partial`) its arrays are traced,
            so that a fit to other data of the same shape does not compile again; a bare function is
            compiled once for each function object.
        family: the first member; or, for a target that is a `Posterior` or a density over vectors,
            `FullRank()` (what None means there) or `MeanField()`, of which a start is made. A
            member is any operand or `equinox.Module`, or another library's distribution that is of
            a family here (`as_distribution`), whose members the result then has (with a
            bare function as objective a module stays what it is). It is optimised in the free
            coordinates of `unconstrain`, with lengths in units of the spread of the target.
        optim: any optax optimiser, made once and reused (each new object compiles anew), or an
            algorithm that needs no more than a log-density: `NaturalGradient()` and
            `MomentMatching()`, the defaults of reverse and forward KL where the family is
            `FullRank()` or `MeanField()` (`SampleAverage()` of reverse KL for other templates,
            `StochasticGradient()` for a flow of FlowJAX), or another. Else by default
            `newton` for up to 32 parameters and `optax.lbfgs` beyond, or, where the objective is
            sampled anew at each step, Adam with a step that decays to zero.
            A fit by forward KL begins at its optimum where that is known, the member with the
            target's moments, unless asked for anything about the way there: `Fit.quantity` says so.
        num_steps: the most steps; by default 200, or with Adam 2,000, all of which are taken.
        starts: how many members to start from (the first is `family`, the others are drawn by
            `jitter`, or by an algorithm about the first mode; by default 1, for an algorithm 4), or
            the members themselves, stacked along a leading axis of every field.
        key: needed for several drawn starts and for a sampled objective. A bare function that uses
            its key gets another one at each step.
        tolerance: a start stops when the decrease that its next step promises is at most this many
            nats: $\frac12 g^T H^{-1} g$ with `newton`, $|g^T \Delta|$ with any other optimiser. By
            default $\epsilon^{9/8}$ of the floating type: 2e-18 or 2e-8. With an algorithm it takes
            the place of its own.
        jitter: how the starts are drawn.
        throw: whether to raise if no start ends at an optimum (never inside another
            transformation: look at `result` there).
        record: whether to keep the members that each start passed through.
        session: how a long fit is shown, saved, resumed and interrupted: a `Session`.

    Returns:
        A `Fit`: all starts, judged by an independent evaluation of the objective, sorted and
        grouped into the distinct optima. It jits and vmaps. Its `distribution` and `value` have the
        derivatives of the optimum, by the implicit function theorem, with respect to arrays of the
        objective (a pytree: what a bare function closes over is not seen) and to fields of the
        family that are not fitted; they are NaN where there is no optimum. Those of all else are 0.

    Raises:
        ValueError: where `optim` or `key` is needed, or for a batched family (`vmap` the fit).
        RuntimeError: if no start ends at an optimum.
        NotImplementedError: if differentiated and the objective is sampled anew at each step, or
            an algorithm fitted it that ends at no optimum of KL (`is_exact`).

    Example:
        >>> import jax, jax.numpy as jnp, jaxdiv as jd
        >>> target = jd.Mixture(jd.probs([0.7, 0.3]), jd.Normal(jnp.array([-2.0, 2.0]), 0.5))
        >>> family, key = jd.Normal(0.0, 1.0), jax.random.key(0)
        >>> found = jd.fit(jd.reverse_kl(target), family, starts=8, key=key)
        >>> for i in jnp.flatnonzero(found.is_distinct):
        ...     print(f"KL {found.values[i]:.4f} at {found.optima.loc[i]:.3f}")
        KL 0.3566 at -2.000
        KL 1.2038 at 2.000
    """
    known = isinstance(objective, AbstractObjective)
    if known:
        family = _as_family(family, known)
    algorithm = choose(objective, family, optim)
    if algorithm is not None:
        name = type(algorithm).__name__
        if session is not None:
            raise ValueError(
                f"fit: a session is of a descent in steps, and {name} is not: give a family and an "
                "optax optimiser, or leave `session` out."
            )
        if num_steps is not None or record:
            raise ValueError(
                f"fit: `num_steps` and `record` are of a descent, got {num_steps} and {record}: "
                f"the lengths of an algorithm are its own fields; see {name}."
            )
        if tolerance is not None:
            algorithm = dataclasses.replace(algorithm, tolerance=float(tolerance))
        found = _fit_by(algorithm, objective, family, starts, key, jitter)
        if throw:
            _throw(found)
        return found
    assert not isinstance(optim, AbstractAlgorithm)
    starts = 1 if starts is None else starts
    if optim is None and not known:
        raise ValueError(
            "fit: nothing is known of this objective, so `optim` must be given: jaxdiv.newton() or "
            "optax.lbfgs() if it is deterministic, optax.adam(...) if it is not."
        )
    estimator = objective.estimator if known else None
    gradient = estimator.gradient if isinstance(estimator, FixedDraws) else None
    if optim is None and isinstance(gradient, _ONLY_IN_MEAN):
        raise ValueError(
            f"fit: with {type(gradient).__name__} the gradient of fixed draws is not "
            "that of their mean, which the default optimiser needs: give optim=optax.adam(...), "
            "or Pathwise()."
        )
    family = as_parameters(family if known else _as_family(family, known))
    num_starts = _count(starts)
    if num_starts is None:
        starts = _stack(as_parameters(_as_family(starts, known)), family)
    elif isinstance(family, AbstractOperand) and family.batch_shape != ():
        raise ValueError(
            f"fit: the family has batch shape {family.batch_shape}, and a fit is of one member: "
            "vmap `fit` over a batch of problems, or pass a stack of starting points as `starts=`."
        )
    target = objective.target if known else None
    if (
        isinstance(target, AbstractDistribution | AbstractDiscrete | Product)
        and target.batch_shape != ()
    ):
        raise ValueError(
            f"fit: the target has batch shape {target.batch_shape}: vmap `fit` over the batch."
        )
    if num_steps is not None and num_steps < 1:
        raise ValueError(f"fit: `num_steps` must be positive, got {num_steps}.")
    stochastic = known and not objective.deterministic
    if key is None and (stochastic or (num_starts or 1) > 1):
        why = "the objective is sampled" if stochastic else f"{num_starts} starts are drawn"
        raise ValueError(f"fit: `key` is needed, since {why}: give key=jax.random.key(seed).")
    dynamic, static = split((objective, family, None if num_starts else starts, jitter))
    plain = known and num_starts == 1 and optim is None and num_steps is None
    closed_form = plain and not record and session is None
    options = Options(static, optim, num_starts, num_steps, record, closed_form)
    if session is None:
        found, seconds = timed(run, options, dynamic, key, tolerance)
        found, stopped = dataclasses.replace(found, seconds=seconds), False
    else:
        found, stopped = run_in(session, options, dynamic, key, tolerance)
    if throw and not stopped:
        _throw(found)
    return found


def _fit_by(
    algorithm: AbstractAlgorithm,
    objective: Any,
    family: Any,
    starts: Any,
    key: Key[Array, ""] | None,
    jitter: Jitter,
) -> Fit:
    """By an algorithm that needs the target's log-density and nothing else."""
    if key is None:
        raise ValueError(
            "fit: `key` is needed, since draws are taken: give key=jax.random.key(seed)."
        )
    num_starts = NUM_STARTS if starts is None else _count(starts)
    if num_starts is None:
        raise ValueError("fit: an algorithm draws its own starts: give their number.")
    target = objective.target
    given = isinstance(algorithm, StochasticGradient)
    template, first = template_of(family, dim_of(target), given)
    dynamic, static = split((target, template, first, jitter))
    options = AlgorithmOptions(static, algorithm, num_starts)
    found, seconds = timed(run_algorithm, options, dynamic, key)
    return dataclasses.replace(found, seconds=seconds)


def _as_family(family: Any, known: bool) -> Any:
    """Of another library's distribution the family here, of a dict the product."""
    if isinstance(family, eqx.Module | dict) and not known:
        return family  # the function may want it as it is
    family = converted(family)
    if isinstance(family, Foreign) and not family.is_free:
        raise TypeError(
            f"fit: {family.name} is of no family here, so that nothing is known of the values that "
            "its parameters may take: the verbs are differentiable in them, for a loop of your own."
        )
    return family


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


def _throw(found: Fit) -> None:
    """Raises if no start succeeded; silent under a trace, where there is nothing to look at."""
    if isinstance(found.value, jax.core.Tracer):
        return
    if not np.any(found.certificate.is_optimum):
        first = jax.tree.map(lambda code: code[0], found.result)
        raise RuntimeError(
            f"fit: none of {found.values.shape[0]} starts found an optimum. Of the best one: "
            f"{RESULTS[first]} (`throw=False` returns what there is.)"
        )
