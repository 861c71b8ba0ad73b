"""Reverse KL of a full Gaussian to a log-density, as other libraries' users fit it."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array

RIVALS = ("numpyro", "numpyro32", "optax", "blackjax")


def rival(name: str, density_of: Callable[[Array], Array], dim: int) -> Any:
    """A jitted `key -> (loc, tril)`, each as its documentation shows."""
    import optax

    if name.startswith("numpyro"):
        import numpyro
        from numpyro.infer import SVI, Trace_ELBO
        from numpyro.infer.autoguide import AutoMultivariateNormal
        from numpyro.infer.initialization import init_to_value

        draws, steps = (32, 5000) if name == "numpyro32" else (1, 2000)

        def once(key: Array) -> tuple[Array, Array]:
            start = 2 * jr.normal(key, (dim,))

            def model() -> None:
                wide = numpyro.distributions.ImproperUniform(
                    numpyro.distributions.constraints.real_vector, (), (dim,)
                )
                numpyro.factor("p", density_of(numpyro.sample("x", wide)))

            guide = AutoMultivariateNormal(model, init_loc_fn=init_to_value(values={"x": start}))
            loss = Trace_ELBO(draws)
            svi = SVI(model, guide, numpyro.optim.Adam(0.01), loss)
            found = svi.run(jr.fold_in(key, 1), steps, progress_bar=False).params
            return found["auto_loc"], found["auto_scale_tril"]

        return once

    if name == "blackjax":
        from blackjax.vi import fullrank_vi

        optimiser = optax.adam(0.01)

        @jax.jit
        def once(key: Array) -> tuple[Array, Array]:
            state = fullrank_vi.init(2 * jr.normal(key, (dim,)), optimiser)

            def step(state: Any, key: Array) -> tuple[Any, None]:
                return fullrank_vi.step(key, state, density_of, optimiser, 100)[0], None

            state, _ = jax.lax.scan(step, state, jr.split(jr.fold_in(key, 1), 2000))
            factor = fullrank_vi._unflatten_cholesky(state.chol_params, dim)
            return state.mu, factor

        return once

    @jax.jit
    def loop(key: Array) -> tuple[Array, Array]:
        optimiser = optax.adam(0.01)
        params = 2 * jr.normal(key, (dim,)), jnp.zeros((dim, dim))

        def factor(raw: Array) -> Array:
            return jnp.tril(raw, -1) + jnp.diag(jnp.exp(jnp.diagonal(raw)))

        def loss(params: Any, key: Array) -> Array:
            loc, tril = params[0], factor(params[1])
            x = loc + jr.normal(key, (100, dim)) @ tril.T
            return -jnp.mean(jax.vmap(density_of)(x)) - jnp.sum(jnp.diagonal(params[1]))

        def step(carry: Any, key: Array) -> tuple[Any, None]:
            params, state = carry
            updates, state = optimiser.update(jax.grad(loss)(params, key), state, params)
            return (optax.apply_updates(params, updates), state), None

        keys = jr.split(jr.fold_in(key, 1), 2000)
        (params, _), _ = jax.lax.scan(step, (params, optimiser.init(params)), keys)
        return params[0], factor(params[1])

    return loop
