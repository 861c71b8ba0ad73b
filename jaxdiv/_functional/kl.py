"""The Kullback-Leibler divergence and its symmetrised form."""

from typing import ClassVar

import jax.numpy as jnp

from .._special import psi
from .base import AbstractDecomposable


class KL(AbstractDecomposable):
    r"""$\mathrm{KL}(P \| Q) = E_P[\log p - \log q]$ (Kullback & Leibler 1951), in nats.

    $0 \log 0 = 0$; infinite where $p > 0 = q$. Over complete pairs it is summed as
    $\sum p\,(e^{-r} - 1 + r)$, $r = \log p - \log q$: never negative, 0 exactly for equal inputs.

    Example:
        >>> import jaxdiv as jd
        >>> p, q = jd.probs([0.5, 0.5]), jd.probs([0.25, 0.75])
        >>> print(f"{jd.divergence(jd.KL(), p, q):.6f}")
        0.143841
    """

    logarithmic: ClassVar[bool] = True
    additive: ClassVar[bool] = True
    linear_in_r: ClassVar[bool] = True
    needs_normalized: ClassVar[bool] = False

    def nodes(self, pair):
        r = pair.finite_r
        if pair.complete:
            near = abs(r) < 1
            far = jnp.where(near, 0.0, pair.p * r - pair.p + pair.q)
            inside = jnp.where(near, pair.p * psi(jnp.where(near, r, 0.0)), far)
            inside = jnp.where(pair.p_is_zero, pair.q, inside)
        else:
            inside = jnp.where(pair.p_is_zero, 0.0, pair.p * r)
        return jnp.where(pair.q_is_zero, jnp.inf, inside)

    def terms(self, draws):
        return draws.r

    def reverse_terms(self, draws):
        return None

    def link(self, mean):
        return mean

    def compose(self, evaluate, *operands):
        return None


class Jeffreys(AbstractDecomposable):
    r"""$J(P, Q) = \mathrm{KL}(P \| Q) + \mathrm{KL}(Q \| P)$ (Jeffreys 1946), in nats.

    Infinite where exactly one of the two is zero. Not the Jensen-Shannon divergence.

    Example:
        >>> import jaxdiv as jd
        >>> print(f"{jd.jeffreys(jd.Normal(0.0, 1.0), jd.Normal(1.0, 1.0)):.3f}")
        1.000
    """

    logarithmic: ClassVar[bool] = True
    additive: ClassVar[bool] = True
    linear_in_r: ClassVar[bool] = False
    needs_normalized: ClassVar[bool] = True

    def nodes(self, pair):
        one_sided = pair.p_is_zero | pair.q_is_zero
        return jnp.where(one_sided, jnp.inf, pair.difference * pair.finite_r)

    def terms(self, draws):
        return draws.r

    def reverse_terms(self, draws):
        return -draws.r

    def link(self, mean):
        return mean

    def compose(self, evaluate, *operands):
        p, q = operands
        return evaluate(KL(), p, q) + evaluate(KL(), q, p)
