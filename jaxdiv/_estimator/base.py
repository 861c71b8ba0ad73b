"""How a functional is computed when there is no closed form, or another way is wanted."""

import abc
from typing import Any, Literal

import equinox as eqx
import jax
from jaxtyping import Array, Float, Key

from .._functional.base import AbstractFunctional
from .._operand.base import AbstractDistribution, AbstractOperand
from .._operand.constrained import Constrained
from .._operand.discrete import AbstractDiscrete, Masses
from .._operand.posterior import Posterior
from .._operand.product import Product


class Estimate(eqx.Module):
    """An estimate and what is known of its error.

    Attributes:
        value: per example (the batch axes), in nats where there is a unit.
        standard_error: of draws, by the delta method through the functional's link; of a
            deterministic rule, the difference from a coarser rule on the same nodes; 0 if exact.
        effective_sample_size: of draws, their number; infinite for a deterministic rule.
        bound: `"upper"` or `"lower"` where the value is known to be one; else None.
    """

    value: Float[Array, "*batch"]
    standard_error: Float[Array, "*batch"]
    effective_sample_size: Float[Array, "*batch"]
    bound: Literal["upper", "lower"] | None = eqx.field(static=True, default=None)


class AbstractEstimator(eqx.Module):
    """Computes any functional of operands that give it what it needs."""

    deterministic: eqx.AbstractClassVar[bool]  # needs no key

    @abc.abstractmethod
    def estimate(
        self,
        functional: AbstractFunctional,
        operands: tuple[AbstractOperand, ...],
        key: Key[Array, ""] | None,
    ) -> Estimate:
        """The functional of one or two operands, in nats."""

    @abc.abstractmethod
    def refined(self) -> "AbstractEstimator":
        """An independent and more accurate estimator of the same kind, to judge a fit by."""


def _outcomes(d: Any) -> Any:
    """What kind of outcomes, and of which shape."""
    if isinstance(d, Product):
        return {name: _outcomes(part) for name, part in d.parts.items()}
    if isinstance(d, Constrained | Posterior):
        return "parameters", jax.tree.structure(d.parameters)
    if not isinstance(d, AbstractDistribution | AbstractDiscrete) or isinstance(d, Masses):
        raise TypeError(
            f"{type(d).__name__} has no density to draw from or to integrate: use its closed forms "
            "(`estimator=None`)."
        )
    if isinstance(d, AbstractDiscrete):
        return "classes", d.event_shape
    return "integers" if d.integer else "density", d.event_shape


def check_normalisation(
    functional: AbstractFunctional, operands: tuple[Any, ...], normalize: bool
) -> None:
    """Raises for operands without common outcomes, or where an unnormalised one has no meaning."""
    outcomes = [_outcomes(d) for d in operands]
    if outcomes[0] != outcomes[-1]:
        names = " and ".join(f"{type(d).__name__} {d.event_shape}" for d in operands)
        raise ValueError(f"the operands have no outcomes in common: {names} (event shapes).")
    if normalize:
        return
    if not operands[0].normalized:
        raise ValueError(
            "an expectation under an unnormalised first argument is not defined: use "
            "`Quadrature(normalize=True)`."
        )
    if not operands[-1].normalized and functional.needs_normalized:
        raise TypeError(
            f"{type(functional).__name__} is not defined for an unnormalised second argument (only "
            "KL and cross-entropy are): use `Quadrature(normalize=True)`."
        )
