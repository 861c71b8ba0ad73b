"""Observations as operands: a point mass, and a weighted sample."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._estimator.rules import rule
from .._functional.entropies import CrossEntropy
from .._functional.kl import KL
from .base import AbstractDistribution, AbstractOperand, Check, field, is_prefix_leaf, widen


class PointMass(AbstractOperand):
    r"""All mass at `x`: the observed value in regression.

    `cross_entropy(PointMass(y), model)` is the negative log-likelihood $-\log q(y)$, per example;
    so is `kl`, of a model of whole numbers. From a density a point mass has no KL divergence.

    Args:
        x: `[*batch, *event]` of the model that it meets.

    Example:
        >>> import jaxdiv as jd
        >>> print(f"{jd.cross_entropy(jd.PointMass(1.0), jd.Normal(0.0, 1.0)):.6f}")
        1.418939
    """

    x: Float[Any, "*batch_event"] = field(constraint="fixed")

    @property
    def batch_shape(self):
        return jnp.shape(self.x)

    def value_checks(self):
        return [Check(~jnp.isfinite(jnp.asarray(self.x)), "PointMass: x must be finite")]


class Samples(AbstractOperand):
    """A weighted empirical measure. Made by `samples`."""

    values: Float[Array, "n *batch_event"] = field(constraint="fixed")
    log_weights: Float[Array, " n"] | None = field(constraint="fixed", default=None)

    @property
    def batch_shape(self):
        return ()

    def average(self, values: Float[Array, "n *batch"]) -> Float[Array, "*batch"]:
        """The mean under the (normalised) weights; a zero weight silences an infinity."""
        if self.log_weights is None:
            return jnp.mean(values, 0)
        weights = jax.nn.softmax(widen(self.log_weights))
        weights = weights.reshape(weights.shape + (1,) * (values.ndim - 1))
        return jnp.sum(jnp.where(weights == 0, 0.0, weights * values), 0)

    def value_checks(self):
        checks = [Check(~jnp.isfinite(jnp.asarray(self.values)), "samples: x must be finite")]
        if self.log_weights is not None:
            checks.append(Check(jnp.isnan(self.log_weights), "samples: NaN in log_weights"))
        return checks


def samples(x: Any, *, axis: int = 0, log_weights: Any = None) -> Samples:
    r"""Observations as a measure $\frac1n \sum_i \delta_{x_i}$, or a weighted one.

    `cross_entropy(samples(x), model)` is the mean negative log-likelihood. The entropy of a sample
    is not defined here, so neither is `kl`; `forward_kl(samples(x))` minimises the cross-entropy.

    Args:
        x: `[n, *batch, *event]` of the model that it meets.
        axis: the sample axis; it is moved first, and reduced.
        log_weights: `[n]`, normalised by softmax.

    Example:
        >>> import jax.numpy as jnp, jaxdiv as jd
        >>> nll = jd.cross_entropy(jd.samples(jnp.array([-1.0, 1.0])), jd.Normal(0.0, 1.0))
        >>> print(f"{nll:.6f}")
        1.418939
    """
    if is_prefix_leaf(x):
        return Samples(x, log_weights)
    x = jnp.asarray(x)
    if x.ndim == 0 or x.shape[axis] == 0:
        raise ValueError(f"samples: expected at least one observation, got shape {x.shape}.")
    if log_weights is not None and jnp.shape(log_weights) != (x.shape[axis],):
        raise ValueError(
            f"samples: log_weights must have shape {(x.shape[axis],)}, "
            f"got {jnp.shape(log_weights)}."
        )
    return Samples(jnp.moveaxis(x, axis, 0), log_weights)


@rule(CrossEntropy, PointMass, AbstractDistribution)
def _(functional, p, q):
    _check_event("PointMass", jnp.shape(p.x), q)
    return -q.log_prob(widen(p.x))


@rule(KL, PointMass, AbstractDistribution)
def _(functional, p, q):
    """Over whole numbers a point mass has entropy 0; beside a density it has none."""
    if not q.integer:
        return None
    _check_event("PointMass", jnp.shape(p.x), q)
    return -q.log_prob(widen(p.x))


@rule(CrossEntropy, Samples, AbstractDistribution)
def _(functional, p, q):
    x = widen(p.values)
    _check_event("samples", x.shape[1:], q)
    lead = x.ndim - 1 - len(q.event_shape)  # batch axes of the samples; q may have more of them
    extra = (1,) * (len(q.batch_shape) - lead)
    return p.average(-q.log_prob(x.reshape(x.shape[0], *extra, *x.shape[1:])))


def _check_event(name: str, shape: tuple[int, ...], q: AbstractDistribution) -> None:
    event = q.event_shape
    if shape[len(shape) - len(event) :] != event:
        raise ValueError(f"{name}: an outcome of q has shape {event}, got {shape} per example.")
