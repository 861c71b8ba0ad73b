"""Forward KL to a log-density: its moments, by adaptive importance sampling."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Bool, Float, Key, PyTree

from .._estimator.quasi import normal_draws
from .._operand.base import AbstractDistribution
from .._operand.independent import Independent
from .._operand.multivariate_normal import MultivariateNormal
from .._operand.normal import Normal
from .adaptive import Weighted, adapt, beside
from .algorithm import AbstractAlgorithm, Ends
from .constraint import unconstrain
from .families import MixtureOf
from .modes import Start, is_repeated, laplace_starts
from .natural_gradient import meets_another
from .sample_average import descend, together
from .skip import map_unless
from .steps import Settled, lower, polish, settle
from .template import AbstractTemplate, FullRank, MeanField

_NUM_ROUNDS = 4
_LEAST_DRAWS = 64
_AVERAGED = 5  # times as many draws, over which a Gaussian that has settled is averaged
_NUM_STEPS = 200  # of L-BFGS
_SMALL = 1e-6  # nats that its next step may promise


class MomentMatching(AbstractAlgorithm):
    r"""Forward KL to a density; of a Gaussian $m = E_p[x]$, $\Sigma = \mathrm{Cov}_p[x]$.

    Starts are walked to modes, and a Gaussian settles at each; from these, and wider t
    distributions beside each, draws are taken in rounds, whose shares, means and covariances follow
    the weights so far. These are Pareto-smoothed; where their tail has $\hat k > 0.7$, and a weight
    is over 10 times the mean, the fit has failed, and says so. There is one optimum. Of what the
    weighted covariance about a mode differs from the shape of the Gaussian there, the part that
    chance explains is left out (Ledoit & Wolf 2004): the fit has not quite the weighted moments.

    Args:
        num_draws: of the log-density in the rounds, from which the moments are taken. They are off
            by at most about $D(D + 3)/(4n)$ nats, $n$ the effective sample size.
        tolerance: nats to the optimum that count as converged; by default the standard error of
            the value and 5e-4, together.
        max_evaluations: not used: the number of draws is fixed.

    Of another template than `FullRank()` and `MeanField()` it is the member under which the
    weighted draws are the most likely, by `optax.lbfgs` from their moments, or, for a `MixtureOf`,
    from the modes.

    References:
        Cornuet et al. 2012; Cappe et al. 2008; Vehtari et al. 2024; Owen & Zhou 2000; Ledoit & Wolf
        2004.

    Example:
        >>> import jaxdiv as jd
        >>> optim = jd.MomentMatching(num_draws=2000)  # of fit(forward_kl(target), optim=optim)
        >>> print(optim.quantity)
        KL(target, family) by importance weights: the target's moments by MomentMatching
    """

    num_draws: int = eqx.field(static=True, default=5000)
    tolerance: float | None = eqx.field(static=True, default=None)
    max_evaluations: int = eqx.field(static=True, default=10_000)
    forward: ClassVar[bool] = True
    is_exact: ClassVar[bool] = True

    @property
    def quantity(self):
        return "KL(target, family) by importance weights: the target's moments by MomentMatching"

    def solve(self, problem, key, num_judged):
        del num_judged
        log_density, dim = problem.log_density, problem.first.size
        key_walk, key_fixed, key_draws = jr.split(key, 3)
        starts = laplace_starts(log_density, problem.first, problem.others, key_walk)
        few = max(_LEAST_DRAWS, 4 * dim)
        z = normal_draws(few, dim, key_fixed)

        def rest(start: Start) -> Settled:
            return settle(log_density, start.loc, lower(start.scale), z, False, 60)

        def average(inputs: tuple[Settled, Key[Array, ""]]) -> tuple[Array, Array, Array]:
            ends = polish(
                log_density,
                *inputs,
                diagonal=False,
                num_draws=few,
                max_evaluations=_AVERAGED * few,
                tolerance=0.0,
                num_judged=few,
            )
            return ends.loc, ends.scale, few * ends.num_batches

        repeated = is_repeated(starts)
        settled = map_unless(repeated, rest, starts)
        repeated |= meets_another(settled, repeated) | ~jnp.isfinite(settled.now.value)
        there = ~repeated
        n = 2 * (self.num_draws // (2 * (_NUM_ROUNDS + 2)))
        identity = jnp.eye(dim, dtype=settled.scale.dtype)
        keys = jr.split(jr.fold_in(key_fixed, 1), len(repeated))
        loc, tril, averaged = map_unless(repeated, average, (settled, keys))
        tril = jnp.where(there[:, None, None], tril, identity)
        noise = normal_draws(n, dim, key_draws)

        def look(inputs):
            loc, tril = inputs
            x = loc + noise @ tril.T
            return x, jax.vmap(log_density)(x)

        seen = map_unless(repeated, look, (loc, tril))
        shares = jax.nn.softmax(jnp.where(there, -settled.now.value, -jnp.inf))
        shares = jnp.where(there, jnp.maximum(shares, 0.02), 0.0)
        components = beside(loc, tril, shares / jnp.sum(shares))
        found, _ = adapt(log_density, components, jr.fold_in(key_draws, 1), _NUM_ROUNDS, seen)
        modes = starts._replace(loc=loc, scale=tril, value=settled.now.value)
        mean, covariance = _moments(found, modes, there)
        at_rest = found.reliable
        if isinstance(problem.template, MeanField):
            member = Independent(Normal(mean, jnp.sqrt(jnp.diagonal(covariance))), 1)
        elif isinstance(problem.template, FullRank):
            member = MultivariateNormal(mean, jnp.linalg.cholesky(covariance))
        else:
            factor = jnp.linalg.cholesky(covariance)
            member, stopped = _most_likely(problem.template, mean, factor, modes, repeated, found)
            at_rest &= stopped
        free, _ = unconstrain(member)
        size = sum(leaf.size for leaf in jax.tree.leaves(free))
        effective = 1 / jnp.sum(found.weights**2)
        spent = jnp.sum(
            starts.num_evaluations + settled.num_evaluations + averaged, dtype=jnp.int32
        )
        one = jax.tree.map(lambda x: x[None], member)
        return Ends(
            one,
            gap=(0.5 * size / effective)[None],
            step=jnp.zeros(1, mean.dtype),
            curvature=jnp.ones(1, mean.dtype),
            settled=at_rest[None],
            repeated=jnp.zeros(1, bool),
            num_steps=jnp.full(1, _NUM_ROUNDS, jnp.int32),
            num_evaluations=(spent + found.num_draws)[None],
            num_bad=found.num_bad[None],
            losses=settled.losses[:1],
            weighted=found,
        )


def _moments(
    found: Weighted, modes: Start, there: Bool[Array, " S"]
) -> tuple[Float[Array, " D"], Float[Array, "D D"]]:
    r"""Mean and covariance of the weighted draws, which are shrunk towards what is known.

    Each draw is shared among the modes. About each, the covariance in units of the Gaussian there
    is drawn towards a multiple of the identity, by as much of its distance from that as is chance
    (Ledoit & Wolf 2004): all of it for a density of ellipses, less and less with more draws. Of
    fewer than three numbers nothing is gained so (Stein 1956).
    """
    x, dim = found.draws, found.draws.shape[1]
    gaussians = jax.vmap(MultivariateNormal)(modes.loc, modes.scale)
    log_share = jnp.where(there, -modes.value, -jnp.inf)
    log_q = jax.lax.map(lambda q: q.log_prob(x), gaussians)
    shares = jax.nn.softmax(jnp.where(there[:, None], log_q + log_share[:, None], -jnp.inf), 0)

    entries = dim * (dim + 1) / 2 - 1
    gains = max(0.0, 1 - 2 / max(entries, 1.0))

    def about(inputs: tuple[Array, Array]) -> tuple[Array, Array, Array]:
        share, tril = inputs
        weights = found.weights * share
        mass = jnp.sum(weights)
        weights = weights / jnp.where(mass > 0, mass, 1.0)
        loc = weights @ x
        z = solve_triangular(tril, (x - loc).T, lower=True).T
        raw = (weights[:, None] * z).T @ z
        # Draws of equal weight have the covariance that they were made to have, to the digit.
        uneven = weights - share * jnp.sum(weights * share) / jnp.sum(share**2)
        squares = jnp.sum(z * z, 1) ** 2 - 2 * jnp.sum((z @ raw) * z, 1) + jnp.sum(raw**2)
        chance = jnp.sum(uneven**2 * squares)
        round_ = jnp.trace(raw) / dim * jnp.eye(dim, dtype=x.dtype)
        apart = jnp.sum((raw - round_) ** 2)
        part = jnp.where(chance < apart, chance / jnp.where(apart > 0, apart, 1.0), 1.0)
        part = gains * part
        return mass, loc, tril @ (part * round_ + (1 - part) * raw) @ tril.T

    masses, locs, covariances = map_unless(~there, about, (shares, modes.scale))
    mean = masses @ locs
    between = (masses[:, None] * (locs - mean)).T @ (locs - mean)
    return mean, jnp.tensordot(masses, covariances, 1) + between


def _most_likely(
    template: AbstractTemplate,
    loc: Float[Array, " D"],
    tril: Float[Array, "D D"],
    modes: Start,
    repeated: Bool[Array, " S"],
    found: Weighted,
) -> tuple[AbstractDistribution, Bool[Array, ""]]:
    """The member that maximises the weighted mean of its log-density, and whether it came to rest.

    A draw that weighs nothing is put where the mean is, lest it be infinitely unlikely.
    """
    if isinstance(template, MixtureOf):
        start = together(modes, repeated, template.num_components)
        first = template.member(start.loc[0], start.scale[0])
    else:
        first = template.member(loc, tril)
    weights = found.weights
    draws = jnp.where((weights > 0)[:, None], found.draws, loc)
    free, rebuild = unconstrain(first)

    def value(free: PyTree, key: Key[Array, ""] | None) -> Float[Array, ""]:
        del key
        return -weights @ rebuild(free).log_prob(draws)

    small = jnp.asarray(_SMALL, weights.dtype)
    carry = descend(value, jax.tree.map(lambda u: u[None], free), _NUM_STEPS, small)
    end = jax.tree.map(lambda u: u[0], carry.lanes.free)
    return rebuild(end), ~carry.lanes.active[0] & carry.lanes.finite[0]
