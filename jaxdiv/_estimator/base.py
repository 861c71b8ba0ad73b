"""How a functional is computed when there is no closed form, or another way is wanted."""

import abc
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from .._functional.base import AbstractFunctional
from .._operand.base import AbstractDistribution, AbstractOperand
from .._operand.constrained import Constrained
from .._operand.discrete import AbstractDiscrete, Masses
from .._operand.posterior import Posterior
from .._operand.product import Product

_LARGEST_K = 0.7
_FEWEST = 100


class Estimate(eqx.Module):
    """An estimate and what is known of its error.

    Attributes:
        value: per example (the batch axes), in nats where there is a unit.
        standard_error: of draws, by the delta method through the functional's link; of a
            deterministic rule, the difference from a coarser rule on the same nodes; 0 if exact.
        effective_sample_size: of draws, their number, or that of as many independent ones where
            they are weighted; infinite for a deterministic rule.
        pareto_k: the shape of the tail of what is averaged (of the weights, where they are
            importance weights): its moments of order `1 / pareto_k` and beyond are infinite. NaN
            where nothing is drawn.
        bound: `"upper"` or `"lower"` where the value is known to be one; else None.
    """

    value: Float[Array, "*batch"]
    standard_error: Float[Array, "*batch"]
    effective_sample_size: Float[Array, "*batch"]
    pareto_k: Float[Array, "*batch"]
    bound: Literal["upper", "lower"] | None = eqx.field(static=True, default=None)

    @property
    def reliable(self) -> Bool[Array, "*batch"]:
        """Whether the standard error can be trusted, by what the draws themselves can tell.

        It is a finite number, `pareto_k` is at most 0.7 and the effective sample size at least 100.
        No guarantee: draws do not know of what they have missed.
        """
        tail = jnp.isnan(self.pareto_k) | (self.pareto_k <= _LARGEST_K)
        known = jnp.isfinite(self.value) & jnp.isfinite(self.standard_error)
        return known & tail & (self.effective_sample_size >= _FEWEST)

    @property
    def warning(self) -> str | None:
        """Why the standard error cannot be trusted; None where it can. Not under `jit`."""
        reasons = {
            "there is no standard error": ~jnp.isfinite(self.standard_error),
            "the value is not finite": ~jnp.isfinite(self.value),
            f"the tail is too heavy for an error bar (pareto_k above {_LARGEST_K})": self.pareto_k
            > _LARGEST_K,
            f"the effective sample size is below {_FEWEST}": self.effective_sample_size < _FEWEST,
        }
        met = [
            f"{why}, in {int(bad.sum())} of {bad.size}" if bad.ndim else why
            for why, bad in reasons.items()
            if bool(bad.any())
        ]
        return "; ".join(met) + "." if met else None


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
            "`Quadrature(normalize=True)`, or `ImportanceSampling(proposal, num_draws)`."
        )
    if not operands[-1].normalized and functional.needs_normalized:
        raise TypeError(
            f"{type(functional).__name__} is not defined for an unnormalised second argument (only "
            "KL and cross-entropy are): use `Quadrature(normalize=True)`."
        )
