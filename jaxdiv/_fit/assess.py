"""What a fitted distribution is good for: bounds, importance weights, moments, and a verdict."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from .._estimator.pareto import pareto_smooth

QUANTILES = (0.05, 0.5, 0.95)
_LARGEST_K = 0.7
_LEAST_EFFECTIVE = 400.0  # draws, below which neither weights nor their diagnosis mean much
_LARGEST_ERROR = 0.05  # standard errors of the weighted means, in standard deviations
_SMALL_SHIFT = 0.1  # standard deviations between fitted and weighted means that may be ignored
_SMALL_RATIO = 0.1  # and the relative difference between the standard deviations


class VERDICT(eqx.Enumeration):
    """What the draws of a fit may be used for, in words."""

    usable = (
        "Usable: its own means and standard deviations agree with the importance-weighted ones."
    )
    usable_weighted = (
        "Usable after importance weighting: use `weighted`, or `samples(..., weighted=True)`; "
        "its own means or standard deviations are off."
    )
    not_usable = (
        "Not usable: too few of its draws carry the target's mass for a weighted average to be "
        "trusted. Try a richer family, other coordinates (a non-centred hierarchy), or MCMC."
    )


class Summary(eqx.Module):
    """Moments of every parameter, shaped as the parameters are, with Monte Carlo standard errors.

    Attributes:
        mean: with `mean_error`.
        sd: the standard deviation, with `sd_error`.
        quantiles: at 5, 50 and 95 %, on a leading axis of 3, with `quantiles_error`.
    """

    mean: PyTree
    mean_error: PyTree
    sd: PyTree
    sd_error: PyTree
    quantiles: PyTree
    quantiles_error: PyTree


class Assessment(eqx.Module):
    r"""What independent draws of a fitted $q$ say of it, against an unnormalised density.

    Attributes:
        elbo: $E_q[\log \tilde p - \log q]$, a lower bound of $\log Z$; with `elbo_error`.
        upper: $E_p[\log \tilde p - \log q]$ by importance weights, an upper bound; `upper_error`.
        log_evidence: $\log Z$ by importance weights; `log_evidence_error`.
        effective_sample_size: of the weights.
        pareto_k: the shape of their tail (Vehtari et al. 2024): below 0.7 an average by them can be
            trusted, which 0.7 does not guarantee: a mode that no draw has met leaves no trace.
        num_draws: how many draws there were.
        num_bad: at how many the log-density was NaN; they weigh nothing.
        fitted: moments of $q$.
        weighted: moments under Pareto-smoothed importance weights.
        verdict: a member of `VERDICT`.
    """

    elbo: Float[Array, ""]
    elbo_error: Float[Array, ""]
    upper: Float[Array, ""]
    upper_error: Float[Array, ""]
    log_evidence: Float[Array, ""]
    log_evidence_error: Float[Array, ""]
    effective_sample_size: Float[Array, ""]
    pareto_k: Float[Array, ""]
    num_draws: int = eqx.field(static=True)
    num_bad: Int[Array, ""]
    fitted: Summary
    weighted: Summary
    verdict: VERDICT

    @property
    def reverse_kl(self) -> Float[Array, ""]:
        r"""$\mathrm{KL}(q \| p)$, with $\log Z$ as estimated."""
        return self.log_evidence - self.elbo

    @property
    def forward_kl(self) -> Float[Array, ""]:
        r"""$\mathrm{KL}(p \| q)$, with $\log Z$ as estimated."""
        return self.upper - self.log_evidence


class Ratios(NamedTuple):
    """Log-ratios at draws, and the weights made of them."""

    values: Float[Array, " n"]
    log_weights: Float[Array, " n"]
    pareto_k: Float[Array, ""]
    bad: Int[Array, ""]


def weigh(log_p: Float[Array, " n"], log_q: Float[Array, " n"]) -> Ratios:
    """Importance weights of draws from `q`; a NaN weighs nothing, and is counted."""
    nan = jnp.isnan(log_p)
    ratios = jnp.where(nan, -jnp.inf, log_p - log_q)
    log_weights, pareto_k = pareto_smooth(ratios)
    return Ratios(ratios, log_weights, pareto_k, jnp.sum(nan, dtype=jnp.int32))


def assess(
    ratios: Ratios, parameters: PyTree, *, hidden: Float[Array, ""], sound: Array
) -> Assessment:
    """From draws of `parameters`, stacked, and their ratios.

    `hidden` is the share of the target's mass that is known to lie elsewhere, in optima that are
    not this one; `sound` whether the fit came to rest at all.
    """
    n = ratios.values.size
    values, unravel = _flatten(parameters)
    weights = jnp.exp(ratios.log_weights)
    even = jnp.full(n, 1.0 / n, weights.dtype)
    fitted, weighted = _summary(values, even), _summary(values, weights)
    ess = 1 / jnp.sum(weights**2)
    r = ratios.values
    elbo = jnp.mean(r)
    elbo_error = jnp.std(r) / jnp.sqrt(jnp.asarray(n, r.dtype))
    held = jnp.where(weights > 0, r, 0.0)
    upper = jnp.sum(weights * held)
    upper_error = jnp.sqrt(jnp.sum(weights**2 * (held - upper) ** 2))
    top = jnp.max(jnp.where(jnp.isfinite(r), r, -jnp.inf))
    log_z = top + jnp.log(jnp.mean(jnp.exp(r - top)))
    relative = jnp.sqrt(jnp.maximum(jnp.mean(jnp.exp(2 * (r - log_z))) - 1, 0.0) / n)
    k_limit = jnp.minimum(1 - 1 / jnp.log10(jnp.asarray(n, r.dtype)), _LARGEST_K)
    precise = jnp.max(weighted.mean_error / weighted.sd) < _LARGEST_ERROR
    trusted = (
        precise & (ratios.pareto_k < k_limit) & (ess > _LEAST_EFFECTIVE) & (hidden < 0.01) & sound
    )
    shift = jnp.max(jnp.abs(fitted.mean - weighted.mean) / weighted.sd)
    ratio = jnp.max(jnp.abs(fitted.sd / weighted.sd - 1))
    close = (shift < _SMALL_SHIFT) & (ratio < _SMALL_RATIO)
    verdict = VERDICT.where(close, VERDICT.usable, VERDICT.usable_weighted)
    verdict = VERDICT.where(trusted, verdict, VERDICT.not_usable)
    shaped = [
        jax.tree.map(lambda rows: unravel(rows) if rows.ndim == 1 else jax.vmap(unravel)(rows), s)
        for s in (fitted, weighted)
    ]
    return Assessment(
        elbo,
        elbo_error,
        upper,
        upper_error,
        log_z,
        relative,
        ess,
        ratios.pareto_k,
        n,
        ratios.bad,
        *shaped,
        verdict,
    )


def _flatten(draws: PyTree) -> tuple[Float[Array, "n P"], Callable[[Array], Any]]:
    """Draws of a pytree as rows, and the way back for one row."""
    leaves, treedef = jax.tree.flatten(draws)
    shapes = [leaf.shape[1:] for leaf in leaves]
    rows = [leaf.reshape(leaf.shape[0], -1) for leaf in leaves]

    def unravel(row: Array) -> PyTree:
        parts, start = [], 0
        for shape, part in zip(shapes, rows, strict=True):
            parts.append(row[start : start + part.shape[1]].reshape(shape))
            start += part.shape[1]
        return treedef.unflatten(parts)

    return jnp.concatenate(rows, 1), unravel


def _summary(values: Float[Array, "n P"], weights: Float[Array, " n"]) -> Summary:
    """Weighted moments; the errors are those of a ratio of averages, by the delta method."""
    column = weights[:, None]
    mean = jnp.sum(column * values, 0)
    deviations = values - mean
    mean_error = jnp.sqrt(jnp.sum(column**2 * deviations**2, 0))
    variance = jnp.sum(column * deviations**2, 0)
    sd = jnp.sqrt(variance)
    sd_error = jnp.sqrt(jnp.sum(column**2 * (deviations**2 - variance) ** 2, 0))
    sd_error = jnp.where(sd > 0, 0.5 * sd_error / jnp.where(sd > 0, sd, 1.0), 0.0)
    quantiles, errors = jax.vmap(_quantiles, (1, None), 1)(values, weights)
    return Summary(mean, mean_error, sd, sd_error, quantiles, errors)


def _quantiles(x: Float[Array, " n"], weights: Float[Array, " n"]) -> tuple[Array, Array]:
    """At `QUANTILES`, and half the width of the interval that their ranks may err by."""
    order = jnp.argsort(x)
    x, below = x[order], jnp.cumsum(weights[order]) - 0.5 * weights[order]
    levels = jnp.asarray(QUANTILES, x.dtype)
    off = jnp.sqrt(levels * (1 - levels) * jnp.sum(weights**2))
    low, middle, high = (jnp.interp(p, below, x) for p in (levels - off, levels, levels + off))
    return middle, 0.5 * (high - low)
