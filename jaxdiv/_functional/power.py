r"""The power divergences: one sum $S_a = (1 - \sum p^a q^{1-a}) / a(1-a)$, differently scaled."""

import math
from collections.abc import Callable
from typing import Any, ClassVar

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from .._special import expm1, expm1_over, quotient, renyi_node
from .base import AbstractDecomposable, Draws, Pair, check_scalar
from .growth import outgrowth
from .renyi import Renyi, scaled


def power_nodes(pair: Pair, order: Any) -> Float[Array, "*batch n"]:
    r"""The terms of $S_a \ge 0$, for real $a$: $\mathrm{KL}(P\|Q)$ at 1, $\mathrm{KL}(Q\|P)$ at 0.

    They are $[ap + (1-a)q - p^a q^{1-a}] / a(1-a)$. Infinite where $p > 0 = q$ if $a \ge 1$,
    and where $q > 0 = p$ if $a \le 0$.
    """
    a = jnp.asarray(order, pair.r.dtype)
    r = pair.finite_r
    # Where the power outgrows the masses their ratio has the digits, and their logarithms have not.
    apart = (jnp.where(r > 0, a - 1, a) * r > 1.5) & (abs(r) > 1)
    outgrown, infinite = outgrowth(pair, order - 1, -order, apart)
    infinite = infinite | (pair.q_is_zero & (a >= 1)) | (pair.p_is_zero & (a <= 0))
    scale = jnp.where((a > 1) | (a < 0), a * (a - 1), 1.0)
    far = (outgrown - a * pair.p - (1 - a) * pair.q) / scale
    near = renyi_node(pair.p, pair.q, jnp.where(infinite | apart, 0.0, pair.r), a)
    near = near + _at_zero(pair.p, pair.q, pair.p_is_zero, a)
    near = near + _at_zero(pair.q, pair.p, pair.q_is_zero, 1 - a)
    return jnp.where(infinite, jnp.inf, jnp.where(apart, far, near))


def _at_zero(p: Array, q: Array, p_is_zero: Array, a: Array) -> Array:
    """Zero, with the derivatives in `p` at `p = 0 < q` that are finite."""
    here = p_is_zero & (q > 0)
    steep, curved = here & (a > 1), here & (a >= 2)
    linear = jnp.where(steep, p, 0.0) / jnp.where(a > 1, 1 - a, 1.0)
    ratio = quotient(jnp.where(curved, p, 0.0), jnp.where(here, q, 1.0))
    order = jnp.where(a >= 2, a, 2.0)
    return linear + jnp.where(curved, q, 0.0) * ratio**order / (order * (order - 1))


def power_terms(draws: Draws, order: ArrayLike) -> Array | None:
    """What is averaged over draws from P: all of it at orders from 1/2 up, else nothing.

    So the terms are bounded at orders in [0, 1], and of least variance elsewhere.
    """
    if isinstance(order, (int, float)) and order < 0.5:
        return None
    a = jnp.asarray(order, draws.r.dtype)
    safe = jnp.where(a < 0.5, 1.0, a)
    return jnp.where(a < 0.5, 0.0, scaled(expm1, safe - 1, draws.r, 0.5) / safe)


def reverse_power_terms(draws: Draws, order: ArrayLike) -> Array | None:
    """What is averaged over draws from Q: all of it at orders below 1/2."""
    if isinstance(order, (int, float)) and order >= 0.5:
        return None
    a = jnp.asarray(order, draws.r.dtype)
    safe = jnp.where(a < 0.5, a, 0.0)
    return jnp.where(a < 0.5, scaled(expm1, -safe, -draws.r, 0.5) / (1 - safe), 0.0)


def power_of_renyi(evaluate: Callable[..., Array], order: ArrayLike, p: Any, q: Any) -> Array:
    r"""$S_a$ from $R_a(P\|Q)$, or below one half from $R_{1-a}(Q\|P)$."""
    if isinstance(order, (int, float)):
        if order < 0.5:
            order, p, q = 1 - order, q, p
        return _from_renyi(evaluate(Renyi(order), p, q), order)
    order = jnp.asarray(order)
    upper = order >= 0.5
    high, low = jnp.where(upper, order, 0.5), jnp.where(upper, 0.5, 1 - order)
    above = _from_renyi(evaluate(Renyi(high), p, q), high)
    return jnp.where(upper, above, _from_renyi(evaluate(Renyi(low), q, p), low))


def _from_renyi(value: Array, order: ArrayLike) -> Array:
    a = jnp.asarray(order, value.dtype)
    disjoint = jnp.isinf(value)
    limit = jnp.where(a < 1, 1 / (a * jnp.where(a < 1, 1 - a, 1.0)), jnp.inf)
    value = jnp.where(disjoint, 0.0, value)
    return jnp.where(disjoint, limit, expm1_over(a - 1, value) / a)


class CressieRead(AbstractDecomposable):
    r"""$\frac{1}{\lambda(\lambda+1)} \sum p\,[(p/q)^\lambda - 1]$ (Cressie & Read 1984).

    $\mathrm{KL}(P\|Q)$ at $\lambda = 0$ and $\mathrm{KL}(Q\|P)$ at $-1$, their limits; half of
    Pearson's $\chi^2$ at 1 and of Neyman's at $-2$; $4 H^2$ at $-\frac12$. The test statistic is
    $2n$ times it. Infinite where $p > 0 = q$ if $\lambda \ge 0$, and where $q > 0 = p$ if
    $\lambda \le -1$.

    Args:
        power: $\lambda$, any real number; may be traced and differentiated. (Cressie and Read
            recommend 2/3.)

    Example:
        >>> import jaxdiv as jd
        >>> p, q = jd.probs([0.5, 0.5]), jd.probs([0.25, 0.75])
        >>> print(f"{2 * jd.cressie_read(p, q, 1.0):.6f}")
        0.333333
    """

    power: Float[ArrayLike, ""]
    logarithmic: ClassVar[bool] = False
    additive: ClassVar[bool] = False
    linear_in_r: ClassVar[bool] = False
    needs_normalized: ClassVar[bool] = True

    def __check_init__(self):
        _check_finite("power", self.power)

    def nodes(self, pair):
        return power_nodes(pair, self.power + 1)

    def terms(self, draws):
        return power_terms(draws, self.power + 1)

    def reverse_terms(self, draws):
        return reverse_power_terms(draws, self.power + 1)

    def link(self, mean):
        return mean

    def compose(self, evaluate, *operands):
        return power_of_renyi(evaluate, self.power + 1, *operands)


class AmariAlpha(AbstractDecomposable):
    r"""$\frac{4}{1 - \alpha^2} \left(1 - \sum p^{(1-\alpha)/2} q^{(1+\alpha)/2}\right)$.

    In the convention of Amari & Nagaoka (2000): $\mathrm{KL}(P\|Q)$ at $\alpha = -1$ and
    $\mathrm{KL}(Q\|P)$ at 1, their limits, and $4 H^2$ at 0. Infinite where $p > 0 = q$ if
    $\alpha \le -1$, and where $q > 0 = p$ if $\alpha \ge 1$.

    Args:
        alpha: $\alpha$, any real number; may be traced and differentiated.

    Example:
        >>> import jaxdiv as jd
        >>> p, q = jd.probs([0.5, 0.5]), jd.probs([0.25, 0.75])
        >>> print(f"{jd.amari_alpha(p, q, -1.0):.6f} {jd.kl(p, q):.6f}")
        0.143841 0.143841
    """

    alpha: Float[ArrayLike, ""]
    logarithmic: ClassVar[bool] = False
    additive: ClassVar[bool] = False
    linear_in_r: ClassVar[bool] = False
    needs_normalized: ClassVar[bool] = True

    def __check_init__(self):
        _check_finite("alpha", self.alpha)

    @property
    def _order(self) -> ArrayLike:
        return (1 - self.alpha) / 2

    def nodes(self, pair):
        return power_nodes(pair, self._order)

    def terms(self, draws):
        return power_terms(draws, self._order)

    def reverse_terms(self, draws):
        return reverse_power_terms(draws, self._order)

    def link(self, mean):
        return mean

    def compose(self, evaluate, *operands):
        return power_of_renyi(evaluate, self._order, *operands)


class Tsallis(AbstractDecomposable):
    r"""$\frac{1}{q - 1} \left(\sum p^q Q^{1-q} - 1\right)$, of order $q$ (Tsallis 1998).

    $\mathrm{KL}(P\|Q)$ at order 1, its limit. Infinite where $p > 0 = q$ if the order is at least
    1; below it at most $1/(1 - q)$.

    Args:
        order: positive; may be traced and differentiated.

    Example:
        >>> import jaxdiv as jd
        >>> p, q = jd.probs([0.5, 0.5]), jd.probs([0.25, 0.75])
        >>> print(f"{jd.tsallis(p, q, 2.0):.6f}")
        0.333333
    """

    order: Float[ArrayLike, ""]
    logarithmic: ClassVar[bool] = False
    additive: ClassVar[bool] = False
    linear_in_r: ClassVar[bool] = False
    needs_normalized: ClassVar[bool] = True

    def __check_init__(self):
        check_scalar("order", self.order)
        if isinstance(self.order, (int, float)) and not 0 < self.order < math.inf:
            raise ValueError(f"order must be positive and finite, got {self.order}.")

    def nodes(self, pair):
        return jnp.asarray(self.order, pair.r.dtype) * power_nodes(pair, self.order)

    def terms(self, draws):
        terms = power_terms(draws, self.order)
        return None if terms is None else jnp.asarray(self.order, terms.dtype) * terms

    def reverse_terms(self, draws):
        terms = reverse_power_terms(draws, self.order)
        return None if terms is None else jnp.asarray(self.order, terms.dtype) * terms

    def link(self, mean):
        return mean

    def compose(self, evaluate, *operands):
        value = power_of_renyi(evaluate, self.order, *operands)
        return jnp.asarray(self.order, value.dtype) * value


def _check_finite(name: str, value: Any) -> None:
    check_scalar(name, value)
    if isinstance(value, (int, float)) and not math.isfinite(value):
        raise ValueError(f"{name} must be finite, got {value}.")
