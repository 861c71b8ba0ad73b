"""A posterior: an unnormalised log-density of named, constrained parameters."""

import itertools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Int, PyTree

from .base import AbstractOperand, Shape, widen
from .chart import constrain_tree, is_space, named_spaces, over_points, unconstrain_tree
from .log_density import LogDensity
from .space import AbstractSpace

_CHUNK = 4096  # data whose log-likelihoods are in memory at a time, for each draw


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
        log_likelihood: of one datum, called as `log_likelihood(params, datum, *args)`; its sum
            over `data` is added. `StochasticGradient(batch_size=...)` then takes some at a time.
        data: an array, or a tree of them, with the data on the leading axis; traced.

    Raises:
        TypeError: if `log_density` is not callable, or a leaf of `parameters` is no space; if only
            one of `log_likelihood` and `data` is given.
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
    log_likelihood: Callable[..., Array] | None = eqx.field(static=True)
    parameters: PyTree[AbstractSpace]
    args: PyTree[ArrayLike]
    data: PyTree[Array]
    weight: float | Float[Array, ""]  # of each datum: more than 1 where they stand for others

    def __init__(
        self,
        log_density: Callable[..., Array],
        parameters: PyTree[AbstractSpace],
        args: PyTree[ArrayLike] = (),
        *,
        log_likelihood: Callable[..., Array] | None = None,
        data: PyTree[ArrayLike] = None,
    ):
        if not callable(log_density):
            raise TypeError(f"Posterior: log_density must be a function, got {log_density!r}.")
        if not isinstance(args, tuple | list):
            raise TypeError(f"Posterior: args must be a tuple, got {type(args).__name__}.")
        named_spaces(parameters)
        self.function = log_density
        self.parameters = parameters
        self.args = tuple(args)
        if (log_likelihood is None) != (data is None):
            raise TypeError("Posterior: log_likelihood, of one datum, needs data, and data it.")
        self.log_likelihood = log_likelihood
        self.data = jax.tree.map(jnp.asarray, data)
        self.weight = 1.0
        sizes = {x.shape[0] if x.ndim else 0 for x in jax.tree.leaves(self.data)}
        if len(sizes) > 1 or 0 in sizes:
            raise ValueError(
                "Posterior: data needs one leading axis, of the same length in every array; got "
                f"shapes {[x.shape for x in jax.tree.leaves(self.data)]}."
            )

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

    @property
    def num_data(self) -> int:
        """How many data `log_likelihood` is summed over."""
        leaves = jax.tree.leaves(self.data)
        return leaves[0].shape[0] if leaves else 0

    def subsample(self, index: Int[Array, " batch"]) -> "Posterior":
        """With these data alone, each in the place of `num_data / batch`: without bias, if the
        indices are uniform.
        """
        return eqx.tree_at(
            lambda p: (p.data, p.weight),
            self,
            (jax.tree.map(lambda x: x[index], self.data), self.weight * self.num_data / len(index)),
        )

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
        if self.log_likelihood is None:
            return value
        return value + self.weight * self._of_data(params)

    def _of_data(self, params: PyTree[ArrayLike]) -> Array:
        """The sum over the data, so many at a time."""
        assert self.log_likelihood is not None
        whole = self.num_data // _CHUNK * _CHUNK

        def total(data: PyTree[Array]) -> Array:
            def one(datum: PyTree[Array]) -> Array:
                assert self.log_likelihood is not None
                value = jnp.asarray(self.log_likelihood(params, datum, *self.args))
                if value.shape != ():
                    raise ValueError(
                        "Posterior: log_likelihood must return a scalar for one datum, got shape "
                        f"{value.shape}."
                    )
                return value

            return jnp.sum(jax.vmap(one)(data))

        rest = total(jax.tree.map(lambda x: x[whole:], self.data)) if whole < self.num_data else 0.0
        if not whole:
            return jnp.asarray(rest)
        chunks = jax.tree.map(lambda x: x[:whole].reshape(-1, _CHUNK, *x.shape[1:]), self.data)
        return rest + jnp.sum(jax.lax.map(total, chunks))

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
