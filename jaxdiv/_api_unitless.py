"""The verbs of divergences without a unit."""

from collections.abc import Callable

from jaxtyping import Array, ArrayLike, Float, Key

from ._api import Value, evaluate
from ._estimator.base import AbstractEstimator
from ._functional.bregman import Bregman
from ._functional.chi_squared import NeymanChiSquared, TriangularDiscrimination
from ._functional.f_divergences import ChiSquared, SquaredHellinger, TotalVariation
from ._functional.power import AmariAlpha, CressieRead, Tsallis
from ._operand.base import Operand


def total_variation(
    p: Operand,
    q: Operand,
    *,
    estimator: AbstractEstimator | None = None,
    key: Key[Array, ""] | None = None,
) -> Value:
    r"""$\frac12 \sum |p - q|$. See `TotalVariation`.

    Arguments, result and errors as for `divergence`.

    Example:
        >>> import jaxdiv as jd
        >>> print(f"{jd.total_variation(jd.probs([1.0, 0.0]), jd.probs([0.5, 0.5])):.6f}")
        0.500000
    """
    return evaluate(TotalVariation(), (p, q), None, estimator, key)


def squared_hellinger(
    p: Operand,
    q: Operand,
    *,
    estimator: AbstractEstimator | None = None,
    key: Key[Array, ""] | None = None,
) -> Value:
    r"""$\frac12 \sum (\sqrt p - \sqrt q)^2$. See `SquaredHellinger`.

    Arguments, result and errors as for `divergence`.

    Example:
        >>> import jaxdiv as jd
        >>> print(f"{jd.squared_hellinger(jd.Normal(0.0, 1.0), jd.Normal(2.0, 1.0)):.6f}")
        0.393469
    """
    return evaluate(SquaredHellinger(), (p, q), None, estimator, key)


def chi_squared(
    p: Operand,
    q: Operand,
    *,
    estimator: AbstractEstimator | None = None,
    key: Key[Array, ""] | None = None,
) -> Value:
    r"""Pearson's $\sum (p - q)^2 / q$. See `ChiSquared`.

    Arguments, result and errors as for `divergence`.

    Example:
        >>> import jaxdiv as jd
        >>> print(f"{jd.chi_squared(jd.Normal(1.0, 1.0), jd.Normal(0.0, 1.0)):.6f}")
        1.718282
    """
    return evaluate(ChiSquared(), (p, q), None, estimator, key)


def neyman_chi_squared(
    p: Operand,
    q: Operand,
    *,
    estimator: AbstractEstimator | None = None,
    key: Key[Array, ""] | None = None,
) -> Value:
    r"""Neyman's $\sum (p - q)^2 / p$. See `NeymanChiSquared`.

    Arguments, result and errors as for `divergence`.

    Example:
        >>> import jaxdiv as jd
        >>> print(f"{jd.neyman_chi_squared(jd.Normal(1.0, 1.0), jd.Normal(0.0, 1.0)):.6f}")
        1.718282
    """
    return evaluate(NeymanChiSquared(), (p, q), None, estimator, key)


def triangular_discrimination(
    p: Operand,
    q: Operand,
    *,
    estimator: AbstractEstimator | None = None,
    key: Key[Array, ""] | None = None,
) -> Value:
    r"""$\sum (p - q)^2 / (p + q)$, twice Le Cam's divergence. See `TriangularDiscrimination`.

    Arguments, result and errors as for `divergence`.

    Example:
        >>> import jaxdiv as jd
        >>> p, q = jd.probs([1.0, 0.0]), jd.probs([0.0, 1.0])
        >>> print(f"{jd.triangular_discrimination(p, q):.1f}")
        2.0
    """
    return evaluate(TriangularDiscrimination(), (p, q), None, estimator, key)


def cressie_read(
    p: Operand,
    q: Operand,
    power: Float[ArrayLike, ""],
    *,
    estimator: AbstractEstimator | None = None,
    key: Key[Array, ""] | None = None,
) -> Value:
    r"""$\frac{1}{\lambda(\lambda+1)} \sum p\,[(p/q)^\lambda - 1]$. See `CressieRead`.

    Arguments, result and errors as for `divergence`.

    Example:
        >>> import jaxdiv as jd
        >>> p, q = jd.probs([0.5, 0.5]), jd.probs([0.25, 0.75])
        >>> print(f"{jd.cressie_read(p, q, 2 / 3):.6f}")
        0.157745
    """
    return evaluate(CressieRead(power), (p, q), None, estimator, key)


def amari_alpha(
    p: Operand,
    q: Operand,
    alpha: Float[ArrayLike, ""],
    *,
    estimator: AbstractEstimator | None = None,
    key: Key[Array, ""] | None = None,
) -> Value:
    r"""$\frac{4}{1-\alpha^2} (1 - \sum p^{(1-\alpha)/2} q^{(1+\alpha)/2})$. See `AmariAlpha`.

    Arguments, result and errors as for `divergence`.

    Example:
        >>> import jaxdiv as jd
        >>> p, q = jd.probs([1.0, 0.0]), jd.probs([0.0, 1.0])
        >>> print(f"{jd.amari_alpha(p, q, 0.0):.1f}")
        4.0
    """
    return evaluate(AmariAlpha(alpha), (p, q), None, estimator, key)


def tsallis(
    p: Operand,
    q: Operand,
    order: Float[ArrayLike, ""],
    *,
    estimator: AbstractEstimator | None = None,
    key: Key[Array, ""] | None = None,
) -> Value:
    r"""$\frac{1}{q - 1} (\sum p^q Q^{1-q} - 1)$, of order $q$. See `Tsallis`.

    Arguments, result and errors as for `divergence`.

    Example:
        >>> import jaxdiv as jd
        >>> print(f"{jd.tsallis(jd.Normal(0.0, 1.0), jd.Normal(2.0, 1.0), 0.5):.6f}")
        0.786939
    """
    return evaluate(Tsallis(order), (p, q), None, estimator, key)


def bregman(
    p: Operand,
    q: Operand,
    generator: Callable[[Float[Array, ""]], Float[Array, ""]],
    *,
    at_zero: float | None = None,
    slope_at_zero: float | None = None,
    estimator: AbstractEstimator | None = None,
    key: Key[Array, ""] | None = None,
) -> Value:
    r"""$\sum \phi(p) - \phi(q) - \phi'(q)\,(p - q)$ for a convex $\phi$. See `Bregman`.

    Arguments, result and errors as for `divergence` and `Bregman`.

    Example:
        >>> import jax.numpy as jnp, jaxdiv as jd
        >>> p, q = jd.masses([2.0, 1.0]), jd.masses([1.0, 1.0])
        >>> print(f"{jd.bregman(p, q, lambda x: -jnp.log(x)):.6f}")
        0.306853
    """
    functional = Bregman(generator, at_zero, slope_at_zero)
    return evaluate(functional, (p, q), None, estimator, key)
