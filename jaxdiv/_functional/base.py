"""What is measured: functionals, and the aligned pair that they see."""

import abc
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from .._operand.base import AbstractOperand
from .._special import expm1


class Pair(eqx.Module):
    r"""Two operands at the same outcomes: all that a functional sees of them.

    `log_p`, `log_q` are log masses (or log densities), `p`, `q` the masses, `r` is
    $\log p - \log q$ formed without cancellation: `-inf` where only $p$ is zero, `+inf` where only
    $q$ is, 0 where both are. Outcomes stand on the last axis. `complete` says (statically) that
    both are normalised over these outcomes, so that non-negative generators may be summed.
    Every entry has finite derivatives everywhere. `weights` are those of a quadrature rule;
    `axis_name` is the mesh axis that the outcomes are split over, inside `shard_map`.
    """

    log_p: Float[Array, "*batch n"]
    log_q: Float[Array, "*batch n"]
    p: Float[Array, "*batch n"]
    q: Float[Array, "*batch n"]
    r: Float[Array, "*batch n"]
    weights: Float[Array, "*batch n"] | None = None
    complete: bool = eqx.field(static=True, default=True)
    axis_name: str | None = eqx.field(static=True, default=None)

    def total(self, values: Float[Array, "*batch n"]) -> Float[Array, "*batch"]:
        """The (weighted) sum over the outcomes; a zero weight silences an infinity."""
        if self.weights is not None:
            values = jnp.where(self.weights == 0, 0.0, self.weights * values)
        local = jnp.sum(values, -1)
        return local if self.axis_name is None else lax.psum(local, self.axis_name)

    def maximum(self, values: Float[Array, "*batch n"]) -> Float[Array, "*batch"]:
        """The largest value over the outcomes, not differentiated."""
        local = jnp.max(lax.stop_gradient(values), -1)
        return local if self.axis_name is None else lax.pmax(local, self.axis_name)

    @property
    def swapped(self) -> "Pair":
        """The two operands exchanged."""
        return Pair(
            self.log_q,
            self.log_p,
            self.q,
            self.p,
            -self.r,
            self.weights,
            self.complete,
            self.axis_name,
        )

    @property
    def p_is_zero(self) -> Array:
        return self.r == -jnp.inf

    @property
    def q_is_zero(self) -> Array:
        return self.r == jnp.inf

    @property
    def finite_r(self) -> Array:
        """`r` with 0 in place of an infinity, for the inner half of a double `where`."""
        return jnp.where(jnp.isinf(self.r), 0.0, self.r)

    @property
    def difference(self) -> Array:
        """$p - q$ without cancellation."""
        r = self.finite_r
        more = r > 0
        inside = jnp.where(
            more,
            -self.p * expm1(jnp.where(more, -r, 0.0)),
            self.q * expm1(jnp.where(more, 0.0, r)),
        )
        return jnp.where(jnp.isinf(self.r), self.p - self.q, inside)


class Draws(NamedTuple):
    r"""Log densities at draws, and their difference $r = \\log p - \\log q$."""

    log_p: Float[Array, "..."]
    log_q: Float[Array, "..."]
    r: Float[Array, "..."]


class AbstractFunctional(eqx.Module):
    """A number taken of one operand, or of two.

    Over nodes (outcomes, quadrature) it is `integrate(pair)`, a sum of non-negative terms where the
    pair is complete. Over draws it is `link(mean of terms over draws from P, plus mean of
    reverse_terms over draws from Q)`: the plain form in the log-ratio, never the non-negative one,
    whose variance may be infinite.
    """

    logarithmic: eqx.AbstractClassVar[bool]  # has a unit: `base` applies
    additive: eqx.AbstractClassVar[bool]  # over independent parts
    linear_in_r: eqx.AbstractClassVar[bool]  # its terms are: stick-the-landing is right
    needs_normalized: eqx.AbstractClassVar[bool]  # an unnormalised Q has no meaning

    @abc.abstractmethod
    def integrate(self, pair: Pair) -> Float[Array, "*batch"]:
        """The value over all outcomes of a pair."""

    @abc.abstractmethod
    def terms(self, draws: Draws) -> Float[Array, "*batch n"] | None:
        """What is averaged over draws from $P$; None where none are needed."""

    @abc.abstractmethod
    def reverse_terms(self, draws: Draws) -> Float[Array, "*batch n"] | None:
        """What is averaged over draws from $Q$ and added; None where none are needed."""

    @abc.abstractmethod
    def link(self, mean: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """The value, given the mean of the terms: differentiable, for the delta method."""

    @abc.abstractmethod
    def compose(self, evaluate: Callable[..., Array], *operands: AbstractOperand) -> Array | None:
        """The value by way of other closed forms, or None.

        `evaluate(functional, *operands)` raises `NoClosedFormError` where there is none.
        """


class AbstractDivergence(AbstractFunctional):
    """A functional of two operands: never negative, and zero where they are equal."""


class AbstractDecomposable(AbstractDivergence):
    """A divergence that is a sum over the outcomes."""

    @abc.abstractmethod
    def nodes(self, pair: Pair) -> Float[Array, "*batch n"]:
        """The term of each outcome, of which no other outcome counts."""

    def integrate(self, pair):
        return pair.total(self.nodes(pair))


def check_scalar(name: str, value: Any) -> None:
    """Refuses an array of parameters, which would meet the classes."""
    if isinstance(value, jax.Array | np.ndarray) and value.ndim:
        raise ValueError(
            f"{name} must be one number, got an array of shape {value.shape}: for several use "
            "`jax.vmap`."
        )


def no_average(functional: AbstractFunctional) -> TypeError:
    """The error of a functional that is no function of a mean over draws."""
    return TypeError(
        f"{type(functional).__name__} is not a function of one mean over draws: use "
        "`Quadrature()`, or the closed form."
    )


def ratio_of_logs(log_p: Array, log_q: Array) -> Array:
    r"""$\log p - \\log q$, 0 where both are zero; with finite derivatives everywhere."""
    p_zero, q_zero = log_p == -jnp.inf, log_q == -jnp.inf
    either = p_zero | q_zero
    r = jnp.where(either, 0.0, log_p) - jnp.where(either, 0.0, log_q)
    return jnp.where(p_zero & ~q_zero, -jnp.inf, jnp.where(q_zero & ~p_zero, jnp.inf, r))
