"""A posterior that is a Gaussian prior times sites, each of one linear projection."""

import math
from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, PyTree

from .._errors import NoClosedFormError
from .base import AbstractDistribution, field, floating, is_prefix_leaf
from .independent import Independent
from .multivariate_normal import MultivariateNormal
from .normal import Normal
from .product import converted


class Factorised(AbstractDistribution):
    r"""$p(\theta) \propto N(\theta; m_0, \Sigma_0) \prod_i t_i(x_i^T \theta + o_i)$ on $R^D$.

    The posterior of a generalised linear model, or, with the identity as `projections`, of a latent
    Gaussian model such as a Gaussian process. Not normalised: it may stand where an unnormalised
    `LogDensity` may, and besides for `expectation_propagation`.

    Args:
        prior: a `MultivariateNormal`, or the `Normal` of each coordinate, or one for all of them.
        site: `(f, *datum) -> log-likelihood` of one datum, given its projection `f`; a scalar.
            The function is static: hoist it, and pass data by `data`.
        projections: the rows $x_i$, `[n, D]`: the design matrix.
        data: what `site` is called with besides, each with a leading axis of length $n$; traced.
        offset: $o_i$, `[n]`, added to the projections; zero by default.

    Example:
        >>> import jax, jax.numpy as jnp, jaxdiv as jd
        >>> def site(f, y):  # logistic regression, y = -1 or 1
        ...     return jax.nn.log_sigmoid(y * f)
        >>> x, y = jnp.array([[1.0, 2.0], [1.0, -1.0]]), jnp.array([1.0, -1.0])
        >>> target = jd.Factorised(jd.Normal(0.0, 1.0), site, x, (y,))
        >>> print(f"{target.log_prob(jnp.zeros(2)):.4f}")  # of the prior -log 2 pi, and -2 log 2
        -3.2242
    """

    prior: MultivariateNormal
    site: Callable[..., Array] = eqx.field(static=True)
    projections: Float[Any, "n D"] = field(constraint="fixed")
    data: PyTree[ArrayLike] = field(constraint="fixed")
    offset: Float[Any, " n"] = field(constraint="fixed")
    reparameterized: ClassVar[bool] = False
    integer: ClassVar[bool] = False

    def __init__(
        self,
        prior: Any,
        site: Callable[..., Array],
        projections: Any,
        data: PyTree[ArrayLike] = (),
        offset: Any = None,
    ):
        if not callable(site):
            raise TypeError(f"Factorised: site must be a function, got {type(site)}.")
        shape = jnp.shape(projections)
        if len(shape) != 2:
            raise ValueError(f"Factorised: projections must be [n, D], got shape {shape}.")
        if not isinstance(data, tuple):
            raise TypeError(f"Factorised: data must be a tuple of arrays, got {type(data)}.")
        lengths = {jnp.shape(leaf)[:1] for leaf in jax.tree.leaves(data)} - {shape[:1]}
        if lengths:
            raise ValueError(
                f"Factorised: data must have a leading axis of length {shape[0]}, as projections "
                f"have, got {sorted(lengths)}."
            )
        self.prior = _gaussian(prior, shape[1])
        self.site = site
        self.projections = projections
        self.data = data
        self.offset = (
            jnp.zeros(shape[0], jnp.result_type(projections)) if offset is None else offset
        )
        if jnp.shape(self.offset) != shape[:1]:
            raise ValueError(
                f"Factorised: offset must be [{shape[0]}], got shape {jnp.shape(self.offset)}."
            )

    @property
    def batch_shape(self):
        return ()

    @property
    def event_shape(self):
        return self.prior.event_shape

    @property
    def normalized(self):
        return False

    @property
    def support(self):
        return -math.inf, math.inf

    @property
    def mean(self):
        raise NoClosedFormError("Factorised: its mean is not known; see expectation_propagation.")

    @property
    def variance(self):
        raise NoClosedFormError(
            "Factorised: its variance is not known; see expectation_propagation."
        )

    def log_prob(self, x):
        x, rows, offset = floating(x, self.projections, self.offset)
        f = jnp.einsum("...d,nd->...n", x, rows) + offset
        sites = jax.vmap(self.site)
        lead = f.shape[:-1]
        values = jax.vmap(lambda f: sites(f, *self.data))(f.reshape(-1, f.shape[-1]))
        if values.ndim != 2:
            raise ValueError(
                f"Factorised: site must return a scalar for one datum, got {values.shape[2:]}."
            )
        return self.prior.log_prob(x) + jnp.sum(values, -1).reshape(lead)

    def sample(self, key, shape=()):
        raise TypeError(
            "Factorised has no sampler: use it as Q, or `expectation_propagation` for a Gaussian."
        )

    def strata(self, key, n):
        return self.sample(key, (n,))

    def translate(self, by):
        by, rows, offset = floating(by, self.projections, self.offset)
        moved = Factorised(self.prior, self.site, rows, self.data, offset + rows @ by)
        return eqx.tree_at(lambda d: d.prior, moved, self.prior.translate(by))

    def pieces(self):
        return None

    def value_checks(self):
        return self.prior.value_checks()


def _gaussian(prior: Any, size: int) -> Any:
    """The prior as a `MultivariateNormal` on $R^D$."""
    if is_prefix_leaf(prior):
        return prior
    prior = converted(prior)
    parts = prior.base if isinstance(prior, Independent) and prior.ndims == 1 else prior
    if isinstance(parts, Normal) and parts.batch_shape in ((), (size,)):
        loc, scale = floating(parts.loc, parts.scale)
        tril = jnp.broadcast_to(scale, (size,)) * jnp.eye(size, dtype=scale.dtype)
        prior = MultivariateNormal(jnp.broadcast_to(loc, (size,)), tril)
    if not isinstance(prior, MultivariateNormal):
        raise TypeError(
            f"Factorised: the prior must be a MultivariateNormal on R^{size}, or a Normal for each "
            f"coordinate or for all, got {type(prior).__name__}."
        )
    if prior.batch_shape != () or prior.event_shape != (size,):
        raise ValueError(
            f"Factorised: projections are on R^{size}, and the prior has batch shape "
            f"{prior.batch_shape} and event shape {prior.event_shape}: vmap over a batch."
        )
    return prior
