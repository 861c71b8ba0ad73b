"""A posterior: an unnormalised log-density of named, constrained parameters."""

import itertools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, PyTree

from .base import AbstractOperand, Shape, widen
from .chart import constrain_tree, is_space, named_spaces, over_points, unconstrain_tree
from .log_density import LogDensity
from .space import AbstractSpace


class Posterior(AbstractOperand):
    r"""$\pi(\theta) \propto \exp(\ell(\theta, \text{args}))$ for named parameters in given spaces.

    The density is that of the constrained parameters, priors as they are written in books: the
    Jacobian of the free coordinates is added here.

    Args:
        log_density: $\ell$, called as `log_density(params, *args)`, up to an additive constant; a
            scalar. The function is static: hoist it, and pass data by `args`.
        parameters: a dict, or any tree, of spaces; `params` is one of arrays. The order is
            that of `jax.tree`: of a dict, the alphabet's.
        args: data, traced: new data of the same shape does not compile again.

    Raises:
        TypeError: if `log_density` is not callable, or a leaf of `parameters` is no space.
        ValueError: from its members, for coordinates or values of another shape.

    Example:
        >>> import jax.numpy as jnp, jaxdiv as jd
        >>> def log_density(params, y):
        ...     return jnp.sum(jd.Normal(params["loc"], params["scale"]).log_prob(y))
        >>> y = jnp.array([1.0, 2.0, 4.0])
        >>> posterior = jd.Posterior(log_density, {"loc": jd.Real(), "scale": jd.Positive()}, (y,))
        >>> print(posterior.dim, posterior.names())
        2 ('loc', 'scale')
        >>> print(f"{posterior.free().log_prob(jnp.array([2.0, 0.0])):.4f}")
        -5.2568
    """

    function: Callable[..., Array] = eqx.field(static=True)
    parameters: PyTree[AbstractSpace]
    args: PyTree[ArrayLike]

    def __init__(
        self,
        log_density: Callable[..., Array],
        parameters: PyTree[AbstractSpace],
        args: PyTree[ArrayLike] = (),
    ):
        if not callable(log_density):
            raise TypeError(f"Posterior: log_density must be a function, got {log_density!r}.")
        if not isinstance(args, tuple | list):
            raise TypeError(f"Posterior: args must be a tuple, got {type(args).__name__}.")
        named_spaces(parameters)
        self.function = log_density
        self.parameters = parameters
        self.args = tuple(args)

    @property
    def batch_shape(self):
        return ()

    @property
    def event_shape(self) -> PyTree[Shape]:
        """The shape of each parameter."""
        return jax.tree.map(lambda space: space.shape, self.parameters, is_leaf=is_space)

    def value_checks(self):
        return []

    @property
    def dim(self) -> int:
        """The number of free coordinates."""
        return sum(space.size for _, space in named_spaces(self.parameters))

    def names(self) -> tuple[str, ...]:
        """A label for each scalar of the constrained parameters, in their flat order.

        `beta[0]`, `L[1, 0]`, and `group.scale` for a dict within a dict.
        """
        return tuple(
            name + (str(list(index)) if index else "")
            for name, space in named_spaces(self.parameters)
            for index in itertools.product(*map(range, space.shape))
        )

    @property
    def normalized(self) -> bool:
        """False: it is known up to a constant."""
        return False

    def log_prob(self, params: PyTree[Float[ArrayLike, "..."]]) -> Float[Array, "*sample"]:
        r"""$\ell(\theta)$ of named parameters `[*sample, *shape]`, without a Jacobian."""
        return over_points(self.parameters, self._of_one)(params)

    def _of_one(self, params: PyTree[ArrayLike]) -> Array:
        value = jnp.asarray(self.function(params, *self.args))
        if value.shape != ():
            raise ValueError(
                f"Posterior: log_density must return a scalar, got shape {value.shape}: sum it."
            )
        return value

    def free(self) -> LogDensity:
        r"""$\ell(\theta(u)) + \log|\partial\theta/\partial u|$, over vectors of shape `[dim]`.

        Two posteriors of one function and one tree of spaces give densities that compile once.
        """
        return LogDensity(_free_log_density, (self,), event_shape=(self.dim,))

    def constrain(self, u: Float[ArrayLike, " dim"]) -> PyTree[Array]:
        """The named parameters at one vector of free coordinates; `jax.vmap` it over many."""
        return constrain_tree(self.parameters, widen(u))[0]

    def unconstrain(self, params: PyTree[ArrayLike]) -> Float[Array, " dim"]:
        """The free coordinates of named parameters: infinite at the edge of their space."""
        return unconstrain_tree(self.parameters, params)


def _free_log_density(u: Array, posterior: Any) -> Array:
    params, log_det = constrain_tree(posterior.parameters, u)
    return posterior._of_one(params) + log_det
