"""The Wishart distribution, its inverse, and their closed forms."""

import abc
import math
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from .._estimator.rules import rule
from .._functional.entropies import Entropy
from .._functional.kl import KL
from .._special import (
    bd0,
    digamma,
    itakura_saito,
    log_gamma,
    phi,
    shape_bregman,
    shape_curvature,
)
from .base import Check, field, floating, only_stratum
from .exponential_family import AbstractExponentialFamily
from .univariate import Shifted


class AbstractWishart(AbstractExponentialFamily):
    """What distributions of a symmetric positive definite matrix have in common."""

    df: eqx.AbstractVar[Float[Any, "*batch"]]
    scale_tril: eqx.AbstractVar[Float[Any, "*batch D D"]]
    reparameterized: ClassVar[bool] = True
    integer: ClassVar[bool] = False

    @property
    def batch_shape(self):
        shape = jnp.shape(self.scale_tril)
        if len(shape) < 2 or shape[-1] != shape[-2]:
            raise ValueError(
                f"{type(self).__name__}: expected scale_tril [..., D, D], got shape {shape}."
            )
        return jnp.broadcast_shapes(jnp.shape(self.df), shape[:-2])

    @property
    def event_shape(self):
        return jnp.shape(self.scale_tril)[-2:]

    @property
    def normalized(self):
        return True

    @property
    def support(self):
        return -math.inf, math.inf

    def parameters(self) -> tuple[Array, Array]:
        r"""$\nu$ and the lower triangle, of one dtype and one batch shape."""
        df, tril = floating(self.df, self.scale_tril)
        shape = self.batch_shape
        return jnp.broadcast_to(df, shape), jnp.broadcast_to(
            jnp.tril(tril), shape + tril.shape[-2:]
        )

    @abc.abstractmethod
    def precision(self, natural: Array) -> Array:
        r"""The natural parameter that is a matrix, whitened by that of this member."""

    def is_natural(self, natural):
        half, matrix = natural
        root = jnp.linalg.cholesky(lax.stop_gradient(matrix))
        positive = jnp.all(jnp.diagonal(root, axis1=-2, axis2=-1) > 0, -1)
        return positive & (2 * half > matrix.shape[-1] - 1)

    def fisher_form(self, direction):
        """That of a gamma distribution's rate and shape, for each axis."""
        df, tril = self.parameters()
        half, size = 0.5 * df[..., None], tril.shape[-1]
        change, rate = direction[0], self.precision(direction[1])
        below = 0.5 * jnp.arange(size, dtype=df.dtype)
        # trigamma(a - h) - 1/a, of which 1/(a - h) is a part.
        curvature = shape_curvature(half - below) + below / half / (half - below)
        moved = (change / half[..., 0])[..., None, None] * jnp.eye(size, dtype=df.dtype) - rate
        shapes = change * change * jnp.sum(curvature, -1)
        return shapes + half[..., 0] * jnp.sum(moved * moved, (-2, -1))

    def strata(self, key, n):
        return only_stratum(self.sample(key, (n,)), self.batch_shape)

    def translate(self, by):
        return Shifted(self, -jnp.asarray(by))

    def pieces(self):
        raise TypeError(
            f"{type(self).__name__} is over matrices, which Quadrature does not serve: use the "
            "closed form, or MonteCarlo(n)."
        )

    def value_checks(self):
        df, tril = self.parameters()
        name = type(self).__name__
        diagonal = jnp.diagonal(tril, axis1=-2, axis2=-1)
        return [
            Check(~(df > tril.shape[-1] - 1), f"{name}: df must be more than D - 1"),
            Check(~(diagonal > 0), f"{name}: scale_tril needs a positive diagonal"),
        ]


class Wishart(AbstractWishart):
    r"""The distribution of $\sum_{i=1}^{\nu} x_i x_i^T$ for $x_i$ of $N(0, V)$, $V = L L^T$.

    Args:
        df: $\nu > D - 1$, not necessarily whole.
        scale_tril: $L$, lower triangular with a positive diagonal, `[*batch, D, D]`.

    Example:
        >>> import jax.numpy as jnp, jaxdiv as jd
        >>> p, q = jd.Wishart(3.0, jnp.eye(2)), jd.Wishart(3.0, 2.0 * jnp.eye(2))
        >>> print(f"{jd.kl(p, q):.6f}")
        1.908883
    """

    df: Float[Any, "*batch"] = field(constraint="positive")
    scale_tril: Float[Any, "*batch D D"] = field(constraint="cholesky", event_ndim=2)

    @property
    def mean(self):
        df, tril = self.parameters()
        return df[..., None, None] * (tril @ tril.mT)

    @property
    def variance(self):
        df, tril = self.parameters()
        v = tril @ tril.mT
        diagonal = jnp.diagonal(v, axis1=-2, axis2=-1)
        return df[..., None, None] * (v * v + diagonal[..., None] * diagonal[..., None, :])

    def log_prob(self, x):
        df, tril = self.parameters()
        x, df, tril = floating(x, df, tril)
        root = jnp.linalg.cholesky(x)
        ratio = solve_lower(tril, root)
        size = tril.shape[-1]
        value = (0.5 * (df - size - 1)) * 2 * log_det_lower(root) - 0.5 * jnp.sum(
            ratio**2, (-2, -1)
        )
        return value - df * log_det_lower(tril) - _log_normaliser(df, size)

    def sample(self, key, shape=()):
        root = _bartlett(key, *self.parameters(), shape)
        return root @ root.mT

    def natural(self):
        df, tril = self.parameters()
        inverse = solve_lower(tril, jnp.eye(tril.shape[-1], dtype=tril.dtype))
        return 0.5 * df, 0.5 * (inverse.mT @ inverse)

    def statistic(self, x):
        return 2 * log_det_lower(jnp.linalg.cholesky(x)), -x

    def expectation(self):
        df, tril = self.parameters()
        return _mean_log_det(df, tril.shape[-1]) + 2 * log_det_lower(tril), -self.mean

    def from_natural(self, natural):
        half, matrix = natural
        # Of 2P = U U^T with U upper triangular, by reversing the axes: V = U^-T U^-1.
        upper = jnp.linalg.cholesky(2 * matrix[..., ::-1, ::-1])[..., ::-1, ::-1]
        eye = jnp.eye(matrix.shape[-1], dtype=matrix.dtype)
        return Wishart(2 * half, solve_lower(upper.mT, eye))

    def natural_difference(self, other):
        (df_p, tril_p), (df_q, tril_q) = self.parameters(), other.parameters()
        df_p, tril_p, df_q, tril_q = floating(df_p, tril_p, df_q, tril_q)
        eye = jnp.eye(tril_p.shape[-1], dtype=tril_p.dtype)
        inverse = solve_lower(tril_q, eye)
        change = solve_lower(tril_p, tril_q - tril_p) @ inverse
        return 0.5 * (df_p - df_q), 0.5 * _difference_of_squares(inverse.mT, change.mT)

    def precision(self, natural):
        _, tril = self.parameters()
        return 2 * tril.mT @ natural @ tril


class InverseWishart(AbstractWishart):
    r"""The distribution of $X^{-1}$ for $X$ of $W(\nu, \Psi^{-1})$, $\Psi = L L^T$.

    Args:
        df: $\nu > D - 1$; the mean is infinite unless $\nu > D + 1$.
        scale_tril: $L$, lower triangular with a positive diagonal, `[*batch, D, D]`.

    Example:
        >>> import jax.numpy as jnp, jaxdiv as jd
        >>> p, q = jd.InverseWishart(3.0, 2.0 * jnp.eye(2)), jd.InverseWishart(3.0, jnp.eye(2))
        >>> print(f"{jd.kl(p, q):.6f}")
        1.908883
    """

    df: Float[Any, "*batch"] = field(constraint="positive")
    scale_tril: Float[Any, "*batch D D"] = field(constraint="cholesky", event_ndim=2)

    @property
    def mean(self):
        df, tril = self.parameters()
        rest = (df - tril.shape[-1] - 1)[..., None, None]
        return jnp.where(rest > 0, tril @ tril.mT / jnp.where(rest > 0, rest, 1.0), jnp.inf)

    @property
    def variance(self):
        df, tril = self.parameters()
        v = tril @ tril.mT
        diagonal = jnp.diagonal(v, axis1=-2, axis2=-1)
        n = (df - tril.shape[-1])[..., None, None]  # the excess of degrees of freedom
        finite = n > 3
        n = jnp.where(finite, n, 4.0)
        squares = (n + 1) * v * v + (n - 1) * diagonal[..., None] * diagonal[..., None, :]
        return jnp.where(finite, squares / (n * (n - 1) ** 2 * (n - 3)), jnp.inf)

    def log_prob(self, x):
        df, tril = self.parameters()
        x, df, tril = floating(x, df, tril)
        root = jnp.linalg.cholesky(x)
        ratio = solve_lower(root, tril)
        size = tril.shape[-1]
        value = -(df + size + 1) * log_det_lower(root) - 0.5 * jnp.sum(ratio**2, (-2, -1))
        return value + df * log_det_lower(tril) - _log_normaliser(df, size)

    def sample(self, key, shape=()):
        df, tril = self.parameters()
        eye = jnp.broadcast_to(jnp.eye(tril.shape[-1], dtype=tril.dtype), tril.shape)
        # With A A^T a standard Wishart matrix, (L A^-T)(L A^-T)^T is one of these.
        root = solve_lower(_bartlett(key, df, eye, shape), tril.mT).mT
        return root @ root.mT

    def natural(self):
        df, tril = self.parameters()
        return 0.5 * df, 0.5 * (tril @ tril.mT)

    def statistic(self, x):
        return -2 * log_det_lower(jnp.linalg.cholesky(x)), -jnp.linalg.inv(x)

    def expectation(self):
        df, tril = self.parameters()
        inverse = solve_lower(tril, jnp.eye(tril.shape[-1], dtype=tril.dtype))
        log_det = _mean_log_det(df, tril.shape[-1]) - 2 * log_det_lower(tril)
        return log_det, -df[..., None, None] * (inverse.mT @ inverse)

    def from_natural(self, natural):
        half, matrix = natural
        return InverseWishart(2 * half, jnp.linalg.cholesky(2 * matrix))

    def natural_difference(self, other):
        (df_p, tril_p), (df_q, tril_q) = self.parameters(), other.parameters()
        df_p, tril_p, df_q, tril_q = floating(df_p, tril_p, df_q, tril_q)
        return 0.5 * (df_p - df_q), 0.5 * _difference_of_squares(tril_q, tril_p - tril_q)

    def precision(self, natural):
        _, tril = self.parameters()
        inner = solve_lower(tril, natural)
        return 2 * solve_lower(tril, inner.mT)


def _mean_log_det(df: Array, size: int) -> Array:
    """Of the Wishart distribution of scale one."""
    return jnp.sum(digamma(_halves(df, size)), -1) + size * math.log(2.0)


def _difference_of_squares(root: Array, change: Array) -> Array:
    r"""$(r + c)(r + c)^T - r r^T$."""
    crossed = change @ root.mT
    return crossed + crossed.mT + change @ change.mT


def _bartlett(key: Any, df: Array, tril: Array, shape: tuple[int, ...]) -> Array:
    """A factor of a draw (Bartlett 1934)."""
    size = tril.shape[-1]
    key_normal, key_gamma = jr.split(key)
    shape = (*shape, *df.shape)
    below = jnp.tril(jr.normal(key_normal, (*shape, size, size), tril.dtype), -1)
    halves = 0.5 * (df[..., None] - jnp.arange(size, dtype=df.dtype))
    squares = 2 * jr.gamma(key_gamma, halves, (*shape, size), tril.dtype)
    return tril @ (below + jnp.sqrt(squares)[..., None] * jnp.eye(size, dtype=tril.dtype))


def solve_lower(a: Array, b: Array) -> Array:
    r"""$a^{-1} b$ for a lower triangular `a`; batch axes broadcast."""
    batch = jnp.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    a, b = (jnp.broadcast_to(x, batch + x.shape[-2:]) for x in (a, b))
    return jax.scipy.linalg.solve_triangular(a, b, lower=True)


def log_det_lower(tril: Array) -> Array:
    """The logarithm of its determinant."""
    return jnp.sum(jnp.log(jnp.diagonal(tril, axis1=-2, axis2=-1)), -1)


def _halves(df: Array, size: int) -> Array:
    return 0.5 * (df[..., None] - jnp.arange(size, dtype=df.dtype))


def _log_normaliser(df: Array, size: int) -> Array:
    """But for the determinant of the scale."""
    constant = size * (size - 1) / 4 * math.log(math.pi)
    return 0.5 * df * size * math.log(2.0) + constant + jnp.sum(log_gamma(_halves(df, size)), -1)


def _kl(df_p: Array, df_q: Array, tril: Array, other: Array) -> Array:
    r"""`other^-1 tril` is the root of $V_q^{-1} V_p$.

    As between gamma distributions: what the means $\nu V$ cost, $\nu_q$ times a KL divergence of
    normals, and what is left for the degrees of freedom. Between $c = \nu_q/2$ and $a = \nu_p/2$
    that is the sum of `shape_bregman` at $c - h$ and $a - h$, $h = 0, 1/2, ..., (D - 1)/2$, and of
    $\int_0^h (x/y - 1 - \log(x/y))\,ds$ with $x = c - s$, $y = a - s$.
    """
    size = tril.shape[-1]
    relative = solve_lower(other, tril - other)
    ratio = jnp.sqrt(df_p / df_q)
    rise = ((df_p - df_q) / (df_q * (ratio + 1)))[..., None]
    t = rise + ratio[..., None] * jnp.diagonal(relative, axis1=-2, axis2=-1)
    near = (t > -0.5) & (t < 1)
    scales = (jnp.diagonal(x, axis1=-2, axis2=-1) for x in (tril, other))
    logs = jnp.log(ratio)[..., None] + (jnp.log(next(scales)) - jnp.log(next(scales)))
    each = 0.5 * t * t + jnp.where(near, phi(jnp.where(near, t, 0.0)), t - logs)
    below = 0.5 * (df_p / df_q) * jnp.sum(jnp.tril(relative, -1) ** 2, (-2, -1))
    means = df_q * (below + jnp.sum(each, -1))
    c, a, d = 0.5 * df_q, 0.5 * df_p, 0.5 * (df_q - df_p)
    total = means + shape_bregman(c, a, d)
    for k in range(1, size):
        h = 0.5 * k
        total = total + shape_bregman(c - h, a - h, d) + _bd0_rise(c, a, d, h)
    return total


def _bd0_rise(c: Array, a: Array, d: Array, h: float) -> Array:
    """`bd0(c - h, a - h) - bd0(c, a)`, as an integral where the two are near each other."""
    large = jnp.minimum(a, c) > 4 * h + 2
    x, w = np.polynomial.legendre.leggauss(12 if a.dtype == jnp.float64 else 8)
    safe_c, safe_a = jnp.where(large, c, 8 * h + 8), jnp.where(large, a, 8 * h + 8)
    safe_d = jnp.where(large, d, 0.0)
    inside = sum(
        0.5 * h * float(wi) * itakura_saito(safe_c - s, safe_a - s, safe_d)
        for s, wi in zip((0.5 * h * (1 + x)).tolist(), w, strict=True)
    )
    return jnp.where(large, inside, bd0(c - h, a - h) - bd0(c, a))


def _check(p: AbstractWishart, q: AbstractWishart) -> None:
    if p.event_shape != q.event_shape:
        raise ValueError(f"p is over matrices {p.event_shape} and q over {q.event_shape}.")


@rule(KL, Wishart, Wishart)
def _(functional, p, q):
    _check(p, q)
    (df_p, tril_p), (df_q, tril_q) = p.parameters(), q.parameters()
    return _kl(*jnp.broadcast_arrays(*floating(df_p, df_q)), *floating(tril_p, tril_q))


@rule(KL, InverseWishart, InverseWishart)
def _(functional, p, q):
    _check(p, q)
    (df_p, tril_p), (df_q, tril_q) = p.parameters(), q.parameters()
    return _kl(*jnp.broadcast_arrays(*floating(df_p, df_q)), *floating(tril_q, tril_p))


@rule(Entropy, Wishart)
def _(functional, p):
    df, tril = p.parameters()
    size = tril.shape[-1]
    slopes = jnp.sum(digamma(_halves(df, size)), -1)
    constant = 0.5 * size * (size + 1) * math.log(2.0)
    value = _log_normaliser(df, size) - 0.5 * df * size * math.log(2.0) + constant
    return (
        value + (size + 1) * log_det_lower(tril) - 0.5 * (df - size - 1) * slopes + 0.5 * df * size
    )


@rule(Entropy, InverseWishart)
def _(functional, p):
    df, tril = p.parameters()
    size = tril.shape[-1]
    slopes = jnp.sum(digamma(_halves(df, size)), -1)
    constant = 0.5 * size * (size + 1) * math.log(2.0)
    value = _log_normaliser(df, size) - 0.5 * df * size * math.log(2.0) - constant
    return (
        value + (size + 1) * log_det_lower(tril) - 0.5 * (df + size + 1) * slopes + 0.5 * df * size
    )
