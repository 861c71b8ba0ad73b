"""optax: its losses, and the loop that its documentation has a user write for a fit."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax

from bench.measure import eagerly, importing, with_jax

DISTRIBUTIONS = ("optax", "jax", "jaxlib")
STEPS, STARTS = 50, 4
NODES = np.linspace(-6, 6, 129, dtype=np.float32)
WEIGHTS = np.exp(-(NODES**2) / 2) / np.exp(-(NODES**2) / 2).sum()


def _kl_logits(a, b):
    log_p, log_q = jax.nn.log_softmax(a), jax.nn.log_softmax(b)
    return optax.losses.kl_divergence_with_log_targets(log_q, log_p)


def _fit(w, m, s):
    """Reverse KL by the trapezium rule at 129 nodes, `optax.lbfgs` for 50 steps from 4 starts."""

    def reverse_kl(free):
        x = free[0] + jnp.exp(free[1]) * NODES
        parts = jax.scipy.stats.norm.logpdf(x[:, None], m, s)
        log_p = jax.nn.logsumexp(parts, axis=-1, b=w)
        return -free[1] - jnp.log(2 * jnp.pi * jnp.e) / 2 - WEIGHTS @ log_p

    optimiser = optax.lbfgs()
    value_and_grad = optax.value_and_grad_from_state(reverse_kl)

    def step(_, carry):
        free, state = carry
        value, grad = value_and_grad(free, state=state)
        updates, state = optimiser.update(
            grad, state, free, value=value, grad=grad, value_fn=reverse_kl
        )
        return optax.apply_updates(free, updates), state

    def run(free):
        free, _ = jax.lax.fori_loop(0, STEPS, step, (free, optimiser.init(free)))
        return free, reverse_kl(free)

    starts = jax.random.normal(jax.random.key(0), (STARTS, 2)) * jnp.array([2.0, 0.0])
    free, values = jax.vmap(run)(starts.at[0].set(0.0))
    loc, log_scale = free[jnp.nanargmin(values)]
    return loc, jnp.exp(log_scale)


def _by_log(loss):
    """A loss of (log-predictions, targets), with targets in the form that it wants."""
    return lambda a, b: loss(jax.nn.log_softmax(b), jax.nn.softmax(a))


CASES = {
    "kl: kl_divergence": partial(with_jax, _by_log(optax.losses.kl_divergence)),
    "kl: kl_divergence_with_log_targets": partial(with_jax, _kl_logits),
    "kl: generalized_kl_divergence": partial(
        with_jax, _by_log(optax.losses.generalized_kl_divergence)
    ),
    "kl_logits": partial(with_jax, _kl_logits),
    "labels": partial(
        with_jax, lambda z, y: optax.losses.softmax_cross_entropy_with_integer_labels(z, y)
    ),
    "fit_warm": partial(eagerly, jax.jit(_fit)),
    "fit_vmap_1000": partial(with_jax, jax.vmap(_fit)),
    "import": importing("optax"),
}
