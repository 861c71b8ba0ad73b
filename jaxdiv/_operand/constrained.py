"""Distributions of named, constrained parameters."""

import jax
from jaxtyping import Array, ArrayLike, Float, Key, PyTree

from .._functional.base import AbstractDivergence
from .._functional.variance import InformationVariance
from .base import AbstractComposite, AbstractDistribution, Shape, is_prefix_leaf
from .chart import constrain_tree, is_space, named_spaces, over_points, unconstrain_tree
from .space import AbstractSpace


class Constrained(AbstractComposite):
    r"""The distribution of $\theta(u)$ for $u$ of `base`: what a fit to a `Posterior` gives.

    A divergence between two over the same spaces is that of their bases; one to a `Posterior` is an
    average over draws.

    Args:
        base: a distribution on $R^n$, of free coordinates; without batch axes.
        parameters: a dict, or any tree, of spaces, of size $n$ altogether.

    Raises:
        ValueError: unless `base` has one event axis, of that length, and no batch axes.

    Example:
        >>> import jax, jax.numpy as jnp, jaxdiv as jd
        >>> base = jd.MultivariateNormal(jnp.zeros(2), jnp.eye(2))
        >>> q = jd.Constrained(base, {"scale": jd.Positive(), "share": jd.Interval(0.0, 1.0)})
        >>> draws = q.sample(jax.random.key(0), (3,))
        >>> print({name: x.shape for name, x in draws.items()})
        {'scale': (3,), 'share': (3,)}
        >>> print(f"{q.log_prob({'scale': 1.0, 'share': 0.5}):.4f}")
        -0.4516
    """

    base: AbstractDistribution
    parameters: PyTree[AbstractSpace]

    def __check_init__(self):
        if is_prefix_leaf(self.base) or is_prefix_leaf(self.parameters):
            return
        dim = sum(space.size for _, space in named_spaces(self.parameters))
        if self.base.event_shape != (dim,) or self.base.batch_shape != ():
            raise ValueError(
                f"Constrained: base must be one distribution over vectors of length {dim}, the "
                f"number of free coordinates of the parameters, got batch shape "
                f"{self.base.batch_shape} and event shape {self.base.event_shape}."
            )

    @property
    def batch_shape(self):
        return ()

    @property
    def event_shape(self) -> PyTree[Shape]:
        """The shape of each parameter."""
        return jax.tree.map(lambda space: space.shape, self.parameters, is_leaf=is_space)

    @property
    def normalized(self) -> bool:
        """Whether the density of the free coordinates integrates to one."""
        return self.base.normalized

    @property
    def reparameterized(self) -> bool:
        """Whether `sample` is differentiable in every parameter of the base."""
        return self.base.reparameterized

    def constrain(self, u: Float[Array, "*sample dim"]) -> PyTree[Array]:
        """The named parameters at vectors of free coordinates, with any leading axes."""
        lead = u.shape[:-1]
        flat = jax.vmap(lambda u: constrain_tree(self.parameters, u)[0])(u.reshape(-1, u.shape[-1]))
        return jax.tree.map(lambda x: x.reshape(*lead, *x.shape[1:]), flat)

    def log_prob(self, x: PyTree[ArrayLike]) -> Float[Array, "*sample"]:
        """The log-density of named parameters, each of shape `[*sample, *shape]`."""
        return over_points(self.parameters, self._of_one)(x)

    def _of_one(self, x: PyTree[ArrayLike]) -> Array:
        u = unconstrain_tree(self.parameters, x)
        return self.base.log_prob(u) - constrain_tree(self.parameters, u)[1]

    def sample(self, key: Key[Array, ""], shape: Shape = ()) -> PyTree[Array]:
        """Independent draws: named parameters of shape `[*sample, *shape]`."""
        return self.constrain(self.base.sample(key, shape))

    def strata(self, key: Key[Array, ""], n: int) -> tuple[Array, PyTree[Array]]:
        """The base's strata."""
        weights, draws = self.base.strata(key, n)
        return weights, self.constrain(draws)

    def value_checks(self):
        return self.base.value_checks()

    def reduce(self, evaluate, functional, *operands):
        invariant = isinstance(functional, AbstractDivergence | InformationVariance)
        charts = {jax.tree.structure(getattr(d, "parameters", None)) for d in operands}
        if (
            not invariant
            or len(charts) > 1
            or not all(isinstance(d, Constrained) for d in operands)
        ):
            return None
        return evaluate(functional, *(d.base for d in operands if isinstance(d, Constrained)))
