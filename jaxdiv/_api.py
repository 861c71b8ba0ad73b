"""The verbs: any functional, and the divergences that have a unit."""

import math
from typing import Any

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, ArrayLike, Float, Key

from ._estimator.base import AbstractEstimator, Estimate
from ._estimator.exact import Exact
from ._estimator.monte_carlo import value_only
from ._functional.base import AbstractFunctional
from ._functional.chernoff import ChernoffInformation
from ._functional.f_divergences import JensenShannon
from ._functional.kl import KL, Jeffreys
from ._functional.multi_jensen_shannon import multi_jensen_shannon as _of_many
from ._functional.renyi import Renyi
from ._operand.align import align
from ._operand.base import Operand, floating
from ._operand.batch import map_batch_axis
from ._operand.convert import as_operand, as_operands
from ._operand.discrete import AbstractDiscrete

Value = Float[Array, "*batch"]


def divergence(
    functional: AbstractFunctional,
    p: Operand,
    q: Operand,
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
    return evaluate(functional, (p, q), base, estimator, key)


def kl(
    p: Operand,
    q: Operand,
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
    return evaluate(KL(), (p, q), base, estimator, key)


def jeffreys(
    p: Operand,
    q: Operand,
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
    return evaluate(Jeffreys(), (p, q), base, estimator, key)


def jensen_shannon(
    p: Operand,
    q: Operand,
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
    return evaluate(JensenShannon(weight), (p, q), base, estimator, key)


def jensen_shannon_distance(
    p: Operand,
    q: Operand,
    *,
    base: float | None = None,
    estimator: AbstractEstimator | None = None,
    key: Key[Array, ""] | None = None,
) -> Value:
    r"""$\sqrt{\mathrm{JS}(P, Q)}$, a metric (Endres & Schindelin 2003).

    Its slope is reported as 0 where it is 0. `base` is that of the divergence under the root.
    Arguments, result and errors as for `divergence`.

    Example:
        >>> import jaxdiv as jd
        >>> p, q = jd.probs([1.0, 0.0]), jd.probs([0.0, 1.0])
        >>> print(f"{jd.jensen_shannon_distance(p, q, base=2):.6f}")
        1.000000
    """
    square = jensen_shannon(p, q, base=base, estimator=estimator, key=key)
    apart = square > 0
    return jnp.where(apart, jnp.sqrt(jnp.where(apart, square, 1.0)), 0.0 * square)


def multi_jensen_shannon(
    ps: AbstractDiscrete | Any,
    weights: Float[ArrayLike, "K"] | None = None,
    *,
    base: float | None = None,
) -> Value:
    r"""$\sum_k w_k\,\mathrm{KL}(P_k \| M) = H(M) - \sum_k w_k H(P_k)$, $M = \sum_k w_k P_k$.

    The Jensen-Shannon divergence of $K$ distributions (Lin 1991): the mutual information of an
    outcome and of which of them it came from. At most the entropy of the weights.

    Args:
        ps: distributions over classes; their last batch axis is $K$.
        weights: non-negative, summing to 1; by default all $1/K$.
        base: unit: None for nats, 2 for bits, 10 for hartleys.

    Returns:
        One value per example: the batch axes of `ps` but the last.

    Raises:
        TypeError: `ps` is not a distribution over classes.
        ValueError: it has no batch axis, or `weights` another length.

    Example:
        >>> import jax.numpy as jnp, jaxdiv as jd
        >>> print(f"{jd.multi_jensen_shannon(jd.probs(jnp.eye(4)), base=2):.6f}")
        2.000000
    """
    ps = as_operand("ps", ps)
    if not isinstance(ps, AbstractDiscrete):
        raise TypeError(
            f"multi_jensen_shannon takes distributions over classes, got {type(ps).__name__}: of "
            "densities, mix them with `Mixture` and average their `kl` to it by `Quadrature`."
        )
    shape = ps.batch_shape
    if not shape or (weights is not None and jnp.shape(weights) != shape[-1:]):
        raise ValueError(
            "multi_jensen_shannon: the last batch axis of ps must hold the distributions, one to a "
            f"weight; got batch shape {shape} and weights {weights}."
        )
    pair = align(ps, map_batch_axis(ps, lambda x, axis: lax.slice_in_dim(x, 0, 1, axis=axis)))
    if weights is None:
        weights = jnp.full(shape[-1], 1 / shape[-1], pair.p.dtype)
    (weights,) = floating(weights)
    return in_base(_of_many(pair, weights.astype(pair.p.dtype)), base)


def renyi(
    p: Operand,
    q: Operand,
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
    return evaluate(Renyi(order), (p, q), base, estimator, key)


def bhattacharyya(
    p: Operand,
    q: Operand,
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
    return 0.5 * evaluate(Renyi(0.5), (p, q), base, estimator, key)


def chernoff_information(
    p: Operand,
    q: Operand,
    *,
    base: float | None = None,
    estimator: AbstractEstimator | None = None,
    key: Key[Array, ""] | None = None,
) -> Value:
    r"""$\max_{0 \le a \le 1} -\log \sum p^a q^{1-a}$. See `ChernoffInformation`.

    Arguments, result and errors as for `divergence`.

    Example:
        >>> import jaxdiv as jd
        >>> print(f"{jd.chernoff_information(jd.probs([1.0, 0.0]), jd.probs([0.5, 0.5])):.6f}")
        0.693147
    """
    return evaluate(ChernoffInformation(), (p, q), base, estimator, key)


def estimate(
    functional: AbstractFunctional,
    p: Operand,
    q: Operand | None,
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
        `Estimate(value, standard_error, effective_sample_size, pareto_k, bound)`, of which
        `reliable` and `warning` say whether the standard error can be trusted: of `UpperBound` and
        `LowerBound` it is NaN, and `bound` says on which side the value is.

    Example:
        >>> import jaxdiv as jd
        >>> p, q = jd.Normal(0.0, 1.0), jd.Normal(1.0, 1.0)
        >>> e = jd.estimate(jd.KL(), p, q, jd.Quadrature())
        >>> print(f"{e.value:.6f}")
        0.500000
    """
    operands = as_operands(p) if q is None else as_operands(p, q)
    return estimator.estimate(functional, operands, key)


def evaluate(
    functional: AbstractFunctional,
    operands: tuple[Any, ...],
    base: float | None,
    estimator: AbstractEstimator | None,
    key: Key[Array, ""] | None,
) -> Value:
    """What every verb does."""
    operands = as_operands(*operands)
    if base is not None and not functional.logarithmic:
        raise TypeError(
            f"{type(functional).__name__} has no unit: `base` applies to logarithmic functionals."
        )
    by = Exact() if estimator is None else value_only(estimator)
    value = by.estimate(functional, operands, key).value
    return in_base(value, base)


def in_base(value: Value, base: float | None) -> Value:
    """From nats."""
    if base is None:
        return value
    if isinstance(base, (int, float)) and not (base > 0 and base != 1):
        raise ValueError(f"base must be positive and not 1, got {base}.")
    return value / (math.log(base) if isinstance(base, (int, float)) else jnp.log(base))
