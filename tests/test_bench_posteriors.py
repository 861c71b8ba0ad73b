"""The posteriors of the benchmark: finite where their references are, which belong to them."""

import jax
import jax.numpy as jnp
import numpy as np

from bench.posteriors.cases import cases
from bench.posteriors.reference import COLUMNS, flat, references


def test_references_belong_to_the_cases():
    """Each within its space, its density and slope finite there, and its errors as promised."""
    known, checked = references(), cases()
    assert set(known) <= set(checked)
    for name, row in known.items():
        posterior = checked[name].posterior
        names = posterior.names()
        place = np.array([names.index(n) for n in row["names"]])
        fixed = np.asarray(flat(posterior.constrain(jnp.zeros(posterior.dim))))
        values = fixed.copy()
        values[place] = row["mean"]
        assert all(len(row[c]) == len(place) for c in COLUMNS)
        assert max(row["rhat"]) < 1.01 and min(row["ess"]) >= 4000
        assert all(np.diff([row["q05"], row["q50"], row["q95"]], axis=0).ravel() > 0)
        leaves, structure = jax.tree.flatten(posterior.constrain(jnp.zeros(posterior.dim)))
        ends = np.cumsum([x.size for x in leaves])[:-1]
        parts = zip(np.split(values, ends), leaves, strict=True)
        params = structure.unflatten([jnp.reshape(jnp.asarray(v), x.shape) for v, x in parts])
        u = posterior.unconstrain(params)
        value, slope = jax.value_and_grad(posterior.free().log_prob)(u)
        assert bool(jnp.isfinite(value)) and bool(jnp.all(jnp.isfinite(slope))), name
