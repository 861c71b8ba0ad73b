"""The verbs of information: of one operand, or of two."""

import math
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Key

from ._api import Value, evaluate
from ._estimator.base import AbstractEstimator
from ._functional.entropies import CrossEntropy, Entropy
from ._functional.renyi_entropy import RenyiEntropy, TsallisEntropy
from ._functional.variance import InformationVariance, Varentropy
from ._operand.base import AbstractOperand, Operand
from ._operand.bernoulli import Bernoulli
from ._operand.convert import as_operand
from ._operand.discrete import AbstractDiscrete
from ._operand.empirical import PointMass
from ._operand.product import Product
from ._operand.tags import labels


def entropy(
    p: Operand,
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
    return evaluate(Entropy(), (p,), base, estimator, key)


def cross_entropy(
    p: Operand,
    q: Operand,
    *,
    base: float | None = None,
    estimator: AbstractEstimator | None = None,
    key: Key[Array, ""] | None = None,
) -> Value:
    r"""$H(P, Q) = -E_P[\log q] = H(P) + \mathrm{KL}(P \| Q)$. See `CrossEntropy`.

    Of observations against a model it is the negative log-likelihood, one value an example, which
    `mean` reduces. As a function of the model it is the KL divergence and a constant, so that
    minimising either is maximum likelihood.

    Classification, against `logits(z)`:

    - `labels(y)` of integers, with `smoothing=` and `ignore=`; `probs(p)` of one-hot or soft ones.
    - Class weights: `mean(loss, weights=w[y])`; of soft ones `masses(w * p)` for `probs(p)`.
    - `focal(loss)`; `loss + 1e-4 * z_loss(logits(z))`.
    - Two classes, or each of many that do not exclude each other: `Bernoulli(probs=y)` against
      `Bernoulli(logits=z)`.

    Regression, `PointMass(y)` against a family whose parameters a model gives:

    - `Normal(z, 1.0)`: least squares, half of it and a constant. `Normal(z, softplus(s))` learns
      the noise as well (heteroscedastic). `Laplace(z, 1.0)`: the absolute error and log 2.
    - Counts: `Poisson(exp(z))`; `NegativeBinomial(r, logits=log(r) - z)` of mean $e^z$, where
      they vary more.
    - `samples(x)` in place of `PointMass` is the average over their axis.

    Arguments, result and errors as for `divergence`.

    Example:
        >>> import jax.numpy as jnp, jaxdiv as jd
        >>> y, z = jd.labels(jnp.array([0, 1])), jd.logits(jnp.zeros((2, 4)))
        >>> print(jd.cross_entropy(y, z, base=2))
        [2. 2.]
        >>> print(f"{jd.cross_entropy(jd.PointMass(3.0), jd.Normal(1.0, 1.0)):.4f}")
        2.9189
    """
    return evaluate(CrossEntropy(), (p, q), base, estimator, key)


def surprisal(q: Operand, x: ArrayLike, *, base: float | None = None) -> Value:
    r"""$-\log q(x)$: the information in seeing $x$ where $q$ was expected.

    Args:
        q: a distribution over classes, or a density.
        x: one outcome per example: integers over classes, points of the density's space.
        base: unit: None for nats, 2 for bits, 10 for hartleys.

    Returns:
        One value per example; infinite where $q(x) = 0$.

    Raises:
        TypeError: `q` is not tagged, or `x` are no integers over classes.

    Example:
        >>> import jaxdiv as jd
        >>> print(f"{jd.surprisal(jd.probs([0.25, 0.75]), 0, base=2):.1f}")
        2.0
    """
    q = as_operand("q", q)
    return evaluate(CrossEntropy(), (_observed(q, x), q), base, None, None)


def _observed(q: AbstractOperand, x: Any) -> AbstractOperand:
    """An outcome of `q` as an operand."""
    if isinstance(q, Product):
        q.check_names("x", x)
        return Product({name: _observed(part, x[name]) for name, part in q.parts.items()})
    if not isinstance(q, AbstractDiscrete):
        return PointMass(x)
    if isinstance(q, Bernoulli) and jnp.issubdtype(jnp.result_type(x), jnp.bool_):
        x = jnp.asarray(x).astype(int)
    return labels(x)


def perplexity(
    p: Operand,
    q: Operand | None = None,
    *,
    estimator: AbstractEstimator | None = None,
    key: Key[Array, ""] | None = None,
) -> Value:
    r"""$e^{H(P)}$, or $e^{H(P, Q)}$: how many equally likely outcomes are as uncertain.

    That of a corpus is the exponential of the *mean* of its tokens' `cross_entropy`, not the mean
    of these. Arguments, result and errors as for `divergence`.

    Example:
        >>> import jax.numpy as jnp, jaxdiv as jd
        >>> print(f"{jd.perplexity(jd.probs(jnp.full(8, 1 / 8))):.2f}")
        8.00
    """
    if q is None:
        return jnp.exp(evaluate(Entropy(), (p,), None, estimator, key))
    return jnp.exp(evaluate(CrossEntropy(), (p, q), None, estimator, key))


def renyi_entropy(
    p: Operand,
    order: Float[ArrayLike, ""],
    *,
    base: float | None = None,
    estimator: AbstractEstimator | None = None,
    key: Key[Array, ""] | None = None,
) -> Value:
    r"""$\frac{1}{1 - \alpha} \log \sum p^\alpha$. See `RenyiEntropy`.

    Arguments, result and errors as for `divergence`.

    Example:
        >>> import jaxdiv as jd
        >>> print(f"{jd.renyi_entropy(jd.probs([0.5, 0.5, 0.0]), 0.0, base=2):.1f}")
        1.0
    """
    return evaluate(RenyiEntropy(order), (p,), base, estimator, key)


def collision_entropy(
    p: Operand,
    *,
    base: float | None = None,
    estimator: AbstractEstimator | None = None,
    key: Key[Array, ""] | None = None,
) -> Value:
    r"""$-\log \sum p^2$: the Renyi entropy of order 2. See `RenyiEntropy`.

    Arguments, result and errors as for `divergence`.

    Example:
        >>> import jaxdiv as jd
        >>> print(f"{jd.collision_entropy(jd.probs([0.5, 0.5]), base=2):.1f}")
        1.0
    """
    return evaluate(RenyiEntropy(2.0), (p,), base, estimator, key)


def min_entropy(
    p: Operand,
    *,
    base: float | None = None,
    estimator: AbstractEstimator | None = None,
    key: Key[Array, ""] | None = None,
) -> Value:
    r"""$-\log \max p$: the Renyi entropy of infinite order. See `RenyiEntropy`.

    Arguments, result and errors as for `divergence`.

    Example:
        >>> import jaxdiv as jd
        >>> print(f"{jd.min_entropy(jd.probs([0.5, 0.25, 0.25]), base=2):.1f}")
        1.0
    """
    return evaluate(RenyiEntropy(math.inf), (p,), base, estimator, key)


def tsallis_entropy(
    p: Operand,
    order: Float[ArrayLike, ""],
    *,
    estimator: AbstractEstimator | None = None,
    key: Key[Array, ""] | None = None,
) -> Value:
    r"""$\frac{1}{q - 1} (1 - \sum p^q)$, of order $q$. See `TsallisEntropy`.

    Arguments, result and errors as for `divergence`.

    Example:
        >>> import jaxdiv as jd
        >>> print(f"{jd.tsallis_entropy(jd.probs([0.5, 0.5]), 2.0):.1f}")
        0.5
    """
    return evaluate(TsallisEntropy(order), (p,), None, estimator, key)


def varentropy(
    p: Operand,
    *,
    estimator: AbstractEstimator | None = None,
    key: Key[Array, ""] | None = None,
) -> Value:
    r"""$\mathrm{Var}_P[\log p]$, in nats squared. See `Varentropy`.

    Arguments, result and errors as for `divergence`.

    Example:
        >>> import jaxdiv as jd
        >>> print(f"{jd.varentropy(jd.probs([0.5, 0.5])):.1f}")
        0.0
    """
    return evaluate(Varentropy(), (p,), None, estimator, key)


def information_variance(
    p: Operand,
    q: Operand,
    *,
    estimator: AbstractEstimator | None = None,
    key: Key[Array, ""] | None = None,
) -> Value:
    r"""$\mathrm{Var}_P[\log p - \log q]$, in nats squared. See `InformationVariance`.

    Arguments, result and errors as for `divergence`.

    Example:
        >>> import jaxdiv as jd
        >>> p, q = jd.Normal(2.0, 1.0), jd.Normal(0.0, 1.0)
        >>> print(f"{jd.information_variance(p, q):.1f}")
        4.0
    """
    return evaluate(InformationVariance(), (p, q), None, estimator, key)
