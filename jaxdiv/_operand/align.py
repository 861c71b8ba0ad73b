"""`align`: the one place that knows logits, probabilities, temperatures and masks."""

import math

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from .._estimator.rules import rule
from .._functional.base import AbstractDecomposable, Pair, ratio_of_logs
from .._functional.entropies import CrossEntropy, Entropy
from .._functional.f_divergences import JensenShannon
from .._functional.kl import KL
from .._functional.renyi import Renyi, renyi_from
from .._kernel.categorical import (
    Entries,
    cross_entropy_labels,
    cross_entropy_logits,
    decomposable_logits,
    entropy_logits,
    jensen_shannon_logits,
    kl_logits,
    kl_logits_one_pass,
    log_affinity_logits,
    log_ratio,
)
from .._special import log_quotient, renyi_node
from .base import AbstractOperand, widen
from .bernoulli import Bernoulli, as_classes
from .bernoulli import log_ratio as bernoulli_log_ratio
from .discrete import AbstractDiscrete, Labels, Logits, Masses, Probs


def align(p: AbstractDiscrete, q: AbstractDiscrete) -> Pair:
    """Two discrete operands over the same outcomes."""
    p, q = as_classes(p), as_classes(q)
    num_classes = _num_classes(p, q)
    log_p, log_q = p.log_mass(num_classes), q.log_mass(num_classes)
    mass_p, mass_q = p.mass(num_classes), q.mass(num_classes)
    padding = [d.ignored()[..., None] for d in (p, q) if isinstance(d, Labels)]
    for skip in padding:  # a row that is ignored has no mass on either side
        log_p, log_q = (jnp.where(skip, -jnp.inf, x) for x in (log_p, log_q))
        mass_p, mass_q = (jnp.where(skip, 0.0, x) for x in (mass_p, mass_q))
    if isinstance(p, Logits) and isinstance(q, Logits):
        r = log_ratio(*_both_scores(p, q), axis_name=_axis_name(p, q))
    elif isinstance(p, Probs | Masses) and isinstance(q, Probs | Masses):
        r = log_quotient(*_one_dtype(mass_p, mass_q))
    elif isinstance(p, Bernoulli) and isinstance(q, Bernoulli):
        r = bernoulli_log_ratio(p, q)
    else:
        r = ratio_of_logs(*_one_dtype(log_p, log_q))
    arrays = jnp.broadcast_arrays(*_one_dtype(log_p, log_q, mass_p, mass_q, r))
    log_p, log_q, mass_p, mass_q, r = arrays
    return Pair(log_p, log_q, mass_p, mass_q, r, axis_name=_axis_name(p, q))


def align_one(p: AbstractDiscrete) -> Pair:
    """One discrete operand, for functionals of one."""
    p = as_classes(p)
    log_p, mass = p.log_mass(None), p.mass(None)
    return Pair(log_p, log_p, mass, mass, jnp.zeros_like(mass), axis_name=p.axis_name)


def check_batches(p: AbstractOperand, q: AbstractOperand) -> None:
    """Refuses batches that do not broadcast."""
    try:
        jnp.broadcast_shapes(p.batch_shape, q.batch_shape)
    except ValueError:
        raise ValueError(
            f"p has batch shape {p.batch_shape} and q has {q.batch_shape}, which do not broadcast: "
            "for every pair of two batches use `pairwise`."
        ) from None


def _num_classes(p: AbstractDiscrete, q: AbstractDiscrete) -> int | None:
    sizes = {d.num_outcomes for d in (p, q)} - {None}
    if len(sizes) > 1:
        raise ValueError(
            f"p has {p.num_outcomes} classes and q has {q.num_outcomes}: the class axis must be "
            "the same for both (see `axis=`)."
        )
    return sizes.pop() if sizes else None


def _axis_name(p: AbstractDiscrete, q: AbstractDiscrete) -> str | None:
    if p.axis_name != q.axis_name:
        raise ValueError(
            f"p has axis_name={p.axis_name!r} and q has {q.axis_name!r}: give both the same."
        )
    return p.axis_name


def _one_dtype(*arrays: Array) -> tuple[Array, ...]:
    dtype = jnp.result_type(*arrays)  # which minds the weak type of labels
    return tuple(a.astype(dtype) for a in arrays)


def _both_scores(p: Logits, q: Logits) -> tuple[Array, ...]:
    _num_classes(p, q)
    return tuple(jnp.broadcast_arrays(*_one_dtype(p.scores(), q.scores())))


def _narrow_scores(*operands: Logits) -> tuple[Array, ...]:
    """As they were given where nothing is done to them: the kernels widen them as they read."""
    plain = all(d.where is None and d.temperature is None for d in operands)
    scores = [jnp.asarray(d.values) if plain else d.scores() for d in operands]
    return tuple(z if jnp.issubdtype(z.dtype, jnp.floating) else widen(z) for z in scores)


@rule(KL, Logits, Logits)
def _(functional, p, q):
    _num_classes(p, q)
    return kl_logits(*_narrow_scores(p, q), axis_name=_axis_name(p, q))


def kl_in_one_pass(p: Logits, q: Logits) -> Array:
    """The KL divergence of logits, read once."""
    _num_classes(p, q)
    return kl_logits_one_pass(*_narrow_scores(p, q), axis_name=_axis_name(p, q))


@rule(AbstractDecomposable, Logits, Logits)
def decomposable(functional: AbstractDecomposable, p: Logits, q: Logits) -> Array:
    """Any sum over the classes."""

    def nodes(entries):
        return functional.nodes(Pair(*entries))

    _num_classes(p, q)
    a, b = _narrow_scores(p, q)
    entry = jnp.zeros(1, jnp.result_type(*(widen(z) for z in (a, b))))
    _, traced = jax.closure_convert(nodes, Entries(*5 * (entry,)))
    if traced:  # an order, a weight, or what a generator closes over: it is differentiated too
        return functional.integrate(align(p, q))
    return decomposable_logits(nodes, a, b, axis_name=_axis_name(p, q))


@rule(Renyi, Logits, Logits)
def _(functional, p, q):
    order = functional.order
    if not (isinstance(order, (int, float)) and 0 < order < math.inf):
        return functional.integrate(align(p, q))

    def nodes(e):
        # Where one term is more than its sum may be, the sum does not count.
        within = e.log_q + jnp.where(jnp.isinf(e.r), 0.0, order * e.r) < 1
        kept = within & ~((e.r == jnp.inf) & (order >= 1))
        return renyi_node(e.p, e.q, jnp.where(kept, e.r, 0.0), order)

    _num_classes(p, q)
    a, b = jnp.broadcast_arrays(*_narrow_scores(p, q))
    axis_name = _axis_name(p, q)
    rest = decomposable_logits(nodes, a, b, axis_name=axis_name)
    log_affinity = log_affinity_logits(a, b, order, axis_name=axis_name)
    masked_a, masked_b = a == -jnp.inf, b == -jnp.inf
    lost, some = (_any(x, axis_name) for x in (~masked_a & masked_b, ~masked_a | ~masked_b))
    log_affinity = jnp.where(some, log_affinity, 0.0)
    return renyi_from(log_affinity, rest, lost, order)


def _any(x: Array, axis_name: str | None) -> Array:
    local = jnp.any(x, -1)
    return local if axis_name is None else lax.pmax(local, axis_name)


@rule(JensenShannon, Logits, Logits)
def _(functional, p, q):
    _num_classes(p, q)
    if functional.end is not None:
        p, q = (q, p) if functional.end else (p, q)
        return kl_logits(*_narrow_scores(p, q), axis_name=_axis_name(p, q))
    if not (isinstance(functional.weight, float) and functional.weight == 0.5):
        return decomposable(functional, p, q)
    value = jensen_shannon_logits(*_narrow_scores(p, q), axis_name=_axis_name(p, q))
    return 4 * value if functional.normalized else value


@rule(Entropy, Logits)
def _(functional, p):
    return entropy_logits(*_narrow_scores(p), axis_name=p.axis_name)


@rule(CrossEntropy, Logits, Logits)
def _(functional, p, q):
    _num_classes(p, q)
    return cross_entropy_logits(*_narrow_scores(p, q), axis_name=_axis_name(p, q))


@rule(KL, Labels, Logits)  # the entropy of a label is zero
@rule(CrossEntropy, Labels, Logits)
def _(functional, p, q):
    if p.smoothing is not None:
        return functional.integrate(align(p, q))
    # Labels are whole where the class axis of `q` is split: they count over all shards.
    shards = 1 if q.axis_name is None else lax.axis_size(q.axis_name)
    local = _num_classes(p, q) if shards == 1 else q.num_outcomes
    skip, bad = p.ignored(), p.out_of_range(int(local or 0) * shards)
    y = jnp.where(skip | bad, 0, p.values)
    scores = jnp.broadcast_to(
        _narrow_scores(q)[0], (*jnp.broadcast_shapes(y.shape, q.batch_shape), local)
    )
    y = jnp.broadcast_to(y, scores.shape[:-1])
    loss = cross_entropy_labels(y, scores, axis_name=q.axis_name)
    return jnp.where(skip, 0.0, jnp.where(bad, jnp.nan, loss))


@rule(Entropy, Labels)
def _(functional, p):
    if p.smoothing is None:
        return jnp.zeros(p.batch_shape)
    return functional.integrate(align_one(p))


@rule(Entropy, Masses)
def _(functional, p):
    raise TypeError("entropy of `masses` is not defined: normalise them and tag them `probs`.")


@rule(Renyi, Masses, AbstractDiscrete)
@rule(Renyi, AbstractDiscrete, Masses)
@rule(Renyi, Masses, Masses)
def _(functional, p, q):
    raise TypeError("renyi of `masses` is not defined: normalise them and tag them `probs`.")
