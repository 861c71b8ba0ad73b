"""Reference moments: NUTS (numpyro) from the mode, in coordinates that its curvature whitens."""

import json
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import scipy.optimize
import scipy.stats
from jaxtyping import Array, Float

import jaxdiv as jd

from .cases import FOLDER, Case

PATH = FOLDER / "references.json"
CHAINS, WARMUP, DRAWS = 4, 1000, 3000
COLUMNS = ("mean", "sd", "q05", "q50", "q95", "mcse", "rhat", "ess")


def references() -> dict[str, Any]:
    """What is kept: for each case the scalars' names and, in columns, their moments."""
    return json.loads(PATH.read_text())


def flat(params: Any, lead: int = 0) -> Array:
    """The scalars of named parameters in the order of `Posterior.names()`, last."""
    leaves = jax.tree.leaves(params)
    return jnp.concatenate([x.reshape(*x.shape[:lead], -1) for x in leaves], -1)


def _mode(posterior: jd.Posterior) -> tuple[Array, Array]:
    """A mode of the free coordinates and the factor of the covariance that its curvature gives."""
    density = posterior.free()
    negative = jax.jit(jax.value_and_grad(lambda u: -density.log_prob(u)))
    hessian = jax.jit(jax.hessian(lambda u: -density.log_prob(u)))

    def value(u: np.ndarray) -> tuple[float, np.ndarray]:
        v, g = negative(u)
        return (float(v), np.asarray(g)) if np.isfinite(v) else (1e300, np.zeros_like(u))

    found = scipy.optimize.minimize(
        value,
        np.zeros(posterior.dim),
        jac=True,
        hess=lambda u: np.asarray(hessian(u)),
        method="trust-exact",
        options={"max_trust_radius": 1e6, "maxiter": 500},
    )
    h = np.asarray(hessian(found.x))
    spread = np.sqrt(1 / np.abs(np.diag(h)))
    inverse = np.linalg.inv(h * spread * spread[:, None])
    return jnp.asarray(found.x), jnp.asarray(spread[:, None] * np.linalg.cholesky(inverse))


def run(case: Case, seed: int = 0) -> dict[str, Any]:
    """The moments of every scalar that varies, with how they were had.

    Raises:
        RuntimeError: where an R-hat is 1.01 or more, or a bulk effective sample size below 4,000.
    """
    import numpyro
    from numpyro.infer import MCMC, NUTS

    posterior = case.easier or case.posterior
    density = posterior.free()
    loc, tril = _mode(posterior)
    kernel = NUTS(
        potential_fn=lambda z: -density.log_prob(loc + tril @ z),
        dense_mass=True,
        target_accept_prob=0.9,
    )
    sampler = MCMC(
        kernel,
        num_warmup=WARMUP,
        num_samples=DRAWS,
        num_chains=CHAINS,
        chain_method="vectorized",
        progress_bar=False,
    )
    key, start = jr.split(jr.key(seed))
    sampler.run(key, init_params=0.1 * jr.normal(start, (CHAINS, posterior.dim)))
    z = sampler.get_samples(group_by_chain=True)
    back = jax.jit(
        jax.vmap(jax.vmap(lambda z: flat(case.back(posterior.constrain(loc + tril @ z)))))
    )
    x = np.asarray(back(z))
    divergences = int(jnp.sum(sampler.get_extra_fields()["diverging"]))
    names = np.array(case.posterior.names())
    varies = np.std(x, (0, 1)) > 0
    x, names = x[..., varies], names[varies]
    table = _summary(x)
    worst, fewest = table[COLUMNS.index("rhat")].max(), table[COLUMNS.index("ess")].min()
    if worst >= 1.01 or fewest < 4000:
        raise RuntimeError(f"{case.name}: R-hat {worst:.4f}, bulk ESS {fewest:.0f}.")
    return {
        "names": names.tolist(),
        **{c: [float(f"{v:.6g}") for v in row] for c, row in zip(COLUMNS, table, strict=True)},
        "divergences": divergences,
        "settings": {"chains": CHAINS, "warmup": WARMUP, "draws": DRAWS, "seed": seed},
        "versions": {"jax": jax.__version__, "numpyro": numpyro.__version__},
    }


def _summary(x: Float[np.ndarray, "chains draws n"]) -> Float[np.ndarray, "columns n"]:
    """In the order of `COLUMNS`; R-hat and effective sample size of normalised ranks."""
    from numpyro.diagnostics import effective_sample_size, split_gelman_rubin

    flat = x.reshape(-1, x.shape[-1])
    ranks = scipy.stats.rankdata(flat, axis=0)
    z = scipy.stats.norm.ppf((ranks - 0.375) / (len(flat) + 0.25)).reshape(x.shape)
    sd = flat.std(0, ddof=1)
    mcse = sd / np.sqrt(effective_sample_size(x))
    quantiles = np.quantile(flat, [0.05, 0.5, 0.95], axis=0)
    diagnostics = split_gelman_rubin(z), effective_sample_size(z)
    return np.stack([flat.mean(0), sd, *quantiles, mcse, *diagnostics])


def write(found: dict[str, Any]) -> None:
    """A case to a line."""
    lines = (f"{json.dumps(name)}: {json.dumps(row)}" for name, row in found.items())
    PATH.write_text("{\n" + ",\n".join(lines) + "\n}\n")
