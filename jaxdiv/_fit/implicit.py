"""The derivative of an optimum, by the implicit function theorem."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Key, PyTree

from .constraint import map_named
from .newton import second_order


def follow(
    value: Callable[..., Array], report: Callable[..., PyTree], differentiable: bool
) -> Callable[..., PyTree]:
    r"""`(inputs, x, key, is_optimum, fitted) -> fitted`, which moves with `inputs` as `x` does.

    With $x$ the optimum of `value(inputs, x, key)`, $\partial x = -H^{-1}\, \partial \nabla_x f$
    along a tangent of `inputs`, and the tangent of `fitted` is that of `report(inputs, x, key)`,
    whose value it is. NaN where there is no optimum: a derivative means nothing there.
    """

    @jax.custom_jvp
    def along(
        inputs: PyTree,
        x: PyTree,
        key: Key[Array, ""] | None,
        is_optimum: Bool[Array, ""],
        fitted: Any,
    ) -> Any:
        del inputs, x, key, is_optimum
        return fitted

    @along.defjvp
    def _(primals, tangents):
        if not differentiable:
            raise NotImplementedError(
                "The derivative of `fit` is available where the objective is deterministic and its "
                "gradient is that of its value; then it is that of the optimum, by the implicit "
                "function theorem. Give estimator=FixedDraws(n) instead of MonteCarlo(n), or stop "
                "the gradient with jax.lax.stop_gradient."
            )
        inputs, x, key, is_optimum, fitted = primals
        flat, unravel = ravel_pytree(x)

        def gradient(inputs: PyTree) -> Array:
            return jax.grad(lambda flat: value(inputs, unravel(flat), key))(flat)

        _, slope = jax.jvp(gradient, (inputs,), tangents[:1])
        _, _, hessian = second_order(lambda flat: value(inputs, unravel(flat), key), flat)
        move = jnp.where(is_optimum, -jnp.linalg.solve(hessian, slope), jnp.nan)
        _, moved = jax.jvp(
            lambda inputs, flat: report(inputs, unravel(flat), key),
            (inputs, flat),
            (tangents[0], move),
        )
        return fitted, moved

    return along


def hold(family: PyTree) -> PyTree:
    """The family, of which only the fields that are not fitted are differentiated."""

    def held(name: str, constraint: str, x: Any) -> Any:
        return x if constraint == "fixed" else jax.lax.stop_gradient(x)

    return map_named(held, family)
