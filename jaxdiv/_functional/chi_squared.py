"""Relatives of Pearson's chi-squared: Neyman's, and the triangular discrimination."""

from typing import ClassVar

import jax.numpy as jnp

from .._special import expm1, quotient, tanh
from .base import AbstractDecomposable
from .f_divergences import ChiSquared


class NeymanChiSquared(AbstractDecomposable):
    r"""Neyman's $\chi^2_N(P \| Q) = \sum (p - q)^2 / p$: Pearson's, of $Q$ and $P$ (Neyman 1949).

    Infinite where $q > 0 = p$; a term is $p$ where $q = 0$.

    Example:
        >>> import jaxdiv as jd
        >>> p, q = jd.probs([0.25, 0.75]), jd.probs([0.5, 0.5])
        >>> print(f"{jd.neyman_chi_squared(p, q):.6f}")
        0.333333
    """

    logarithmic: ClassVar[bool] = False
    additive: ClassVar[bool] = False
    linear_in_r: ClassVar[bool] = False
    needs_normalized: ClassVar[bool] = True

    def nodes(self, pair):
        return ChiSquared().nodes(pair.swapped)

    def terms(self, draws):
        return None

    def reverse_terms(self, draws):
        return expm1(-draws.r)

    def link(self, mean):
        return mean

    def compose(self, evaluate, *operands):
        p, q = operands
        return evaluate(ChiSquared(), q, p)


class TriangularDiscrimination(AbstractDecomposable):
    r"""$\Delta(P, Q) = \sum (p - q)^2 / (p + q)$, in $[0, 2]$ (Topsoe 2000).

    Half of it is Le Cam's divergence, and the square root of it is a metric. Where one mass is zero
    a term is the other.

    Example:
        >>> import jaxdiv as jd
        >>> p, q = jd.probs([1.0, 0.0]), jd.probs([0.5, 0.5])
        >>> print(f"{jd.triangular_discrimination(p, q):.6f}")
        0.666667
    """

    logarithmic: ClassVar[bool] = False
    additive: ClassVar[bool] = False
    linear_in_r: ClassVar[bool] = False
    needs_normalized: ClassVar[bool] = True

    def nodes(self, pair):
        # (p - q)/(p + q), at a zero from the masses: their slopes are finite there, that of r not.
        either = jnp.isinf(pair.r)
        total = pair.p + pair.q
        share = quotient(pair.p - pair.q, jnp.where(either & (total > 0), total, 1.0))
        share = jnp.where(either, share, tanh(0.5 * pair.finite_r))
        return pair.difference * share

    def terms(self, draws):
        return 2 * tanh(0.5 * draws.r)

    def reverse_terms(self, draws):
        return None

    def link(self, mean):
        return mean

    def compose(self, evaluate, *operands):
        return None
