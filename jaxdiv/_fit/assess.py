"""What a fitted distribution is good for: bounds, importance weights, moments, and a verdict."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
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
        draws: what they are the moments of, on a leading axis.
        weights: of the draws; they sum to 1.
    """

    mean: PyTree
    mean_error: PyTree
    sd: PyTree
    sd_error: PyTree
    draws: PyTree
    weights: Float[Array, " n"]

    @property
    def quantiles(self) -> PyTree:
        """At 5, 50 and 95 %, on a leading axis of 3; computed when asked for."""
        return self._each(0)

    @property
    def quantiles_error(self) -> PyTree:
        """Half the width of the interval that their ranks may err by."""
        return self._each(1)

    def _each(self, which: int) -> PyTree:
        def of(
            x: Float[Array, "n *shape"], weights: Float[Array, " n"]
        ) -> Float[Array, "3 *shape"]:
            rows = x.reshape(len(weights), -1)
            found = jax.vmap(_quantiles, (1, None), 1)(rows, weights)[which]
            return found.reshape(-1, *x.shape[1:])

        for _ in range(self.weights.ndim - 1):  # of a batch of fits
            of = jax.vmap(of)
        return jax.tree.map(lambda x: of(x, self.weights), self.draws)


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
    verdict: VERDICT

    @property
    def draws(self) -> PyTree:
        """The weighted draws of the parameters, on a leading axis."""
        return self.weighted.draws

    @property
    def weights(self) -> Float[Array, " m"]:
        """Theirs; they sum to 1."""
        return self.weighted.weights

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
    fitted = summary_of(own, jnp.full(n, 1 / n, dtype))
    weighted = summary_of(parameters, weights)
    precise = is_precise(weighted, _LARGEST_ERROR, 2 * _LARGEST_ERROR)
    sd = _flat(weighted.sd)
    moves = sd > 0
    scale = jnp.where(moves, sd, 1.0)
    shift = jnp.max(jnp.abs(_flat(fitted.mean) - _flat(weighted.mean)) / scale)
    ratio = jnp.max(jnp.where(moves, jnp.abs(_flat(fitted.sd) / scale - 1), 0.0))
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
        fitted,
        weighted,
        verdict,
    )


def is_precise(summary: Summary, mean: float, sd: float) -> Bool[Array, ""]:
    """Whether the standard errors of all means and sds are below these, in standard deviations."""
    widths, errors, of_sds = map(_flat, (summary.sd, summary.mean_error, summary.sd_error))
    scale = jnp.where(widths > 0, widths, 1.0)  # entries that are constant have no errors
    return (jnp.max(errors / scale) < mean) & (jnp.max(of_sds / scale) < sd)


def _flat(tree: PyTree) -> Float[Array, " P"]:
    return ravel_pytree(tree)[0]


def summary_of(draws: PyTree, weights: Float[Array, " n"]) -> Summary:
    """Weighted moments; the errors are those of a ratio of averages, by the delta method."""

    def average(weights: Array, terms: PyTree) -> PyTree:
        return jax.tree.map(lambda x: jnp.tensordot(weights, x, 1), terms)

    mean = average(weights, draws)
    squares = jax.tree.map(lambda x, m: (x - m) ** 2, draws, mean)
    variance = average(weights, squares)
    mean_error = jax.tree.map(jnp.sqrt, average(weights**2, squares))
    off = average(weights**2, jax.tree.map(lambda s, v: (s - v) ** 2, squares, variance))

    def half(off: Array, variance: Array) -> Array:
        moves = variance > 0
        return jnp.where(moves, 0.5 * jnp.sqrt(off / jnp.where(moves, variance, 1.0)), 0.0)

    sd, sd_error = jax.tree.map(jnp.sqrt, variance), jax.tree.map(half, off, variance)
    return Summary(mean, mean_error, sd, sd_error, draws, weights)


def _quantiles(x: Float[Array, " n"], weights: Float[Array, " n"]) -> tuple[Array, Array]:
    """At `QUANTILES`, and half the width of the interval that their ranks may err by."""
    order = jnp.argsort(x)
    x, below = x[order], jnp.cumsum(weights[order]) - 0.5 * weights[order]
    levels = jnp.asarray(QUANTILES, x.dtype)
    off = jnp.sqrt(levels * (1 - levels) * jnp.sum(weights**2))
    low, middle, high = (jnp.interp(p, below, x) for p in (levels - off, levels, levels + off))
    return middle, 0.5 * (high - low)
