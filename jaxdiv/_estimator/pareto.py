"""Importance weights whose largest are smoothed, and how far they can be trusted."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from .._operand.base import widen
from .._special import expm1
from .._special.base import log1p

_FEWEST = 5  # exceedances that a tail is fitted to


@jax.jit
def pareto_smooth(
    log_ratios: Float[ArrayLike, " n"],
) -> tuple[Float[Array, " n"], Float[Array, ""]]:
    r"""$w_i \propto r_i$, but the $M$ largest those of a Pareto tail; and its shape $\hat k$.

    Pareto-smoothed importance sampling (Vehtari, Simpson, Gelman, Yao & Gabry 2024, JMLR 25(72)):
    the ratios $r = \tilde p / g$ above the cut-off $u$, the $M + 1$st largest of them with $M =
    \lceil \min(n / 5, 3 \sqrt n) \rceil$, are replaced by the expected order statistics of the
    generalised Pareto distribution fitted to $r - u$ (Zhang & Stephens 2009, with the weak prior
    $k \approx 1/2$ of ten draws), and none exceeds the largest raw one. Moments of order $1/k$
    and beyond of such a tail are infinite: above $k = 0.7$ neither estimates nor their errors can
    be trusted, and fewer than 0.7 is no guarantee, for $\hat k$ has seen the draws alone.

    Args:
        log_ratios: $\log r$ of independent draws from the proposal, up to a constant. A draw of
            ratio zero (`-inf`) weighs nothing, nor does one of which it is not known (NaN): count
            those before. Ratios below the smallest normal number times the largest are no tail.

    Returns:
        The logarithms of the weights, which sum to one, and $\hat k$. That is `inf` where there
        is no tail to fit (fewer than 21 draws, fewer than five ratios above the cut-off, an
        infinite ratio, none that is finite) and the weights are then not smoothed; `-inf` where
        the tail is constant, its ratios being the same to half the digits. Where no ratio is above
        zero the weights are NaN.

    Raises:
        ValueError: `log_ratios` is not one axis of draws (for batches use `jax.vmap`).

    Example:
        >>> import jax.numpy as jnp, jaxdiv as jd
        >>> tail = -0.3 * jnp.log(jnp.linspace(0.001, 1.0, 1000))  # a Pareto tail of shape 0.3
        >>> log_weights, k = jd.pareto_smooth(tail)
        >>> print(f"{k:.1f}, {jnp.exp(log_weights).sum():.3f}")
        0.3, 1.000
    """
    log_ratios = widen(log_ratios)
    if log_ratios.ndim != 1 or not log_ratios.size:
        raise ValueError(
            "pareto_smooth: log_ratios must be one axis of draws, got shape "
            f"{log_ratios.shape}: for batches use `jax.vmap`."
        )
    smoothed, k = smooth_ratios(log_ratios)
    return smoothed - jax.nn.logsumexp(smoothed), k


def smooth_ratios(log_ratios: Array) -> tuple[Array, Array]:
    """As `pareto_smooth`, of which these are the weights before they are normalised."""
    log_ratios = jnp.where(jnp.isnan(log_ratios), -jnp.inf, log_ratios)
    largest = jnp.max(log_ratios)
    infinite = jnp.isinf(largest)
    # Relative to the largest, so that the largest is 0 even where it is infinite.
    x = jnp.where(log_ratios == largest, 0.0, log_ratios - jnp.where(infinite, 0.0, largest))
    x = jnp.where(infinite & (log_ratios != largest), -jnp.inf, x)
    n = x.size
    size = _tail_size(n)
    if size < _FEWEST:
        smoothed, k = x, jnp.asarray(jnp.inf, x.dtype)
    else:
        order = jnp.argsort(x)
        tail, k = _smooth_tail(x[order[-size:]], x[order[-size - 1]])
        smoothed = x.at[order[-size:]].set(jnp.where(infinite, x[order[-size:]], tail))
        k = jnp.where(infinite, jnp.inf, k)
    smoothed = smoothed + jnp.where(infinite, 0.0, largest)
    return jnp.where(largest == -jnp.inf, jnp.nan, smoothed), k


@jax.jit
def tail_shape(values: Float[Array, "n *batch"]) -> Float[Array, "*batch"]:
    r"""$\hat k$ of the heavier tail, as for `pareto_smooth`; infinite where a value is."""
    n = values.shape[0]
    size = _tail_size(n)
    if size < _FEWEST:
        return jnp.full(values.shape[1:], jnp.inf, values.dtype)
    rows = jnp.sort(jnp.moveaxis(values, 0, -1).reshape(-1, n))  # NaN last
    rows = jnp.stack([rows[:, -size - 1 :], -rows[:, size::-1]])
    finite = jnp.isfinite(rows[:, :, -1])

    def shape(top: Array) -> Array:
        excess, largest = top[1:] - top[0], jnp.maximum(abs(top[0]), abs(top[-1]))
        excess = excess / jnp.where(largest > 0, largest, 1.0)
        return _fit_tail(excess, excess[-1])[0]

    k = jax.vmap(jax.vmap(shape))(jnp.where(finite[..., None], rows, 0.0))
    return jnp.max(jnp.where(finite, k, jnp.inf), 0).reshape(values.shape[1:])


def _tail_size(n: int) -> int:
    return math.ceil(min(n / 5, 3 * math.sqrt(n)))


def _smooth_tail(x: Array, cutoff: Array) -> tuple[Array, Array]:
    """The ascending logs of the largest ratios, at most 0, smoothed; and the shape."""
    cutoff = jnp.maximum(cutoff, math.log(jnp.finfo(x.dtype).tiny))
    above = x > cutoff
    # In units of the cut-off, which keeps the digits of ratios that are nearly the same.
    excess = jnp.where(above, expm1(jnp.where(above, x - cutoff, 0.0)), 0.0)
    k, quantiles = _fit_tail(excess, -cutoff)
    smoothed = jnp.minimum(cutoff + log1p(quantiles), 0.0)
    return jnp.where(jnp.isfinite(k) & above, smoothed, x), k


def _fit_tail(excess: Array, span: Array) -> tuple[Array, Array]:
    """Shape, and expected order statistics, of ascending exceedances; those that tie with 0 are 0.

    `span` is the difference of the largest and the smallest of them, relative to the former.
    """
    size, dtype = excess.size, excess.dtype
    above = excess > 0  # the last `m`: not all of them, where values tie
    m = jnp.sum(above)
    enough = m >= _FEWEST
    # The first quartile as the unit: their range may be that of the numbers themselves.
    unit = excess[jnp.where(enough, size - m + (m + 2) // 4 - 1, 0)]
    ramp = jnp.arange(1, size + 1, dtype=dtype)
    y = jnp.where(enough, excess / jnp.where(enough, unit, 1.0), ramp)
    k, scale = _generalised_pareto(y, jnp.where(enough, m, size))
    constant = span <= math.sqrt(jnp.finfo(dtype).eps)
    fitted = enough & jnp.isfinite(k) & jnp.isfinite(scale) & ~constant
    k, scale = jnp.where(fitted, k, 1.0), jnp.where(fitted, scale, 1.0)
    # The middles of m equal shares of probability, in order.
    rank = (ramp + (m - size).astype(dtype) - 0.5) / jnp.maximum(m, 1).astype(dtype)
    t = -log1p(-jnp.where(above, rank, 0.0))
    flat = abs(k) < jnp.finfo(dtype).eps
    quantiles = unit * scale * jnp.where(flat, t, expm1(k * t) / jnp.where(flat, 1.0, k))
    return jnp.where(fitted, k, jnp.where(constant, -jnp.inf, jnp.inf)), quantiles


def _generalised_pareto(y: Array, m: Array) -> tuple[Array, Array]:
    r"""Shape and scale of $m$ exceedances (those before the last `m` are 0), first quartile 1.

    Zhang & Stephens 2009: with $b = -k / \sigma$, the likelihood's profile over $k$ averages $b$
    over a grid, and $k$ is the best at that $b$.
    """
    dtype = y.dtype
    grid = 30 + math.isqrt(y.size)
    m = m.astype(dtype)
    points = 30 + jnp.floor(jnp.sqrt(m))
    j = jnp.arange(1, grid + 1, dtype=dtype)
    b = (1 - jnp.sqrt(points / (j - 0.5))) / 3 + 1 / y[-1]

    def shape(b: Array) -> Array:
        return jnp.sum(log1p(-b[..., None] * y), -1) / m

    k = shape(b)
    profile = m * (jnp.log(-b / k) - k)
    usable = (j <= points) & jnp.isfinite(profile)
    weights = jax.nn.softmax(jnp.where(usable, profile, -jnp.inf))
    b = jnp.sum(jnp.where(usable, weights * b, 0.0))
    k = shape(b)
    return (m * k + 10 * 0.5) / (m + 10), -k / b
