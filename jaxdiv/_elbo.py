"""Bounds on the evidence: what a variational autoencoder maximises."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, ArrayLike, Float, Key

from ._estimator.draws import IndependentDraws
from ._estimator.exact import exact, has_closed_form
from ._estimator.gradients import AbstractGradient, Pathwise
from ._functional.base import ratio_of_logs
from ._functional.kl import KL
from ._operand.base import Operand, demand, fits
from ._operand.convert import as_operand
from ._operand.independent import Independent

LogLikelihood = Callable[[Any], Float[Array, "draws *batch"]]


class ELBO(eqx.Module):
    r"""What `elbo` gives, per example, in nats.

    Attributes:
        value: $E_q[\log p(x \mid z)] - \beta \max(\mathrm{KL}, \lambda)$: to be maximised.
        log_likelihood: $E_q[\log p(x \mid z)]$, averaged over the draws.
        kl: $\mathrm{KL}(q(z \mid x) \| p(z))$, without $\beta$ and $\lambda$.
        kl_by_dimension: its parts, `[*batch, D]`, where posterior and prior are both `Independent`:
            they sum to `kl`. Else None.
        kl_is_exact: whether it is a closed form, and not an average over the draws.
    """

    value: Float[Array, "*batch"]
    log_likelihood: Float[Array, "*batch"]
    kl: Float[Array, "*batch"]
    kl_by_dimension: Float[Array, "*batch D"] | None
    kl_is_exact: bool = eqx.field(static=True)

    @property
    def bound(self) -> Float[Array, "*batch"]:
        r"""$E_q[\log p(x \mid z)] - \mathrm{KL} \le \log p(x)$, whatever $\beta$ and $\lambda$."""
        return self.log_likelihood - self.kl


def elbo(
    log_likelihood: LogLikelihood,
    posterior: Operand,
    prior: Operand,
    *,
    key: Key[Array, ""],
    num_draws: int = 1,
    beta: Float[ArrayLike, "*batch"] = 1.0,
    free_nats: Float[ArrayLike, "*batch"] = 0.0,
    balance: Float[ArrayLike, ""] | None = None,
    gradient: AbstractGradient = Pathwise(),  # noqa: B008
) -> ELBO:
    r"""$E_q[\log p(x \mid z)] - \beta \max(\mathrm{KL}(q(z \mid x) \| p(z)), \lambda)$.

    The evidence lower bound (Kingma & Welling 2014) for $\beta = 1$, $\lambda = 0$. KL is the
    closed form where the pair has one, and else the average of $\log q - \log p$ over the same
    draws: `kl_is_exact` of the result says which.

    Args:
        log_likelihood: the decoder: from draws $z$ of shape `[n, *batch, *event]` to
            $\log p(x \mid z)$ of shape `[n, *batch]`.
        posterior: $q(z \mid x)$; the axes of $z$ are event axes, as in
            `Independent(Normal(loc, scale), 1)`.
        prior: $p(z)$; its batch axes broadcast to those of the posterior.
        key: of the draws.
        num_draws: how many for each example.
        beta: $\beta$, the weight of KL (Higgins et al. 2017).
        free_nats: $\lambda$ (Kingma et al. 2016, of all of an example's dimensions together, as in
            Dreamer): KL below it costs the same, and has no gradient.
        balance: $\alpha$ takes the gradient of KL with weight $\alpha$ in the prior and
            $1 - \alpha$ in the posterior (0.8 in DreamerV2, Hafner et al. 2021), and leaves its
            value; None is the plain gradient, of both.
        gradient: of the averages over draws; `Score()` for draws that have no path.

    Returns:
        An `ELBO`.

    Raises:
        TypeError: draws of the posterior cannot be differentiated.
        ValueError: `log_likelihood` is not of shape `[n, *batch]`.

    Example:
        >>> import jax, jax.numpy as jnp, jaxdiv as jd
        >>> posterior = jd.Independent(jd.Normal(jnp.array([1.0, 0.0]), 1.0), 1)
        >>> prior = jd.Independent(jd.Normal(jnp.zeros(2), 1.0), 1)
        >>> def decoder(z):  # the log-density of x = 1 given z
        ...     return jd.Normal(jnp.sum(z, -1), 1.0).log_prob(1.0)
        >>> found = jd.elbo(decoder, posterior, prior, key=jax.random.key(0))
        >>> print(found.kl, found.kl_by_dimension, found.kl_is_exact)
        0.5 [0.5 0. ] True
    """
    q, p = _posterior_and_prior(posterior, prior)
    _check_count(num_draws)
    for name, x in (("beta", beta), ("free_nats", free_nats)):
        demand(f"elbo: {name}", x, lambda x: x >= 0, "at least 0")
        if not fits(jnp.shape(x), q.batch_shape):
            raise ValueError(
                f"elbo: {name} of shape {jnp.shape(x)} does not broadcast to the batch shape "
                f"{q.batch_shape}."
            )
    demand("elbo: balance", balance, lambda x: 0 <= x <= 1, "from 0 to 1")
    weights, z = gradient.draw(q, key, num_draws, IndependentDraws())
    likelihood = _at_draws(log_likelihood, z, q.batch_shape)
    by_dimension = isinstance(q, Independent) and isinstance(p, Independent)
    is_exact = has_closed_form(KL(), q, p)

    def mean(values: Array, log_q: Array) -> Array:
        """Over the draws `[S, m, *batch, ...]`, with its gradient."""
        w = weights.reshape(*weights.shape, *(1,) * (values.ndim - 1 - weights.ndim))
        means = jnp.mean(gradient.carry(values, log_q), 1)
        return jnp.sum(jnp.where(w == 0, 0.0, w * means), 0)

    def divergence(q: Any, p: Any, z: Any) -> Array:
        """As parts, on the last axis."""
        shape = (*q.batch_shape, 1)
        if by_dimension:
            shape = (*q.batch_shape, -1)
            q, p = q.base, p.base
        if is_exact:
            value = exact(KL(), q, p)
        else:
            draws, log_ratios = gradient.evaluate(KL().terms, q, p, z)
            value = mean(log_ratios, draws.log_p)
        return jnp.broadcast_to(value, q.batch_shape).reshape(shape)

    expected = mean(likelihood, q.log_prob(z))
    parts = divergence(q, p, z)
    kl = cost = jnp.sum(parts, -1)
    if balance is not None:
        alpha, held = jnp.asarray(balance, kl.dtype), lax.stop_gradient((q, p, z))
        in_prior, in_posterior = divergence(held[0], p, held[2]), divergence(q, held[1], z)
        cost = jnp.sum(alpha * in_prior + (1 - alpha) * in_posterior, -1)
    beta, threshold = jnp.asarray(beta, kl.dtype), jnp.asarray(free_nats, kl.dtype)
    cost = jnp.where(cost > threshold, cost, threshold)
    cost = beta * jnp.where(beta == 0, 0.0, cost)
    return ELBO(expected - cost, expected, kl, parts if by_dimension else None, is_exact)


def importance_weighted_bound(
    log_likelihood: LogLikelihood,
    posterior: Operand,
    prior: Operand,
    *,
    key: Key[Array, ""],
    num_draws: int,
) -> Float[Array, "*batch"]:
    r"""$\log \frac1n \sum_i p(x \mid z_i)\,p(z_i) / q(z_i \mid x)$, $z_i \sim q(z \mid x)$.

    The importance-weighted bound (IWAE, Burda, Grosse & Salakhutdinov 2016): its expectation is the
    ELBO for one draw, grows with $n$, and tends to $\log p(x)$. Its gradient is pathwise.
    Arguments as for `elbo`.

    Example:
        >>> import jax, jaxdiv as jd
        >>> def decoder(z):  # the log-density of x = 1 given z; that of x is of N(0, 2)
        ...     return jd.Normal(z, 1.0).log_prob(1.0)
        >>> exact = jd.Normal(0.5, 0.5**0.5)  # then every draw has the same weight
        >>> bound = jd.importance_weighted_bound(
        ...     decoder, exact, jd.Normal(0.0, 1.0), key=jax.random.key(0), num_draws=4
        ... )
        >>> print(f"{bound:.4f} {jd.Normal(0.0, 2**0.5).log_prob(1.0):.4f}")
        -1.5155 -1.5155
    """
    q, p = _posterior_and_prior(posterior, prior)
    _check_count(num_draws)
    weights, z = Pathwise().draw(q, key, num_draws, IndependentDraws())
    likelihood = _at_draws(log_likelihood, z, q.batch_shape)
    ratios = likelihood + ratio_of_logs(p.log_prob(z), q.log_prob(z))
    each = jnp.broadcast_to(weights[:, None] / ratios.shape[1], ratios.shape)
    nothing = jnp.all(ratios == -jnp.inf, (0, 1))
    bound = jax.nn.logsumexp(jnp.where(nothing, 0.0, ratios), (0, 1), b=each)
    return jnp.where(nothing, -jnp.inf, bound)


def _check_count(num_draws: Any) -> None:
    if not isinstance(num_draws, int) or num_draws < 1:
        raise ValueError(f"num_draws must be an integer of at least 1, got {num_draws!r}.")


def _posterior_and_prior(posterior: Any, prior: Any) -> tuple[Any, Any]:
    q, p = as_operand("posterior", posterior), as_operand("prior", prior)
    events = [getattr(d, "event_shape", None) for d in (q, p)]
    if None not in events and events[0] != events[1]:
        raise ValueError(
            f"the prior's event shape {events[1]} is not the posterior's, {events[0]}: the axes of "
            "one outcome belong to both events, as in `Independent(Normal(zeros(2), 1.0), 1)`."
        )
    if not fits(p.batch_shape, q.batch_shape):
        raise ValueError(
            f"the prior's batch shape {p.batch_shape} does not broadcast to the posterior's, "
            f"{q.batch_shape}."
        )
    return q, p


def _at_draws(log_likelihood: LogLikelihood, z: Any, batch: tuple[int, ...]) -> Array:
    """Of draws `[S, m, *batch, *event]`, which the caller's function sees on one axis."""
    lead = jax.tree.leaves(z)[0].shape[:2]
    values = log_likelihood(jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), z))
    shape = (lead[0] * lead[1], *batch)
    if jnp.shape(values) != shape:
        raise ValueError(
            f"log_likelihood must give [n, *batch] = {shape}, got {jnp.shape(values)}: the axes of "
            "one outcome belong to the event, as in `Independent(Normal(loc, scale), 1)`."
        )
    return values.reshape(*lead, *batch)
