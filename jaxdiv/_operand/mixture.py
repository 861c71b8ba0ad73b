"""Mixtures."""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, ArrayLike, Float, Key

from .._functional.entropies import CrossEntropy
from .base import (
    AbstractDistribution,
    AbstractOperand,
    AbstractWrapper,
    Pieces,
    Shape,
    greater,
    lesser,
)
from .discrete import AbstractDiscrete
from .independent import Independent

_MANY = 12  # components beyond which quadrature lays even panels over all of them together

Sampler = Callable[[Any, Key[Array, ""], Shape], Array]


def _sample(dist: Any, key: Key[Array, ""], shape: Shape) -> Array:
    return dist.sample(key, shape)


class Mixture(AbstractWrapper):
    r"""$p(x) = \sum_k w_k\,p_k(x)$.

    Args:
        mixing: the weights, tagged (`probs`, `logits`, ...), with $K$ on the last axis.
        components: a batched distribution whose last batch axis is $K$, or a tuple of $K$
            distributions.

    Draws are stratified over the components, so that pathwise gradients reach the weights.

    Example:
        >>> import jax.numpy as jnp, jaxdiv as jd
        >>> p = jd.Mixture(jd.probs([0.7, 0.3]), jd.Normal(jnp.array([-2.0, 2.0]), 0.5))
        >>> print(f"{jd.cross_entropy(p, jd.Normal(-0.8, 1.9)):.4f}")
        2.0608
    """

    mixing: AbstractDiscrete
    components: AbstractDistribution | tuple[AbstractDistribution, ...]
    reparameterized: ClassVar[bool] = False  # in strata it is, where its components are

    @property
    def num_components(self) -> int:
        """$K$."""
        if isinstance(self.components, tuple):
            return len(self.components)
        shape = self.components.batch_shape
        if not shape:
            raise ValueError(
                "Mixture: components must be batched, with the component axis last among the batch "
                "axes, or a tuple; got batch shape ()."
            )
        return shape[-1]

    @property
    def batch_shape(self):
        weights = self.mixing.num_outcomes
        if not self.mixing.normalized:
            raise ValueError("Mixture: the weights must sum to 1; tag them `probs` or `logits`.")
        if weights != self.num_components:
            raise ValueError(f"Mixture: {weights} weights for {self.num_components} components.")
        if isinstance(self.components, tuple):
            shapes = [c.batch_shape for c in self.components]
        else:
            shapes = [self.components.batch_shape[:-1]]
        return jnp.broadcast_shapes(self.mixing.batch_shape, *shapes)

    @property
    def integer(self):
        return self._first.integer

    @property
    def mean(self):
        return self._average(self._moments()[0])

    @property
    def variance(self):
        means, variances = self._moments()
        middle = jnp.expand_dims(self._average(means), -1 - len(self.event_shape))
        return self._average(variances + (means - middle) ** 2)

    def _moments(self) -> tuple[Array, Array]:
        """Mean and variance of each component, `[*batch, K, *event]`."""
        if not isinstance(self.components, tuple):
            return self.components.mean, self.components.variance
        axis = -1 - len(self.event_shape)
        means = jnp.broadcast_arrays(*(c.mean for c in self.components))
        variances = jnp.broadcast_arrays(*(c.variance for c in self.components))
        return jnp.stack(means, axis), jnp.stack(variances, axis)

    def _average(self, values: Array) -> Array:
        """Over the components, which stand before the event."""
        rank = len(self.event_shape)
        weights = self.mixing.mass(None)
        weights = weights.reshape(weights.shape + (1,) * rank)
        return jnp.sum(jnp.where(weights == 0, 0.0, weights * values), -1 - rank)

    @property
    def event_shape(self):
        return self._first.event_shape

    @property
    def normalized(self):
        parts = self.components if isinstance(self.components, tuple) else (self.components,)
        return all(part.normalized for part in parts)

    @property
    def support(self):
        if isinstance(self.components, tuple):
            lows, highs = zip(*(c.support for c in self.components), strict=True)
            return functools.reduce(lesser, lows), functools.reduce(greater, highs)
        low, high = self.components.support
        return _over_components(low, jnp.min), _over_components(high, jnp.max)

    @property
    def _first(self) -> AbstractDistribution:
        return self.components[0] if isinstance(self.components, tuple) else self.components

    def component_log_prob(self, x: Array) -> Float[Array, "... K"]:
        """The log-density of each component, on a new last axis."""
        if isinstance(self.components, tuple):
            return jnp.stack([c.log_prob(x) for c in self.components], -1)
        rank = len(self.event_shape)
        return self.components.log_prob(jnp.expand_dims(x, jnp.ndim(x) - rank))

    def log_prob(self, x):
        joint = self.component_log_prob(jnp.asarray(x)) + self.mixing.log_mass(None)
        return jax.nn.logsumexp(joint, -1)

    def sample(self, key, shape=()):
        key_choice, key_parts = jr.split(key)
        choice = self.mixing.sample(key_choice, (*shape, *self.batch_shape[: self._missing_axes]))
        draws = self._component_draws(key_parts, shape)
        index = choice.reshape(choice.shape + (1,) * (draws.ndim - choice.ndim))
        return jnp.take_along_axis(draws, index, choice.ndim).squeeze(choice.ndim)

    @property
    def _missing_axes(self) -> int:
        return len(self.batch_shape) - len(self.mixing.batch_shape)

    def _component_draws(self, key, shape, sample: Sampler = _sample) -> Array:
        """Draws of every component, `[*shape, *batch, K, *event]`."""
        batch, event = self.batch_shape, self.event_shape

        def spread(draws: Array, own: Shape, full: Shape) -> Array:
            extra = (1,) * (len(full) - len(own))
            draws = draws.reshape(*shape, *extra, *draws.shape[len(shape) :])
            return jnp.broadcast_to(draws, (*shape, *full, *event))

        if isinstance(self.components, tuple):
            keys = jr.split(key, len(self.components))
            draws = [
                spread(sample(c, k, shape), c.batch_shape, batch)
                for c, k in zip(self.components, keys, strict=True)
            ]
            return jnp.stack(draws, -1 - len(event))
        own = self.components.batch_shape
        return spread(sample(self.components, key, shape), own, (*batch, self.num_components))

    def strata(self, key, n):
        return self.strata_of(key, max(2, math.ceil(n / self.num_components)), _sample)

    def strata_of(self, key: Key[Array, ""], m: int, sample: Sampler) -> tuple[Array, Array]:
        """Weights, and `m` draws `sample(component, key, (m,))` of every component."""
        draws = self._component_draws(key, (m,), sample)
        draws = jnp.moveaxis(draws, -1 - len(self.event_shape), 0)
        weights = jnp.broadcast_to(self.mixing.mass(None), (*self.batch_shape, self.num_components))
        return jnp.moveaxis(weights, -1, 0), draws

    def translate(self, by):
        if isinstance(self.components, tuple):
            return Mixture(self.mixing, tuple(c.translate(by) for c in self.components))
        by = jnp.expand_dims(jnp.asarray(by), jnp.ndim(by) - len(self.event_shape))
        return Mixture(self.mixing, self.components.translate(by))

    def pieces(self):
        parts = self.components if isinstance(self.components, tuple) else (self.components,)
        inner = [piece for part in parts if (piece := part.pieces()) is not None]
        if len(inner) < len(parts):
            return None
        if not isinstance(self.components, tuple):
            inner = [_flatten_components(inner[0], len(self.components.batch_shape))]
        centres, trils, points = (
            jnp.concatenate(
                [_expand(getattr(piece, name), self.batch_shape, rank) for piece in inner]
            )
            for name, rank in (("centres", 1), ("scale_trils", 2), ("points", 1))
        )
        if centres.shape[-1] == 1:
            centres, trils, more = _one_dimensional(centres[..., 0], trils[..., 0, 0])
            points = jnp.concatenate([points, more])
        return Pieces(centres, trils, points, any(piece.open_tails for piece in inner))

    def value_checks(self):
        parts = self.components if isinstance(self.components, tuple) else (self.components,)
        return self.mixing.value_checks() + [c for part in parts for c in part.value_checks()]

    def reduce(self, evaluate, functional, *operands):
        p, *rest = operands
        if p is not self or not isinstance(functional, CrossEntropy):
            return None
        # The cross-entropy is linear in P: the mean over the components of theirs.
        if isinstance(self.components, tuple):
            values = jnp.stack([evaluate(functional, c, *rest) for c in self.components], -1)
        else:
            axes = _component_axes(self.components)
            over = jax.vmap(lambda c: evaluate(functional, c, *rest), in_axes=(axes,), out_axes=-1)
            values = over(self.components)
        weights = self.mixing.mass(None)
        return jnp.sum(jnp.where(weights == 0, 0.0, weights * values), -1)


def _over_components(end: ArrayLike, extreme: Callable[..., Array]) -> ArrayLike:
    """An end of the support of all components, if it is not the same for them all."""
    return extreme(end, -1) if jnp.ndim(end) else end


def _component_axes(dist: Any, extra: int = 0) -> Any:
    """For every leaf the axis that holds the components; None for a leaf that they share."""
    if isinstance(dist, Independent):
        extra += dist.ndims

    def axis(f: dataclasses.Field) -> Any:
        value = getattr(dist, f.name)
        if isinstance(value, AbstractOperand):
            return _component_axes(value, extra)
        rank = f.metadata.get("event_ndim", 0) + extra + 1
        return None if value is None or jnp.ndim(value) < rank else -rank

    fields = [f for f in dataclasses.fields(dist) if not f.metadata.get("static", False)]
    return dataclasses.replace(dist, **{f.name: axis(f) for f in fields})


def _flatten_components(pieces: Pieces, batch_ndim: int) -> Pieces:
    """The component axis (the last batch axis) merged into the leading axis of the pieces."""

    def merge(x: Array) -> Array:
        x = jnp.moveaxis(x, batch_ndim, 1)
        return x.reshape(-1, *x.shape[2:])

    return jax.tree.map(merge, pieces)


def _expand(x: Array, batch_shape: tuple[int, ...], event_ndim: int) -> Array:
    event = x.shape[x.ndim - event_ndim :]
    extra = (1,) * (len(batch_shape) - (x.ndim - event_ndim - 1))
    x = x.reshape(x.shape[0], *extra, *x.shape[1:])
    return jnp.broadcast_to(x, (x.shape[0], *batch_shape, *event))


def _one_dimensional(centres: Array, scales: Array) -> tuple[Array, Array, Array]:
    """Pieces on the line, with the places where one component takes over from the next."""
    if len(centres) > _MANY:
        # A kernel density estimate: even panels over the whole range instead of panels a kernel.
        steps = jnp.linspace(0.0, 1.0, 8 * _MANY + 1, dtype=centres.dtype)
        low = jnp.min(centres - 9 * scales, 0)
        high = jnp.max(centres + 9 * scales, 0)
        points = low + steps.reshape(-1, *(1,) * low.ndim) * (high - low)
        return centres[:0, ..., None], scales[:0, ..., None, None], points[..., None]
    order = jnp.argsort(centres, 0)
    c, s = (jnp.take_along_axis(x, order, 0) for x in (centres, scales))
    (a, b), (low, high), gap = (c[:-1], c[1:]), (s[:-1], s[1:]), jnp.diff(c, axis=0)
    inner = (a * high + b * low) / (low + high)
    far = abs(high - low) > 0.05 * (low + high)
    outer = jnp.where(far, (a * high - b * low) / jnp.where(far, high - low, 1.0), inner)
    # There the log-density bends, within the inverse of the change of its slope.
    bend = 3 * jnp.minimum(low * high / jnp.where(gap > 0, gap, 1.0), low + high)
    points = jnp.concatenate([x + k * bend for x in (inner, outer) for k in (-1, 0, 1)])
    return centres[..., None], scales[..., None, None], points[..., None]
