"""The multivariate normal distribution and its closed forms."""

import math
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float

from .._estimator.rules import rule
from .._functional.chernoff import ChernoffInformation
from .._functional.entropies import CrossEntropy, Entropy
from .._functional.kl import KL
from .._functional.renyi import Renyi
from .._functional.renyi_entropy import RenyiEntropy
from .._functional.variance import Varentropy
from .._special import phi
from .base import AbstractDistribution, Check, Pieces, field, floating, only_stratum
from .normal import log_det_divergence, renyi_entropy_excess
from .whitened import Whitened, of_whitened

_LOG_SQRT_2PI = 0.5 * math.log(2 * math.pi)


class MultivariateNormal(AbstractDistribution):
    r"""$N(\mu, \Sigma)$ on $R^D$, $\Sigma = L L^T$.

    Args:
        loc: $\mu$, `[*batch, D]`.
        scale_tril: $L$, lower triangular with a positive diagonal, `[*batch, D, D]` (what is above
            the diagonal is not read).
        covariance_matrix: $\Sigma$ instead, symmetric positive definite.

    The parameterisation that is given is the one that is kept. `scale_tril` is the accurate one: a
    covariance loses the condition number of $\Sigma$ in relative accuracy.

    Example:
        >>> import jax.numpy as jnp, jaxdiv as jd
        >>> p = jd.MultivariateNormal(jnp.zeros(2), jnp.eye(2))
        >>> q = jd.MultivariateNormal(jnp.ones(2), covariance_matrix=jnp.eye(2))
        >>> print(f"{jd.kl(p, q):.3f}")
        1.000
    """

    loc: Float[Any, "*batch D"] = field(event_ndim=1)
    scale_tril: Float[Any, "*batch D D"] | None = field(
        constraint="cholesky", event_ndim=2, default=None
    )
    covariance_matrix: Float[Any, "*batch D D"] | None = field(
        constraint="positive_definite", event_ndim=2, default=None
    )
    reparameterized: ClassVar[bool] = True
    integer: ClassVar[bool] = False

    @property
    def batch_shape(self):
        loc, scale = jnp.shape(self.loc), jnp.shape(self._given())
        if len(loc) < 1 or len(scale) < 2 or scale[-2:] != loc[-1:] * 2:
            raise ValueError(
                f"MultivariateNormal: expected loc [..., D] and a scale [..., D, D], got {loc} "
                f"and {scale}."
            )
        return jnp.broadcast_shapes(loc[:-1], scale[:-2])

    @property
    def event_shape(self):
        return jnp.shape(self.loc)[-1:]

    @property
    def normalized(self):
        return True

    @property
    def support(self):
        return -math.inf, math.inf

    def _given(self) -> Any:
        if (self.scale_tril is None) == (self.covariance_matrix is None):
            raise ValueError(
                "MultivariateNormal: give exactly one of scale_tril and covariance_matrix."
            )
        return self.covariance_matrix if self.scale_tril is None else self.scale_tril

    def factor(self) -> Float[Array, "*batch D D"]:
        """$L$, whichever was given."""
        (scale,) = floating(self._given())
        return jnp.linalg.cholesky(scale) if self.scale_tril is None else jnp.tril(scale)

    def covariance(self) -> Float[Array, "*batch D D"]:
        r"""$\Sigma$, whichever was given."""
        (scale,) = floating(self._given())
        return 0.5 * (scale + scale.mT) if self.scale_tril is None else _outer(jnp.tril(scale))

    @property
    def mean(self):
        loc, _ = floating(self.loc, self._given())
        return jnp.broadcast_to(loc, (*self.batch_shape, *self.event_shape))

    @property
    def variance(self):
        diagonal = jnp.diagonal(self.covariance(), axis1=-2, axis2=-1)
        return jnp.broadcast_to(diagonal, (*self.batch_shape, *self.event_shape))

    def log_prob(self, x):
        x, loc, tril = floating(x, self.loc, self.factor())
        z = jnp.einsum("...ij,...j->...i", _inverse(tril), x - loc)
        return -0.5 * jnp.sum(z * z, -1) - _log_det(tril) - z.shape[-1] * _LOG_SQRT_2PI

    def sample(self, key, shape=()):
        loc, tril = floating(self.loc, self.factor())
        noise = jr.normal(key, (*shape, *self.batch_shape, *self.event_shape), loc.dtype)
        return loc + jnp.einsum("...ij,...j->...i", tril, noise)

    def strata(self, key, n):
        return only_stratum(self.sample(key, (n,)), self.batch_shape)

    def translate(self, by):
        return MultivariateNormal(
            jnp.asarray(self.loc) - by, self.scale_tril, self.covariance_matrix
        )

    def pieces(self):
        loc, tril = floating(self.loc, self.factor())
        loc = jnp.broadcast_to(loc, self.batch_shape + loc.shape[-1:])
        tril = jnp.broadcast_to(tril, self.batch_shape + tril.shape[-2:])
        return Pieces(loc[None], tril[None], loc[None][:0])

    def value_checks(self):
        diagonal = jnp.diagonal(self.factor(), axis1=-2, axis2=-1)
        return [
            Check(
                ~(diagonal > 0),
                "MultivariateNormal: scale_tril needs a positive diagonal, "
                "covariance_matrix must be positive definite",
            )
        ]


@rule(KL, MultivariateNormal, MultivariateNormal)
def _(functional, p, q):
    _need_same_dimension(p, q)
    if p.scale_tril is None or q.scale_tril is None:
        return kl_by_difference(p, q, p.covariance() - q.covariance())
    tril_p, tril_q = floating(p.factor(), q.factor())
    z, relative = _whiten(p, q, tril_p - tril_q)
    half_square = 0.5 * jnp.sum(z * z, -1)
    strict = jnp.sum(jnp.tril(relative, -1) ** 2, (-2, -1))
    diagonals = (jnp.diagonal(tril, axis1=-2, axis2=-1) for tril in (tril_p, tril_q))
    return half_square + 0.5 * strict + jnp.sum(log_det_divergence(*diagonals), -1)


def kl_by_difference(p: MultivariateNormal, q: MultivariateNormal, difference: Array) -> Array:
    r"""From $\Sigma_p - \Sigma_q$."""
    z, half = _whiten(p, q, difference)
    return 0.5 * jnp.sum(z * z, -1) + 0.5 * _trace_phi(_excess(q, half))


def _excess(q: MultivariateNormal, excess: Array) -> Array:
    r"""$L_q^{-1}(\Sigma_p - \Sigma_q)L_q^{-T}$, of which the first two factors are given."""
    excess = _solve(_match(q.factor(), excess)[0], excess.mT)
    return 0.5 * (excess + excess.mT)


def whitened(
    p: MultivariateNormal, q: MultivariateNormal, difference: Array | None = None
) -> Whitened:
    r"""P as seen from Q; from $\Sigma_p - \Sigma_q$ where that is given."""
    _need_same_dimension(p, q)
    tril_p, tril_q = floating(p.factor(), q.factor())
    if difference is None and (p.scale_tril is None or q.scale_tril is None):
        difference = p.covariance() - q.covariance()
    if difference is None:
        z, relative = _whiten(p, q, tril_p - tril_q)
        excess = relative + relative.mT + relative @ relative.mT
    else:
        z, half = _whiten(p, q, difference)
        excess = _excess(q, half)
    return Whitened(z, excess, 2 * (_log_det(tril_p) - _log_det(tril_q)))


@rule(Renyi, MultivariateNormal, MultivariateNormal)
@rule(ChernoffInformation, MultivariateNormal, MultivariateNormal)
def _(functional, p, q):
    return of_whitened(functional, whitened(p, q), whitened(q, p))


@rule(Entropy, MultivariateNormal)
def _(functional, p):
    size = p.event_shape[0]
    entropy = _log_det(*floating(p.factor())) + size * (0.5 + _LOG_SQRT_2PI)
    return jnp.broadcast_to(entropy, p.batch_shape)


@rule(RenyiEntropy, MultivariateNormal)
def _(functional, p):
    (tril,) = floating(p.factor())
    each = renyi_entropy_excess(functional.order, tril) + _LOG_SQRT_2PI
    return jnp.broadcast_to(_log_det(tril) + p.event_shape[0] * each, p.batch_shape)


@rule(Varentropy, MultivariateNormal)
def _(functional, p):
    (loc,) = floating(p.loc)
    return jnp.full(p.batch_shape, 0.5 * p.event_shape[0], loc.dtype)


@rule(CrossEntropy, MultivariateNormal, MultivariateNormal)
def _(functional, p, q):
    _need_same_dimension(p, q)
    tril_p, tril_q = floating(p.factor(), q.factor())
    z, ratio = _whiten(p, q, tril_p)
    square = jnp.sum(z * z, -1) + jnp.sum(ratio * ratio, (-2, -1))
    return 0.5 * square + _log_det(tril_q) + z.shape[-1] * _LOG_SQRT_2PI


def _whiten(p: MultivariateNormal, q: MultivariateNormal, matrix: Array) -> tuple[Array, Array]:
    r"""$L_q^{-1}(\mu_p - \mu_q)$ and $L_q^{-1} A$, in one solve.

    Two of them at once can stop for ever on a CPU of two cores: each batched solve waits in a
    thread for work that only the other's thread could do (jaxlib 0.10).
    """
    loc_p, loc_q, tril, matrix = floating(p.loc, q.loc, q.factor(), matrix)
    columns = jnp.concatenate(_match((loc_p - loc_q)[..., None], matrix), -1)
    solved = _solve(*_match(tril, columns))
    return solved[..., 0], solved[..., 1:]


def _need_same_dimension(p: MultivariateNormal, q: MultivariateNormal) -> None:
    if p.event_shape != q.event_shape:
        raise ValueError(
            f"p is on R^{p.event_shape[0]} and q on R^{q.event_shape[0]}: they must agree."
        )


def _match(a: Array, b: Array) -> tuple[Array, Array]:
    """Two stacks of matrices with the same batch axes."""
    batch = jnp.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    return jnp.broadcast_to(a, batch + a.shape[-2:]), jnp.broadcast_to(b, batch + b.shape[-2:])


def _solve(tril: Array, b: Array) -> Array:
    return jax.scipy.linalg.solve_triangular(tril, b, lower=True)


def _inverse(tril: Array) -> Array:
    return _solve(*_match(tril, jnp.eye(tril.shape[-1], dtype=tril.dtype)))


def _outer(tril: Array) -> Array:
    return jnp.einsum("...ik,...jk->...ij", tril, tril)


def _log_det(tril: Array) -> Array:
    return jnp.sum(jnp.log(jnp.diagonal(tril, axis1=-2, axis2=-1)), -1)


@jax.custom_jvp
def _trace_phi(m: Array) -> Array:
    r"""$\sum_i \phi(\lambda_i(M))$ for symmetric `m`, without derivatives of eigenvalues."""
    return jnp.sum(phi(jnp.linalg.eigvalsh(m)), -1)


@_trace_phi.defjvp
def _(primals, tangents):
    (m,), (dm,) = primals, tangents
    gradient = jnp.linalg.solve(m + jnp.eye(m.shape[-1], dtype=m.dtype), m)
    return _trace_phi(m), jnp.sum(gradient * dm, (-2, -1))
