"""The verbs."""

import math
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Key

from ._estimator.base import AbstractEstimator, Estimate
from ._estimator.exact import Exact
from ._functional.base import AbstractFunctional
from ._functional.entropies import CrossEntropy, Entropy
from ._functional.f_divergences import ChiSquared, JensenShannon, SquaredHellinger, TotalVariation
from ._functional.kl import KL, Jeffreys
from ._functional.renyi import Renyi
from ._operand.base import AbstractOperand
from ._operand.validation import check_operand

Value = Float[Array, "*batch"]


def divergence(
    functional: AbstractFunctional,
    p: AbstractOperand,
    q: AbstractOperand,
    *,
    base: float | None = None,
    estimator: AbstractEstimator | None = None,
    key: Key[Array, ""] | None = None,
) -> Value:
    r"""$D(P, Q)$ for a functional `D` of two operands, e.g. `KL()`, `Renyi(2.0)`.

    Args:
        functional: what is measured.
        p: the first argument; its batch axes broadcast with those of `q`.
        q: the second argument.
        base: unit of a logarithmic functional: None for nats, 2 for bits, 10 for hartleys.
        estimator: how; None is the closed form, and nothing else.
        key: for estimators that draw.

    Returns:
        One value per example: the broadcast batch shape, in the operands' dtype (float32 for half
        precision).

    Raises:
        NoClosedFormError: no estimator was given and no closed form is known.
        TypeError: an operand is not tagged, or `base` was given to a functional without a unit.

    Example:
        >>> import jaxdiv as jd
        >>> p, q = jd.probs([0.5, 0.5]), jd.probs([0.25, 0.75])
        >>> print(f"{jd.divergence(jd.KL(), p, q, base=2):.6f}")
        0.207519
    """
    return _evaluate(functional, (p, q), base, estimator, key)


def entropy(
    p: AbstractOperand,
    *,
    base: float | None = None,
    estimator: AbstractEstimator | None = None,
    key: Key[Array, ""] | None = None,
) -> Value:
    r"""$H(P) = -E_P[\log p]$; of a density, the differential entropy. See `Entropy`.

    Arguments, result and errors as for `divergence`.

    Example:
        >>> import jaxdiv as jd
        >>> print(f"{jd.entropy(jd.probs([0.5, 0.25, 0.25]), base=2):.2f}")
        1.50
    """
    return _evaluate(Entropy(), (p,), base, estimator, key)


def cross_entropy(
    p: AbstractOperand,
    q: AbstractOperand,
    *,
    base: float | None = None,
    estimator: AbstractEstimator | None = None,
    key: Key[Array, ""] | None = None,
) -> Value:
    r"""$H(P, Q) = -E_P[\log q] = H(P) + \mathrm{KL}(P \| Q)$. See `CrossEntropy`.

    Of observations against a model it is the negative log-likelihood: `labels` against `logits`
    for classification, `PointMass` against a family for regression, per example; `samples`
    against a family, averaged. Arguments, result and errors as for `divergence`.

    Example:
        >>> import jax.numpy as jnp, jaxdiv as jd
        >>> y, z = jd.labels(jnp.array([0, 1])), jd.logits(jnp.zeros((2, 4)))
        >>> print(jd.cross_entropy(y, z, base=2))
        [2. 2.]
    """
    return _evaluate(CrossEntropy(), (p, q), base, estimator, key)


def kl(
    p: AbstractOperand,
    q: AbstractOperand,
    *,
    base: float | None = None,
    estimator: AbstractEstimator | None = None,
    key: Key[Array, ""] | None = None,
) -> Value:
    r"""$\mathrm{KL}(P \| Q) = E_P[\log p - \log q]$. See `KL`.

    Arguments, result and errors as for `divergence`.

    Example:
        >>> import jaxdiv as jd
        >>> print(f"{jd.kl(jd.Normal(1.0, 1.0), jd.Normal(0.0, 1.0), base=2):.6f}")
        0.721348
    """
    return _evaluate(KL(), (p, q), base, estimator, key)


def jeffreys(
    p: AbstractOperand,
    q: AbstractOperand,
    *,
    base: float | None = None,
    estimator: AbstractEstimator | None = None,
    key: Key[Array, ""] | None = None,
) -> Value:
    r"""$\mathrm{KL}(P \| Q) + \mathrm{KL}(Q \| P)$. See `Jeffreys`.

    Arguments, result and errors as for `divergence`.

    Example:
        >>> import jaxdiv as jd
        >>> print(f"{jd.jeffreys(jd.Normal(1.0, 1.0), jd.Normal(0.0, 1.0)):.6f}")
        1.000000
    """
    return _evaluate(Jeffreys(), (p, q), base, estimator, key)


def jensen_shannon(
    p: AbstractOperand,
    q: AbstractOperand,
    weight: Float[ArrayLike, ""] = 0.5,
    *,
    base: float | None = None,
    estimator: AbstractEstimator | None = None,
    key: Key[Array, ""] | None = None,
) -> Value:
    r"""$\beta\,\mathrm{KL}(P \| M) + (1 - \beta)\,\mathrm{KL}(Q \| M)$. See `JensenShannon`.

    Arguments, result and errors as for `divergence`.

    Example:
        >>> import jaxdiv as jd
        >>> print(f"{jd.jensen_shannon(jd.probs([1.0, 0.0]), jd.probs([0.5, 0.5]), base=2):.6f}")
        0.311278
    """
    return _evaluate(JensenShannon(weight), (p, q), base, estimator, key)


def renyi(
    p: AbstractOperand,
    q: AbstractOperand,
    order: Float[ArrayLike, ""],
    *,
    base: float | None = None,
    estimator: AbstractEstimator | None = None,
    key: Key[Array, ""] | None = None,
) -> Value:
    r"""$\frac{1}{\alpha - 1} \log \sum p^\alpha q^{1 - \alpha}$. See `Renyi`.

    Arguments, result and errors as for `divergence`.

    Example:
        >>> import jaxdiv as jd
        >>> print(f"{jd.renyi(jd.probs([1.0, 0.0]), jd.probs([0.5, 0.5]), 2.0, base=2):.6f}")
        1.000000
    """
    return _evaluate(Renyi(order), (p, q), base, estimator, key)


def bhattacharyya(
    p: AbstractOperand,
    q: AbstractOperand,
    *,
    base: float | None = None,
    estimator: AbstractEstimator | None = None,
    key: Key[Array, ""] | None = None,
) -> Value:
    r"""$-\log \sum \sqrt{p q}$, half the Renyi divergence of order one half.

    Arguments, result and errors as for `divergence`.

    Example:
        >>> import jaxdiv as jd
        >>> print(f"{jd.bhattacharyya(jd.Normal(0.0, 1.0), jd.Normal(2.0, 1.0)):.6f}")
        0.500000
    """
    return 0.5 * _evaluate(Renyi(0.5), (p, q), base, estimator, key)


def total_variation(
    p: AbstractOperand,
    q: AbstractOperand,
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
    return _evaluate(TotalVariation(), (p, q), None, estimator, key)


def squared_hellinger(
    p: AbstractOperand,
    q: AbstractOperand,
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
    return _evaluate(SquaredHellinger(), (p, q), None, estimator, key)


def chi_squared(
    p: AbstractOperand,
    q: AbstractOperand,
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
    return _evaluate(ChiSquared(), (p, q), None, estimator, key)


def estimate(
    functional: AbstractFunctional,
    p: AbstractOperand,
    q: AbstractOperand | None,
    estimator: AbstractEstimator,
    *,
    key: Key[Array, ""] | None = None,
) -> Estimate:
    r"""$D(P, Q)$ with what is known of its error, in nats.

    Args:
        functional: what is measured.
        p: the first argument.
        q: the second, or None for a functional of one (`Entropy()`).
        estimator: how.
        key: for estimators that draw.

    Returns:
        `Estimate(value, standard_error, effective_sample_size)`.

    Example:
        >>> import jaxdiv as jd
        >>> p, q = jd.Normal(0.0, 1.0), jd.Normal(1.0, 1.0)
        >>> e = jd.estimate(jd.KL(), p, q, jd.Quadrature())
        >>> print(f"{e.value:.6f}")
        0.500000
    """
    operands = (p,) if q is None else (p, q)
    for name, d in zip("pq", operands, strict=False):
        check_operand(name, d)
    return estimator.estimate(functional, operands, key)


def _evaluate(
    functional: AbstractFunctional,
    operands: tuple[Any, ...],
    base: float | None,
    estimator: AbstractEstimator | None,
    key: Key[Array, ""] | None,
) -> Value:
    for name, d in zip("pq", operands, strict=False):
        check_operand(name, d)
    if base is not None and not functional.logarithmic:
        raise TypeError(
            f"{type(functional).__name__} has no unit: `base` applies to logarithmic functionals."
        )
    if isinstance(base, (int, float)) and not (base > 0 and base != 1):
        raise ValueError(f"base must be positive and not 1, got {base}.")
    value = (Exact() if estimator is None else estimator).estimate(functional, operands, key).value
    if base is None:
        return value
    return value / (math.log(base) if isinstance(base, (int, float)) else jnp.log(base))
