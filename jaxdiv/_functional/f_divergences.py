"""The f-divergences: a convex generator decides what is measured."""

import math
from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, ArrayLike, Float

from .._special import expm1, js_kernel, psi, quotient, tanh
from .base import AbstractDecomposable, Pair, check_scalar
from .growth import outgrowth
from .kl import KL
from .renyi import Renyi


class TotalVariation(AbstractDecomposable):
    r"""$\mathrm{TV}(P, Q) = \frac12 \sum |p - q|$, in $[0, 1]$; a metric.

    Kinked where $p = q$: the derivative there is reported as 0.

    Example:
        >>> import jaxdiv as jd
        >>> print(f"{jd.total_variation(jd.probs([0.5, 0.5]), jd.probs([0.25, 0.75])):.3f}")
        0.250
    """

    logarithmic: ClassVar[bool] = False
    additive: ClassVar[bool] = False
    linear_in_r: ClassVar[bool] = False
    needs_normalized: ClassVar[bool] = True

    def nodes(self, pair):
        # The derivative of `abs` at 0 is 1 in JAX.
        sign = lax.stop_gradient(jnp.sign(pair.difference))
        return 0.5 * sign * pair.difference

    def terms(self, draws):
        return jax.nn.relu(-expm1(-draws.r))

    def reverse_terms(self, draws):
        return None

    def link(self, mean):
        return mean

    def compose(self, evaluate, *operands):
        return None


class SquaredHellinger(AbstractDecomposable):
    r"""$H^2(P, Q) = \frac12 \sum (\sqrt p - \sqrt q)^2$, in $[0, 1]$.

    Its square root is a metric. Where one mass is zero a term is half the other.

    Example:
        >>> import jaxdiv as jd
        >>> print(f"{jd.squared_hellinger(jd.probs([1.0, 0.0]), jd.probs([0.0, 1.0])):.3f}")
        1.000
    """

    logarithmic: ClassVar[bool] = False
    additive: ClassVar[bool] = False
    linear_in_r: ClassVar[bool] = False
    needs_normalized: ClassVar[bool] = True

    def nodes(self, pair):
        more = pair.finite_r > 0
        root = expm1(0.5 * jnp.where(more, -pair.finite_r, pair.finite_r))
        inside = 0.5 * jnp.where(more, pair.p, pair.q) * root * root
        outside = jnp.where(pair.p_is_zero, pair.q, pair.p)
        return jnp.where(jnp.isinf(pair.r), 0.5 * outside, inside)

    def terms(self, draws):
        return -expm1(-0.5 * draws.r)

    def reverse_terms(self, draws):
        return None

    def link(self, mean):
        return mean

    def compose(self, evaluate, *operands):
        return -expm1(-0.5 * evaluate(Renyi(0.5), *operands))


class ChiSquared(AbstractDecomposable):
    r"""Pearson's $\chi^2(P \| Q) = \sum (p - q)^2 / q$ (Pearson 1900).

    Infinite where $p > 0 = q$; a term is $q$ where $p = 0$. Neyman's is `chi_squared(q, p)`.

    Example:
        >>> import jaxdiv as jd
        >>> print(f"{jd.chi_squared(jd.probs([0.5, 0.5]), jd.probs([0.25, 0.75])):.6f}")
        0.333333
    """

    logarithmic: ClassVar[bool] = False
    additive: ClassVar[bool] = False
    linear_in_r: ClassVar[bool] = False
    needs_normalized: ClassVar[bool] = True

    def nodes(self, pair):
        difference = jnp.where(pair.q_is_zero, 0.0, pair.difference)
        # At p = 0 the ratio p/q - 1 is taken from the masses: its slope is finite, that of r not.
        safe = jnp.where(pair.p_is_zero & (pair.q > 0), pair.q, 1.0)
        at_zero = quotient(jnp.where(pair.p_is_zero, difference, 0.0), safe)
        apart = pair.finite_r > 1
        ratio = jnp.where(pair.p_is_zero, at_zero, expm1(jnp.where(apart, 0.0, pair.finite_r)))
        outgrown, infinite = outgrowth(pair, 1.0, 0.0, apart)
        far = outgrown - 2 * pair.p + pair.q
        value = jnp.where(apart, far, difference * ratio)
        return jnp.where(infinite | pair.q_is_zero, jnp.inf, value)

    def terms(self, draws):
        return expm1(draws.r)

    def reverse_terms(self, draws):
        return None

    def link(self, mean):
        return mean

    def compose(self, evaluate, *operands):
        return expm1(evaluate(Renyi(2.0), *operands))


class JensenShannon(AbstractDecomposable):
    r"""$\mathrm{JS}_\beta(P, Q) = \beta\,\mathrm{KL}(P\|M) + (1-\beta)\,\mathrm{KL}(Q\|M)$.

    $M = \beta P + (1 - \beta) Q$ (Lin 1991), in nats; at most the entropy of
    $(\beta, 1 - \beta)$, so $\log 2$ at $\beta = \frac12$, where its square root is a metric
    (Endres & Schindelin 2003). Never infinite: a term with $q = 0$ is $-\beta p \log \beta$.
    At $\beta = 0$ and 1 it is 0 whatever the operands, which GKD (Agarwal et al. 2024) replaces by
    the two KL divergences: with `normalized` these are its limits.

    Args:
        weight: $\beta$, strictly between 0 and 1.
        normalized: divides by $\beta (1 - \beta)$ (Nielsen & Boltz 2011), which is continuous
            on all of [0, 1]: $\mathrm{KL}(P \| Q)$ at 0, $\mathrm{KL}(Q \| P)$ at 1. A weight that
            is traced must not be 0 or 1.

    Example:
        >>> import jaxdiv as jd
        >>> print(f"{jd.jensen_shannon(jd.probs([1.0, 0.0]), jd.probs([0.0, 1.0]), base=2):.3f}")
        1.000
    """

    weight: Float[ArrayLike, ""] = 0.5
    normalized: bool = eqx.field(static=True, kw_only=True, default=False)
    logarithmic: ClassVar[bool] = True
    additive: ClassVar[bool] = False
    linear_in_r: ClassVar[bool] = False
    needs_normalized: ClassVar[bool] = True

    def __check_init__(self):
        check_scalar("weight", self.weight)
        if not isinstance(self.weight, (int, float)) or 0 < self.weight < 1:
            return
        if not self.normalized:
            raise ValueError(
                f"weight must lie strictly between 0 and 1, got {self.weight}: at the ends the "
                "divergence is 0; for its limit per unit weight use KL, or normalized=True."
            )
        if not 0 <= self.weight <= 1:
            raise ValueError(f"weight must lie between 0 and 1, got {self.weight}.")

    @property
    def end(self) -> int | None:
        """0 or 1 where the weight is that, and the divergence KL one way or the other."""
        if not isinstance(self.weight, (int, float)) or 0 < self.weight < 1:
            return None
        return int(self.weight)

    def nodes(self, pair):
        if self.end is not None:
            return KL().nodes(pair.swapped if self.end else pair)
        beta = jnp.asarray(self.weight, pair.p.dtype)
        of_p, of_q = (1 / (1 - beta), 1 / beta) if self.normalized else (beta, 1 - beta)
        r = pair.finite_r
        zero = jnp.where(pair.p_is_zero, 0.0, -of_p * jnp.log(beta) * pair.p)
        zero = zero + jnp.where(pair.q_is_zero, 0.0, -of_q * jnp.log1p(-beta) * pair.q)
        if isinstance(self.weight, float) and self.weight == 0.5:
            inside = (4 if self.normalized else 1) * _balanced(pair, r)
        else:
            inside = _skewed(pair, r, beta, of_p, of_q)
        return jnp.where(jnp.isinf(pair.r), zero, inside)

    def terms(self, draws):
        if self.end is not None:
            return jnp.zeros_like(draws.r) if self.end else draws.r
        beta = jnp.asarray(self.weight, draws.r.dtype)
        return (1 / (1 - beta) if self.normalized else beta) * _log_ratios(draws.r, beta)[0]

    def reverse_terms(self, draws):
        if self.end is not None:
            return -draws.r if self.end else None
        beta = jnp.asarray(self.weight, draws.r.dtype)
        return (1 / beta if self.normalized else 1 - beta) * _log_ratios(draws.r, beta)[1]

    def link(self, mean):
        return mean

    def compose(self, evaluate, *operands):
        if self.end is None:
            return None
        return evaluate(KL(), *(operands[::-1] if self.end else operands))


def _balanced(pair: Pair, r: Array) -> Array:
    near = abs(r) < 2
    y = tanh(0.5 * jnp.where(near, r, 0.0))
    far = jnp.where(near, 2.0, abs(r))
    less = jnp.minimum(pair.p, pair.q)
    apart = (pair.p + pair.q) * (jnp.log(2.0).astype(r.dtype) - jnp.log1p(jnp.exp(-far)))
    return 0.5 * jnp.where(near, (pair.p + pair.q) * js_kernel(y), apart - less * far)


def _skewed(pair: Pair, r: Array, beta: Array, of_p: Array, of_q: Array) -> Array:
    # beta p psi(a) + (1 - beta) q psi(b) with a = log p/m, b = log q/m: the linear parts cancel.
    a, b = _log_ratios(r, beta)
    mixed = beta * pair.p + (1 - beta) * pair.q
    return of_p * _non_negative(pair.p, a, mixed) + of_q * _non_negative(pair.q, b, mixed)


def _log_ratios(r: Array, beta: Array) -> tuple[Array, Array]:
    r"""$\log p/m$ and $\log q/m$, $m = \beta p + (1 - \beta) q$; 0 exactly at $r = 0$."""
    more = r > 0
    down = expm1(jnp.where(more, -r, r))
    a = jnp.where(more, -jnp.log1p((1 - beta) * down), r - jnp.log1p(beta * down))
    b = jnp.where(more, -r - jnp.log1p((1 - beta) * down), -jnp.log1p(beta * down))
    # These have the last digits, but not near an end of the weights.
    middle = (beta > 0.01) & (beta < 0.99)
    near_end = _over_mixture(r, beta, 1 - beta), _over_mixture(-r, 1 - beta, beta)
    return jnp.where(middle, a, near_end[0]), jnp.where(middle, b, near_end[1])


def _over_mixture(r: Array, weight: Array, rest: Array) -> Array:
    r"""$-\log(w + (1 - w) e^{-r})$, relatively accurate for any weight however near an end."""
    far = r < -60  # where the exponential may overflow
    x = jnp.where(far, 0.0, r)
    change = rest * expm1(-x)
    near = change > -0.5
    close = jnp.log1p(jnp.where(near, change, 0.0))
    apart = jnp.log(jnp.where(near, 1.0, weight + rest * jnp.exp(-x)))
    beyond = r - jnp.log(jnp.where(far, weight * jnp.exp(jnp.where(far, r, 0.0)) + rest, 1.0))
    return jnp.where(far, beyond, -jnp.where(near, close, apart))


def _non_negative(mass: Array, log_ratio: Array, reference: Array) -> Array:
    near = abs(log_ratio) < 1
    small = jnp.where(near, log_ratio, 0.0)
    return jnp.where(near, mass * psi(small), mass * log_ratio - mass + reference)


class FDivergence(AbstractDecomposable):
    r"""$D_f(P, Q) = \sum q\, f(p / q)$ for a convex $f$ with $f(1) = 0$ (Csiszar 1967).

    The sum is taken of $q\,(f(u) - f'(1)(u - 1))$, $u = p/q$: equal where both are normalised, and
    non-negative. Its accuracy near $p = q$ is that of `f` itself.

    Args:
        f: the generator, of a scalar; differentiated by JAX.
        at_zero: $f(0)$, needed where $p = 0 < q$.
        slope_at_infinity: $\lim f(u) / u$, needed where $q = 0 < p$ (may be infinite).

    A limit that is not given makes the value NaN where it is needed; both are also used where
    $p/q$, or `f` of it, overflows or underflows. The slope in $q$ at $q = 0 < p$ is reported as 0.

    Example:
        >>> import jaxdiv as jd
        >>> pearson = jd.FDivergence(lambda u: (u - 1) ** 2)
        >>> p, q = jd.probs([0.5, 0.5]), jd.probs([0.25, 0.75])
        >>> print(f"{jd.divergence(pearson, p, q):.6f}")
        0.333333
    """

    f: Callable[[Array], Array] = eqx.field(static=True)
    at_zero: float = eqx.field(static=True, default=float("nan"))
    slope_at_infinity: float = eqx.field(static=True, default=float("nan"))
    logarithmic: ClassVar[bool] = False
    additive: ClassVar[bool] = False
    linear_in_r: ClassVar[bool] = False
    needs_normalized: ClassVar[bool] = True

    def nodes(self, pair):
        slope = self._slope(pair.r.dtype)
        value, low, high = self._of_ratio(pair.finite_r)
        # q f(u) where p < q, and p f(u) / u elsewhere: neither overflows before its value does.
        more = pair.finite_r > 0
        shrink = jnp.where(more, -pair.finite_r, pair.finite_r)
        value = jnp.where(more, jnp.exp(jnp.where(more, shrink, 0.0)), 1.0) * value
        linear = slope * jnp.where(more, -1.0, 1.0) * expm1(shrink)
        inside = jnp.where(more, pair.p, pair.q) * (value - linear)
        # What is infinite, or not known, has no slope to give.
        start = jax.grad(self.f)(jnp.zeros((), pair.r.dtype)) - slope
        zero_p, zero_q = self.at_zero, self.slope_at_infinity
        if math.isfinite(zero_p):
            zero_p = pair.q * (zero_p + slope) + jnp.where(jnp.isfinite(start), start, 0) * pair.p
        if math.isfinite(zero_q):
            zero_q = pair.p * (zero_q - slope)
        inside = jnp.where(pair.q_is_zero | high, zero_q, inside)
        return jnp.where(pair.p_is_zero | low, zero_p, inside)

    def terms(self, draws):
        # f(u) / u, with the control variate f'(1) (1 - 1/u), whose mean is zero.
        slope = self._slope(draws.r.dtype)
        value, _, high = self._of_ratio(draws.r)
        r = jnp.where(high, 0.0, draws.r)
        inside = jnp.exp(-r) * value + slope * expm1(-r)
        return jnp.where(high, self.slope_at_infinity - slope, inside)

    def _of_ratio(self, r):
        """`f(exp(r))`, and where its limits serve instead: at underflow and at overflow."""
        most = _log_max(r.dtype) - 2
        # A finite limit is reached long before; there the derivatives of `f` may overflow inside.
        low = -most / (3 if math.isfinite(self.at_zero) else 1)
        high = most / (3 if math.isfinite(self.slope_at_infinity) else 1)
        near, outside = abs(r) < 0.5, (r < low) | (r > high)
        u = jnp.where(near, 1 + expm1(jnp.where(near, r, 0.0)), jnp.exp(jnp.where(outside, 0.0, r)))
        outside = outside | jnp.isinf(self.f(lax.stop_gradient(u)))
        return self.f(jnp.where(outside, 1.0, u)), outside & (r < 0), outside & (r > 0)

    def reverse_terms(self, draws):
        return None

    def link(self, mean):
        return mean

    def compose(self, evaluate, *operands):
        return None

    def _slope(self, dtype):
        return jax.grad(self.f)(jnp.ones((), dtype))


def _log_max(dtype: Any) -> float:
    return math.log(float(jnp.finfo(dtype).max))
