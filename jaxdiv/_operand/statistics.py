"""Functions of an outcome whose mean a family knows: what closed forms across families need."""

import equinox as eqx
from jaxtyping import Array, ArrayLike, Float

from .._estimator.rules import find_rule
from .base import AbstractDistribution


class AbstractStatistic(eqx.Module):
    """A function $t$ of an outcome on the line; families register $E[t(X)]$ by `rule`."""


class Log(AbstractStatistic):
    r"""$\log x$."""


class Log1m(AbstractStatistic):
    r"""$\log(1 - x)$."""


class Exp(AbstractStatistic):
    r"""$e^{t x}$."""

    rate: Float[ArrayLike, "..."]


class Power(AbstractStatistic):
    r"""$x^k$."""

    exponent: Float[ArrayLike, "..."]


class Distance(AbstractStatistic):
    r"""$|x - m|$."""

    point: Float[ArrayLike, "..."]


class SquaredLog(AbstractStatistic):
    r"""$(\log x - m)^2$."""

    point: Float[ArrayLike, "..."]


def mean_of(statistic: AbstractStatistic, p: AbstractDistribution) -> Array | None:
    """$E[t(X)]$, or None where the family does not say."""
    fn = find_rule(statistic, p)
    return None if fn is None else fn(statistic, p)
