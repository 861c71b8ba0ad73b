"""The Bernoulli distribution, by its probability or by its logit."""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._estimator.rules import rule
from .._functional.base import ratio_of_logs
from .._functional.entropies import Entropy
from .._special.base import log1p
from .base import Check, field, floating
from .discrete import AbstractDiscrete, Logits


class Bernoulli(AbstractDiscrete):
    r"""Two outcomes, 1 with probability $p$ and 0 with $1 - p$.

    Args:
        probs: $p \in [0, 1]$.
        logits: $\log p/(1 - p)$ instead. The accurate one where $p$ is near 1.

    The parameterisation that is given is the one that is kept; its shape is the batch shape. The
    other operand may be a `Bernoulli` of either kind, or a distribution over two classes.

    Example:
        >>> import jaxdiv as jd
        >>> print(f"{jd.kl(jd.Bernoulli(probs=0.5), jd.Bernoulli(logits=-1.0)):.6f}")
        0.120115
    """

    probs: Float[Any, "*batch"] | None = field(constraint="unit_interval", default=None)
    logits: Float[Any, "*batch"] | None = field(default=None)
    axis_name: ClassVar[None] = None

    @property
    def batch_shape(self):
        return jnp.shape(self._given())

    @property
    def num_outcomes(self):
        return 2

    def _given(self) -> Any:
        if (self.probs is None) == (self.logits is None):
            raise ValueError("Bernoulli: give exactly one of probs and logits.")
        return self.logits if self.probs is None else self.probs

    def mass(self, num_classes):
        if self.probs is None:
            return as_classes(self).mass(num_classes)
        (p,) = floating(self.probs)
        return jnp.stack([1 - p, p], -1)

    def log_mass(self, num_classes):
        if self.probs is None:
            return as_classes(self).log_mass(num_classes)
        (p,) = floating(self.probs)
        return jnp.stack([_log1m(p), _log(p)], -1)

    def value_checks(self):
        if self.probs is None:
            (z,) = floating(self.logits)
            return [Check(jnp.isnan(z), "Bernoulli: NaN logits")]
        (p,) = floating(self.probs)
        return [Check(~((p >= 0) & (p <= 1)), "Bernoulli: probs must lie in [0, 1]")]


def as_classes(d: Any) -> Any:
    """A `Bernoulli` by logits as two classes, exactly; anything else as it is."""
    if not isinstance(d, Bernoulli) or d.logits is None or d.probs is not None:
        return d
    (z,) = floating(d.logits)
    # A logit of inf is one of 0 against -inf.
    up = z == jnp.inf
    other = jnp.where(up, -jnp.inf, 0.0).astype(z.dtype)
    return Logits(values=jnp.stack([other, jnp.where(up, 0.0, z)], -1))


def log_ratio(p: Bernoulli, q: Bernoulli) -> Float[Array, "*batch 2"]:
    r"""$\log p - \log q$ of both outcomes, by probabilities: near equality from $p - q$, exact."""
    a, b = floating(p.probs, q.probs)
    a, b = jnp.broadcast_arrays(a, b)
    gap = a - b
    return jnp.stack(
        [_near(-gap, 1 - b, _log1m(a), _log1m(b)), _near(gap, b, _log(a), _log(b))], -1
    )


def _near(gap: Array, q: Array, log_p: Array, log_q: Array) -> Array:
    near = (abs(gap) <= 0.5 * q) & (q > 0)
    close = log1p(jnp.where(near, gap, 0.0) / jnp.where(near, q, 1.0))
    return jnp.where(near, close, ratio_of_logs(log_p, log_q))


def _log(p: Array) -> Array:
    return jnp.where(p == 0, -jnp.inf, jnp.log(jnp.where(p == 0, 1.0, p)))


def _log1m(p: Array) -> Array:
    return jnp.where(p == 1, -jnp.inf, log1p(-jnp.where(p == 1, 0.0, p)))


@rule(Entropy, Bernoulli)
def _(functional, p):
    return _entropy(*floating(p.probs))


@jax.custom_jvp
def _entropy(p: Array) -> Array:
    zero, one = p == 0, p == 1
    inside = jnp.where(zero | one, 0.5, p)
    value = -inside * jnp.log(inside) - (1 - inside) * log1p(-inside)
    return jnp.where(zero | one, 0.0, value)


@_entropy.defjvp
def _(primals, tangents):
    (p,), (dp,) = primals, tangents
    return _entropy(p), -_logit(p) * dp


@jax.custom_jvp
def _logit(p: Array) -> Array:
    r"""$\log p/(1 - p)$, with the digits of $2p - 1$ around one half; 0 at 0 and at 1."""
    edge = (p == 0) | (p == 1)
    inside = jnp.where(edge, 0.5, p)
    near = (inside > 0.25) & (inside < 0.75)
    middle = jnp.where(near, inside, 0.5)
    close = log1p((2 * middle - 1) / (1 - middle))
    return jnp.where(near, close, jnp.log(inside) - log1p(-inside))


@_logit.defjvp
def _(primals, tangents):
    (p,), (dp,) = primals, tangents
    edge = (p == 0) | (p == 1)
    inside = jnp.where(edge, 0.5, p)
    return _logit(p), jnp.where(edge, 0.0, 1 / (inside * (1 - inside))) * dp
