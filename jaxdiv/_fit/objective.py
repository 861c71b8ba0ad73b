"""What is minimised: a divergence to a target, with the family on either side."""

import abc
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Key

from .._errors import NoClosedFormError
from .._estimator.base import AbstractEstimator
from .._estimator.exact import Exact, has_closed_form
from .._estimator.monte_carlo import FixedDraws
from .._estimator.quadrature import Quadrature
from .._functional.base import AbstractFunctional
from .._functional.entropies import CrossEntropy
from .._functional.kl import KL
from .._operand.base import AbstractDistribution, AbstractOperand, Operand, pieces_of
from .._operand.empirical import PointMass, Samples
from .._operand.product import Product, converted
from .combination import check_combination

_FIXED_DRAWS = 1024  # for a target that no exact rule serves


class Plan(eqx.Module):
    """What is minimised, and what the result is then judged by."""

    descend: AbstractFunctional
    by: AbstractEstimator
    judge: AbstractFunctional
    judged_by: AbstractEstimator


class AbstractObjective(eqx.Module):
    """A divergence to a target, as a function `(family, key) -> scalar` that `fit` understands."""

    functional: eqx.AbstractVar[AbstractFunctional]
    target: eqx.AbstractVar[AbstractOperand]
    estimator: eqx.AbstractVar[AbstractEstimator | None]

    @abc.abstractmethod
    def arrange(self, family: Any) -> tuple[Any, Any]:
        """The family and the target as the functional's first and second argument."""

    @property
    @abc.abstractmethod
    def averaged_by(self) -> AbstractEstimator | None:
        """The estimator of the functional of what `arrange` gives; None to choose one."""

    @abc.abstractmethod
    def words(self, functional: AbstractFunctional) -> str:
        """What the value of the functional is called."""

    def plan(self, family: AbstractOperand) -> Plan:
        """How this family is fitted and judged."""
        plan = self._plan(family)
        operands = self.arrange(family)
        check_combination(plan.descend, operands, plan.by, operands[0] is self.target)
        return plan

    def _plan(self, family: AbstractOperand) -> Plan:
        functional, operands = self.functional, self.arrange(family)
        observed = _is_observed(operands[0])
        if observed and isinstance(functional, KL):
            functional = CrossEntropy()
        if (by := self.averaged_by) is not None:
            return Plan(functional, by, functional, by.refined())
        if has_closed_form(functional, *operands):
            return Plan(functional, Exact(), functional, Exact())
        if observed:
            raise NoClosedFormError(
                f"only the KL divergence (as maximum likelihood) fits to observations, not "
                f"{type(functional).__name__}."
            )
        numeric = _numeric(operands)
        fixed = operands[0] is self.target
        if fixed and isinstance(functional, KL) and has_closed_form(CrossEntropy(), *operands):
            return Plan(CrossEntropy(), Exact(), functional, numeric.refined())
        return Plan(functional, numeric, functional, numeric.refined())

    def __call__(self, family: AbstractOperand, key: Key[Array, ""] | None) -> Float[Array, ""]:
        plan = self.plan(family)
        return plan.by.estimate(plan.descend, self.arrange(family), key).value

    def evaluate(self, family: AbstractOperand) -> Float[Array, ""]:
        """The value by a finer rule, or by other draws, than those descended on."""
        plan = self.plan(family)
        return plan.judged_by.estimate(plan.judge, self.arrange(family), None).value

    @property
    def deterministic(self) -> bool:
        """Whether it needs no key."""
        return self.estimator is None or self.estimator.deterministic

    def quantity(self, family: AbstractOperand, closed_form: bool = False) -> str:
        """In words, what `Fit.value` is, how it was computed, and what was descended on, if so."""
        plan = self.plan(family)
        value = f"{self.words(plan.judge)} by {type(plan.judged_by).__name__}"
        if closed_form:
            return f"{value}; in closed form: the target's moments"
        if (plan.descend, plan.by.refined()) == (plan.judge, plan.judged_by):
            return value
        return f"{value}; descended on {type(plan.descend).__name__} by {type(plan.by).__name__}"


class Forward(AbstractObjective):
    r"""$D(\text{target}, \text{family})$: for KL, the fit covers all of the target's mass.

    Callable as `(family, key) -> scalar`; a pytree, so that new target data does not retrace. With
    `estimator=None` the closed form serves where there is one (for KL, that of the cross-entropy,
    which differs by a constant), else `Quadrature` in up to three dimensions, else `FixedDraws`;
    `Fit.quantity` says which.

    What may be estimated how, forward and reverse; else an error says why. `Pathwise()` and
    `Score()` serve wherever draws do.

    | divergence | Quadrature | FixedDraws | MonteCarlo | StickTheLanding | DoublyReparameterised |
    |---|---|---|---|---|---|
    | KL | yes | yes | yes | yes | yes |
    | Renyi | yes | yes | no | no | with FixedDraws |
    | AmariAlpha, CressieRead, Tsallis | yes | yes | yes | no | yes |
    | SquaredHellinger, ChiSquared, NeymanChiSquared | yes | yes | yes | no | yes |
    | Jeffreys, JensenShannon, TotalVariation | yes | yes | yes | no | no |
    | TriangularDiscrimination, FDivergence | yes | yes | yes | no | no |
    | ImportanceWeightedBound | yes | yes | yes | no | yes |
    | FisherDivergence | yes | yes | yes | no | no |

    From draws, forward, to a `LogDensity`, which has no sampler: those that draw from the family
    alone, NeymanChiSquared, AmariAlpha above 0 and Tsallis below 1/2. To an unnormalised one:
    reverse KL, ImportanceWeightedBound and FisherDivergence.

    The variance of draws is finite for every member only at orders between 0 and 1 and of what is
    bounded (Jensen-Shannon, Hellinger, total variation). Of the others it depends on the member:
    of forward chi-squared between normals, the fit's variance must exceed 2/3 of the target's.
    Where it is infinite for every member, by the tails of the two families, that is an error.

    Args:
        functional: e.g. `KL()`.
        target: an operand; `samples(x)` makes the fit a maximum-likelihood one.
        estimator: how it is computed.

    Example:
        >>> import jaxdiv as jd
        >>> objective = jd.Forward(jd.KL(), jd.Normal(1.0, 2.0))
        >>> print(f"{objective(jd.Normal(1.0, 2.0), None):.1f}")
        0.0
    """

    functional: AbstractFunctional
    target: AbstractOperand = eqx.field(converter=converted)
    estimator: AbstractEstimator | None = None

    def arrange(self, family):
        return self.target, converted(family)

    @property
    def averaged_by(self):
        return self.estimator

    def words(self, functional):
        return f"{type(functional).__name__}(target, family)"


class Reverse(AbstractObjective):
    r"""$D(\text{family}, \text{target})$: for KL, the fit seeks a mode of the target.

    As `Forward`, with the arguments the other way round. The target may be an unnormalised
    `LogDensity`; the value is then KL less the logarithm of its integral.

    Args:
        functional: e.g. `KL()`.
        target: an operand with a density, or a discrete one.
        estimator: how it is computed.

    Example:
        >>> import jaxdiv as jd
        >>> objective = jd.Reverse(jd.KL(), jd.Normal(1.0, 2.0))
        >>> print(f"{objective(jd.Normal(1.0, 2.0), None):.1f}")
        0.0
    """

    functional: AbstractFunctional
    target: AbstractOperand = eqx.field(converter=converted)
    estimator: AbstractEstimator | None = None

    def arrange(self, family):
        return converted(family), self.target

    @property
    def averaged_by(self):
        return self.estimator

    def words(self, functional):
        return f"{type(functional).__name__}(family, target)"


def forward_kl(target: Operand, estimator: AbstractEstimator | None = None) -> Forward:
    r"""$\mathrm{KL}(\text{target} \| \text{family})$ as an objective for `fit`: mean-seeking.

    Its optimum over normal families has the target's moments. For `samples(x)`, whose entropy is
    not defined, it is the cross-entropy: maximum likelihood; `Fit.quantity` says so.

    Args:
        target: the operand to fit to.
        estimator: see `Forward`.

    Example:
        >>> import jax.numpy as jnp, jaxdiv as jd
        >>> x = jd.samples(jnp.array([1.0, 2.0, 3.0]))
        >>> found = jd.fit(jd.forward_kl(x), jd.Normal(0.0, 1.0))
        >>> print(f"{found.distribution.loc:.3f} {found.distribution.scale:.3f}")
        2.000 0.816
    """
    return Forward(KL(), target, estimator)


def reverse_kl(target: Operand, estimator: AbstractEstimator | None = None) -> Reverse:
    r"""$\mathrm{KL}(\text{family} \| \text{target})$ as an objective for `fit`: mode-seeking.

    Args:
        target: the operand to fit to; an unnormalised `LogDensity` will do.
        estimator: see `Forward`.

    Example:
        >>> import jax.numpy as jnp, jaxdiv as jd
        >>> target = jd.Mixture(jd.probs([0.7, 0.3]), jd.Normal(jnp.array([-2.0, 2.0]), 0.5))
        >>> found = jd.fit(jd.reverse_kl(target), jd.Normal(-1.0, 1.0))
        >>> print(f"{found.distribution.loc:.2f} {found.distribution.scale:.2f}")
        -2.00 0.50
    """
    return Reverse(KL(), target, estimator)


def break_points(target: AbstractOperand) -> Float[Array, "M *event"] | None:
    """Where a target varies, for the quadrature of what is made of its density."""
    pieces = pieces_of(target)
    if pieces is None:
        return None
    scales = jnp.sqrt(jnp.sum(pieces.scale_trils**2, -1))
    points = [pieces.points, *(pieces.centres + k * scales for k in (-4.0, -2.0, 0.0, 2.0, 4.0))]
    assert isinstance(target, AbstractDistribution)  # or it has no pieces
    return lax.stop_gradient(jnp.concatenate(points).reshape(-1, *target.event_shape))


def _is_observed(d: Any) -> bool:
    if isinstance(d, Product):
        return any(_is_observed(part) for part in d.parts.values())
    return isinstance(d, Samples | PointMass)


def _numeric(operands: tuple[Any, Any]) -> AbstractEstimator:
    densities = all(isinstance(d, AbstractDistribution) for d in operands)
    event = operands[0].event_shape
    low = densities and len(event) <= 1 and sum(event) <= 3
    if low and any(pieces_of(d) is not None for d in operands):
        return Quadrature()
    return FixedDraws(_FIXED_DRAWS)
