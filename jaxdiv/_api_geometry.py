"""The metric that a divergence is to second order."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from ._api import evaluate
from ._estimator.base import AbstractEstimator
from ._fit.constraint import describe
from ._functional.base import AbstractDivergence
from ._operand.convert import as_operand


def fisher_vector_product(
    functional: AbstractDivergence,
    params: Any,
    tangent: Any,
    operand: Callable[[Any], Any] | None = None,
    *,
    estimator: AbstractEstimator | None = None,
) -> Any:
    r"""$Hv$, where $H$ is the Hessian of $q \mapsto D(p, q)$ at $q = p$.

    Of `KL()` it is the Fisher information, and of an f-divergence $f''(1)$ times that (Amari &
    Nagaoka 2000, section 3.2): of `Renyi(a)` $a$ times, of `ChiSquared()` twice, of
    `SquaredHellinger()` and `JensenShannon()` a quarter. Nothing the size of $H$ is formed.

    $D$ is least at $q = p$, so that second derivatives of `operand` count nothing: it is
    differentiated once each way, as in $J^T H J v$, and the divergence forward over reverse.

    Args:
        functional: a divergence, twice differentiable at $q = p$ (total variation is not).
        params: the operand itself; or what `operand` makes it from, any pytree.
        tangent: $v$, a pytree like `params`. Leaves that are no floating numbers (masks, counts)
            are ignored, and may be None.
        operand: from `params` to the operand: a network, say, with its tag. It need not be
            injective, nor twice differentiable.
        estimator: as for `divergence`.

    Returns:
        A pytree like `params`, None in place of leaves that are no floating numbers. Of a batched
        operand $D$ is summed: for the mean over $n$ examples divide by $n$.

    Raises:
        TypeError: `functional` is no divergence, or there is no operand.
        ValueError: `tangent` is not like `params`.
        NoClosedFormError: as for `divergence`.

    Example:
        >>> import jaxdiv as jd
        >>> product = jd.fisher_vector_product(jd.KL(), jd.Normal(0.0, 2.0), jd.Normal(1.0, 1.0))
        >>> print(product.loc, product.scale)  # 1/scale^2 and 2/scale^2
        0.25 0.5
    """
    if not isinstance(functional, AbstractDivergence):
        raise TypeError(
            f"fisher_vector_product takes a divergence, got {type(functional).__name__}: another "
            "functional is not least where its operands are equal."
        )
    if operand is None:
        paths, treedef = jax.tree_util.tree_flatten_with_path(params)
        params = treedef.unflatten(_as_number(*describe(params, path), x) for path, x in paths)
    free, fixed = eqx.partition(params, is_parameter)
    free = jax.tree.map(jnp.asarray, free)

    def whole(free: Any) -> Any:
        params = eqx.combine(free, fixed)
        return params if operand is None else operand(params)

    name = "params" if operand is None else "operand(params)"
    product = hessian_at_equality(functional, free, whole, estimator=estimator, name=name)
    return product(_like(free, tangent))


def hessian_at_equality(
    functional: AbstractDivergence,
    params: Any,
    operand: Callable[[Any], Any],
    *,
    name: str = "operand(params)",
    estimator: AbstractEstimator | None = None,
    reduce: Callable[[Array], Array] = jnp.sum,
) -> Callable[[Any], Any]:
    r"""$v \mapsto Hv$, with `operand` linearised once, whatever the number of products.

    `params` are floating arrays and nothing else; `reduce` makes one number of a batch.
    """

    def make(params: Any) -> Any:
        return eqx.partition(as_operand(name, operand(params)), is_parameter)

    made, push, rest = jax.linearize(make, params, has_aux=True)
    p = eqx.combine(jax.tree.map(jax.lax.stop_gradient, made), rest)

    def value(q: Any) -> Array:
        return reduce(evaluate(functional, (p, eqx.combine(q, rest)), None, estimator, None))

    def product(tangent: Any) -> Any:
        _, change = jax.jvp(jax.grad(value), (made,), (push(tangent),))
        (result,) = jax.linear_transpose(push, params)(change)
        return result

    return product


def _as_number(name: str, constraint: str, x: Any) -> Any:
    """Of a parameter given as a Python integer."""
    is_count = constraint == "fixed" or isinstance(x, bool)
    return float(x) if isinstance(x, int) and not is_count else x


def is_parameter(x: Any) -> bool:
    """Whether `x` is a floating array, or a number that can be one."""
    return eqx.is_array_like(x) and jnp.issubdtype(jnp.result_type(x), jnp.inexact)


def _like(free: Any, tangent: Any) -> Any:
    """The leaves of `tangent` that `free` has, of its dtypes."""

    def leaf(x: Any, v: Any) -> Any:
        if jnp.shape(x) != jnp.shape(v):
            raise ValueError(
                f"fisher_vector_product: a leaf of tangent has shape {jnp.shape(v)}, that of "
                f"params {jnp.shape(x)}: they must agree."
            )
        return jnp.asarray(v, x.dtype)

    def prune(x: Any, v: Any) -> Any:
        return None if x is None else leaf(x, v)

    return jax.tree.map(prune, free, tangent, is_leaf=lambda x: x is None)
