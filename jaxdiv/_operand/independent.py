"""Batch axes as parts of one outcome."""

import math
from typing import Any

import equinox as eqx
import jax.numpy as jnp

from .base import AbstractWrapper, Pieces, only_stratum
from .discrete import AbstractDiscrete
from .multivariate_normal import MultivariateNormal
from .normal import Normal


class Independent(AbstractWrapper):
    r"""The last `ndims` batch axes of a distribution become axes of the event.

    $p(x) = \prod_i p_i(x_i)$: its parts are independent. `Independent(Normal(loc, scale), 1)` is a
    normal distribution on $R^D$ with a diagonal covariance.

    Args:
        base: a distribution with at least `ndims` batch axes; one over classes will do.
        ndims: how many.

    Example:
        >>> import jax.numpy as jnp, jaxdiv as jd
        >>> p = jd.Independent(jd.Normal(jnp.zeros(3), 1.0), 1)
        >>> q = jd.Independent(jd.Normal(jnp.ones(3), 1.0), 1)
        >>> print(f"{jd.kl(p, q):.3f}")
        1.500
    """

    base: Any
    ndims: int = eqx.field(static=True)

    def __check_init__(self):
        if not isinstance(self.ndims, int) or self.ndims < 1:
            raise ValueError(f"Independent: ndims must be a positive integer, got {self.ndims!r}.")

    @property
    def batch_shape(self):
        shape = self.base.batch_shape
        if len(shape) < self.ndims:
            raise ValueError(
                f"Independent: base has batch shape {shape}, fewer than ndims={self.ndims} axes."
            )
        return shape[: len(shape) - self.ndims]

    @property
    def event_shape(self):
        shape = self.base.batch_shape
        return shape[len(shape) - self.ndims :] + self.base.event_shape

    @property
    def reparameterized(self):
        return self.base.reparameterized

    @property
    def integer(self):
        return isinstance(self.base, AbstractDiscrete) or self.base.integer

    @property
    def mean(self):
        return self.base.mean

    @property
    def variance(self):
        return self.base.variance

    @property
    def normalized(self):
        return self.base.normalized

    @property
    def support(self):
        if isinstance(self.base, AbstractDiscrete):
            return 0.0, math.inf if (n := self.base.num_outcomes) is None else n - 1.0
        return self.base.support

    def log_prob(self, x):
        parts = self.base.log_prob(x)
        return jnp.sum(parts, tuple(range(-self.ndims, 0)))

    def sample(self, key, shape=()):
        return self.base.sample(key, shape)

    def strata(self, key, n):
        return only_stratum(self.sample(key, (n,)), self.batch_shape)

    def translate(self, by):
        return Independent(self.base.translate(by), self.ndims)

    def pieces(self):
        if isinstance(self.base, AbstractDiscrete):
            return None
        inner = self.base.pieces()
        if self.ndims != 1 or self.base.event_shape or inner is None or len(inner.centres) != 1:
            return None
        scales = inner.scale_trils[..., 0, 0]
        return Pieces(
            inner.centres[..., 0],
            scales[..., None] * jnp.eye(scales.shape[-1], dtype=scales.dtype),
            inner.points[..., 0],
            inner.open_tails,
        )

    def value_checks(self):
        return self.base.value_checks()

    def reduce(self, evaluate, functional, *operands):
        if any(isinstance(d, MultivariateNormal) for d in operands) or not functional.additive:
            operands = tuple(as_multivariate(d) for d in operands)
            return None if None in operands else evaluate(functional, *operands)
        if not all(isinstance(d, Independent) for d in operands):
            return None
        if len({(d.ndims, d.event_shape) for d in operands}) > 1:
            shapes = ", ".join(str(d.event_shape) for d in operands)
            raise ValueError(f"Independent operands must have one event shape, got {shapes}.")
        bases = [d.base for d in operands]
        values = evaluate(functional, *bases)
        shape = jnp.broadcast_shapes(*(b.batch_shape for b in bases))
        return jnp.sum(jnp.broadcast_to(values, shape), tuple(range(-self.ndims, 0)))


def as_multivariate(d: Any) -> MultivariateNormal | None:
    """A product of normals as a multivariate normal, or None."""
    if isinstance(d, MultivariateNormal):
        return d
    if not isinstance(d, Independent) or not isinstance(d.base, Normal) or d.ndims != 1:
        return None
    loc, scale = jnp.broadcast_arrays(jnp.asarray(d.base.loc), jnp.asarray(d.base.scale))
    return MultivariateNormal(loc, scale[..., None] * jnp.eye(scale.shape[-1], dtype=scale.dtype))
