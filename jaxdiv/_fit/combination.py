"""Which divergences may be estimated how in a fit, and why not where not."""

from typing import Any

from .._estimator.base import AbstractEstimator
from .._estimator.monte_carlo import FixedDraws, MonteCarlo, drawn_from
from .._functional.base import AbstractFunctional
from .._functional.chi_squared import NeymanChiSquared
from .._functional.f_divergences import ChiSquared
from .._functional.power import AmariAlpha, CressieRead, Tsallis
from .._functional.renyi import Renyi
from .._operand.cauchy import Cauchy, StudentT
from .._operand.independent import Independent
from .._operand.log_density import LogDensity
from .._operand.low_rank_normal import LowRankMultivariateNormal
from .._operand.mixture import Mixture
from .._operand.multivariate_normal import MultivariateNormal
from .._operand.multivariate_student_t import MultivariateStudentT
from .._operand.normal import Normal

_NORMAL = Normal | MultivariateNormal | LowRankMultivariateNormal
_STUDENT = Cauchy | StudentT | MultivariateStudentT


def check_combination(
    functional: AbstractFunctional,
    operands: tuple[Any, Any],
    by: AbstractEstimator,
    target_first: bool,
) -> None:
    r"""Raises where the gradient of an estimate is biased, or infinite for every member.

    With $S_a = \int p^a q^{1-a}$: the value is infinite where $a > 1$ and $q$ has the lighter tails
    or $a < 0$ and $p$ has them; the variance of draws from $P$, $\int p^{2a-1} q^{2-2a}$, also
    where $a < \frac12$ and $p$ has them.
    """
    name = type(functional).__name__
    p, q = operands
    order, sampled = _order(functional), isinstance(by, MonteCarlo | FixedDraws)
    if order is not None:
        if (order > 1 and _lighter(q, p)) or (order < 0 and _lighter(p, q)):
            raise ValueError(
                f"fit: {name} between {type(p).__name__} and {type(q).__name__}, a density to the "
                f"power of {order:.4g} over one with lighter tails, is infinite for every member "
                "of the family: take a family of Student's t, or an order between 0 and 1."
            )
        if sampled and isinstance(functional, Renyi) and order < 0.5 and _lighter(p, q):
            raise ValueError(
                f"fit: Renyi of order {order:.4g} from draws of {type(p).__name__}, whose tails "
                f"are lighter than those of {type(q).__name__}, has infinite variance: take "
                f"Tsallis({order:.4g}), which draws from the other and has the same optima, or "
                "Quadrature()."
            )
    if not sampled:
        return
    target = p if target_first else q
    if isinstance(target, LogDensity) and drawn_from(functional)[0 if target_first else 1]:
        raise TypeError(
            f"fit: {name} needs draws from the target, and a LogDensity has no sampler: give it "
            "`points=` and take Quadrature() (up to three dimensions), give `samples(x)` of it, or "
            "take a divergence that draws from the family alone, such as reverse_kl or "
            f"{'AmariAlpha(alpha > 0)' if target_first else 'AmariAlpha(alpha < 0)'}."
        )
    if isinstance(by, MonteCarlo) and isinstance(functional, Renyi) and order != 1:
        raise TypeError(
            "fit: Renyi's divergence is a logarithm of a mean, so that its gradient from fresh "
            "draws is biased: take Tsallis(order), the mean itself, which has the same optima, or "
            "hold the draws, FixedDraws(n)."
        )


def _order(functional: Any) -> float | None:
    r"""The $a$ of $\int p^a q^{1-a}$, where it is known before the program runs."""
    if isinstance(functional, Renyi | Tsallis):
        order = functional.order
    elif isinstance(functional, CressieRead):
        order = functional.power + 1
    elif isinstance(functional, AmariAlpha):
        order = (1 - functional.alpha) / 2
    else:
        order = {ChiSquared: 2.0, NeymanChiSquared: -1.0}.get(type(functional))
    return float(order) if isinstance(order, (int, float)) else None


def _lighter(p: Any, q: Any) -> bool:
    """Whether every member of the one's family has lighter tails than every one of the other's."""
    return _tails(p) == {"normal"} and "student" in _tails(q)


def _tails(d: Any) -> set[str]:
    """Of a distribution, or of each component of a mixture; `"unknown"` of most."""
    if isinstance(d, Independent):
        return _tails(d.base)
    if isinstance(d, Mixture):
        parts = d.components if isinstance(d.components, tuple) else (d.components,)
        return set().union(*map(_tails, parts))
    if isinstance(d, _NORMAL):
        return {"normal"}
    return {"student"} if isinstance(d, _STUDENT) else {"unknown"}
