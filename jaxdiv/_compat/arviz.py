"""Draws as ArviZ's own data, for its figures and tables."""

import importlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Key


def to_arviz(
    draws: Mapping[str, Float[ArrayLike, "n ..."]],
    log_weights: Float[ArrayLike, " n"] | None = None,
    *,
    key: Key[Array, ""] | None = None,
) -> Any:
    r"""Named draws as `arviz.InferenceData`, of one chain.

    Independent draws of a fit have no autocorrelation: of ArviZ's diagnostics the effective sample
    size and $\hat R$ say nothing of them, the weights' effective sample size and $\hat k$ do.

    Args:
        draws: arrays by name, of which the first axis is that of the draws.
        log_weights: importance weights of the draws, normalised or not.
        key: with it, as many draws are drawn anew, in proportion to their weights; without it they
            are kept as they are, and the weights stored as `log_weight` in `sample_stats`.

    Raises:
        ImportError: where ArviZ is not installed.
        ValueError: for a key without weights, or weights that are not one for each draw.

    Example:
        >>> import jax, jaxdiv as jd
        >>> draws = {"beta": jax.random.normal(jax.random.key(0), (100, 2))}
        >>> data = jd.to_arviz(draws)  # doctest: +SKIP
        >>> data.posterior["beta"].shape  # doctest: +SKIP
        (1, 100, 2)
    """
    try:
        arviz: Any = importlib.import_module("arviz")
    except ModuleNotFoundError as error:
        raise ImportError("to_arviz needs ArviZ: pip install 'arviz<1'") from error
    num = {np.shape(values)[0] for values in draws.values()}
    if log_weights is None:
        if key is not None:
            raise ValueError("to_arviz: a key draws by weights: give `log_weights`.")
        stats = None
    else:
        if num != {np.shape(log_weights)[0]}:
            raise ValueError(
                f"to_arviz: {np.shape(log_weights)[0]} log_weights for {sorted(num)} draws."
            )
        stats = {"log_weight": np.asarray(log_weights)[None]}
        if key is not None:
            index = jr.categorical(key, jnp.asarray(log_weights), shape=np.shape(log_weights))
            draws, stats = jax.tree.map(lambda x: jnp.asarray(x)[index], dict(draws)), None
    posterior = {name: np.asarray(values)[None] for name, values in draws.items()}
    return arviz.from_dict(posterior=posterior, sample_stats=stats)
