"""The compiled program of a fit by an algorithm: its ends, judged on common draws, and assessed."""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Bool, Float, Int, Key, PyTree

from .._estimator.monte_carlo import FixedDraws
from .._estimator.pareto import pareto_smooth
from .._estimator.quasi import normal_draws
from .._operand.constrained import Constrained
from .._operand.posterior import Posterior
from .adaptive import Weighted, beside, refine
from .affine import affine_of, reverse_kl_on
from .algorithm import AbstractAlgorithm, Ends, Problem
from .assess import assess, is_precise, summary_of
from .constraint import unconstrain
from .diagnostics import Margins, cluster
from .draws import LogDensityFn
from .implicit import Held, follow
from .objective import reverse_kl
from .program import join
from .skip import unless
from .solution import RESULTS, Certificate, Fit
from .starts import Jitter, landscape_of
from .steps import LEAST_GAP
from .template import FullRank

NUM_JUDGED = 512  # draws of each end
NUM_ROUNDS = 4  # of as many weighted draws after them
_LEAST_SHARE = 0.02  # of those, from an end that has less of the target's mass
_MOST_TURNS = 4  # of the rounds, while the weighted moments are less precise than
_PRECISE = 0.025  # standard deviations, so that most are within twice that
_LEAST_FOLLOWED = 1024  # draws on which the optimum is followed as the target moves
_FOLLOWED = 10  # for each parameter


class Options(NamedTuple):
    """All that the compiled program depends on besides shapes; hashable."""

    static: tuple  # of target, template, first point, jitter
    algorithm: AbstractAlgorithm
    num_starts: int


@functools.partial(jax.jit, static_argnums=0)
def run(options: Options, dynamic: PyTree, key: Key[Array, ""]) -> Fit:
    """A fit to `target`, a density over vectors, from drawn starts."""
    live, dynamic = dynamic, jax.lax.stop_gradient(dynamic)
    target, template, first, jitter = join(dynamic, options.static)
    algorithm = options.algorithm
    posterior = target if isinstance(target, Posterior) else None
    target = _density(target)
    key_starts, key_solve, key_judge, key_weigh = jr.split(key, 4)

    def log_density(x: Float[Array, " D"]) -> Float[Array, ""]:
        return target.log_prob(x)

    others = _others(target, first, jitter, options.num_starts, key_starts)
    problem = Problem(log_density, template, first, others, target, posterior)
    ends = algorithm.solve(problem, key_solve, NUM_JUDGED)
    z = normal_draws(NUM_JUDGED, first.size, key_judge)

    def judge(inputs: tuple[Any, Array]) -> tuple[Array, Array, Array]:
        member, skip = inputs
        draws = _draws(member, z, key_judge)

        def values() -> tuple[Array, Array]:
            return jax.vmap(log_density)(draws), member.log_prob(draws)

        nothing = (jnp.full(NUM_JUDGED, -jnp.inf, z.dtype), jnp.zeros(NUM_JUDGED, z.dtype))
        return draws, *unless(skip, values, nothing)

    draws, log_p, log_q = jax.lax.map(judge, (ends.members, ends.repeated))
    terms = log_q - log_p
    values = jnp.where(jnp.any(jnp.isnan(terms), 1), jnp.inf, jnp.mean(terms, 1))
    errors = jnp.std(terms, 1) / jnp.sqrt(jnp.asarray(NUM_JUDGED, z.dtype))
    result = _explain(algorithm, ends, values, errors)
    is_optimum = ends.settled & jnp.isfinite(values)
    weighted = ends.weighted
    order = jnp.lexsort((values, ~is_optimum))
    ends, result, values, errors, is_optimum, draws, log_p, log_q = jax.tree.map(
        lambda x: x[order],
        (ends._replace(weighted=None), result, values, errors, is_optimum, draws, log_p, log_q),
    )
    ends = ends._replace(weighted=weighted)
    number, is_distinct = cluster(
        ends.members, is_optimum, Margins.sampled(first.size, 8 * NUM_JUDGED)
    )
    best = jax.tree.map(lambda x: x[0], ends.members)
    better, turns = ends.weighted, 0
    if better is None:
        constrain = (lambda x: x) if posterior is None else posterior.constrain
        better, turns = _weighted(log_density, ends, draws, log_p, log_q, constrain, key_weigh)
    log_q_there = best.log_prob(better.draws)
    base, optima, own, there = best, ends.members, draws[0], better.draws
    if posterior is not None:
        best = Constrained(best, posterior.parameters)
        optima = jax.vmap(lambda base: Constrained(base, posterior.parameters))(optima)
        own, there = jax.vmap(posterior.constrain)(own), jax.vmap(posterior.constrain)(there)
    sound, by_moments = is_optimum[0], algorithm.forward
    assessment = assess(log_p[0], log_q[0], own, better, log_q_there, there, sound, by_moments)
    num_judged = jnp.where(ends.repeated, 0, NUM_JUDGED).astype(jnp.int32)
    num_judged = num_judged.at[0].add(turns * NUM_ROUNDS * NUM_JUDGED)
    if algorithm.forward:
        values = values.at[0].set(assessment.forward_kl)
        errors = errors.at[0].set(assessment.upper_error)
    distribution, value = _moving(options, live, base, better, is_optimum[0], (best, values[0]))
    return Fit(
        distribution=distribution,
        value=value,
        quantity=algorithm.quantity,
        optima=optima,
        values=values,
        cluster=number,
        is_distinct=is_distinct,
        losses=ends.losses,
        num_steps=ends.num_steps,
        num_evaluations=ends.num_evaluations + num_judged,
        result=result,
        certificate=Certificate(values, ends.gap, ends.step, ends.curvature, is_optimum),
        opt_state=None,
        path=None,
        standard_error=errors,
        num_bad=ends.num_bad,
        assessment=assessment,
    )


def _density(target: Any) -> Any:
    return target.free() if isinstance(target, Posterior) else target


def _moving(
    options: Options, live: PyTree, base: Any, better: Weighted, is_optimum: Array, fitted: tuple
) -> Any:
    """The member and its value, which move with the target as the optimum does.

    Reverse KL is that on fixed draws of the member, forward KL that on the weighted ones.
    """
    forward, static = options.algorithm.forward, options.static
    free, rebuild = unconstrain(base)
    size = sum(leaf.size for leaf in jax.tree.leaves(free))
    num_draws = max(_LEAST_FOLLOWED, _FOLLOWED * size)

    def value(inputs: tuple, free: PyTree, key: None) -> Array:
        live, rebuild, held = inputs
        target = _density(join(live, static)[0])
        if held is not None:
            return held.forward_kl(target, rebuild(free))
        member = rebuild(free)
        if affine_of(member) is None:
            return reverse_kl(target, FixedDraws(num_draws, tail=False))(member, key)
        return reverse_kl_on(normal_draws(num_draws, member.mean.size, jr.key(0)), member, target)

    def report(inputs: tuple, free: PyTree, key: None) -> tuple[Any, Array]:
        live, rebuild, _ = inputs
        target, member = join(live, static)[0], rebuild(free)
        if isinstance(target, Posterior):
            member = Constrained(member, target.parameters)
        return member, value(inputs, free, key)

    held = Held.of(better) if forward else None
    inputs = live, *jax.lax.stop_gradient((rebuild, held))
    moving = follow(value, report, options.algorithm.is_exact)
    return moving(inputs, free, None, is_optimum, fitted)


def _others(
    target: Any, first: Float[Array, " D"], jitter: Jitter, num: int, key: Key[Array, ""]
) -> Float[Array, "S D"] | int:
    """Starts besides the first, where the target says where its mass is; else their number."""
    landscape = None if num == 1 else landscape_of(target)
    if landscape is None:
        return num - 1
    member = FullRank().member(first, jnp.eye(first.size, dtype=first.dtype))
    return jitter.draw(member, member, landscape, num, key).loc[1:]


def _draws(member: Any, z: Float[Array, "n D"], key: Key[Array, ""]) -> Float[Array, "n D"]:
    """Of a Gaussian by the given normals, of anything else by its sampler."""
    affine = affine_of(member)
    if affine is None:
        return member.sample(key, (len(z),))
    loc, scale = affine
    return loc + z @ scale.T


def _weighted(
    log_density: LogDensityFn,
    ends: Ends,
    draws: Float[Array, "S n D"],
    log_p: Float[Array, "S n"],
    log_q: Float[Array, "S n"],
    constrain: Callable[[Float[Array, " D"]], PyTree],
    key: Key[Array, ""],
) -> tuple[Weighted, Int[Array, ""]]:
    """The target by importance weights, from all ends; those that have its mass begin with more.

    Also how often the rounds were gone through.
    """
    counted = affine_of(jax.tree.map(lambda x: x[0], ends.members)) is not None
    affine = jax.vmap(affine_of)(ends.members) if counted else None
    if affine is None:  # Gaussians of the same moments, which have not drawn what was drawn
        spread = jax.vmap(lambda x: jnp.cov(x, rowvar=False).reshape(2 * x.shape[1:]))(draws)
        affine = jnp.mean(draws, 1), jax.lax.map(jnp.linalg.cholesky, spread)
    ratios = jnp.where(jnp.isnan(log_p), -jnp.inf, log_p - log_q)
    masses = jax.nn.logsumexp(ratios, 1)
    placed = jnp.all(jnp.isfinite(affine[1]), (1, 2)) & jnp.all(jnp.isfinite(affine[0]), 1)
    there = ~ends.repeated & jnp.isfinite(masses) & placed
    shares = jnp.where(there, jax.nn.softmax(jnp.where(there, masses, -jnp.inf)), 0.0)
    shares = jnp.where(there, jnp.maximum(shares, _LEAST_SHARE), 0.0)
    # With nothing to draw from, draws at the origin: they will not do, and the verdict says so.
    shares = jnp.where(jnp.any(there), shares, jnp.zeros_like(shares).at[0].set(1.0))
    shares = shares / jnp.sum(shares)
    dim = draws.shape[-1]
    tril = jnp.where(there[:, None, None], affine[1], jnp.eye(dim, dtype=draws.dtype))
    loc = jnp.where(there[:, None], affine[0], 0.0)

    def precise(x: Float[Array, "N D"], weights: Float[Array, " N"]) -> Bool[Array, ""]:
        return is_precise(summary_of(jax.vmap(constrain)(x), weights), _PRECISE, _PRECISE)

    args = NUM_ROUNDS, (draws, log_p), counted, precise, _MOST_TURNS
    found, turns = refine(log_density, beside(loc, tril, shares), key, *args)
    if counted:
        return found, turns
    own = _own(log_density, jax.tree.map(lambda x: x[0], ends.members), len(found.weights), key)
    better = jnp.sum(own.weights**2) < jnp.sum(found.weights**2)
    return jax.tree.map(lambda a, b: jnp.where(better, a, b), own, found), turns + 1


def _own(log_density: LogDensityFn, member: Any, size: int, key: Key[Array, ""]) -> Weighted:
    """By draws of what is no Gaussian, filled up with draws that weigh nothing."""
    n = NUM_ROUNDS * NUM_JUDGED
    x = member.sample(jr.fold_in(key, _MOST_TURNS), (n,))
    log_p = jax.vmap(log_density)(x)
    ratios = jnp.where(jnp.isnan(log_p), -jnp.inf, log_p - member.log_prob(x))
    log_weights, pareto_k = pareto_smooth(ratios)
    mean = jax.nn.logsumexp(ratios) - math.log(n)
    spread = jnp.std(jnp.exp(ratios - mean)) / math.sqrt(n)
    rest = size - n
    return Weighted(
        jnp.pad(x, ((0, rest), (0, 0))),
        jnp.pad(log_p, (0, rest)),
        jnp.pad(jnp.exp(log_weights), (0, rest)),
        pareto_k,
        mean,
        spread,
        jnp.array(n, jnp.int32),
        jnp.sum(jnp.isnan(log_p), dtype=jnp.int32),
    )


def _explain(
    algorithm: AbstractAlgorithm, ends: Ends, values: Float[Array, " S"], errors: Float[Array, " S"]
) -> RESULTS:
    tolerance = algorithm.tolerance
    goal = LEAST_GAP + errors if tolerance is None else jnp.full_like(errors, tolerance)

    def one(settled, repeated, finite, small, spent) -> RESULTS:
        reason = RESULTS.where(small, RESULTS.converged, RESULTS.noise_limited)
        moving = RESULTS.where(spent, RESULTS.max_evaluations, RESULTS.stalled)
        reason = RESULTS.where(settled, reason, moving)
        reason = RESULTS.where(finite, reason, RESULTS.diverged)
        return RESULTS.where(repeated, RESULTS.repeated, reason)

    return jax.vmap(one)(
        ends.settled,
        ends.repeated,
        jnp.isfinite(values),
        ends.gap <= goal,
        ends.num_steps >= ends.losses.shape[1],
    )
