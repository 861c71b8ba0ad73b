"""Forward KL of a Gaussian to a log-density: its moments, by adaptive importance sampling."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr

from .._estimator.quasi import normal_draws
from .._operand.independent import Independent
from .._operand.multivariate_normal import MultivariateNormal
from .._operand.normal import Normal
from .adaptive import adapt, beside
from .algorithm import AbstractAlgorithm, Ends
from .modes import Start, is_repeated, laplace_starts
from .natural_gradient import meets_another
from .skip import map_unless
from .steps import Settled, lower, settle
from .template import FullRank, MeanField

_NUM_ROUNDS = 4
_LEAST_DRAWS = 64


class MomentMatching(AbstractAlgorithm):
    r"""Forward KL of a Gaussian: $m = E_p[x]$, $\Sigma = \mathrm{Cov}_p[x]$ by importance weights.

    Starts are walked to modes, and a Gaussian settles at each; from these, and wider t
    distributions beside each, draws are taken in rounds, whose shares, means and covariances follow
    the weights so far. These are Pareto-smoothed; where their tail has $\hat k > 0.7$, and a weight
    is over 10 times the mean, the fit has failed, and says so. There is one optimum.

    Args:
        num_draws: of the log-density in the rounds, from which the moments are taken. They are off
            by about $D(D + 3)/(4n)$ nats, $n$ the effective sample size.
        tolerance: nats to the optimum that count as converged; by default the standard error of
            the value and 5e-4, together.
        max_evaluations: not used: the number of draws is fixed.

    For `FullRank()` and `MeanField()`.

    References:
        Cornuet et al. 2012; Cappe et al. 2008; Vehtari et al. 2024; Owen & Zhou 2000.

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
        if not isinstance(problem.template, FullRank | MeanField):
            raise TypeError(
                f"MomentMatching fits FullRank() and MeanField(), not {problem.template}: for "
                "another family draw `weighted` and fit to samples(x, log_weights=...)."
            )
        log_density, dim = problem.log_density, problem.first.size
        key_walk, key_fixed, key_draws = jr.split(key, 3)
        starts = laplace_starts(log_density, problem.first, problem.others, key_walk)
        few = max(_LEAST_DRAWS, 4 * dim)
        z = normal_draws(few, dim, key_fixed)

        def rest(start: Start) -> Settled:
            return settle(log_density, start.loc, lower(start.scale), z, False, 60)

        repeated = is_repeated(starts)
        settled = map_unless(repeated, rest, starts)
        repeated |= meets_another(settled, repeated) | ~jnp.isfinite(settled.now.value)
        there = ~repeated
        n = 2 * (self.num_draws // (2 * (_NUM_ROUNDS + 2)))
        identity = jnp.eye(dim, dtype=settled.scale.dtype)
        tril = jnp.where(there[:, None, None], settled.scale, identity)
        loc = jnp.where(there[:, None], settled.loc, 0.0)
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
        mean = found.weights @ found.draws
        deviations = found.draws - mean
        covariance = (found.weights[:, None] * deviations).T @ deviations
        if isinstance(problem.template, MeanField):
            member = Independent(Normal(mean, jnp.sqrt(jnp.diagonal(covariance))), 1)
            size = 2 * dim
        else:
            member = MultivariateNormal(mean, jnp.linalg.cholesky(covariance))
            size = 0.5 * dim * (dim + 3)
        effective = 1 / jnp.sum(found.weights**2)
        spent = jnp.sum(starts.num_evaluations + settled.num_evaluations, dtype=jnp.int32)
        one = jax.tree.map(lambda x: x[None], member)
        return Ends(
            one,
            gap=(0.5 * size / effective)[None],
            step=jnp.zeros(1, mean.dtype),
            curvature=jnp.ones(1, mean.dtype),
            settled=found.reliable[None],
            repeated=jnp.zeros(1, bool),
            num_steps=jnp.full(1, _NUM_ROUNDS, jnp.int32),
            num_evaluations=(spent + found.num_draws)[None],
            num_bad=found.num_bad[None],
            losses=settled.losses[:1],
            weighted=found,
        )
