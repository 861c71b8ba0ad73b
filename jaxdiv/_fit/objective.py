"""What is minimised: a divergence to a target, with the family on either side."""

import abc
from typing import Any

import equinox as eqx
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

    def plan(self, family: AbstractOperand) -> Plan:
        """How this family is fitted and judged."""
        functional, operands = self.functional, self.arrange(family)
        observed = _is_observed(operands[0])
        if observed and isinstance(functional, KL):
            functional = CrossEntropy()
        if self.estimator is not None:
            return Plan(functional, self.estimator, functional, self.estimator.refined())
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

    def quantity(self, family: AbstractOperand) -> str:
        """In words, what `Fit.value` is, how it was computed, and what was descended on."""
        plan = self.plan(family)
        p, q = self.arrange("family")
        p, q = (d if d == "family" else "target" for d in (p, q))
        value = f"{type(plan.judge).__name__}({p}, {q}) by {type(plan.judged_by).__name__}"
        if (plan.descend, plan.by.refined()) == (plan.judge, plan.judged_by):
            return value
        return f"{value}; descended on {type(plan.descend).__name__} by {type(plan.by).__name__}"


class Forward(AbstractObjective):
    r"""$D(\text{target}, \text{family})$: for KL, the fit covers all of the target's mass.

    Callable as `(family, key) -> scalar`; a pytree, so that new target data does not retrace. With
    `estimator=None` the closed form serves where there is one (for KL, that of the cross-entropy,
    which differs by a constant), else `Quadrature` in up to three dimensions, else `FixedDraws`;
    `Fit.quantity` says which.

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
