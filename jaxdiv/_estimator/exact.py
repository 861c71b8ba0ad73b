"""Closed forms: wrappers first, then the registry, then sums over the outcomes."""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array

from .._errors import NoClosedFormError
from .._functional.base import AbstractFunctional
from .._operand import coinciding as coinciding  # registers its rules, and so do these
from .._operand import cross as cross
from .._operand import discrete_rules as discrete_rules
from .._operand.align import align, align_one, check_batches
from .._operand.base import AbstractComposite, AbstractDistribution, AbstractOperand
from .._operand.bernoulli import as_classes
from .._operand.discrete import AbstractDiscrete
from .._operand.foreign import Foreign
from .._operand.product import Product
from .base import AbstractEstimator, Estimate
from .rules import find_rule


def exact(functional: AbstractFunctional, *operands: AbstractOperand) -> Array:
    """The closed form, in nats; `NoClosedFormError` where none is known."""
    for composite in operands:
        if isinstance(composite, AbstractComposite):
            value = composite.reduce(exact, functional, *operands)
            if value is not None:
                return value
    as_given, operands = operands, tuple(as_classes(d) for d in operands)
    discrete = all(isinstance(d, AbstractDiscrete) for d in operands)
    if discrete and len(operands) == 2:
        check_batches(*operands)
    for args in (operands, as_given):
        fn = find_rule(functional, *args)
        value = None if fn is None else fn(functional, *args)
        if value is not None:  # a rule may leave some members of its families alone
            return value
    if discrete:
        return enumerate_outcomes(functional, *operands)
    value = functional.compose(exact, *operands)
    if value is None:
        raise NoClosedFormError(_explanation(functional, *operands))
    return value


def enumerate_outcomes(functional: AbstractFunctional, *operands: Any) -> Array:
    """The sum over the outcomes of discrete operands."""
    pair = align_one(*operands) if len(operands) == 1 else align(*operands)
    return functional.integrate(pair)


def has_closed_form(functional: AbstractFunctional, *operands: AbstractOperand) -> bool:
    """Whether `exact` has an answer (asked at trace time, at no run-time cost)."""
    try:
        jax.eval_shape(lambda args: exact(functional, *args), operands)
    except NoClosedFormError:
        return False
    return True


class Enumerate(AbstractEstimator):
    """Sums over the outcomes of discrete operands: exact, and what no estimator at all means.

    Example:
        >>> import jaxdiv as jd
        >>> p, q = jd.probs([0.5, 0.5]), jd.logits([0.0, 0.0])
        >>> print(f"{jd.jensen_shannon(p, q, estimator=jd.Enumerate()):.1f}")
        0.0
    """

    deterministic: ClassVar[bool] = True

    def estimate(self, functional, operands, key):
        if not all(isinstance(d, AbstractDiscrete) for d in operands):
            names = ", ".join(type(d).__name__ for d in operands)
            raise TypeError(f"Enumerate serves discrete operands, got {names}: use `Quadrature`.")
        return _without_error(enumerate_outcomes(functional, *operands))

    def refined(self):
        return self


class Exact(AbstractEstimator):
    """The closed form; what a verb means by `estimator=None`.

    Example:
        >>> import jaxdiv as jd
        >>> p, q = jd.Normal(0.0, 1.0), jd.Normal(1.0, 1.0)
        >>> print(f"{jd.kl(p, q, estimator=jd.Exact()):.1f}")
        0.5
    """

    deterministic: ClassVar[bool] = True

    def estimate(self, functional, operands, key):
        return _without_error(exact(functional, *operands))

    def refined(self):
        return self


def _without_error(value: Array) -> Estimate:
    return Estimate(
        value, jnp.zeros_like(value), jnp.full_like(value, jnp.inf), jnp.full_like(value, jnp.nan)
    )


def _explanation(functional: AbstractFunctional, *operands: AbstractOperand) -> str:
    names = [d.name if isinstance(d, Foreign) else type(d).__name__ for d in operands]
    between = f"of {names[0]}" if len(names) == 1 else f"between {names[0]} and {names[1]}"
    kinds = [isinstance(d, AbstractDiscrete) for d in operands]
    if any(kinds):
        remedy = "A distribution over classes and a density have no common outcomes."
    elif all(isinstance(d, Product) for d in operands):
        remedy = (
            "Give estimator=MonteCarlo(n) or FixedDraws(n), with Score() for parts of integers."
        )
    elif not all(isinstance(d, AbstractDistribution) for d in operands):
        remedy = (
            "Observations have no density: take `cross_entropy`, the negative log-likelihood, of "
            "them against a model."
        )
    elif any(d.integer for d in operands if isinstance(d, AbstractDistribution)):
        remedy = (
            "Give estimator=MonteCarlo(n, gradient=Score()): draws of integers have no pathwise "
            "gradient. A distribution over integers and a density have no common outcomes."
        )
    else:
        remedy = (
            "Give estimator=Quadrature() (up to three dimensions), or MonteCarlo(n) or "
            "FixedDraws(n) where the first argument can be sampled."
        )
    return f"No closed form for {type(functional).__name__} {between}.\n{remedy}"
