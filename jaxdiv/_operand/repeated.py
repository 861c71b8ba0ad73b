"""Many parameters of one space, as one array."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp

from .base import Shape
from .space import AbstractSpace, as_shape


class Repeated(AbstractSpace):
    r"""Arrays of points of a space: $n$ probability vectors, say, as the rows of a matrix.

    Args:
        space: of each point.
        lead: how many there are; these axes stand before those of a point.

    Example:
        >>> import jaxdiv as jd
        >>> space = jd.Repeated(jd.Simplex(3), 5)
        >>> print(space.shape, space.size)
        (5, 3) 10
    """

    space: AbstractSpace
    lead: Shape = eqx.field(static=True, converter=as_shape)

    @property
    def shape(self):
        return (*self.lead, *self.space.shape)

    @property
    def size(self):
        return math.prod(self.lead) * self.space.size

    def forward(self, u):
        x, log_dets = jax.vmap(self.space.forward)(u.reshape(math.prod(self.lead), self.space.size))
        return x.reshape(self.shape), jnp.sum(log_dets)

    def inverse(self, x):
        return jax.vmap(self.space.inverse)(x.reshape(-1, *self.space.shape)).ravel()
