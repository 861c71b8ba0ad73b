r"""The optimum of forward KL that is known: the member with the target's moments.

In an exponential family $E_p[-\log q_\theta]$ is least where $E_{q_\theta}[T(X)] = E_p[T(X)]$
(Wainwright & Jordan 2008, section 3.6). Solved here where $T$ is $x$ or $(x, x x^T)$.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._errors import NoClosedFormError
from .._estimator.exact import Exact
from .._functional.kl import KL
from .._operand.base import AbstractDistribution, floating, widen
from .._operand.bernoulli import Bernoulli
from .._operand.discrete import AbstractDiscrete
from .._operand.empirical import Samples
from .._operand.exponential import Exponential
from .._operand.geometric import Geometric
from .._operand.half_normal import HalfNormal
from .._operand.independent import Independent, as_multivariate
from .._operand.low_rank_normal import LowRankMultivariateNormal
from .._operand.mixture import Mixture
from .._operand.multivariate_normal import MultivariateNormal
from .._operand.normal import Normal
from .._operand.poisson import Poisson
from .._operand.support import is_covered
from .constraint import unconstrain
from .objective import AbstractObjective, Forward, Plan
from .steps import lower

_FIELDS: dict[type, Callable[[Array, Callable[[], Array]], dict[str, Array]]] = {
    Normal: lambda mean, variance: {"loc": mean, "scale": jnp.sqrt(variance())},
    HalfNormal: lambda mean, variance: {"scale": jnp.sqrt(mean * mean + variance())},
    Exponential: lambda mean, variance: {"rate": 1 / mean},
    Poisson: lambda mean, variance: {"rate": mean},
    Geometric: lambda mean, variance: {"probs": 1 / (1 + mean)},
}


def closed_form(objective: AbstractObjective, family: Any, plan: Plan) -> Any | None:
    """The optimum of a fit to `family`, or None where it is not known.

    It is `family` itself where the moments are those of no member: then there is no optimum, as of
    observations that are all the same.
    """
    if not isinstance(objective, Forward) or not isinstance(objective.functional, KL):
        return None
    if objective.estimator is not None or not isinstance(plan.by, Exact):
        return None
    target = objective.target
    apart = isinstance(target, AbstractDistribution) and isinstance(family, AbstractDistribution)
    if apart and is_covered(target, family) is False:  # pyright: ignore[reportArgumentType]
        return None
    try:
        found = _solve(target, family)
    except NoClosedFormError:
        return None
    if found is None:
        return None
    found = jax.tree.map(lambda new, old: new.astype(old.dtype), found, family)
    free, _ = unconstrain(found)
    exists = jnp.all(jnp.stack([jnp.all(jnp.isfinite(u)) for u in jax.tree.leaves(free)]))
    return jax.tree.map(lambda new, old: jnp.where(exists, new, old), found, family)


def _solve(target: Any, family: Any) -> Any | None:
    if isinstance(family, Bernoulli):
        return _bernoulli(target, family)
    if not isinstance(family, AbstractDistribution) or not _has_event(target, family.event_shape):
        return None
    if isinstance(family, MultivariateNormal):
        return _multivariate(target, family)
    base = family.base if isinstance(family, Independent) else family
    fields = _FIELDS.get(type(base))
    # Of fewer numbers than coordinates, as of one scale for all, the moments are others.
    if fields is None or any(jnp.shape(x) != family.event_shape for x in jax.tree.leaves(base)):
        return None
    if isinstance(target, Samples):
        mean, off, weights = _centred(*_weighted(target))
        found = fields(mean, lambda: jnp.sum(weights * off * off, 0))
    else:
        found = fields(target.mean, lambda: target.variance)
    base = dataclasses.replace(base, **found)
    return dataclasses.replace(family, base=base) if isinstance(family, Independent) else base


def _has_event(target: Any, event_shape: tuple[int, ...]) -> bool:
    if isinstance(target, Samples):
        return target.values.shape[1:] == event_shape
    return isinstance(target, AbstractDistribution) and target.event_shape == event_shape


def _bernoulli(target: Any, family: Bernoulli) -> Bernoulli | None:
    if not isinstance(target, AbstractDiscrete) or target.axis_name is not None:
        return None
    if not target.normalized or target.num_outcomes != 2 or family.batch_shape != ():
        return None
    if family.logits is None:
        return Bernoulli(probs=target.mass(None)[1])
    log_mass = target.log_mass(None)
    return Bernoulli(logits=log_mass[1] - log_mass[0])


def _multivariate(target: Any, family: MultivariateNormal) -> MultivariateNormal | None:
    known = _factored(target)
    if known is None:
        return None
    mean, rows = known
    n, dim = rows.shape
    if n < dim:
        return None
    tril = lower(rows.T)
    # Of coordinates that depend linearly on each other rounding leaves this much.
    least = 16 * dim * jnp.finfo(tril.dtype).eps * jnp.sqrt(jnp.sum(tril * tril, 1))
    tril = jnp.where((jnp.diagonal(tril) > least)[:, None], tril, jnp.nan)
    if family.scale_tril is None:
        return MultivariateNormal(mean, covariance_matrix=tril @ tril.T)
    return MultivariateNormal(mean, tril)


def _factored(target: Any) -> tuple[Float[Array, " D"], Float[Array, "n D"]] | None:
    r"""The mean, and rows $r_i$ with $\sum_i r_i r_i^T$ the covariance, which is not formed."""
    if isinstance(target, Samples):
        mean, off, weights = _centred(*_weighted(target))
        return mean, jnp.sqrt(weights) * off
    if not isinstance(target, Mixture):
        alone = _as_normal(target)
        return None if alone is None else (alone.mean, alone.factor().T)
    given = target.components
    normals = [_as_normal(d) for d in (given if isinstance(given, tuple) else (given,))]
    known = [d for d in normals if d is not None]
    if len(known) < len(normals):
        return None
    dim = target.event_shape[0]
    means = jnp.concatenate(floating(*(d.mean.reshape(-1, dim) for d in known)))
    factors = [jnp.broadcast_to(d.factor(), (*d.mean.shape, dim)) for d in known]
    factors = jnp.concatenate(floating(*(tril.reshape(-1, dim, dim) for tril in factors)))
    weights, means, factors = floating(target.mixing.mass(None), means, factors)
    mean, off, weights = _centred(means, weights)
    rows = jnp.concatenate([off[:, None], factors.mT], 1)
    return mean, (jnp.sqrt(weights)[..., None] * rows).reshape(-1, dim)


def _as_normal(d: Any) -> MultivariateNormal | None:
    return as_multivariate(d.full() if isinstance(d, LowRankMultivariateNormal) else d)


def _weighted(target: Samples) -> tuple[Float[Array, "n *event"], Float[Array, " n"]]:
    x = widen(target.values)
    if target.log_weights is None:
        return x, jnp.full(len(x), 1 / len(x), x.dtype)
    x, log_weights = floating(x, widen(target.log_weights))
    return x, jax.nn.softmax(log_weights)


def _centred(
    x: Float[Array, "n *event"], weights: Float[Array, " n"]
) -> tuple[Float[Array, "*event"], Float[Array, "n *event"], Float[Array, "n ..."]]:
    """The mean, the deviations from it, and the weights with axes for them.

    From one of the values, so that values which are all the same do not differ from their mean, and
    twice, since a mean is rounded.
    """
    first = x[jnp.argmax(weights)]
    weights = weights.reshape(-1, *(1,) * (x.ndim - 1))
    off, mean = jnp.where(weights > 0, x - first, 0.0), jnp.zeros_like(first)
    for _ in range(2):
        step = jnp.sum(weights * off, 0)
        off, mean = jnp.where(weights > 0, off - step, 0.0), mean + step
    return first + mean, off, weights
