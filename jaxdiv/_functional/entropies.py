"""Entropy and cross-entropy."""

from typing import ClassVar

import jax.numpy as jnp

from .._special import neg_xlogy
from .base import AbstractFunctional
from .kl import KL


class Entropy(AbstractFunctional):
    r"""$H(P) = -E_P[\log p]$ (Shannon 1948), in nats; of a density, the differential entropy.

    $0 \log 0 = 0$. A differential entropy may be negative.

    Example:
        >>> import jaxdiv as jd
        >>> print(f"{jd.entropy(jd.probs([0.5, 0.5]), base=2):.3f}")
        1.000
    """

    logarithmic: ClassVar[bool] = True
    additive: ClassVar[bool] = True
    linear_in_r: ClassVar[bool] = False
    needs_normalized: ClassVar[bool] = True

    def integrate(self, pair):
        return pair.total(neg_xlogy(pair.p, pair.log_p))

    def terms(self, draws):
        return -draws.log_p

    def reverse_terms(self, draws):
        return None

    def link(self, mean):
        return mean

    def compose(self, evaluate, *operands):
        return None


class CrossEntropy(AbstractFunctional):
    r"""$H(P, Q) = -E_P[\log q] = H(P) + \mathrm{KL}(P \| Q)$, in nats.

    Of `labels`, `PointMass` or `samples` against a model it is the (mean) negative
    log-likelihood. Infinite where $p > 0 = q$; outcomes with $p = 0$ count nothing.

    Example:
        >>> import jaxdiv as jd
        >>> loss = jd.cross_entropy(jd.labels(1), jd.logits([0.0, 0.0]))
        >>> print(f"{loss:.6f}")
        0.693147
    """

    logarithmic: ClassVar[bool] = True
    additive: ClassVar[bool] = True
    linear_in_r: ClassVar[bool] = False
    needs_normalized: ClassVar[bool] = False

    def integrate(self, pair):
        inside = neg_xlogy(pair.p, jnp.where(pair.q_is_zero, 0.0, pair.log_q))
        return pair.total(jnp.where(pair.q_is_zero, jnp.inf, inside))

    def terms(self, draws):
        return -draws.log_q

    def reverse_terms(self, draws):
        return None

    def link(self, mean):
        return mean

    def compose(self, evaluate, *operands):
        p, q = operands
        return evaluate(Entropy(), p) + evaluate(KL(), p, q)
