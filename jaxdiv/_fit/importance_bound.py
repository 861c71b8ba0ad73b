"""The importance-weighted bound as an objective."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from .._estimator.base import AbstractEstimator
from .._estimator.gradients import DoublyReparameterised, Pathwise, StickTheLanding, with_slope
from .._estimator.monte_carlo import FixedDraws, MonteCarlo
from .._functional.base import ratio_of_logs
from .._functional.entropies import CrossEntropy
from .._operand.base import AbstractDistribution, AbstractOperand, Operand
from .._operand.batch import map_batch_axis
from .._operand.independent import Independent
from .._operand.log_density import LogDensity
from .._operand.product import converted
from .objective import AbstractObjective, break_points


class ImportanceWeightedBound(AbstractObjective):
    r"""$-E_{x_1, \ldots, x_K \sim q}\left[\log \frac1K \sum_k p(x_k)/q(x_k)\right]$, to minimise.

    For the family's member $q$ and the target $p$, which need not be normalised: at $K = 1$ reverse
    KL, and as $K$ grows it falls to $-\log \int p$, whatever the member, so that the fit matters
    less and is more mass-covering (Burda, Grosse & Salakhutdinov 2016, the IW-ELBO; the optimum is
    a proposal for importance sampling rather than an approximation to the target: Domke & Sheldon
    2018).

    Callable as `(family, key) -> scalar`. With `estimator=None` it is `Quadrature` over the $K$
    draws where that is at most three dimensions, else `FixedDraws`, of which each draw is one of
    $K$ outcomes. Its gradient may be `Pathwise()`, `Score()` or `DoublyReparameterised()`:
    pathwise, the signal falls behind the noise as $K$ grows (Rainforth et al. 2018), doubly
    reparameterised it does not (Tucker et al. 2019).

    Args:
        target: an operand with a density.
        num_draws: $K$.
        estimator: how the expectation is computed.

    Example:
        >>> import jaxdiv as jd
        >>> bound = jd.ImportanceWeightedBound(jd.Normal(1.0, 2.0), 5, jd.FixedDraws(1000))
        >>> print(f"{bound(jd.Normal(0.0, 2.0), None):.2f}")  # reverse KL is 0.125
        0.03
    """

    target: AbstractOperand
    num_draws: int = eqx.field(static=True)
    estimator: AbstractEstimator | None

    def __init__(self, target: Operand, num_draws: int, estimator: AbstractEstimator | None = None):
        if not isinstance(num_draws, int) or num_draws < 1:
            raise ValueError(
                f"ImportanceWeightedBound: num_draws must be a positive integer, got {num_draws!r}."
            )
        if isinstance(estimator, MonteCarlo | FixedDraws) and isinstance(
            estimator.gradient, StickTheLanding
        ):
            raise TypeError(
                "ImportanceWeightedBound: StickTheLanding is biased for a logarithm of a mean: use "
                "DoublyReparameterised()."
            )
        self.target = converted(target)
        self.num_draws = num_draws
        self.estimator = estimator

    @property
    def functional(self):
        return CrossEntropy()

    def arrange(self, family):
        family = converted(family)
        if not isinstance(family, AbstractDistribution):
            raise TypeError(
                "ImportanceWeightedBound: the family must have a density, got "
                f"{type(family).__name__}: of classes every expectation is exact, use reverse_kl."
            )
        copies = map_batch_axis(
            family, lambda x, axis: jnp.broadcast_to(x, (self.num_draws, *x.shape)), inner=-1
        )
        copies = Independent(copies, 1)
        log_mean = _log_mean_doubly if self._doubly else _log_mean
        points = break_points(self.target) if family.event_shape == () else None
        if points is not None:
            points = jnp.broadcast_to(points[:, None], (len(points), self.num_draws))
        shape = copies.event_shape
        weight = LogDensity(log_mean, (family, self.target), event_shape=shape, points=points)
        return copies, weight

    @property
    def _doubly(self) -> bool:
        by = self.estimator
        return isinstance(by, MonteCarlo | FixedDraws) and isinstance(
            by.gradient, DoublyReparameterised
        )

    @property
    def averaged_by(self):
        if not self._doubly:
            return self.estimator
        # The weights carry that gradient already; draws are differentiated.
        return eqx.tree_at(lambda by: by.gradient, self.estimator, Pathwise())

    def words(self, functional):
        return f"-E[log mean of {self.num_draws} weights target / family]"


def _log_mean(x: Array, family: AbstractDistribution, target: AbstractDistribution) -> Array:
    log_weights = ratio_of_logs(target.log_prob(x), family.log_prob(x))
    return jax.nn.logsumexp(log_weights) - jnp.log(jnp.asarray(len(log_weights), log_weights.dtype))


def _log_mean_doubly(x: Array, family: AbstractDistribution, target: AbstractDistribution) -> Array:
    r"""The same, with the gradient $\sum_k w_k^2 \dot r_k$ for normalised weights (Tucker 2019)."""
    log_weights = ratio_of_logs(target.log_prob(x), lax.stop_gradient(family).log_prob(x))
    held = lax.stop_gradient(log_weights)
    shares = jax.nn.softmax(held)
    slopes = with_slope(jnp.zeros_like(held), shares * shares, log_weights)
    return jax.nn.logsumexp(held) - jnp.log(jnp.asarray(len(held), held.dtype)) + jnp.sum(slopes)
