"""Expectation propagation for Gaussian priors and sites of one linear projection each."""

import functools
from collections.abc import Callable
from typing import ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, Int, PyTree

from .._operand.base import floating
from .._operand.factorised import Factorised
from .._operand.multivariate_normal import MultivariateNormal
from .algorithm import AbstractAlgorithm, Ends
from .template import FullRank
from .tilted import tilted_moments


class SiteApproximation(eqx.Module):
    r"""$q(\theta) \propto N(\theta; m_0, \Sigma_0) \prod_i e^{\nu_i f_i - \tau_i f_i^2 / 2}$.

    Attributes:
        distribution: $q$, a `MultivariateNormal`.
        log_evidence: the estimate of $\log Z$, the logarithm of the target's integral.
        precisions: $\tau$, `[n]`. One may be negative, where its site widens the posterior.
        shifts: $\nu$, `[n]`.
        num_sweeps: visits of all the sites.
        residual: the most that one more undamped sweep would change a site, with the natural
            parameters in units of $q$'s marginal of its projection; infinite if a site was skipped.
        converged: whether the residual is within the tolerance.
        num_negative: sites whose precision is negative.
        num_skipped: sites left as they were in the end, for want of a proper cavity or of finite
            tilted moments.
        quadrature_error: the most that a rule with half of the nodes changes a tilted mean, in
            standard deviations, or the logarithm of a tilted variance. Of a smooth site the error
            that is left is about its square; raise `num_nodes` where that is too much.
    """

    distribution: MultivariateNormal
    log_evidence: Float[Array, ""]
    precisions: Float[Array, " n"]
    shifts: Float[Array, " n"]
    num_sweeps: Int[Array, ""]
    residual: Float[Array, ""]
    converged: Bool[Array, ""]
    num_negative: Int[Array, ""]
    num_skipped: Int[Array, ""]
    quadrature_error: Float[Array, ""]


class ExpectationPropagation(AbstractAlgorithm):
    r"""The `expectation_propagation` of a `Factorised` target, as an algorithm of `fit`.

    It is an approximation to the moments of the target, so to the optimum of forward KL, and the
    result is assessed as that of any other algorithm. For `FullRank()`; nothing depends on starts.

    Args:
        damping: as for `expectation_propagation`, and so are the next two.
        sequential: whether the posterior is updated after each site.
        num_nodes: of the quadrature.
        tolerance: on the residual of the sites, about that in standard deviations.
        max_evaluations: of all the sites, at `num_nodes` points each.

    Example:
        >>> import jaxdiv as jd
        >>> by = jd.ExpectationPropagation(damping=0.5)  # of fit(forward_kl(p), optim=by, ...)
        >>> print(by.quantity)
        KL(target, family) by importance weights: the sites of ExpectationPropagation
    """

    damping: float = eqx.field(static=True, default=0.0)
    sequential: bool = eqx.field(static=True, default=False)
    num_nodes: int = eqx.field(static=True, default=97)
    tolerance: float = eqx.field(static=True, default=1e-4)
    max_evaluations: int = eqx.field(static=True, default=20_000)
    forward: ClassVar[bool] = True
    is_exact: ClassVar[bool] = False

    @property
    def quantity(self):
        return "KL(target, family) by importance weights: the sites of ExpectationPropagation"

    def solve(self, problem, key, num_judged):
        del key, num_judged
        if not isinstance(problem.target, Factorised):
            raise TypeError(
                "ExpectationPropagation needs the factors of the target: a Factorised, not "
                f"{type(problem.target).__name__}."
            )
        if not isinstance(problem.template, FullRank):
            raise TypeError(f"ExpectationPropagation fits FullRank(), not {problem.template}.")
        found = expectation_propagation(
            problem.target,
            damping=self.damping,
            sequential=self.sequential,
            num_nodes=self.num_nodes,
            tolerance=self.tolerance,
            max_sweeps=max(1, self.max_evaluations // self.num_nodes),
        )
        dtype = found.residual.dtype
        one = jnp.ones(1, dtype)
        return Ends(
            jax.tree.map(lambda x: x[None], found.distribution),
            gap=0.5 * found.residual[None] ** 2,
            step=found.residual[None],
            curvature=one,
            settled=found.converged[None],
            repeated=jnp.zeros(1, bool),
            num_steps=found.num_sweeps[None],
            num_evaluations=self.num_nodes * found.num_sweeps[None],
            num_bad=found.num_skipped[None],
            losses=jnp.nan * one[:, None],
        )


class _Sites(NamedTuple):
    precisions: Float[Array, " n"]
    shifts: Float[Array, " n"]


class _Problem(NamedTuple):
    """The target in coordinates `z` where the prior is N(0, I): f = rows z + centre."""

    site: Callable[..., Array]
    rows: Float[Array, "n D"]
    centre: Float[Array, " n"]
    data: PyTree


class _Match(NamedTuple):
    """Sites that match the moments of the tilted distributions, and what that took."""

    sites: _Sites
    log_norm: Float[Array, " n"]  # of site times cavity
    residual: Float[Array, " n"]  # infinite for want of tilted moments, NaN of a proper cavity
    skipped: Bool[Array, " n"]
    error: Float[Array, " n"]


@functools.partial(jax.jit, static_argnames=("sequential", "num_nodes"))
def expectation_propagation(
    target: Factorised,
    *,
    damping: float = 0.0,
    sequential: bool = False,
    num_nodes: int = 97,
    tolerance: float | None = None,
    max_sweeps: int = 200,
) -> SiteApproximation:
    r"""$q \approx p$ whose Gaussian sites each give $q$ the moments that the true site would.

    The fixed point of $\min_{t_i} \mathrm{KL}(q^{\setminus i} t_i \| q)$ for every site: the
    moments of the tilted distribution by quadrature on nodes that follow it, the sites by their
    natural parameters. Where a sweep would leave an improper cavity it is taken back halfway.

    Args:
        target: the prior and its sites.
        damping: $\delta \in [0, 1)$, of $\delta$ old + $(1 - \delta)$ new natural parameters. A
            sweep is damped more for as long as the residual grows, or $q$ would be improper.
        sequential: whether $q$ is updated after each site, not after each sweep: slower on parallel
            hardware, and steadier.
        num_nodes: of the quadrature, over 12 standard deviations either side.
        tolerance: on the residual; by default $\epsilon^{2/3}$ of the floating type.
        max_sweeps: the most visits of all the sites.

    Returns:
        A `SiteApproximation`; look at its `converged`. It jits and vmaps. Derivatives with respect
        to the target are those of the fixed point (by the implicit function theorem; the log
        evidence is stationary in the sites), of `distribution`, `precisions`, `shifts` and
        `log_evidence`.

    Example:
        >>> import jax, jax.numpy as jnp, jaxdiv as jd
        >>> def site(f, y):  # logistic regression, y = -1 or 1
        ...     return jax.nn.log_sigmoid(y * f)
        >>> x, y = jnp.array([[1.0, 2.0], [1.0, -1.0]]), jnp.array([1.0, -1.0])
        >>> target = jd.Factorised(jd.Normal(0.0, 1.0), site, x, (y,))
        >>> found = jd.expectation_propagation(target)
        >>> print(found.converged, jnp.round(found.distribution.mean, 3))
        True [-0.073  0.841]

    References:
        Minka 2001; Opper & Winther 2005; Rasmussen & Williams 2006, section 3.6 (the log evidence).
    """
    problem, loc, tril = _whiten(target)
    dtype = loc.dtype
    within = float(jnp.finfo(dtype).eps) ** (2 / 3) if tolerance is None else tolerance
    match_all = functools.partial(_match_all, num_nodes=num_nodes)
    still = jax.lax.stop_gradient(problem._replace(site=None))._replace(site=problem.site)
    sweep = _in_sequence if sequential else _in_parallel

    def solve(_: Callable, start: _Sites) -> tuple[_Sites, Float[Array, ""]]:
        sites, num_sweeps = _iterate(
            functools.partial(sweep, still, num_nodes),
            start,
            longest=jnp.asarray(1 - damping, dtype),
            tolerance=within,
            max_sweeps=max_sweeps,
        )
        return sites, num_sweeps.astype(dtype)  # custom_root has no tangents for integers

    def mismatch(sites: _Sites) -> _Sites:
        return jax.tree.map(jnp.subtract, match_all(problem, sites).sites, sites)

    zeros = jnp.zeros_like(problem.centre)
    sites, num_sweeps = jax.lax.custom_root(
        mismatch, _Sites(zeros, zeros), solve, _solve_linear, has_aux=True
    )
    settled = jax.lax.stop_gradient(sites)
    match = match_all(problem, settled)
    upper, shift, _ = _posterior(problem, sites)
    # The Cholesky factor of the covariance: a product of lower triangles.
    inverse = jax.scipy.linalg.solve_triangular(upper, jnp.eye(loc.size, dtype=dtype), trans="T")
    mean = loc + tril @ (inverse @ shift)
    residual = jax.lax.stop_gradient(jnp.max(match.residual, initial=0.0))
    residual = jnp.where(jnp.isnan(residual), jnp.inf, residual)
    return SiteApproximation(
        distribution=MultivariateNormal(mean, tril @ inverse),
        log_evidence=_log_evidence(problem, settled, match.log_norm),
        precisions=sites.precisions,
        shifts=sites.shifts + sites.precisions * problem.centre,
        num_sweeps=num_sweeps.astype(int),
        residual=residual,
        converged=residual <= within,
        num_negative=jnp.sum(settled.precisions < 0),
        num_skipped=jnp.sum(match.skipped),
        quadrature_error=jax.lax.stop_gradient(jnp.max(match.error, initial=0.0)),
    )


def _whiten(target: Factorised) -> tuple[_Problem, Array, Array]:
    loc, tril, rows, offset = floating(
        target.prior.loc, target.prior.factor(), target.projections, target.offset
    )
    return _Problem(target.site, rows @ tril, rows @ loc + offset, target.data), loc, tril


def _posterior(problem: _Problem, sites: _Sites) -> tuple[Array, Array, Array]:
    """Upper `U` with q's precision U U^T, `U^-1 h` and `U^-1 rows^T`, in whitened coordinates."""
    rows = problem.rows
    precision = rows.T @ (sites.precisions[:, None] * rows)
    precision = precision + jnp.eye(rows.shape[1], dtype=rows.dtype)
    # The factor from the last row upwards, whose inverse transposed is lower triangular.
    upper = jnp.linalg.cholesky(precision[::-1, ::-1])[::-1, ::-1]
    right = jnp.concatenate([rows, (sites.shifts @ rows)[None]]).T
    solved = jax.scipy.linalg.solve_triangular(upper, right)
    return upper, solved[:, -1], solved[:, :-1]


def _marginals(problem: _Problem, sites: _Sites) -> tuple[Array, Array]:
    """Mean and variance of q's projections, less their prior means."""
    _, shift, spread = _posterior(problem, sites)
    return shift @ spread, jnp.sum(spread * spread, 0)


def _match_one(
    site: Callable[..., Array],
    centre: Array,
    data: PyTree,
    old: _Sites,
    mean: Array,
    variance: Array,
    *,
    num_nodes: int,
) -> _Match:
    """The site that matches, where q's marginal of its projection has this mean and variance."""
    left = 1 - variance * old.precisions
    proper = (left > 0) & (variance > 0)
    left = jnp.where(proper, left, 1.0)
    cavity_mean = (mean - variance * old.shifts) / left
    cavity_variance = jnp.where(proper, variance / left, 1.0)
    tilted = tilted_moments(
        lambda f: site(f + centre, *data),
        cavity_mean,
        cavity_variance,
        jax.lax.stop_gradient((mean, jnp.where(proper, variance, 1.0))),
        num_nodes=num_nodes,
    )
    ok = proper & tilted.found
    tilted_variance = jnp.where(ok, tilted.variance, 1.0)
    precision = 1 / tilted_variance - 1 / cavity_variance
    move = jnp.where(ok, tilted.mean - cavity_mean, 0.0)
    shift = move / tilted_variance + cavity_mean * precision
    change = abs(precision - old.precisions) * variance
    drift = shift - old.shifts - mean * (precision - old.precisions)
    residual = jnp.maximum(change, abs(drift) * jnp.sqrt(variance))
    new = _Sites(jnp.where(ok, precision, old.precisions), jnp.where(ok, shift, old.shifts))
    return _Match(
        new,
        tilted.log_norm,
        jnp.where(ok, residual, jnp.where(proper, jnp.inf, jnp.nan)),
        ~ok,
        tilted.error,
    )


def _match_all(problem: _Problem, sites: _Sites, *, num_nodes: int) -> _Match:
    fn = functools.partial(_match_one, problem.site, num_nodes=num_nodes)
    mean, variance = _marginals(problem, sites)
    return jax.vmap(fn)(problem.centre, problem.data, sites, mean, variance)


def _in_parallel(problem, num_nodes, sites: _Sites, step: Array) -> tuple[_Sites, Array]:
    match = _match_all(problem, sites, num_nodes=num_nodes)
    return _between(sites, match.sites, step), jnp.max(match.residual, initial=0.0)


def _in_sequence(problem, num_nodes, sites: _Sites, step: Array) -> tuple[_Sites, Array]:
    _, shift, _ = parts = _posterior(problem, sites)
    inverse = jax.scipy.linalg.solve_triangular(
        parts[0], jnp.eye(shift.size, dtype=shift.dtype), trans="T"
    )

    def visit(carry, inputs):
        mean, covariance = carry
        row, centre, data, old = inputs
        direction = covariance @ row
        variance, location = row @ direction, row @ mean
        match = _match_one(problem.site, centre, data, old, location, variance, num_nodes=num_nodes)
        new = _between(old, match.sites, step)
        more = new.precisions - old.precisions
        grown = 1 + more * variance
        new = jax.tree.map(lambda a, b: jnp.where(grown > 0, a, b), new, old)
        more, grown = jnp.where(grown > 0, more, 0.0), jnp.where(grown > 0, grown, 1.0)
        drift = new.shifts - old.shifts - more * location
        mean = mean + direction * (drift / grown)
        covariance = covariance - (more / grown) * direction * direction[:, None]
        return (mean, covariance), (new, match.residual)

    start = inverse @ shift, inverse @ inverse.T
    inputs = problem.rows, problem.centre, problem.data, sites
    _, (sites, residual) = jax.lax.scan(visit, start, inputs)
    return sites, jnp.max(residual, initial=0.0)


def _iterate(
    sweep: Callable[[_Sites, Array], tuple[_Sites, Array]],
    start: _Sites,
    *,
    longest: Array,
    tolerance: float | Array,
    max_sweeps: int | Array,
) -> tuple[_Sites, Int[Array, ""]]:
    """Sweeps until they change nothing, with steps that adapt to whether the residual falls."""

    def body(carry):
        k, before, sites, step, last = carry
        new, residual = sweep(sites, step)
        # NaN where q or a cavity is improper: then half the way back to where none was.
        proper = ~jnp.isnan(residual)
        onward = jax.tree.map(
            lambda a, b, c: jnp.where(proper, a, 0.5 * (b + c)), new, sites, before
        )
        before = jax.tree.map(lambda a, b: jnp.where(proper, a, b), sites, before)
        shorter = ~proper | (residual > last)
        step = jnp.where(shorter, 0.5 * step, jnp.minimum(longest, 1.25 * step))
        return k + 1, before, onward, step, jnp.where(proper, residual, last)

    def proceed(carry):
        k, _, _, _, residual = carry
        return (k < max_sweeps) & ~(residual <= 0.5 * tolerance)  # the last step may still add

    infinite = jnp.array(jnp.inf, longest.dtype)
    begin = jnp.array(0), start, start, longest, infinite
    k, _, sites, _, _ = jax.lax.while_loop(proceed, body, begin)
    return sites, k


def _between(old: _Sites, new: _Sites, step: Array) -> _Sites:
    return jax.tree.map(lambda a, b: a + step * (b - a), old, new)


def _log_evidence(problem: _Problem, sites: _Sites, log_norm: Array) -> Array:
    """Of the scaled sites: the normaliser of q, and for each site that of tilted over cavity."""
    upper, shift, spread = _posterior(problem, sites)
    mean, variance = shift @ spread, jnp.sum(spread * spread, 0)
    # log of the integral of cavity times Gaussian site, written so that weak sites do not cancel.
    left = 1 - variance * sites.precisions
    tau, nu = sites
    square = (2 * mean * nu - mean * mean * tau - variance * nu * nu) / left
    scale = log_norm - 0.5 * jnp.log(left) - 0.5 * square
    return jnp.sum(scale) + 0.5 * shift @ shift - jnp.sum(jnp.log(jnp.diagonal(upper)))


def _solve_linear(fn: Callable[[_Sites], _Sites], rhs: _Sites) -> _Sites:
    flat, unravel = ravel_pytree(rhs)
    matrix = jax.jacfwd(lambda x: ravel_pytree(fn(unravel(x)))[0])(jnp.zeros_like(flat))
    return unravel(jnp.linalg.solve(matrix, flat))
