"""The derivative of an optimum, by the implicit function theorem."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, Key, PyTree

from .._operand.base import AbstractDistribution
from .adaptive import Weighted
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
                "gradient is that of its value, or the algorithm ends at an optimum of KL; then it "
                "is that of the optimum, by the implicit function theorem. Give "
                "estimator=FixedDraws(n) instead of MonteCarlo(n), another algorithm, or stop the "
                "gradient with jax.lax.stop_gradient."
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


class Held(NamedTuple):
    """Draws of the target with weights, which count for as much more as its density gains."""

    draws: PyTree
    log_weights: Float[Array, " n"]
    log_p: Float[Array, " n"]
    log_evidence: Float[Array, ""]

    @staticmethod
    def of(found: Weighted) -> "Held":
        """Those that weigh nothing are put where another is, so that no derivative is lost."""
        there = found.weights > 0
        x = jnp.where(there[:, None], found.draws, found.draws[jnp.argmax(found.weights)])
        log_p = jnp.where(there, found.log_p, jnp.max(found.log_p))
        log_weights = jnp.where(there, jnp.log(jnp.where(there, found.weights, 1.0)), -jnp.inf)
        return Held(x, log_weights, log_p, found.log_evidence)

    def forward_kl(self, target: AbstractDistribution, member: AbstractDistribution) -> Array:
        """Of the member, from a target near the one that was drawn from."""
        log_p = target.log_prob(self.draws)
        log_weights = self.log_weights + log_p - self.log_p
        gain = jax.nn.logsumexp(log_weights)
        terms = log_p - member.log_prob(self.draws)
        return jnp.exp(log_weights - gain) @ terms - self.log_evidence - gain


def hold(family: PyTree) -> PyTree:
    """The family, of which only the fields that are not fitted are differentiated."""

    def held(name: str, constraint: str, x: Any) -> Any:
        return x if constraint == "fixed" else jax.lax.stop_gradient(x)

    return map_named(held, family)
