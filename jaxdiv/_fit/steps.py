"""Natural-gradient steps of a Gaussian: to rest on draws that stand still, then on fresh ones."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Bool, Float, Int, Key

from .._estimator.quasi import normal_draws
from .draws import LogDensityFn, Residuals, residuals

_MOST_HALVINGS = 8  # of a scale to start from
LEAST_GAP = 5e-4  # nats
_FLOOR = 0.05  # of the eigenvalues of the relative precision that a step divides by


class Settled(NamedTuple):
    """A member on draws that stand still, and the way to it."""

    loc: Float[Array, " D"]
    scale: Float[Array, "D D"]
    now: Residuals
    rate: Float[Array, ""]
    num_steps: Int[Array, ""]
    num_bad: Int[Array, ""]
    losses: Float[Array, " steps"]
    num_evaluations: Int[Array, ""]


class Polished(NamedTuple):
    """A member that fresh draws have moved, and what the last of them said before they did.

    `gap` is what is left to the optimum of this basin, in nats: `seen`, what draws agree upon that
    no step had seen, and what chance leaves after this many. It `drifts` where draws go on
    agreeing: along a valley so long that no step sees its end.
    """

    loc: Float[Array, " D"]
    scale: Float[Array, "D D"]
    residuals: Residuals
    seen: Float[Array, ""]
    spread: Float[Array, ""]  # the variance of what they agreed upon
    drifts: Bool[Array, ""]
    gap: Float[Array, ""]
    num_batches: Int[Array, ""]
    num_bad: Int[Array, ""]


def move(
    loc: Float[Array, " D"],
    scale: Float[Array, "D D"],
    now: Residuals,
    rate: Float[Array, ""] | float,
    diagonal: bool,
) -> tuple[Float[Array, " D"], Float[Array, "D D"]]:
    r"""$m + \rho L (I - \rho M)^{-1} b$ and $L (I - \rho M)^{-1/2}$.

    With $\rho = 1$ it is exact where the target is Gaussian. Eigenvalues of $I - \rho M$, the
    precision of the target in units of that of $q$, are kept above 0.05, or the noise if less:
    where the target curves up they are negative.
    """
    identity = jnp.eye(loc.size, dtype=loc.dtype)
    eigenvalues, eigenvectors = jnp.linalg.eigh(identity - rate * now.curvature)
    floor = jnp.clip(now.noise, jnp.finfo(loc.dtype).eps, _FLOOR)
    eigenvalues = jnp.maximum(eigenvalues, floor)
    step = eigenvectors @ ((eigenvectors.T @ now.slope) / eigenvalues)
    if diagonal:
        # The location needs the correlations all the same, or steps along them never end.
        own = jnp.maximum(1 - rate * jnp.diagonal(now.curvature), floor)
        new_scale = scale / jnp.sqrt(own)
    else:
        # Triangular again, so that on the same draws a covariance has one value.
        new_scale = lower(scale @ ((eigenvectors / jnp.sqrt(eigenvalues)) @ eigenvectors.T))
    return loc + rate * scale @ step, new_scale


def polish(
    log_density: LogDensityFn,
    state: Settled,
    key: Key[Array, ""],
    *,
    diagonal: bool,
    num_draws: int,
    max_evaluations: int,
    tolerance: float | None,
    num_judged: int,
) -> Polished:
    """Averages steps on fresh draws, each batch weighed by its share of all so far.

    The error so falls with their total number. A batch first judges the member that it has not yet
    moved. It ends where what is left is below `tolerance`, or, without one, below the standard
    error that the value will have by `num_judged` draws and `LEAST_GAP` together.
    """
    n, dim, dtype = num_draws, state.loc.size, state.loc.dtype
    # Where the density is all but Gaussian, what matters may be seen by one draw in hundreds.
    least = max(num_judged // 2, 2 * n)

    def proceed(now: Polished) -> Bool[Array, ""]:
        error = now.residuals.error * jnp.sqrt(n / num_judged)
        goal = LEAST_GAP + error if tolerance is None else tolerance
        more = ((now.gap > goal) | now.drifts) & (now.num_batches * n + n <= max_evaluations)
        return (now.num_batches * n < least) | more

    def body(now: Polished) -> Polished:
        k = now.num_batches
        z = normal_draws(n, dim, jr.fold_in(key, k))
        fresh = residuals(log_density, now.loc, now.scale, z, diagonal)
        # Two batches are independent: the mean of their product is the square of what they share.
        # Later ones count for more, since the member has moved.
        product = 0.5 * jnp.sum(now.residuals.slope * fresh.slope) + 0.25 * jnp.sum(
            _own(now.residuals.curvature, diagonal) * _own(fresh.curvature, diagonal)
        )
        num = k.astype(dtype)
        share = jnp.where(k == 0, 0.0, 3 / (num + 2))
        away = product - now.seen
        seen = now.seen + share * away
        spread = (1 - share) * (now.spread + share * away**2)
        rate = 1 / (num + 2)
        loc, scale = move(now.loc, now.scale, fresh, rate, diagonal)
        sane = jnp.isfinite(fresh.value) & jnp.all(jnp.isfinite(scale)) & jnp.all(jnp.isfinite(loc))
        return Polished(
            loc=jnp.where(sane, loc, now.loc),
            scale=jnp.where(sane, scale, now.scale),
            residuals=fresh,
            seen=seen,
            spread=spread,
            drifts=seen - 2 * jnp.sqrt(1.8 * spread / (num + 1)) > LEAST_GAP,
            gap=jnp.where(k == 0, jnp.inf, fresh.noise * rate + jnp.maximum(seen, 0.0)),
            num_batches=k + 1,
            num_bad=now.num_bad + fresh.bad,
        )

    begun = Polished(
        loc=state.loc,
        scale=state.scale,
        residuals=state.now,
        seen=jnp.zeros((), dtype),
        spread=jnp.zeros((), dtype),
        drifts=jnp.array(False),
        gap=jnp.array(jnp.inf, dtype),
        num_batches=jnp.array(0, jnp.int32),
        num_bad=jnp.array(0, jnp.int32),
    )
    return jax.lax.while_loop(proceed, body, begun)


def settle(
    log_density: LogDensityFn,
    loc: Array,
    scale: Array,
    z: Float[Array, "n D"],
    diagonal: bool,
    num_steps: int,
) -> Settled:
    """Steps on these draws, each taken only if the mean over them falls."""
    scale, start, num_halved = _narrow(log_density, loc, scale, z, diagonal)
    losses = jnp.full(num_steps, jnp.nan, loc.dtype)
    one, none = jnp.ones((), loc.dtype), jnp.array(0, jnp.int32)

    def proceed(state: Settled) -> Bool[Array, ""]:
        at_rest = is_settled(state.now, diagonal)
        return ~at_rest & (state.rate > 1e-5) & (state.num_steps < num_steps)

    def body(state: Settled) -> Settled:
        lost = ~jnp.isfinite(state.now.value)
        new_loc, new_scale = move(state.loc, state.scale, state.now, state.rate, diagonal)
        # Where the density is lost, narrower.
        new_loc = jnp.where(lost, state.loc, new_loc)
        new_scale = jnp.where(lost, 0.25 * state.scale, new_scale)
        new = residuals(log_density, new_loc, new_scale, z, diagonal)
        rounding = 32 * jnp.finfo(loc.dtype).eps * (1 + jnp.abs(state.now.value))
        # The residuals are not quite the slope of the mean over these draws.
        falls = new.value <= state.now.value + rounding + 0.1 * state.now.noise
        take = lost | (falls & (new.bad <= state.now.bad))
        rate = jnp.where(take, jnp.minimum(1.0, 2 * state.rate), 0.25 * state.rate)
        moved, kept = (new_loc, new_scale, new), (state.loc, state.scale, state.now)
        here = jax.tree.map(lambda a, b: jnp.where(take, a, b), moved, kept)
        losses = state.losses.at[state.num_steps].set(here[2].value)
        bad = state.num_bad + new.bad
        steps = state.num_steps + 1
        return Settled(here[0], here[1], here[2], rate, steps, bad, losses, state.num_evaluations)

    begun = Settled(loc, scale, start, one, none, start.bad, losses, none)
    ended = jax.lax.while_loop(proceed, body, begun)
    return ended._replace(num_evaluations=(ended.num_steps + 1 + num_halved) * len(z))


def _narrow(
    log_density: LogDensityFn, loc: Array, scale: Array, z: Float[Array, "n D"], diagonal: bool
) -> tuple[Array, Residuals, Int[Array, ""]]:
    """The scale halved as long as that helps: a curvature may know nothing of the tails.

    Back from there, steps widen what should be wide; from too wide they are slow.
    """

    def proceed(state: tuple) -> Bool[Array, ""]:
        _, _, helped, turn = state
        return helped & (turn < _MOST_HALVINGS)

    def halve(state: tuple) -> tuple:
        scale, now, _, turn = state
        new = residuals(log_density, loc, 0.5 * scale, z, diagonal)
        helped = (new.value < now.value) | ~jnp.isfinite(now.value)
        moved, kept = (0.5 * scale, new), (scale, now)
        here = jax.tree.map(lambda a, b: jnp.where(helped, a, b), moved, kept)
        return here[0], here[1], helped, turn + 1

    start = residuals(log_density, loc, scale, z, diagonal)
    begun = scale, start, jnp.array(True), jnp.array(0, jnp.int32)
    scale, now, _, turns = jax.lax.while_loop(proceed, halve, begun)
    return scale, now, turns


def is_settled(now: Residuals, diagonal: bool) -> Bool[Array, ""]:
    """Whether what is left on these draws is small beside what other draws would change."""
    least = 1e3 * float(jnp.finfo(now.value.dtype).eps) ** 1.5
    gap = now.gap(diagonal)
    return jnp.isfinite(now.value) & (gap <= jnp.maximum(0.1 * now.noise, least))


def _own(curvature: Array, diagonal: bool) -> Array:
    return jnp.diagonal(curvature) if diagonal else curvature


def lower(scale: Float[Array, "D D"]) -> Float[Array, "D D"]:
    """The Cholesky factor of $L L^T$, without forming it."""
    upper = jnp.linalg.qr(scale.T, mode="r")
    return upper.T * jnp.where(jnp.diagonal(upper) < 0, -1.0, 1.0).astype(scale.dtype)
