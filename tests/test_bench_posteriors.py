"""The posteriors of the benchmark: finite where their references are, which belong to them."""

import jax
import jax.numpy as jnp
import numpy as np

from bench.posteriors.cases import cases
from bench.posteriors.reference import COLUMNS, references

ORIGIN = jax.jit(lambda posterior: posterior.constrain(jnp.zeros(posterior.dim)))


@jax.jit
def value_at(posterior, params):
    return posterior.free().log_prob(posterior.unconstrain(params))


def test_references_belong_to_the_cases():
    """Each within its space, its density finite there, and its errors as promised."""
    known, checked = references(), cases()
    assert set(known) <= set(checked)
    for name, row in known.items():
        posterior = checked[name].posterior
        names = posterior.names()
        place = np.array([names.index(n) for n in row["names"]])
        leaves, structure = jax.tree.flatten(ORIGIN(posterior))
        values = np.concatenate([np.ravel(x) for x in leaves])  # with what does not vary
        values[place] = row["mean"]
        assert all(len(row[c]) == len(place) for c in COLUMNS)
        assert max(row["rhat"]) < 1.01 and min(row["ess"]) >= 4000
        assert all(np.diff([row["q05"], row["q50"], row["q95"]], axis=0).ravel() > 0)
        ends = np.cumsum([x.size for x in leaves])[:-1]
        parts = zip(np.split(values, ends), leaves, strict=True)
        params = structure.unflatten([jnp.reshape(jnp.asarray(v), x.shape) for v, x in parts])
        assert bool(jnp.isfinite(value_at(posterior, params))), name
