"""How the gradient of an average over draws is taken."""

import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Key

from .._operand.mixture import Mixture
from .draws import AbstractDraws


class AbstractGradient(eqx.Module):
    """Draws from a distribution and makes its terms carry the right gradient."""

    @abc.abstractmethod
    def draw(
        self, dist: Any, key: Key[Array, ""], n: int, draws: AbstractDraws
    ) -> tuple[Array, Any]:
        """Weights `[S, *batch]` of strata, and draws `[S, m, *batch, *event]`, or dicts of them."""

    @abc.abstractmethod
    def density(self, dist: Any) -> Any:
        """The distribution whose log-density enters the terms, in place of the drawn one."""

    @abc.abstractmethod
    def carry(
        self, terms: Float[Array, "S m *batch"], log_prob: Float[Array, "S m *batch"]
    ) -> Float[Array, "S m *batch"]:
        """The terms, unchanged in value, with the gradient of their mean."""


class Pathwise(AbstractGradient):
    """Differentiates through the draws (Kingma & Welling 2014): the default.

    Example:
        >>> import jax, jaxdiv as jd
        >>> estimator = jd.MonteCarlo(1000, gradient=jd.Pathwise())
        >>> def loss(loc):
        ...     p, q = jd.Normal(loc, 1.0), jd.Normal(0.0, 1.0)
        ...     return jd.kl(p, q, estimator=estimator, key=jax.random.key(0))
        >>> print(f"{jax.grad(loss)(1.0):.0f}")
        1
    """

    def draw(self, dist, key, n, draws):
        _need_reparameterized(dist)
        return draws.strata(dist, key, n)

    def density(self, dist):
        return dist

    def carry(self, terms, log_prob):
        return terms


class StickTheLanding(AbstractGradient):
    r"""Pathwise, without the score of the drawn density (Roeder, Wu & Duvenaud 2017).

    The part that is left out has mean zero, and what is left vanishes draw by draw where $P = Q$.
    Right only where the terms are linear in the log-ratio: KL. First derivatives only: those of
    second order lack what the first leaves out.

    Example:
        >>> import jax, jaxdiv as jd
        >>> estimator = jd.FixedDraws(10, gradient=jd.StickTheLanding())
        >>> def loss(loc):
        ...     return jd.kl(jd.Normal(loc, 1.0), jd.Normal(0.0, 1.0), estimator=estimator)
        >>> print(f"{jax.grad(loss)(0.0):.1f}")
        0.0
    """

    def draw(self, dist, key, n, draws):
        _need_reparameterized(dist)
        return draws.strata(dist, key, n)

    def density(self, dist):
        return lax.stop_gradient(dist)

    def carry(self, terms, log_prob):
        return terms


class LeaveOneOut(eqx.Module):
    """The mean of the other draws' terms, as a baseline for `Score`."""


class Score(AbstractGradient):
    r"""$E[(t - b)\,\nabla \log p]$ (Williams 1992): for draws that cannot be differentiated.

    Args:
        baseline: `LeaveOneOut()`, which leaves the gradient unbiased, or None.

    Example:
        >>> import jax, jaxdiv as jd
        >>> estimator = jd.MonteCarlo(10_000, gradient=jd.Score())
        >>> def loss(z):
        ...     p, q = jd.logits(z), jd.probs([0.5, 0.5])
        ...     return jd.kl(p, q, estimator=estimator, key=jax.random.key(0))
        >>> print(f"{jax.grad(loss)(jax.numpy.array([1.0, 0.0]))[0]:.1f}")
        0.2
    """

    baseline: LeaveOneOut | None = LeaveOneOut()

    def draw(self, dist, key, n, draws):
        # One stratum: the score of a mixture has mean zero over all of it, not over a component.
        x = lax.stop_gradient(draws.sample(dist, key, n))
        weights = jnp.ones((1, *dist.batch_shape), jax.eval_shape(dist.log_prob, x).dtype)
        return weights, jax.tree.map(lambda x: x[None], x)

    def density(self, dist):
        return dist

    def carry(self, terms, log_prob):
        box = _score_box(log_prob)
        if self.baseline is None:
            return terms * box
        n = terms.shape[1]
        held = lax.stop_gradient(terms)
        others = (jnp.sum(held, 1, keepdims=True) - held) / max(n - 1, 1)
        return terms * box + others * (1 - box)


@jax.custom_jvp
def _score_box(log_prob: Array) -> Array:
    """One, whose derivative is that of the log-probability: DiCE (Foerster et al. 2018)."""
    return jnp.ones_like(log_prob)


@_score_box.defjvp
def _(primals, tangents):
    box = _score_box(*primals)
    return box, box * tangents[0]


def _need_reparameterized(dist: Any) -> None:
    parts = (dist,)
    if isinstance(dist, Mixture):
        parts = dist.components if isinstance(dist.components, tuple) else (dist.components,)
    if not all(part.reparameterized for part in parts):
        raise TypeError(
            f"draws of {type(dist).__name__} cannot be differentiated: use gradient=Score()."
        )
