"""What a fitted distribution is good for: bounds, importance weights, moments, and a verdict."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from .._estimator.pareto import pareto_smooth
from .adaptive import LARGEST_K, Weighted

QUANTILES = (0.05, 0.5, 0.95)
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
        effective_sample_size: of the weighted draws.
        pareto_k: of $q$: the shape of the tail of $p/q$ at its own draws (Yao et al. 2018).
        weighted_pareto_k: of the weighted draws (Vehtari et al. 2024): below 0.7 an average by them
            can be trusted, as it can where no weight is over 10 times the mean; which guarantees
            nothing: a mode that no draw has met leaves no trace.
        num_draws: how many weighted draws there are.
        num_bad: at how many the log-density was NaN; they weigh nothing.
        fitted: moments of $q$.
        weighted: moments of the target, by importance weights. Draws are from all optima found, and
            from wider t distributions at the same places, in shares that adapt.
        draws: the weighted draws of the parameters, on a leading axis.
        weights: theirs; they sum to 1.
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
    weighted_pareto_k: Float[Array, ""]
    num_draws: Int[Array, ""]
    num_bad: Int[Array, ""]
    fitted: Summary
    weighted: Summary
    draws: PyTree
    weights: Float[Array, " m"]
    verdict: VERDICT

    @property
    def reverse_kl(self) -> Float[Array, ""]:
        r"""$\mathrm{KL}(q \| p)$, with $\log Z$ as estimated."""
        return self.log_evidence - self.elbo

    @property
    def forward_kl(self) -> Float[Array, ""]:
        r"""$\mathrm{KL}(p \| q)$, with $\log Z$ as estimated."""
        return self.upper - self.log_evidence


def assess(
    log_p: Float[Array, " n"],
    log_q: Float[Array, " n"],
    own: PyTree,
    better: Weighted,
    log_q_there: Float[Array, " m"],
    parameters: PyTree,
    sound: Bool[Array, ""],
    by_moments: bool,
) -> Assessment:
    """From draws of the fitted distribution, and from others with weights.

    `own` are the parameters at the first, `parameters` those at the second, where it has density
    `log_q_there`; `sound` is whether the fit came to rest at all, `by_moments` whether it has the
    weighted moments by construction.
    """
    n, dtype = log_p.size, log_p.dtype
    r = jnp.where(jnp.isnan(log_p), -jnp.inf, log_p - log_q)
    _, own_k = pareto_smooth(r)
    elbo, elbo_error = jnp.mean(r), jnp.std(r) / jnp.sqrt(jnp.asarray(n, dtype))
    weights = better.weights
    ess = 1 / jnp.sum(weights**2)
    upper_terms = jnp.where(weights > 0, better.log_p - log_q_there, 0.0)
    upper = jnp.sum(weights * upper_terms)
    upper_error = jnp.sqrt(jnp.sum(weights**2 * (upper_terms - upper) ** 2))
    fitted_values, _ = _flatten(own)
    values, unravel = _flatten(parameters)
    fitted = _summary(fitted_values, jnp.full(n, 1 / n, dtype))
    weighted = _summary(values, weights)
    moves = weighted.sd > 0  # entries that are constant have no errors
    scale = jnp.where(moves, weighted.sd, 1.0)
    precise = jnp.max(weighted.mean_error / scale) < _LARGEST_ERROR
    precise &= jnp.max(weighted.sd_error / scale) < 2 * _LARGEST_ERROR
    shift = jnp.max(jnp.abs(fitted.mean - weighted.mean) / scale)
    ratio = jnp.max(jnp.where(moves, jnp.abs(fitted.sd / scale - 1), 0.0))
    close = (shift < _SMALL_SHIFT) & (ratio < _SMALL_RATIO)
    # A heavy tail of its own ratios means mass elsewhere: if the weights have not found it, nothing
    # has. Moments that were matched agree, whatever the tail.
    light = own_k < LARGEST_K
    trusted = sound & precise & better.reliable & (ess > _LEAST_EFFECTIVE)
    trusted &= light | ~close | by_moments
    verdict = VERDICT.where(close & light, VERDICT.usable, VERDICT.usable_weighted)
    verdict = VERDICT.where(trusted, verdict, VERDICT.not_usable)
    return Assessment(
        elbo,
        elbo_error,
        upper,
        upper_error,
        better.log_evidence,
        better.log_evidence_error,
        ess,
        own_k,
        better.pareto_k,
        better.num_draws,
        better.num_bad,
        _shaped(fitted, unravel),
        _shaped(weighted, unravel),
        parameters,
        weights,
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


def _shaped(summary: Summary, unravel: Callable[[Array], Any]) -> Summary:
    return jax.tree.map(
        lambda rows: unravel(rows) if rows.ndim == 1 else jax.vmap(unravel)(rows), summary
    )


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
