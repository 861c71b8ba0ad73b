"""Reverse KL of any family to a log-density: L-BFGS on draws that stand still."""

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import optax
from jaxtyping import Array, Bool, Float, Key

from .._estimator.monte_carlo import FixedDraws
from .algorithm import AbstractAlgorithm, Ends
from .constraint import unconstrain
from .families import MixtureOf
from .loop import Carry, ValueFn, advance, begin
from .modes import Start, is_repeated, laplace_starts
from .objective import reverse_kl
from .steps import lower

_LBFGS = optax.lbfgs()
_PER_PARAMETER = 10  # draws, where their number is not given
_LEAST_DRAWS = 256


class SampleAverage(AbstractAlgorithm):
    r"""Reverse KL as its average over fixed draws, minimised by `optax.lbfgs`.

    Starts are walked to modes, and the family laid over each: a `MixtureOf` over as many as it has
    components. The optimum is that of the draws, off the true one by about half a nat for each
    parameter and draw; `gap` says so.

    Args:
        num_draws: by default ten for each parameter, and at least 256.
        num_steps: of L-BFGS, the most.
        max_evaluations: not used: the steps are limited.
        tolerance: nats to the optimum of the basin that count as converged; by default the
            standard error of the value and 5e-4, together.

    For any template whose members have draws that can be differentiated.

    References:
        Giordano, Ingram & Broderick 2024.

    Example:
        >>> import jaxdiv as jd
        >>> optim = jd.SampleAverage(num_draws=1000)  # of fit(reverse_kl(p), LowRank(2), optim)
        >>> print(optim.quantity)
        KL(family, target) - log Z by independent draws; descended by SampleAverage
    """

    num_draws: int | None = eqx.field(static=True, default=None)
    num_steps: int = eqx.field(static=True, default=100)
    max_evaluations: int = eqx.field(static=True, default=10_000)
    tolerance: float | None = eqx.field(static=True, default=None)
    forward: ClassVar[bool] = False
    is_exact: ClassVar[bool] = True

    @property
    def quantity(self):
        return "KL(family, target) - log Z by independent draws; descended by SampleAverage"

    def solve(self, problem, key, num_judged):
        del num_judged
        starts = laplace_starts(problem.log_density, problem.first, problem.others, key)
        repeated = is_repeated(starts)
        spent = starts.num_evaluations
        if isinstance(problem.template, MixtureOf):
            starts = together(starts, repeated, problem.template.num_components)
            spent, repeated = jnp.sum(spent, dtype=jnp.int32)[None], jnp.zeros(1, bool)
        trils = jnp.vectorize(lower, signature="(d,d)->(d,d)")(starts.scale)
        members = jax.vmap(problem.template.member)(starts.loc, trils)
        free, rebuild = unconstrain(jax.tree.map(lambda x: x[0], members))
        size = sum(leaf.size for leaf in jax.tree.leaves(free))
        num_draws = self.num_draws or max(_LEAST_DRAWS, _PER_PARAMETER * size)
        objective = reverse_kl(problem.target, FixedDraws(num_draws))

        def value(free: Any, key: Key[Array, ""] | None) -> Float[Array, ""]:
            return objective(rebuild(free), key)

        noise = jnp.asarray(0.5 * size / num_draws, problem.first.dtype)
        frees = jax.vmap(lambda member: unconstrain(member)[0])(members)
        carry = descend(value, frees, self.num_steps, 1e-2 * noise)
        lanes, num = carry.lanes, len(repeated)
        return Ends(
            jax.vmap(rebuild)(lanes.free),
            gap=jnp.full(num, noise, noise.dtype),
            step=jnp.zeros(num, noise.dtype),
            curvature=jnp.full(num, jnp.nan, noise.dtype),
            settled=~lanes.active & lanes.finite & ~repeated,
            repeated=repeated,
            num_steps=lanes.num_steps,
            num_evaluations=spent + num_draws * lanes.num_evaluations,
            num_bad=lanes.num_bad,
            losses=carry.losses,
        )


def descend(value: ValueFn, frees: Any, num_steps: int, tolerance: Float[Array, ""]) -> Carry:
    """By L-BFGS, from all members of a stack of free coordinates."""
    dtype = tolerance.dtype
    carry = begin(value, _LBFGS, frees, None, num_steps=num_steps, dtype=dtype, record=False)
    first, last = jnp.array(0), jnp.array(num_steps)
    return advance(value, _LBFGS, carry, None, first, last, tolerance=tolerance, longest=None)


def together(starts: Start, repeated: Bool[Array, " S"], num: int) -> Start:
    """One start for a mixture: the first `num` modes, and again from the first where they end."""
    order = jnp.argsort(repeated, stable=True)
    found = jnp.maximum(jnp.sum(~repeated), 1)
    turn = jnp.arange(num)
    index = order[turn % found]
    chosen = jax.tree.map(lambda x: x[index], starts)
    # Two components at one place would stay one.
    apart = jr.normal(jr.key(0), chosen.loc.shape, chosen.loc.dtype)
    moves = jnp.einsum("kij,kj->ki", chosen.scale, apart)
    loc = chosen.loc + jnp.where((turn >= found)[:, None], moves, 0.0)
    return jax.tree.map(lambda x: x[None], chosen._replace(loc=loc))
