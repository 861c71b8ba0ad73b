"""Batch and match: a Gaussian fitted to the scores of a target, by closed-form updates."""

from collections.abc import Callable
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, Int, Key

from .._estimator.exact import exact
from .._estimator.quasi import normal_draws
from .._functional.kl import Jeffreys
from .._operand.base import floating
from .._operand.multivariate_normal import MultivariateNormal
from .algorithm import AbstractAlgorithm, Ends
from .draws import LogDensityFn, residuals
from .modes import Start, is_repeated, laplace_starts
from .natural_gradient import map_unless
from .steps import lower
from .template import FullRank

_LEAST_DRAWS = 64
_AT_REST = 0.1  # nats, of the symmetrised divergence that the last quarter of the steps covers

Rate = Callable[[Float[Array, ""]], Float[Array, ""]]


def batch_and_match(
    log_density: Callable[[Float[Array, " D"]], Float[Array, ""]],
    start: MultivariateNormal,
    *,
    key: Key[Array, ""],
    num_draws: int,
    num_steps: int,
    rate: Rate | None = None,
) -> MultivariateNormal:
    r"""$\arg\min_q \sum_b \|\nabla \log q(z_b) - \nabla \log p(z_b)\|^2_{\Sigma_q}$ near $q_t$.

    Each step draws $z_b \sim q_t$ and goes to the Gaussian that matches the target's scores there
    best, in the metric of its own covariance, plus $\frac{2}{\lambda_t}
    \mathrm{KL}(q_t \| q)$ (Cai et al. 2024, "Batch and match: black-box variational inference with
    a score-based divergence", algorithm 1): in closed form, at a cost cubic in $D$, and invariant
    to affine changes of coordinates. A Gaussian target is found in a few steps, the faster the
    larger $\lambda$. Pure: it jits and vmaps over `start` and `key`.

    Args:
        log_density: of one outcome, normalised or not.
        start: the first Gaussian, with `scale_tril`; no batch axes.
        key: of the draws.
        num_draws: $B$, at each step. Draws at which the density or its
            slope is not finite are left out.
        num_steps: of closed-form updates.
        rate: $\lambda_t$ of the number $t = 0, 1, \ldots$ of the step; by default $B D / (t + 1)$.

    Returns:
        The last Gaussian.

    Raises:
        ValueError: for fewer than 2 draws.

    Example:
        >>> import jax, jax.numpy as jnp, jaxdiv as jd
        >>> target = jd.MultivariateNormal(jnp.array([1.0, -2.0]), jnp.array([[2.0, 0], [1, 0.5]]))
        >>> start = jd.MultivariateNormal(jnp.zeros(2), jnp.eye(2))
        >>> found = jd.batch_and_match(
        ...     target.log_prob, start, key=jax.random.key(0), num_draws=8, num_steps=10
        ... )
        >>> print(f"{jd.kl(found, target):.3f}")
        0.000
    """
    if num_draws < 2:
        raise ValueError(f"batch_and_match: num_draws must be at least 2, got {num_draws}.")
    return _path(log_density, start, key, num_draws, num_steps, rate)[0]


class BatchAndMatch(AbstractAlgorithm):
    r"""`batch_and_match` from the Laplace approximations of the target's modes, in `fit`.

    It fits by scores, so that what it finds is not quite the optimum of reverse KL, which is
    reported: the gap between them is in `certificate.decrement`, in nats. For `FullRank()`.

    Args:
        num_draws: at each step; by default 64, or four times the dimension if that is more.
        num_steps: of closed-form updates.
        max_evaluations: of the log-density with its gradient, for each start; fewer steps are taken
            where these do not suffice.
        tolerance: nats to the optimum of reverse KL, within which a fit counts as `converged`.

    Example:
        >>> import jaxdiv as jd
        >>> algorithm = jd.BatchAndMatch(num_steps=20)  # fit(..., optim=algorithm)
        >>> print(algorithm.quantity)
        KL(family, target) - log Z by independent draws; fitted by BatchAndMatch
    """

    num_draws: int | None = eqx.field(static=True, default=None)
    num_steps: int = eqx.field(static=True, default=40)
    max_evaluations: int = eqx.field(static=True, default=10_000)
    tolerance: float = eqx.field(static=True, default=5e-4)
    forward: ClassVar[bool] = False
    is_exact: ClassVar[bool] = False

    @property
    def quantity(self):
        return "KL(family, target) - log Z by independent draws; fitted by BatchAndMatch"

    def solve(self, problem, key, num_judged):
        if not isinstance(problem.template, FullRank):
            raise TypeError(
                f"BatchAndMatch fits FullRank(), not {problem.template}: give an optax optimiser."
            )
        log_density, dim = problem.log_density, problem.first.size
        num_draws = self.num_draws or max(_LEAST_DRAWS, 4 * dim)
        num_steps = max(1, min(self.num_steps, self.max_evaluations // num_draws))
        key_walk, key_match, key_last = jr.split(key, 3)
        starts = laplace_starts(log_density, problem.first, problem.others, key_walk)
        z = normal_draws(num_draws + num_draws % 2, dim, key_last)

        def solve(inputs: tuple[Start, Key[Array, ""]]):
            start, key = inputs
            member, before, bad = _path(
                log_density,
                MultivariateNormal(start.loc, lower(start.scale)),
                key,
                num_draws,
                num_steps,
                None,
            )
            assert member.scale_tril is not None
            last = residuals(log_density, member.loc, member.scale_tril, z, diagonal=False)
            return member, last, bad, exact(Jeffreys(), member, before)

        repeated = is_repeated(starts)
        keys = jr.split(key_match, len(repeated))
        members, last, bad, moved = map_unless(repeated, solve, (starts, keys))
        spent = jnp.where(repeated, 0, (num_steps + 1) * num_draws)
        return Ends(
            members,
            gap=0.5 * jnp.sum(last.slope**2, -1) + 0.25 * jnp.sum(last.curvature**2, (-2, -1)),
            step=jnp.max(jnp.abs(last.slope), -1),
            curvature=1 - jnp.linalg.eigvalsh(last.curvature)[..., -1],
            settled=(moved < _AT_REST) & jnp.isfinite(last.value) & ~repeated,
            repeated=repeated,
            num_steps=jnp.where(repeated, 0, num_steps).astype(jnp.int32),
            num_evaluations=starts.num_evaluations + spent.astype(jnp.int32),
            num_bad=bad,
            losses=jnp.full((len(repeated), num_steps + 1), jnp.nan, z.dtype),
        )


def _path(
    log_density: LogDensityFn,
    start: MultivariateNormal,
    key: Key[Array, ""],
    num_draws: int,
    num_steps: int,
    rate: Rate | None,
) -> tuple[MultivariateNormal, MultivariateNormal, Int[Array, ""]]:
    """The last member, the one at three quarters of the steps, and draws without a finite score."""
    loc, tril = floating(start.loc, start.factor())
    size = loc.shape[-1]

    def score(x: Float[Array, " D"]) -> Float[Array, " D"]:
        value, slope = jax.value_and_grad(log_density)(x)
        return jnp.where(jnp.isfinite(value), slope, jnp.nan)  # the slope of a lost value may be 0

    def step(carry: tuple[Array, Array], t: Array):
        loc, tril = carry
        noise = jr.normal(jr.fold_in(key, t), (num_draws, size), loc.dtype)
        draws = loc + noise @ tril.T
        scores = jax.vmap(score)(draws)
        count = t.astype(loc.dtype)
        weight = num_draws * size / (count + 1) if rate is None else rate(count)
        new = match(loc, tril, draws, scores, jnp.asarray(weight, loc.dtype))
        bad = jnp.sum(~jnp.all(jnp.isfinite(scores), -1), dtype=jnp.int32)
        return new, (new, bad)

    (loc, tril), (path, bad) = jax.lax.scan(step, (loc, tril), jnp.arange(num_steps))
    before = jax.tree.map(lambda x: x[(3 * num_steps) // 4], path)
    return MultivariateNormal(loc, tril), MultivariateNormal(*before), jnp.sum(bad)


def match(
    loc: Float[Array, " D"],
    tril: Float[Array, "D D"],
    draws: Float[Array, "B D"],
    scores: Float[Array, "B D"],
    weight: Float[Array, ""],
) -> tuple[Float[Array, " D"], Float[Array, "D D"]]:
    r"""One update: the $\Sigma$ with $\Sigma U \Sigma + \Sigma = V$, and its mean."""
    used = jnp.all(jnp.isfinite(draws) & jnp.isfinite(scores), -1, keepdims=True)
    shares = used.astype(loc.dtype) / jnp.maximum(jnp.sum(used), 1).astype(loc.dtype)
    draws, scores = (jnp.where(used, x, 0.0) for x in (draws, scores))

    def moments(x: Array) -> tuple[Array, Array]:
        mean = jnp.sum(shares * x, 0)
        apart = jnp.sqrt(shares) * (x - mean)
        return mean, apart

    (middle, spread), (slope, bend) = moments(draws), moments(scores)
    damped = weight / (1 + weight)
    half_u = _stack(jnp.sqrt(weight) * bend, jnp.sqrt(damped) * slope)
    half_v = _stack(tril.T, jnp.sqrt(weight) * spread, jnp.sqrt(damped) * (loc - middle))
    # V = L L^T and L^T U L = Q diag(s^2) Q^T, from factors: squares would lose half of the digits.
    root = lower(half_v.T)
    _, s, q = jnp.linalg.svd(half_u @ root, full_matrices=True)
    s = jnp.concatenate([s, jnp.zeros(loc.size - s.size, s.dtype)])
    shrink = jnp.sqrt(2 / (1 + jnp.sqrt(1 + 4 * s * s)))
    new_tril = lower((shrink[:, None] * (q @ root.T)).T)
    new_loc = (loc + weight * (new_tril @ (new_tril.T @ slope) + middle)) / (1 + weight)
    some = jnp.any(used) & jnp.all(jnp.isfinite(new_tril)) & jnp.all(jnp.isfinite(new_loc))
    return jnp.where(some, new_loc, loc), jnp.where(some, new_tril, tril)


def _stack(*rows: Array) -> Array:
    return jnp.concatenate([jnp.atleast_2d(row) for row in rows])
