"""The Fisher divergence as an objective: fits by scores."""

import jax
import jax.numpy as jnp
from jaxtyping import Array

from .._estimator.base import AbstractEstimator
from .._estimator.gradients import DoublyReparameterised, StickTheLanding
from .._estimator.monte_carlo import FixedDraws, MonteCarlo
from .._functional.entropies import CrossEntropy
from .._operand.base import AbstractDistribution, AbstractOperand, Operand
from .._operand.log_density import LogDensity
from .._operand.product import converted
from .objective import AbstractObjective, break_points


class FisherDivergence(AbstractObjective):
    r"""$E_q\left[\|\nabla \log q(x) - \nabla \log p(x)\|^2\right]$, to minimise over members $q$.

    The target $p$ need not be normalised: its score $\nabla \log p$ is all that is used. So the
    weights of modes that are far apart do not count either, and each mode has an optimum of nearly
    equal value. In units of one over the square of the outcome's (Hyvarinen 2005, with the
    expectation under the family).

    Callable as `(family, key) -> scalar`. With `estimator=None` it is `Quadrature` in up to three
    dimensions, else `FixedDraws`; gradients of draws are `Pathwise()` or `Score()`. For a Gaussian
    in many dimensions `batch_and_match` minimises a like divergence by closed-form updates.

    Args:
        target: an operand with a differentiable log-density on the real line or on $R^D$.
        estimator: how the expectation is computed.

    Example:
        >>> import jaxdiv as jd
        >>> objective = jd.FisherDivergence(jd.Normal(1.0, 1.0), jd.FixedDraws(10))
        >>> print(f"{objective(jd.Normal(0.0, 1.0), None):.4f}")  # the scores differ by 1 anywhere
        1.0000
    """

    target: AbstractOperand
    estimator: AbstractEstimator | None

    def __init__(self, target: Operand, estimator: AbstractEstimator | None = None):
        one_sided = StickTheLanding | DoublyReparameterised
        if isinstance(estimator, MonteCarlo | FixedDraws) and isinstance(
            estimator.gradient, one_sided
        ):
            raise TypeError(
                f"FisherDivergence: {type(estimator.gradient).__name__} is biased for differences "
                "of scores: use Pathwise() or Score()."
            )
        self.target = converted(target)
        self.estimator = estimator

    @property
    def functional(self):
        return CrossEntropy()

    def arrange(self, family):
        family = converted(family)
        for side, d in (("family", family), ("target", self.target)):
            if not isinstance(d, AbstractDistribution) or d.integer:
                raise TypeError(
                    f"FisherDivergence: the {side} must have a density with a gradient, got "
                    f"{type(d).__name__}."
                )
        mismatch = LogDensity(
            _mismatch,
            (family, self.target),
            event_shape=family.event_shape,
            points=break_points(self.target),
        )
        return family, mismatch

    @property
    def averaged_by(self):
        return self.estimator

    def words(self, functional):
        return "FisherDivergence(family, target)"


def _mismatch(x: Array, family: AbstractDistribution, target: AbstractDistribution) -> Array:
    apart = jax.grad(lambda x: family.log_prob(x) - target.log_prob(x))(x)
    return -jnp.sum(apart * apart)
