"""Importance sampling by a mixture that adapts: draws of a density known up to a constant."""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, ArrayLike, Bool, Float, Int, Key

from .._estimator.pareto import pareto_smooth
from .._estimator.quasi import normal_draws
from .draws import LogDensityFn
from .skip import unless

_DEGREES = (4, 12)  # of freedom, of the t distributions beside each Gaussian
LARGEST_K = 0.7
_BOUNDED = 10.0  # times the mean weight
_LEAST_SHARE = 0.02  # of the draws, that a place keeps
_LEAST_PART = 0.08  # of those, that a kind keeps
_WIDER = 1.2  # the t is wider by this over the root of the dimension


class Components(NamedTuple):
    """Gaussians and t distributions, and the shares of each in draws."""

    loc: Float[Array, "C D"]
    tril: Float[Array, "C D D"]
    inverse: Float[Array, "C D D"]
    df: Float[Array, " C"]  # infinite for a Gaussian
    shares: Float[Array, " C"]  # 0 for what is not there

    def squares(self, x: Float[Array, "n D"]) -> Float[Array, "C n"]:
        """Of the distances in standard deviations; infinite, at no cost, for what is not there."""

        def one(c: Components) -> Float[Array, " n"]:
            def there() -> Float[Array, " n"]:
                return jnp.sum(((x - c.loc) @ c.inverse.T) ** 2, 1)

            return unless(c.shares <= 0, there, jnp.full(len(x), jnp.inf, x.dtype))

        return jax.lax.map(one, self)

    def log_joint(self, squares: Float[Array, "C n"]) -> Float[Array, "C n"]:
        """Of each component with its share, at such distances; -inf for what is not there."""
        there = self.shares > 0
        log_det = -jnp.sum(jnp.log(jnp.diagonal(self.inverse, axis1=1, axis2=2)), 1)
        log_shares = jnp.log(jnp.where(there, self.shares, 1.0))
        log_q = _log_radial(jnp.where(there[:, None], squares, 0.0), self.df[:, None], self.dim)
        return jnp.where(there[:, None], log_q + (log_shares - log_det)[:, None], -jnp.inf)

    def log_mixture(self, x: Float[Array, "n D"]) -> Float[Array, " n"]:
        """By the shares."""
        return jax.nn.logsumexp(self.log_joint(self.squares(x)), 0)

    @property
    def dim(self) -> int:
        return self.loc.shape[1]


class Weighted(NamedTuple):
    """Draws with normalised weights, and what is known of them.

    Where components are missing their draws were not taken: these weigh nothing, and `num_draws`
    counts the others.
    """

    draws: Float[Array, "n D"]
    log_p: Float[Array, " n"]
    weights: Float[Array, " n"]
    pareto_k: Float[Array, ""]
    log_evidence: Float[Array, ""]
    log_evidence_error: Float[Array, ""]
    num_draws: Int[Array, ""]
    num_bad: Int[Array, ""]

    @property
    def reliable(self) -> Bool[Array, ""]:
        r"""Whether no draw matters much: $\hat k$ is low, or no weight over 10 times the mean.

        The tail of weights that a mixture bounds can have any shape, and is harmless.
        """
        num = self.num_draws.astype(self.weights.dtype)
        limit = jnp.minimum(1 - 1 / jnp.log10(num), LARGEST_K)
        return (self.pareto_k < limit) | (jnp.max(self.weights) * num < _BOUNDED)


def beside(
    loc: Float[Array, "S D"], tril: Float[Array, "S D D"], shares: Float[Array, " S"]
) -> Components:
    """Each Gaussian, and wider t distributions beside it."""
    kinds = len(_DEGREES) + 1
    wider = jnp.full(kinds, 1 + _WIDER / math.sqrt(loc.shape[1]), loc.dtype).at[0].set(1.0)
    inverse = _inverses(tril)
    return Components(
        jnp.tile(loc, (kinds, 1)),
        jnp.concatenate([width * tril for width in wider]),
        jnp.concatenate([inverse / width for width in wider]),
        jnp.repeat(jnp.array([math.inf, *_DEGREES], loc.dtype), len(loc)),
        jnp.tile(shares, kinds) / kinds,
    )


class _Pool(NamedTuple):
    """All draws so far; those of rounds to come hold nothing yet."""

    x: Float[Array, "N D"]
    log_p: Float[Array, " N"]
    proposals: Components  # stacked: what was there before, then each round
    log_q: Float[Array, "R N"]  # of each proposal
    counts: Float[Array, " R"]

    @property
    def log_mixture(self) -> Float[Array, " N"]:
        """Of all that was drawn from, together."""
        shares = self.counts / jnp.sum(self.counts)
        return jax.nn.logsumexp(self.log_q, 0, b=shares[:, None])


def adapt(
    log_density: LogDensityFn,
    components: Components,
    key: Key[Array, ""],
    num_rounds: int,
    seen: tuple[Float[Array, "S n D"], Float[Array, "S n"]],
    counted: Bool[ArrayLike, ""] = True,
) -> tuple[Weighted, Components]:
    r"""Draws from the mixture, round after round, each time moved towards what the weights say.

    A draw weighs $\tilde p(x) / \sum_r n_r q_r(x)$, over all rounds (Cornuet et al. 2012); shares,
    means and covariances of the next round are those of a step of EM under the weights (Cappe et
    al. 2008), damped by their effective sample size. `seen` are draws from each of the first `S`
    components with their log-densities, `n` each, as are those of a round; they are not `counted`
    where the components are only like what they were drawn from. Also the components at the end.
    """
    num_seen, n, dim = seen[0].shape
    dtype = components.loc.dtype
    there = (components.shares[:num_seen] > 0) & counted
    # Nothing to draw from again counts as one draw in the place that there is.
    share = jnp.where(jnp.any(there), there.astype(dtype), components.shares[:num_seen])
    before = jnp.zeros_like(components.shares).at[:num_seen].set(share / jnp.sum(share))
    taken = jnp.concatenate([jnp.repeat(there, n), jnp.ones(num_rounds * n, bool)])
    x = jnp.where(there[:, None, None], seen[0], 0.0).reshape(-1, dim)
    x = jnp.concatenate([x, jnp.zeros((num_rounds * n, dim), dtype)])
    log_p = jnp.concatenate([seen[1].reshape(-1), jnp.full(num_rounds * n, -jnp.inf, dtype)])
    stacked = jax.tree.map(lambda c: jnp.broadcast_to(c, (num_rounds + 1, *c.shape)), components)
    stacked = stacked._replace(shares=stacked.shares.at[0].set(before))
    log_q = jnp.zeros((num_rounds + 1, len(x)), dtype)
    log_q = log_q.at[0].set(components._replace(shares=before).log_mixture(x))
    counts = jnp.zeros(num_rounds + 1, dtype).at[0].set(n * jnp.sum(there, dtype=dtype))
    pool = _Pool(x, log_p, stacked, log_q, counts)

    def body(turn: Array, carry: tuple) -> tuple:
        pool, components, squares, (log_weights, *_) = carry
        components = jax.lax.cond(
            turn == 0,
            lambda: components,
            lambda: _em(components, pool.x, squares, jnp.exp(log_weights)),
        )
        x = _sample(components, n, jr.fold_in(key, turn))
        first = (num_seen + turn) * n
        proposals = jax.tree.map(
            lambda old, new: old.at[turn + 1].set(new), pool.proposals, components
        )
        every = jax.lax.dynamic_update_slice(pool.x, x, (first, 0))
        squares = components.squares(every)
        log_q = pool.log_q.at[turn + 1].set(jax.nn.logsumexp(components.log_joint(squares), 0))
        log_here = jax.lax.map(lambda c: c.log_mixture(x), proposals)
        pool = _Pool(
            every,
            jax.lax.dynamic_update_slice(pool.log_p, jax.vmap(log_density)(x), (first,)),
            proposals,
            jax.lax.dynamic_update_slice(log_q, log_here, (0, first)),
            pool.counts.at[turn + 1].set(n),
        )
        ratios = jnp.where(taken & ~jnp.isnan(pool.log_p), pool.log_p - pool.log_mixture, -jnp.inf)
        log_weights, pareto_k = pareto_smooth(ratios)
        return pool, components, squares, (log_weights, ratios, pareto_k)

    flat = jnp.zeros(len(x), dtype)
    squares = jnp.zeros((len(components.df), len(x)), dtype)
    carry = pool, components, squares, (flat, flat, jnp.zeros((), dtype))
    pool, last, _, (log_weights, ratios, pareto_k) = jax.lax.fori_loop(0, num_rounds, body, carry)
    total = jnp.sum(pool.counts)
    top = jnp.max(ratios)
    relative = jnp.exp(ratios - top)
    mean = jnp.sum(relative) / total
    variance = jnp.sum(relative**2) / total / mean**2 - 1
    return Weighted(
        pool.x,
        pool.log_p,
        _calibrate(jnp.exp(log_weights), pool.x, pool.log_mixture, taken, last),
        pareto_k,
        top + jnp.log(mean),
        jnp.sqrt(jnp.maximum(variance, 0.0) / total),
        total.astype(jnp.int32),
        jnp.sum(jnp.isnan(pool.log_p), dtype=jnp.int32),
    ), last


def refine(
    log_density: LogDensityFn,
    components: Components,
    key: Key[Array, ""],
    num_rounds: int,
    seen: tuple[Float[Array, "S n D"], Float[Array, "S n"]],
    counted: bool,
    is_precise: Callable[[Float[Array, "N D"], Float[Array, " N"]], Bool[Array, ""]],
    most: int,
) -> tuple[Weighted, Int[Array, ""]]:
    """`adapt`, and again from where it ended until the draws are precise, at `most` so often.

    Each time counts by its effective sample size. Also the number of times.
    """

    def turn(turn: Array, components: Components) -> tuple[Weighted, Components]:
        args = jr.fold_in(key, turn), num_rounds, seen, (turn == 0) & counted
        return adapt(log_density, components, *args)

    shapes, _ = jax.eval_shape(turn, jnp.array(0, jnp.int32), components)
    nothing = jax.tree.map(lambda s: jnp.zeros((most, *s.shape), s.dtype), shapes)

    def body(carry: tuple) -> tuple:
        number, every, components, _ = carry
        found, components = turn(number, components)
        every = jax.tree.map(lambda all, new: all.at[number].set(new), every, found)
        joined = _join(every, number + 1)
        return number + 1, every, components, is_precise(joined.draws, joined.weights)

    def proceed(carry: tuple) -> Bool[Array, ""]:
        number, *_, precise = carry
        return (number == 0) | (~precise & (number < most))

    begun = jnp.array(0, jnp.int32), nothing, components, jnp.array(False)
    number, every, *_ = jax.lax.while_loop(proceed, body, begun)
    return _join(every, number), number


def _join(every: Weighted, number: Int[Array, ""]) -> Weighted:
    """The first `number` of those on a leading axis, as one."""
    there = jnp.arange(len(every.pareto_k), dtype=jnp.int32) < number
    effective = 1 / jnp.sum(every.weights**2, 1)
    effective = jnp.where(there & jnp.isfinite(effective), effective, 0.0)
    effective = jnp.where(jnp.any(effective > 0), effective, there.astype(effective.dtype))
    shares = effective / jnp.sum(effective)
    weights = jnp.where(there[:, None], shares[:, None] * every.weights, 0.0)
    return Weighted(
        every.draws.reshape(-1, every.draws.shape[2]),
        every.log_p.reshape(-1),
        weights.reshape(-1),
        jnp.max(jnp.where(there, every.pareto_k, -jnp.inf)),
        jax.nn.logsumexp(every.log_evidence, b=shares),
        jnp.sqrt(jnp.sum((shares * every.log_evidence_error) ** 2)),
        jnp.sum(every.num_draws, dtype=jnp.int32),
        jnp.sum(every.num_bad, dtype=jnp.int32),
    )


def _inverses(trils: Float[Array, "C D D"]) -> Float[Array, "C D D"]:
    # One after the other: two batched solves at once can stop a CPU of two cores for ever.
    identity = jnp.eye(trils.shape[-1], dtype=trils.dtype)
    return jax.lax.map(
        lambda tril: jax.scipy.linalg.solve_triangular(tril, identity, lower=True), trils
    )


def _log_radial(squares: Array, df: Array, dim: int) -> Array:
    """Of a Gaussian or a t distribution of unit scale, at squared distances from its centre."""
    log_prob = -0.5 * squares - 0.5 * dim * math.log(2 * math.pi)
    for degrees in _DEGREES:
        const = math.lgamma(0.5 * (degrees + dim)) - math.lgamma(0.5 * degrees)
        const -= 0.5 * dim * math.log(degrees * math.pi)
        t = const - 0.5 * (degrees + dim) * jnp.log1p(squares / degrees)
        log_prob = jnp.where(df == degrees, t, log_prob)
    return log_prob


def _sample(components: Components, n: int, key: Key[Array, ""]) -> Float[Array, "n D"]:
    """Antithetic pairs, with as many from each component as its share says."""
    key_z, key_c, key_u = jr.split(key, 3)
    half, dtype = n // 2, components.loc.dtype
    levels = (jnp.arange(half, dtype=dtype) + jr.uniform(key_u, (), dtype)) / half
    which = jnp.searchsorted(jnp.cumsum(components.shares), levels)
    which = jnp.minimum(jnp.concatenate([which, which]), len(components.shares) - 1)
    z = normal_draws(n, components.loc.shape[1], key_z, dtype)
    df = components.df[which]
    squares = jnp.cumsum(jr.normal(key_c, (max(_DEGREES), half), dtype) ** 2, 0)
    for degrees in _DEGREES:
        spread = jnp.tile(squares[degrees - 1] / degrees, 2)  # chi-squared
        z = z * jnp.where(df == degrees, jax.lax.rsqrt(spread), 1.0)[:, None]
    return components.loc[which] + jnp.einsum("nij,nj->ni", components.tril[which], z)


def _em(
    c: Components, x: Float[Array, "n D"], squares: Float[Array, "C n"], weights: Float[Array, " n"]
) -> Components:
    dim, there = c.dim, c.shares > 0
    parts = weights * jax.nn.softmax(c.log_joint(squares), 0)
    # Of each place a part stays with each kind: what has weighed little so far may yet.
    shares = jnp.sum(parts, 1).reshape(len(_DEGREES) + 1, -1)
    shares = jnp.maximum(shares, _LEAST_PART * jnp.maximum(jnp.sum(shares, 0), _LEAST_SHARE))
    shares = jnp.where(there, shares.reshape(-1), 0.0)

    def move(inputs: tuple[Array, ...]) -> tuple[Array, Array]:
        part, squares, loc, tril, inverse, df = inputs
        mass, tiny = jnp.sum(part), jnp.finfo(x.dtype).tiny
        effective = mass**2 / jnp.sum(part**2)
        trust = effective / (effective + 0.5 * dim * (dim + 3))
        trust = jnp.where(jnp.isfinite(trust), trust, 0.0)
        # A t distribution counts what is far for less.
        finite = jnp.where(jnp.isinf(df), 1.0, df)
        tail = jnp.where(jnp.isinf(df), 1.0, (finite + dim) / (finite + squares))
        weight = part * tail
        away = x - loc
        step = weight @ away / jnp.maximum(jnp.sum(weight), tiny)
        second = _second_moment(away - step, weight) / jnp.maximum(mass, tiny)
        second = inverse @ second @ inverse.T
        # One number, the width, is known long before the shape is (Ledoit & Wolf 2004).
        width = (1 + effective * jnp.trace(second) / dim) / (1 + effective)
        identity = jnp.eye(dim, dtype=x.dtype)
        new = tril @ jnp.linalg.cholesky((1 - trust) * width * identity + trust * second)
        sane = jnp.all(jnp.isfinite(new)) & (trust > 0)
        return jnp.where(sane, loc + trust * step, loc), jnp.where(sane, new, tril)

    def move_there(inputs: tuple[Array, ...]) -> tuple[Array, Array]:
        there, part, squares, loc, tril, *rest = inputs
        return unless(~there, lambda: move((part, squares, loc, tril, *rest)), (loc, tril))

    locs, trils = jax.lax.map(move_there, (there, parts, squares, c.loc, c.tril, c.inverse, c.df))
    return Components(locs, trils, _inverses(trils), c.df, shares / jnp.sum(shares))


def _second_moment(x: Float[Array, "n D"], weights: Float[Array, " n"]) -> Float[Array, "D D"]:
    return (x * weights[:, None]).T @ x


def _calibrate(
    weights: Float[Array, " n"],
    x: Float[Array, "n D"],
    log_q: Float[Array, " n"],
    taken: Bool[Array, " n"],
    c: Components,
) -> Float[Array, " n"]:
    r"""Weights under which the moments of the main component come out exactly (Owen & Zhou 2000).

    With $Q$ what was drawn from, $(q_c/Q)(1, z, z^2 - 1)$ have a known mean under it. What their
    sample means miss it by is taken out by linear regression, alike for whatever is averaged.
    """
    main = jnp.argmax(c.shares)
    loc, tril = c.loc[main], c.tril[main]
    df = c.df[main]
    wider = jnp.where(jnp.isinf(df), 1.0, df / jnp.where(jnp.isinf(df), 1.0, df - 2))
    variance = jnp.sum(tril**2, 1) * wider
    z = (x - loc) / jnp.sqrt(variance)
    squares = jnp.sum(((x - loc) @ c.inverse[main].T) ** 2, 1)
    log_det = -jnp.sum(jnp.log(jnp.diagonal(c.inverse[main])))
    ratio = jnp.exp(_log_radial(squares, df, c.dim) - log_det - log_q)[:, None]
    controls = jnp.concatenate([ratio - 1, ratio * z, ratio * (z * z - 1)], 1)
    sane = taken[:, None] & jnp.isfinite(controls)
    total = jnp.sum(taken, dtype=x.dtype)
    means = jnp.sum(jnp.where(sane, controls, 0.0), 0) / total
    centred = jnp.where(sane, controls - means, 0.0)
    gram = centred.T @ centred / total
    ridge = 1e-6 * jnp.trace(gram) / len(gram) * jnp.eye(len(gram), dtype=x.dtype)
    shift = jnp.linalg.solve(gram + ridge, means)
    factor = 1 - (centred @ shift)
    new = weights * jnp.maximum(factor, 0.0)
    return new / jnp.sum(new)
