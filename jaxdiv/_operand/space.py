"""Spaces: the set that one named parameter lives in, with free coordinates and their Jacobian."""

import abc
import math
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from .._special import sigmoid, softplus, tanh
from .base import Shape, widen


def as_shape(shape: Any) -> Any:
    return (shape,) if isinstance(shape, int) else tuple(shape)


def _as_count(n: Any) -> int:
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise ValueError(f"a space of n entries needs a positive whole number n, got {n!r}.")
    return n


class AbstractSpace(eqx.Module):
    r"""A set of arrays with a chart: a one-to-one map of $R^n$ onto it, $n$ = `size`.

    Densities on it are with respect to Lebesgue measure of a minimal set of entries: all of them,
    or those that each space names. All fields are static, so that a space is part of the structure
    of whatever holds it.
    """

    @property
    @abc.abstractmethod
    def shape(self) -> Shape:
        """The shape of a point."""

    @property
    @abc.abstractmethod
    def size(self) -> int:
        """The number of free coordinates."""

    @abc.abstractmethod
    def forward(self, u: Float[Array, " size"]) -> tuple[Float[Array, "*shape"], Float[Array, ""]]:
        r"""$x(u)$ and $\log|\partial x/\partial u|$, for `u` of the right shape."""

    @abc.abstractmethod
    def inverse(self, x: Float[Array, "*shape"]) -> Float[Array, " size"]:
        """$u(x)$, for `x` of the right shape."""

    def constrain(
        self, u: Float[ArrayLike, " size"]
    ) -> tuple[Float[Array, "*shape"], Float[Array, ""]]:
        r"""The point $x(u)$ and $\log|\partial x/\partial u|$, in the floating type of `u`.

        Acts on one point: `jax.vmap` it over many. Far out, entries underflow to the edge of the
        set; the log-determinant stays exact.

        Raises:
            ValueError: unless `u` has shape `[size]`.
        """
        u = widen(u)
        self._check("constrain: u", u.shape, (self.size,))
        return self.forward(u)

    def unconstrain(self, x: Float[ArrayLike, "*shape"]) -> Float[Array, " size"]:
        """The free coordinates of a point; infinite at the edge of the set, NaN or any outside it.

        Raises:
            ValueError: unless `x` has the shape of the space.
        """
        x = widen(x)
        self._check("unconstrain: x", x.shape, self.shape)
        return self.inverse(x)

    def _check(self, name: str, got: Shape, want: Shape) -> None:
        if got != want:
            raise ValueError(
                f"{type(self).__name__}.{name} must have shape {want}, got {got}: a space acts on "
                "one point; `jax.vmap` it over many."
            )


class Real(AbstractSpace):
    r"""All real arrays of a shape: $x = u$.

    Args:
        shape: that of the parameter, row by row; a number counts as a vector's length.

    Example:
        >>> import jaxdiv as jd
        >>> print(jd.Real((2, 3)).size)
        6
    """

    shape: Shape = eqx.field(static=True, converter=as_shape, default=())

    @property
    def size(self):
        return math.prod(self.shape)

    def forward(self, u):
        return u.reshape(self.shape), jnp.zeros((), u.dtype)

    def inverse(self, x):
        return x.ravel()


class Positive(AbstractSpace):
    r"""Arrays of positive numbers: $x = e^u$.

    Args:
        shape: that of the parameter; a number counts as a vector's length.

    Example:
        >>> import jax.numpy as jnp, jaxdiv as jd
        >>> x, log_det = jd.Positive().constrain(jnp.array([2.0]))
        >>> print(f"{x:.4f} {log_det:.1f}")
        7.3891 2.0
    """

    shape: Shape = eqx.field(static=True, converter=as_shape, default=())

    @property
    def size(self):
        return math.prod(self.shape)

    def forward(self, u):
        return jnp.exp(u).reshape(self.shape), jnp.sum(u)

    def inverse(self, x):
        return jnp.log(x).ravel()


class Interval(AbstractSpace):
    r"""Arrays of numbers between two ends: $x = a + (b - a)/(1 + e^{-u})$.

    Measured from the nearer end, so that both have their digits. With one end infinite,
    $x = a + e^u$ or $x = b - e^{-u}$.

    Args:
        low: $a$, a Python number, or `-inf`.
        high: $b$, a Python number, or `inf`; not both are infinite.
        shape: that of the parameter; a number counts as a vector's length.

    Raises:
        ValueError: unless `low < high`, and one of them is finite.

    Example:
        >>> import jax.numpy as jnp, jaxdiv as jd
        >>> x, log_det = jd.Interval(-1.0, 1.0).constrain(jnp.array([0.0]))
        >>> print(f"{x:.4f} {log_det:.4f}")
        0.0000 -0.6931
    """

    low: float = eqx.field(static=True, converter=float)
    high: float = eqx.field(static=True, converter=float)
    shape: Shape = eqx.field(static=True, converter=as_shape, default=())

    def __check_init__(self):
        if not self.low < self.high or (math.isinf(self.low) and math.isinf(self.high)):
            raise ValueError(
                f"Interval: low must be less than high and one of them finite, got {self.low}, "
                f"{self.high}; the whole line is `Real`."
            )

    @property
    def size(self):
        return math.prod(self.shape)

    def forward(self, u):
        if math.isinf(self.high):
            return (self.low + jnp.exp(u)).reshape(self.shape), jnp.sum(u)
        if math.isinf(self.low):
            return (self.high - jnp.exp(-u)).reshape(self.shape), -jnp.sum(u)
        width = self.high - self.low
        x = jnp.where(u < 0, self.low + width * sigmoid(u), self.high - width * sigmoid(-u))
        log_det = math.log(width) - softplus(u) - softplus(-u)
        return x.reshape(self.shape), jnp.sum(log_det)

    def inverse(self, x):
        below = 0.0 if math.isinf(self.low) else jnp.log(x - self.low)
        above = 0.0 if math.isinf(self.high) else jnp.log(self.high - x)
        return jnp.ravel(below - above)


class Simplex(AbstractSpace):
    r"""Probability vectors, by breaking a stick: $x_k = z_k \prod_{j<k}(1 - z_j)$.

    $z_k = 1/(1 + (n - k)e^{-u_k})$ for $k = 1, ..., n - 1$, so that $u = 0$ is the uniform vector.
    Densities are with respect to the first $n - 1$ entries (Stan Reference Manual, Unit simplex).

    Args:
        n: the number of entries.

    Example:
        >>> import jax.numpy as jnp, jaxdiv as jd
        >>> x, log_det = jd.Simplex(2).constrain(jnp.array([0.0]))
        >>> print(x, f"{log_det:.4f}")
        [0.5 0.5] -1.3863
    """

    n: int = eqx.field(static=True, converter=_as_count)

    @property
    def shape(self):
        return (self.n,)

    @property
    def size(self):
        return self.n - 1

    def _offsets(self, dtype: Any) -> Array:
        return jnp.log(jnp.arange(self.n - 1, 0, -1, dtype=dtype))

    def forward(self, u):
        v = u - self._offsets(u.dtype)
        part, rest = -softplus(-v), -softplus(v)  # log z and log(1 - z)
        left = jnp.pad(jnp.cumsum(rest), (1, 0))  # of the stick, before each break
        return jnp.exp(left + jnp.pad(part, (0, 1))), jnp.sum(left[:-1] + part + rest)

    def inverse(self, x):
        left = jnp.cumsum(x[::-1])[::-1][1:]
        return jnp.log(x[:-1]) - jnp.log(left) + self._offsets(x.dtype)


class Ordered(AbstractSpace):
    r"""Increasing vectors: $x_1 = u_1$, $x_k = x_{k-1} + e^{u_k}$.

    Args:
        n: the number of entries.

    Example:
        >>> import jax.numpy as jnp, jaxdiv as jd
        >>> print(jd.Ordered(3).constrain(jnp.array([-1.0, 0.0, 0.0]))[0])
        [-1.  0.  1.]
    """

    n: int = eqx.field(static=True, converter=_as_count)

    @property
    def shape(self):
        return (self.n,)

    @property
    def size(self):
        return self.n

    def forward(self, u):
        return jnp.cumsum(jnp.concatenate([u[:1], jnp.exp(u[1:])])), jnp.sum(u[1:])

    def inverse(self, x):
        return jnp.concatenate([x[:1], jnp.log(jnp.diff(x))])


class PositiveOrdered(AbstractSpace):
    r"""Increasing vectors of positive numbers: $x_1 = e^{u_1}$, $x_k = x_{k-1} + e^{u_k}$.

    Args:
        n: the number of entries.

    Example:
        >>> import jax.numpy as jnp, jaxdiv as jd
        >>> print(jd.PositiveOrdered(3).constrain(jnp.zeros(3))[0])
        [1. 2. 3.]
    """

    n: int = eqx.field(static=True, converter=_as_count)

    @property
    def shape(self):
        return (self.n,)

    @property
    def size(self):
        return self.n

    def forward(self, u):
        return jnp.cumsum(jnp.exp(u)), jnp.sum(u)

    def inverse(self, x):
        return jnp.log(jnp.concatenate([x[:1], jnp.diff(x)]))


class CholeskyCorrelation(AbstractSpace):
    r"""Cholesky factors of correlation matrices: lower triangular, with rows of length one.

    $L_{ij} = \tanh u_{ij} \prod_{k<j} \operatorname{sech} u_{ik}$ and
    $L_{ii} = \prod_{k<i} \operatorname{sech} u_{ik}$, with $u$ row by row: hyperbolic tangents of
    $u$ are the canonical partial correlations (Lewandowski, Kurowicka & Joe 2009). Densities are
    with respect to the entries below the diagonal, as those of `LKJCholesky` are.

    Args:
        n: the number of rows.

    Example:
        >>> import jax.numpy as jnp, jaxdiv as jd
        >>> tril, log_det = jd.CholeskyCorrelation(2).constrain(jnp.array([1.0]))
        >>> print(f"{(tril @ tril.T)[1, 0]:.4f} {log_det:.4f}")
        0.7616 -0.8676
    """

    n: int = eqx.field(static=True, converter=_as_count)

    @property
    def shape(self):
        return (self.n, self.n)

    @property
    def size(self):
        return self.n * (self.n - 1) // 2

    def forward(self, u):
        # Even and smooth at 0, where a formula in |u| has no second derivative.
        log_cosh = 0.5 * (softplus(2 * u) + softplus(-2 * u)) - math.log(2.0)
        costs = _lower(log_cosh, self.n, -1)
        before = jnp.pad(jnp.cumsum(costs, 1)[:, :-1], ((0, 0), (1, 0)))
        partial = _lower(tanh(u), self.n, -1) + jnp.eye(self.n, dtype=u.dtype)
        return partial * jnp.exp(-before), -jnp.sum(jnp.tril(before, -1)) - 2 * jnp.sum(log_cosh)

    def inverse(self, x):
        # sinh u: the entry over the length of what stands right of it, which does not cancel.
        rest = jnp.cumsum((x * x)[:, ::-1], 1)[:, ::-1]
        rows, columns = jnp.tril_indices(self.n, -1)
        return jnp.arcsinh(x[rows, columns] / jnp.sqrt(rest[rows, columns + 1]))


class Cholesky(AbstractSpace):
    r"""Lower triangular matrices: $L_{ii} = e^{u_{ii}}$ on the diagonal, $L_{ij} = u_{ij}$ below.

    Densities are with respect to the entries on and below the diagonal, in which $u$ is too, row by
    row.

    Args:
        n: the number of rows.

    Example:
        >>> import jax.numpy as jnp, jaxdiv as jd
        >>> print(jd.Cholesky(2).constrain(jnp.array([0.0, 0.5, 0.0]))[0].tolist())
        [[1.0, 0.0], [0.5, 1.0]]
    """

    n: int = eqx.field(static=True, converter=_as_count)

    @property
    def shape(self):
        return (self.n, self.n)

    @property
    def size(self):
        return self.n * (self.n + 1) // 2

    def forward(self, u):
        x = _lower(u, self.n, 0)
        logs = jnp.diagonal(x)
        return jnp.tril(x, -1) + jnp.diag(jnp.exp(logs)), jnp.sum(logs)

    def inverse(self, x):
        eye = jnp.eye(self.n, dtype=bool)
        x = jnp.where(eye, jnp.log(jnp.where(eye, x, 1.0)), x)
        return x[jnp.tril_indices(self.n)]


def _lower(u: Array, n: int, k: int) -> Array:
    """Rows of a triangle, from diagonal `k` down, as a matrix with zeros above."""
    # Slices and padding only: a scatter, or the transpose of a gather, is a loop on CPUs.
    lengths = [max(row + 1 + k, 0) for row in range(n)]
    ends = [sum(lengths[: row + 1]) for row in range(n)]
    rows = (u[end - length : end] for end, length in zip(ends, lengths, strict=True))
    return jnp.stack([jnp.pad(row, (0, n - row.size)) for row in rows])
