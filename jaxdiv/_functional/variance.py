"""Variances of the information: of one operand, and of two."""

from typing import ClassVar

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from .._special.base import log1p
from .base import AbstractFunctional, Pair, no_average


def _variance(pair: Pair, x: Array, used: Array) -> Float[Array, "*batch"]:
    """Of `x` under `p`; right where `x` is, whatever its mean."""
    p, x = jnp.where(used, pair.p, 0.0), jnp.where(used, x, 0.0)
    mass = pair.total(p)
    mean = pair.total(p * x) / jnp.where(mass > 0, mass, 1.0)
    apart = x - mean[..., None]
    return pair.total(p * apart * apart)


class Varentropy(AbstractFunctional):
    r"""$V(P) = \mathrm{Var}_P[\log p]$, in nats squared (Kontoyiannis & Verdu 2014).

    0 exactly where $P$ is uniform on its support. Divide by $(\log 2)^2$ for bits squared.

    Example:
        >>> import jaxdiv as jd
        >>> print(f"{jd.varentropy(jd.Normal(0.0, 3.0)):.2f}")
        0.50
    """

    logarithmic: ClassVar[bool] = False
    additive: ClassVar[bool] = True
    linear_in_r: ClassVar[bool] = False
    needs_normalized: ClassVar[bool] = True

    def integrate(self, pair):
        zero = pair.log_p == -jnp.inf
        top = pair.maximum(pair.log_p)
        top = jnp.where(jnp.isinf(top), 0.0, top)[..., None]
        return _variance(pair, jnp.where(zero, 0.0, pair.log_p) - top, ~zero)

    def terms(self, draws):
        raise no_average(self)

    def reverse_terms(self, draws):
        return None

    def link(self, mean):
        return mean

    def compose(self, evaluate, *operands):
        return None


class InformationVariance(AbstractFunctional):
    r"""$V(P \| Q) = \mathrm{Var}_P[\log p - \log q]$, in nats squared (Strassen 1962).

    The dispersion of the log-likelihood ratio, whose mean is KL. Infinite where $p > 0 = q$;
    outcomes with $p = 0$ count nothing. It is 0 wherever $p/q$ is constant on the support of $P$,
    so it is no divergence.

    Example:
        >>> import jaxdiv as jd
        >>> p, q = jd.Normal(1.0, 1.0), jd.Normal(0.0, 1.0)
        >>> print(f"{jd.information_variance(p, q):.2f}")
        1.00
    """

    logarithmic: ClassVar[bool] = False
    additive: ClassVar[bool] = True
    linear_in_r: ClassVar[bool] = False
    needs_normalized: ClassVar[bool] = True

    def integrate(self, pair):
        lost = pair.maximum(pair.q_is_zero.astype(pair.r.dtype)) > 0
        value = _variance(pair, pair.finite_r, ~jnp.isinf(pair.r))
        return jnp.where(lost, jnp.inf, 0.0) + value

    def terms(self, draws):
        raise no_average(self)

    def reverse_terms(self, draws):
        return None

    def link(self, mean):
        return mean

    def compose(self, evaluate, *operands):
        return None


def varentropy_of_masses(pair: Pair) -> Float[Array, "*batch"]:
    """From masses that are exact: their ratios keep the digits that their logarithms lose."""
    top = pair.maximum(pair.p)[..., None]
    top = lax.stop_gradient(jnp.where(top > 0, top, 1.0))
    near, zero = pair.p > 0.5 * top, pair.log_p == -jnp.inf
    close = log1p((jnp.where(near, pair.p, top) - top) / top)
    far = jnp.where(zero | near, 0.0, pair.log_p) - jnp.log(top)
    return _variance(pair, jnp.where(near, close, far), ~zero)
