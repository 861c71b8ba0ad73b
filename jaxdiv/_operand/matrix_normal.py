"""The matrix normal distribution and its closed forms."""

import math
from typing import Any, ClassVar

import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float

from .._estimator.rules import rule
from .._functional.chernoff import ChernoffInformation
from .._functional.entropies import Entropy
from .._functional.kl import KL
from .._functional.renyi import Renyi
from .._special import phi
from .base import AbstractDistribution, Check, field, floating, only_stratum
from .whitened import Whitened, of_whitened
from .wishart import log_det_lower, solve_lower

_LOG_SQRT_2PI = 0.5 * math.log(2 * math.pi)


class MatrixNormal(AbstractDistribution):
    r"""$M + A Z B^T$ for an $N \times K$ matrix $Z$ of independent standard normals.

    Args:
        loc: $M$, `[*batch, N, K]`.
        scale_tril_row: $A$, lower triangular, `[*batch, N, N]`; $A A^T$ is the covariance of rows.
        scale_tril_column: $B$, lower triangular, `[*batch, K, K]`, the same of columns.

    Example:
        >>> import jax.numpy as jnp, jaxdiv as jd
        >>> p = jd.MatrixNormal(jnp.zeros((2, 3)), jnp.eye(2), jnp.eye(3))
        >>> q = jd.MatrixNormal(jnp.ones((2, 3)), jnp.eye(2), jnp.eye(3))
        >>> print(f"{jd.kl(p, q):.3f}")
        3.000
    """

    loc: Float[Any, "*batch N K"] = field(event_ndim=2)
    scale_tril_row: Float[Any, "*batch N N"] = field(constraint="cholesky", event_ndim=2)
    scale_tril_column: Float[Any, "*batch K K"] = field(constraint="cholesky", event_ndim=2)
    reparameterized: ClassVar[bool] = True
    integer: ClassVar[bool] = False

    @property
    def batch_shape(self):
        shapes = [jnp.shape(x) for x in (self.loc, self.scale_tril_row, self.scale_tril_column)]
        loc, row, column = shapes
        if min(map(len, shapes)) < 2 or row[-2:] != loc[-2:-1] * 2 or column[-2:] != loc[-1:] * 2:
            raise ValueError(
                "MatrixNormal: expected loc [..., N, K], scale_tril_row [..., N, N] and "
                f"scale_tril_column [..., K, K], got {loc}, {row} and {column}."
            )
        return jnp.broadcast_shapes(*(shape[:-2] for shape in shapes))

    @property
    def event_shape(self):
        return jnp.shape(self.loc)[-2:]

    @property
    def normalized(self):
        return True

    @property
    def support(self):
        return -math.inf, math.inf

    def parameters(self) -> tuple[Array, Array, Array]:
        """The fields, of one dtype, what is above the diagonals left out."""
        loc, row, column = floating(self.loc, self.scale_tril_row, self.scale_tril_column)
        return loc, jnp.tril(row), jnp.tril(column)

    @property
    def mean(self):
        return jnp.broadcast_to(self.parameters()[0], (*self.batch_shape, *self.event_shape))

    @property
    def variance(self):
        _, row, column = self.parameters()
        rows, columns = jnp.sum(row**2, -1), jnp.sum(column**2, -1)
        value = rows[..., :, None] * columns[..., None, :]
        return jnp.broadcast_to(value, (*self.batch_shape, *self.event_shape))

    def log_prob(self, x):
        x, loc, row, column = floating(x, *self.parameters())
        z = _whiten(x - loc, row, column)
        size, width = self.event_shape
        volume = width * log_det_lower(row) + size * log_det_lower(column)
        return -0.5 * jnp.sum(z * z, (-2, -1)) - volume - size * width * _LOG_SQRT_2PI

    def sample(self, key, shape=()):
        loc, row, column = self.parameters()
        z = jr.normal(key, (*shape, *self.batch_shape, *self.event_shape), loc.dtype)
        return loc + row @ z @ column.mT

    def strata(self, key, n):
        return only_stratum(self.sample(key, (n,)), self.batch_shape)

    def translate(self, by):
        return MatrixNormal(jnp.asarray(self.loc) - by, self.scale_tril_row, self.scale_tril_column)

    def pieces(self):
        raise TypeError(
            "MatrixNormal is over matrices, which Quadrature does not serve: use the closed form, "
            "or MonteCarlo(n)."
        )

    def value_checks(self):
        checks = []
        for name, tril in zip(("row", "column"), self.parameters()[1:], strict=True):
            diagonal = jnp.diagonal(tril, axis1=-2, axis2=-1)
            words = f"MatrixNormal: scale_tril_{name} needs a positive diagonal"
            checks.append(Check(~(diagonal > 0), words))
        return checks


def _whiten(x: Array, row: Array, column: Array) -> Array:
    return solve_lower(column, solve_lower(row, x).mT).mT


@rule(KL, MatrixNormal, MatrixNormal)
def _(functional, p, q):
    r"""With $I + E_A = A_q^{-1} A_p$, and $E_B$ the same: the factor of all is their product."""
    _check(p, q)
    loc_p, row_p, column_p, loc_q, row_q, column_q = floating(*p.parameters(), *q.parameters())
    z = _whiten(loc_p - loc_q, row_q, column_q)
    parts = []
    for one, other in ((row_p, row_q), (column_p, column_q)):
        relative = solve_lower(other, one - other)
        change = jnp.diagonal(relative, axis1=-2, axis2=-1)
        diagonals = (jnp.diagonal(x, axis1=-2, axis2=-1) for x in (one, other))
        logs = jnp.log(next(diagonals)) - jnp.log(next(diagonals))
        below = jnp.sum(jnp.tril(relative, -1) ** 2, (-2, -1))
        parts.append((change, logs, below, jnp.sum((1 + change) ** 2, -1)))
    (e, log_e, below_a, square_a), (f, log_f, below_b, square_b) = parts
    e, log_e = e[..., :, None], log_e[..., :, None]
    f, log_f = f[..., None, :], log_f[..., None, :]
    t = e + f + e * f
    near = (t > -0.5) & (t < 1)
    far = t - (log_e + log_f)
    each = 0.5 * t * t + jnp.where(near, phi(jnp.where(near, t, 0.0)), far)
    off = below_a * square_b + square_a * below_b + below_a * below_b
    return 0.5 * (jnp.sum(z * z, (-2, -1)) + off) + jnp.sum(each, (-2, -1))


def _check(p: MatrixNormal, q: MatrixNormal) -> None:
    if p.event_shape != q.event_shape:
        raise ValueError(f"p is over matrices {p.event_shape} and q over {q.event_shape}.")


@rule(Renyi, MatrixNormal, MatrixNormal)
@rule(ChernoffInformation, MatrixNormal, MatrixNormal)
def _(functional, p, q):
    """At the cost of the dense form, which is cubic in the number of entries."""
    _check(p, q)
    return of_whitened(functional, _whitened(p, q), _whitened(q, p))


def _whitened(p: MatrixNormal, q: MatrixNormal) -> Whitened:
    r"""The factor of all entries, seen from Q, is $I + E = (I + E_A) \otimes (I + E_B)$."""
    loc_p, row_p, column_p, loc_q, row_q, column_q = floating(*p.parameters(), *q.parameters())
    size, width = p.event_shape
    z = _whiten(loc_p - loc_q, row_q, column_q)
    row, column = solve_lower(row_q, row_p - row_q), solve_lower(column_q, column_p - column_q)
    eyes = jnp.eye(size, dtype=row.dtype), jnp.eye(width, dtype=row.dtype)
    relative = _kron(row, eyes[1]) + _kron(eyes[0], column) + _kron(row, column)
    rows = log_det_lower(row_p) - log_det_lower(row_q)
    columns = log_det_lower(column_p) - log_det_lower(column_q)
    return Whitened(
        z.reshape(*z.shape[:-2], size * width),
        relative + relative.mT + relative @ relative.mT,
        2 * (width * rows + size * columns),
    )


def _kron(a: Array, b: Array) -> Array:
    product = jnp.einsum("...ij,...kl->...ikjl", a, b)
    return product.reshape(*product.shape[:-4], a.shape[-1] * b.shape[-1], -1)


@rule(Entropy, MatrixNormal)
def _(functional, p):
    _, row, column = p.parameters()
    size, width = p.event_shape
    volume = width * log_det_lower(row) + size * log_det_lower(column)
    return jnp.broadcast_to(volume + size * width * (0.5 + _LOG_SQRT_2PI), p.batch_shape)
