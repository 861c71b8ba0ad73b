"""Reverse KL of a Gaussian to a log-density, by natural-gradient steps."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Bool, Key

from .._estimator.exact import exact
from .._estimator.quasi import normal_draws
from .._functional.kl import KL
from .._operand.independent import Independent
from .._operand.multivariate_normal import MultivariateNormal
from .._operand.normal import Normal
from .algorithm import AbstractAlgorithm, Ends
from .modes import Start, cover, is_repeated, laplace_starts
from .skip import map_unless
from .steps import Polished, Settled, is_settled, lower, polish, settle
from .template import FullRank, MeanField

_LEAST_DRAWS = 64
_PLANE_DRAWS = 256  # up to two dimensions, where a shape can be far from any Gaussian
_ONE_BASIN = 0.1  # nats, of the symmetrised divergence between members on the same draws


class NaturalGradient(AbstractAlgorithm):
    r"""Reverse KL of a Gaussian: $L \leftarrow L(I - \rho M)^{-1/2}$, on draws that stand still.

    Starts are walked to modes by Newton's method; those that meet are carried on as one. From the
    best Gaussian along each path, natural-gradient steps with stick-the-landing residuals on the
    same whitened, antithetic draws until they come to rest; then fresh draws, averaged, until what
    is left is below `tolerance`. One step is exact where the target is Gaussian.

    Args:
        num_draws: at each step; by default 64, or four times the dimension if that is more; 256 in
            one or two dimensions.
        num_steps: the most, on fixed draws.
        max_evaluations: of the log-density with its gradient, for each start.
        tolerance: nats to the optimum of the basin; by default the standard error of the value and
            5e-4, together.

    For `FullRank()` and `MeanField()`.

    References:
        Opper & Archambeau 2009; Roeder, Wu & Duvenaud 2017; Khan & Rue 2023; for fixed draws,
        Giordano, Ingram & Broderick 2024.

    Example:
        >>> import jax, jax.numpy as jnp, jaxdiv as jd
        >>> target = jd.LogDensity(lambda x: -jnp.sum((x - 3.0) ** 2), event_shape=(4,))
        >>> found = jd.fit(jd.reverse_kl(target), optim=jd.NaturalGradient(), key=jax.random.key(0))
        >>> print(f"{found.distribution.loc[0]:.3f}")
        3.000
    """

    num_draws: int | None = eqx.field(static=True, default=None)
    num_steps: int = eqx.field(static=True, default=60)
    max_evaluations: int = eqx.field(static=True, default=10_000)
    tolerance: float | None = eqx.field(static=True, default=None)
    forward: ClassVar[bool] = False
    is_exact: ClassVar[bool] = True

    @property
    def quantity(self):
        return "KL(family, target) - log Z by independent draws; descended by NaturalGradient"

    def solve(self, problem, key, num_judged):
        if not isinstance(problem.template, FullRank | MeanField):
            raise TypeError(
                f"NaturalGradient fits FullRank() and MeanField(), not {problem.template}: give an "
                "optax optimiser, or `optim=None`."
            )
        log_density, dim = problem.log_density, problem.first.size
        diagonal = isinstance(problem.template, MeanField)
        n = self.num_draws or (_PLANE_DRAWS if dim <= 2 else max(_LEAST_DRAWS, 4 * dim))
        n += n % 2  # they are pairs
        key_walk, key_fixed, key_fresh = jr.split(key, 3)
        starts = laplace_starts(log_density, problem.first, problem.others, key_walk)
        z = normal_draws(n, dim, key_fixed)

        def rest(start: Start) -> Settled:
            scale = start.scale
            if diagonal:  # of each coordinate given the others
                scale = jnp.diag(1 / jnp.linalg.norm(jnp.linalg.inv(scale), axis=0))
            return settle(log_density, start.loc, lower(scale), z, diagonal, self.num_steps)

        def average(inputs: tuple[Settled, Key[Array, ""]]) -> Polished:
            return polish(
                log_density,
                *inputs,
                diagonal=diagonal,
                num_draws=n,
                max_evaluations=self.max_evaluations,
                tolerance=self.tolerance,
                num_judged=num_judged,
            )

        starts, repeated = cover(starts, is_repeated(starts))
        settled = map_unless(repeated, rest, starts)
        repeated |= meets_another(settled, repeated)
        keys = jr.split(key_fresh, len(repeated))
        at_rest = jax.vmap(lambda now: is_settled(now, diagonal))(settled.now) & ~repeated
        ends = map_unless(~at_rest, average, (settled, keys))
        loc = jnp.where(at_rest[:, None], ends.loc, settled.loc)
        scale = jnp.where(at_rest[:, None, None], ends.scale, settled.scale)
        if diagonal:
            members = Independent(Normal(loc, jax.vmap(jnp.diagonal)(scale)), 1)
        else:
            members = MultivariateNormal(loc, scale)
        return Ends(
            members,
            gap=jnp.where(at_rest, ends.gap, jnp.inf),
            step=jnp.max(jnp.abs(ends.residuals.slope), -1),
            curvature=1 - jax.lax.map(jnp.linalg.eigvalsh, ends.residuals.curvature)[..., -1],
            settled=at_rest & ~ends.drifts,
            repeated=repeated,
            num_steps=settled.num_steps,
            num_evaluations=starts.num_evaluations + settled.num_evaluations + n * ends.num_batches,
            num_bad=settled.num_bad + ends.num_bad,
            losses=settled.losses,
        )


def meets_another(settled: Settled, skip: Bool[Array, " S"]) -> Bool[Array, " S"]:
    """Which of the members on common draws are one that is lower, or was before them."""
    num, dim = settled.loc.shape
    loc, scale = settled.loc, jnp.where(skip[:, None, None], jnp.eye(dim), settled.scale)
    trils = jax.vmap(lower)(scale.astype(loc.dtype))
    p, q = (
        MultivariateNormal(jnp.expand_dims(loc, axis), jnp.expand_dims(trils, axis))
        for axis in (0, 1)
    )
    one_way = exact(KL(), p, q)
    apart = one_way + one_way.T
    value, index = settled.now.value, jnp.arange(num)
    better = (value[None] < value[:, None]) | (
        (value[None] == value[:, None]) & (index[None] < index[:, None])
    )
    # At rest is within a part of the noise, which is much larger for a Gaussian over several modes.
    noise = settled.now.noise
    near = apart < _ONE_BASIN + jnp.minimum(noise, noise[:, None])
    return jnp.any(near & better & ~skip[None], 1)
