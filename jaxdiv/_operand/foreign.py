"""Another library's distribution, known by its own log-density and draws."""

import abc
from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from .._errors import NoClosedFormError
from .base import AbstractDistribution, AbstractOperand, Shape, field, only_stratum
from .univariate import Shifted


class AbstractLibrary(eqx.Module):
    """How the distributions of another library are read. Has no fields."""

    @abc.abstractmethod
    def translate(self, obj: Any) -> AbstractOperand | None:
        """The family of this package that it is a member of; None where there is none."""

    @abc.abstractmethod
    def shapes(self, obj: Any) -> tuple[Shape, Shape]:
        """The batch and the event shape."""

    @abc.abstractmethod
    def log_prob(self, obj: Any, x: Array) -> Array:
        """Its log-density at `x` of shape `[..., *batch, *event]`."""

    @abc.abstractmethod
    def sample(self, obj: Any, key: Key[Array, ""], shape: Shape) -> Array:
        """Draws of shape `[*shape, *batch, *event]`."""

    @abc.abstractmethod
    def moments(self, obj: Any) -> tuple[Callable[[], Any], Callable[[], Any]]:
        """What its mean and its variance are asked by; they raise where it does not know."""

    @abc.abstractmethod
    def is_integer(self, obj: Any) -> bool:
        """Whether the outcomes are integers."""

    @abc.abstractmethod
    def is_free(self, obj: Any) -> bool:
        """Whether its arrays of floats are parameters that may take any value."""

    @abc.abstractmethod
    def is_reparameterized(self, obj: Any) -> bool:
        """Whether draws are known to be differentiable in every parameter."""


class Foreign(AbstractDistribution):
    """A distribution of another library that is of no family here. Made by `as_distribution`.

    The density is the library's, so nothing is known of where it varies, nor of how far exactly its
    support reaches. It can be fitted where its parameters may take any value (`is_free`).
    """

    library: AbstractLibrary
    rest: tuple[Any, ...] = eqx.field(static=True)
    structure: Any = eqx.field(static=True)
    arrays: list[Any] = field(constraint="fixed")
    free: list[Any] = field(constraint="real")
    normalized: ClassVar[bool] = True

    def __init__(self, obj: Any, library: AbstractLibrary):
        leaves, self.structure = jax.tree.flatten(obj)
        is_free = library.is_free(obj)
        self.free = [x if is_free and eqx.is_inexact_array(x) else None for x in leaves]
        self.arrays = [
            x if _is_traced(x) and u is None else None
            for x, u in zip(leaves, self.free, strict=True)
        ]
        self.rest = tuple(None if _is_traced(x) else x for x in leaves)
        self.library = library
        library.shapes(obj)  # says what cannot be used

    @property
    def obj(self) -> Any:
        """The library's object."""
        parts = zip(self.free, self.arrays, self.rest, strict=True)
        leaves = [c if a is None and b is None else b if a is None else a for a, b, c in parts]
        return jax.tree.unflatten(self.structure, leaves)

    @property
    def is_free(self) -> bool:
        """Whether it has parameters that may take any value."""
        return any(u is not None for u in self.free)

    @property
    def name(self) -> str:
        """What the library calls it."""
        return type(self.obj).__name__

    @property
    def batch_shape(self):
        return self.library.shapes(self.obj)[0]

    @property
    def event_shape(self):
        return self.library.shapes(self.obj)[1]

    @property
    def reparameterized(self):
        return self.library.is_reparameterized(self.obj)

    @property
    def integer(self):
        return self.library.is_integer(self.obj)

    @property
    def support(self):
        return -float("inf"), float("inf")

    @property
    def mean(self):
        return self._moment(0)

    @property
    def variance(self):
        return self._moment(1)

    def _moment(self, which: int) -> Array:
        try:
            value = self.library.moments(self.obj)[which]()
            return jnp.broadcast_to(value, (*self.batch_shape, *self.event_shape))
        except (AttributeError, NotImplementedError, TypeError, ValueError) as error:
            words = f"{self.name} does not know its {('mean', 'variance')[which]}: draw from it."
            raise NoClosedFormError(words) from error

    def log_prob(self, x):
        return self.library.log_prob(self.obj, jnp.asarray(x))

    def sample(self, key, shape=()):
        return self.library.sample(self.obj, key, shape)

    def strata(self, key, n):
        return only_stratum(self.sample(key, (n,)), self.batch_shape)

    def translate(self, by):
        return Shifted(self, -jnp.asarray(by))

    def pieces(self):
        return None

    def value_checks(self):
        return []


def _is_traced(x: Any) -> bool:
    """Whether a leaf is data; sizes, flags and functions are part of the structure."""
    return isinstance(x, jax.Array | np.ndarray | np.generic | float)
