"""Where a density has its modes, and a Gaussian laid over each: the start of everything else."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import optax
from jaxtyping import Array, Bool, Float, Int, Key

from .draws import LogDensityFn
from .newton import newton, newton_state

_NUM_STEPS = 40
_NUM_DRAWS = 6  # pairs, by which the Gaussians along a path are compared
_RADIUS = 10.0
_TOLERANCE = 1e-3  # nats that a step towards a mode still promises
_LENGTHS = (6.0, 4.0, 10.0, 3.0, 8.0, 2.0, 14.0)  # from the first mode to other starts, in sds
_SAME = 4.0  # squared distance, in standard deviations, within which two modes are one
_AS_GOOD = 1.0  # nats by which a later Gaussian may seem worse and still be preferred


class Start(NamedTuple):
    r"""The best Gaussian that one path to a mode has passed, by $E_q[\log q - \log p]$.

    `value` is that and twice its standard error.
    """

    loc: Float[Array, " D"]
    scale: Float[Array, "D D"]
    value: Float[Array, ""]
    end: Float[Array, " D"]  # of the path: the mode, where there is one
    num_evaluations: Int[Array, ""]


class _Walk(NamedTuple):
    x: Float[Array, " D"]
    state: optax.OptState
    best: Start
    steps: Int[Array, ""]
    active: Bool[Array, ""]


def walk(log_density: LogDensityFn, start: Float[Array, " D"], key: Key[Array, ""]) -> Start:
    r"""Newton steps to a mode; of $N(x, |H|^{-1})$ at each, the one nearest to the density.

    At a mode it is Laplace's approximation. Where there is none, as in a hierarchy whose density
    grows without bound as a scale vanishes, it is a Gaussian on the way: the idea of Pathfinder
    (Zhang et al. 2022), with the exact Hessian. An evaluation of a Hessian counts as `D` gradients.
    """
    dim, dtype = start.size, start.dtype
    optim = newton(_RADIUS)
    z = jr.normal(key, (_NUM_DRAWS, dim), dtype)
    z = jnp.concatenate([z, -z])

    def minus(x: Float[Array, " D"]) -> Float[Array, ""]:
        return -log_density(x)

    def body(walk: _Walk) -> _Walk:
        updates, state = optim.update(walk.x, walk.state, walk.x, value_fn=minus)
        x = walk.x + jnp.asarray(updates)
        found = newton_state(state)
        assert found is not None
        candidate = _laplace(log_density, x, found, z)
        better = candidate.value < walk.best.value + _AS_GOOD
        best = jax.tree.map(lambda new, old: jnp.where(better, new, old), candidate, walk.best)
        steps = walk.steps + 1
        stop = (found.decrement <= _TOLERANCE) | (found.radius == 0) | (steps >= _NUM_STEPS)
        # What rises for ever has left everything behind: the Gaussians there are ever worse.
        lost = candidate.value > walk.best.value + 50.0 * dim
        return _Walk(x, state, best, steps, ~(stop | lost))

    begun = _Walk(
        start, optim.init(start), nowhere(start), jnp.array(0, jnp.int32), jnp.array(True)
    )
    ended = jax.lax.while_loop(lambda walk: walk.active, body, begun)
    return ended.best._replace(
        end=ended.x, num_evaluations=ended.steps * (dim + 1 + 2 * _NUM_DRAWS)
    )


def nowhere(start: Float[Array, " D"]) -> Start:
    """Before the first step: infinitely far from the density."""
    identity = jnp.eye(start.size, dtype=start.dtype)
    infinite = jnp.array(jnp.inf, start.dtype)
    return Start(start, identity, infinite, start, jnp.array(0, jnp.int32))


def _laplace(log_density: LogDensityFn, x: Array, found, z: Array) -> Start:
    eps = jnp.finfo(x.dtype).eps
    magnitude = jnp.abs(found.eigenvalues)
    floor = eps * jnp.max(magnitude) + jnp.finfo(x.dtype).tiny
    deviations = 1 / jnp.sqrt(jnp.maximum(magnitude, floor))
    scale = found.eigenvectors * deviations
    values = jax.vmap(log_density)(x + z @ scale.T)
    log_q = -0.5 * jnp.sum(z * z, 1) - jnp.sum(jnp.log(deviations))
    terms = log_q - values
    pairs = 0.5 * (terms[:_NUM_DRAWS] + terms[_NUM_DRAWS:])
    # So few draws may flatter: what is uncertain counts for less.
    value = jnp.mean(terms) + 2 * jnp.std(pairs) / math.sqrt(_NUM_DRAWS)
    value -= 0.5 * x.size * jnp.log(2 * jnp.pi).astype(x.dtype)
    value = jnp.where(jnp.isfinite(value) & jnp.isfinite(found.value), value, jnp.inf)
    return Start(x, scale, value, x, jnp.array(0, jnp.int32))


def laplace_starts(
    log_density: LogDensityFn,
    first: Float[Array, " D"],
    others: Float[Array, "S D"] | int,
    key: Key[Array, ""],
) -> Start:
    """The ends of walks from several points, the best first.

    Of `others` that are only a number, each pair is laid on both sides of the end of the first, at
    so many standard deviations as it has there, and not where the free coordinates happen to be.
    """
    key_walk, key_laid = jr.split(key)
    if isinstance(others, int):
        num, pairs = others, (others + 1) // 2
        z = math.sqrt(first.size) * _directions(pairs, first.size, key_laid, first.dtype)
        lengths = jnp.resize(jnp.array(_LENGTHS, first.dtype), (pairs,))
        moves = (lengths[:, None, None] * jnp.stack([z, -z], 1)).reshape(-1, first.size)[:num]
    else:
        num, moves = len(others), others

    def one(mode: Start, inputs: tuple[Array, Array, Array]) -> tuple[Start, Start]:
        turn, move, key = inputs
        start = move
        if isinstance(others, int):
            known = jnp.isfinite(mode.value)
            start = jnp.where(known, mode.loc + mode.scale @ move, first + move)
        end = walk(log_density, jnp.where(turn == 0, first, start), key)
        return jax.tree.map(lambda a, b: jnp.where(turn == 0, a, b), end, mode), end

    # One after the other, since all but the first wait for where that ends.
    turns = jnp.arange(num + 1)
    moves = jnp.concatenate([first[None], moves])
    _, ends = jax.lax.scan(one, nowhere(first), (turns, moves, jr.split(key_walk, num + 1)))
    order = jnp.argsort(ends.value)
    return jax.tree.map(lambda x: x[order], ends)


def _directions(num: int, dim: int, key: Key[Array, ""], dtype) -> Float[Array, "num dim"]:
    """Unit vectors, at right angles to each other as far as there are dimensions for it."""
    size = max(min(num, dim), 1)
    z = jr.normal(key, (-(-num // size), dim, size), dtype)
    return jnp.swapaxes(jnp.linalg.qr(z)[0], 1, 2).reshape(-1, dim)[:num]


def is_repeated(starts: Start) -> Bool[Array, " S"]:
    """Which of several starts, the best first, are near one before them, or nowhere.

    Near are their Gaussians, or, much nearer, the ends of their paths.
    """
    inverses = jax.lax.map(jnp.linalg.inv, starts.scale)

    def distance(a: tuple[Start, Array], b: tuple[Start, Array]) -> Float[Array, ""]:
        between = jnp.stack([b[0].loc - a[0].loc, 20 * (b[0].end - a[0].end)], -1)
        by_each = jnp.stack([a[1] @ between, b[1] @ between])
        return jnp.min(jnp.max(jnp.sum(by_each**2, 1), 0))

    num, both = starts.value.size, (starts, inverses)
    between = jax.vmap(lambda a: jax.vmap(lambda b: distance(a, b))(both))(both)
    near = (between < _SAME) & jnp.tri(num, k=-1, dtype=bool).T
    return jnp.any(near, 0) | ~jnp.isfinite(starts.value)


def cover(starts: Start, repeated: Bool[Array, " S"]) -> tuple[Start, Bool[Array, " S"]]:
    """With a Gaussian over all modes together, in the place of the last that is repeated.

    Where modes overlap the best member may be one over both, to which none at either leads.
    """
    there = ~repeated
    shares = jax.nn.softmax(jnp.where(there, -starts.value, -jnp.inf))
    loc = jnp.where(there[:, None], starts.loc, 0.0)
    scale = jnp.where(there[:, None, None], starts.scale, 0.0)
    mean = shares @ loc
    spread = jnp.concatenate([(loc - mean)[:, :, None], scale], 2)
    factors = jnp.sqrt(shares)[:, None, None] * spread
    upper = jnp.linalg.qr(jnp.concatenate(jnp.moveaxis(factors, 2, 1)), mode="r")
    last = len(repeated) - 1 - jnp.argmax(repeated[::-1])
    put = repeated[last] & (jnp.sum(there) > 1)
    there = there.at[last].set(there[last] | put)
    return starts._replace(
        loc=starts.loc.at[last].set(jnp.where(put, mean, starts.loc[last])),
        scale=starts.scale.at[last].set(jnp.where(put, upper.T, starts.scale[last])),
    ), ~there
