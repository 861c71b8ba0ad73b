"""The k classes of most mass, and all others as one: what is kept of a large teacher."""

from typing import Any

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, ArrayLike, Float, Int

from .._kernel.reduction import largest, total
from .._special import expm1, log_mass
from .align import check_batches
from .base import AbstractComposite, Check, Shape, field, fits, is_prefix_leaf, widen
from .bernoulli import as_classes
from .discrete import AbstractDiscrete, Labels, Logits, LogProbs, Masses, Probs, sum_tolerance
from .tags import validated
from .validation import check_under_checked


class TopK(AbstractComposite):
    """A distribution of which k classes are known, and the mass of the rest. Made by `top_k`."""

    indices: Int[Array, "*batch k"] = field(constraint="fixed", event_ndim=1)
    values: Float[Array, "*batch k"] = field(constraint="fixed", event_ndim=1)
    tail: Float[Array, "*batch 1"] | None = field(constraint="fixed", event_ndim=1, default=None)

    @property
    def batch_shape(self) -> Shape:
        return jnp.shape(self.values)[:-1]

    def buckets(self, *, all_known: bool = False) -> LogProbs:
        """The k classes, and the rest as the last; `all_known` says that no class is left for it.

        Not the logarithm of 1 less the sum: the mass of all but the largest class is had exactly.
        """
        log_p = widen(self.values)
        if self.tail is not None:
            log_tail = log_mass(widen(self.tail))
        elif all_known:
            log_tail = jnp.full_like(log_p[..., :1], -jnp.inf)
        else:
            log_tail = log_mass(_rest(log_p, sum_tolerance(self.values, log_p)))
        dtype = jnp.result_type(log_p, log_tail)
        return LogProbs(values=jnp.concatenate([log_p.astype(dtype), log_tail.astype(dtype)], -1))

    def value_checks(self) -> list[Check]:
        index, mass = jnp.asarray(self.indices), jnp.exp(widen(self.values))
        ordered = jnp.sort(index, -1)
        repeated = jnp.any(ordered[..., 1:] == ordered[..., :-1], -1)
        sums = jnp.sum(mass, -1)
        slack = sum_tolerance(self.values, mass)
        if self.tail is None:
            off, words = sums - 1, "the classes have a mass of more than 1"
        else:
            off = abs(sums + widen(self.tail)[..., 0] - 1)
            words = "the classes and the tail do not sum to 1"
        return [
            Check(jnp.any(index < 0, -1), "top_k: a negative index", "in row"),
            Check(repeated, "top_k: an index stands twice", "in row"),
            Check(~(off <= slack), f"top_k: {words} (log_probs are normalised)", "in row"),
        ]

    def reduce(self, evaluate, functional, *operands):
        if len(operands) == 1:
            return evaluate(functional, self.buckets())
        other = operands[1] if operands[0] is self else operands[0]
        if not isinstance(other, AbstractDiscrete):
            raise TypeError(
                "top_k meets a distribution over all classes (`logits`, `probs`, ...), got "
                f"{type(other).__name__}: two that keep different classes have no buckets in "
                "common."
            )
        check_batches(*operands)
        mine, theirs = _on_common_buckets(self, as_classes(other))
        return evaluate(functional, *(mine if d is self else theirs for d in operands))


def _on_common_buckets(top: TopK, other: Any) -> tuple[LogProbs, AbstractDiscrete]:
    index = jnp.asarray(top.indices).astype(jnp.int32)
    if isinstance(other, Labels):
        return top.buckets(), _of_labels(index, other)
    shards = 1 if other.axis_name is None else lax.axis_size(other.axis_name)
    size = shards * (other.num_outcomes or 0)
    outside = (index < 0) | (index >= size)
    check_under_checked(
        Check(jnp.any(outside, -1), f"top_k: an index is not below {size} classes", "in row")
    )
    mine = top.buckets(all_known=index.shape[-1] == size)

    def split(x: Array, nothing: float) -> tuple[Array, Array]:
        """Its entries at the indices, and the row without them."""
        batch = jnp.broadcast_shapes(index.shape[:-1], x.shape[:-1])
        local = jnp.broadcast_to(index, (*batch, index.shape[-1]))
        x = jnp.broadcast_to(x, (*batch, x.shape[-1]))
        if other.axis_name is not None:
            local = local - lax.axis_index(other.axis_name) * x.shape[-1]
        here = (local >= 0) & (local < x.shape[-1])
        kept = jnp.where(here, jnp.take_along_axis(x, jnp.where(here, local, 0), -1), 0.0)
        if other.axis_name is not None:
            kept = lax.psum(kept, other.axis_name)
        place = jnp.where(here, local, x.shape[-1])
        rest = jnp.put_along_axis(x, place, nothing, -1, inplace=False, mode="drop")
        return jnp.where(outside, jnp.nan, kept), rest

    def log_buckets(z: Array, less: ArrayLike) -> Array:
        kept, rest = split(z, -jnp.inf)
        rest = _log_sum_exp(rest, less, other.axis_name)
        return jnp.concatenate([kept - less, rest], -1)

    match other:
        case Logits():
            z = other.scores()
            best = largest(z, other.axis_name)  # lest an offset cost the tail its digits
            return mine, Logits(values=log_buckets(z, jnp.where(jnp.isinf(best), 0.0, best)))
        case LogProbs():
            return mine, LogProbs(values=log_buckets(other.log_mass(None), 0.0))
        case _:
            kept, rest = split(other.mass(None), 0.0)
            masses = jnp.concatenate([kept, total(rest, other.axis_name)], -1)
            return mine, (Masses if isinstance(other, Masses) else Probs)(values=masses)


def _of_labels(index: Int[Array, "*batch k"], other: Labels) -> Labels:
    if other.smoothing is not None:
        raise TypeError("top_k meets labels without smoothing: tag smoothed ones `probs`.")
    hot = index == jnp.asarray(other.values).astype(jnp.int32)[..., None]
    k = index.shape[-1]
    bucket = jnp.where(jnp.any(hot, -1), jnp.argmax(hot, -1), k)
    size = jnp.iinfo(jnp.int32).max if other.num_classes is None else other.num_classes
    bucket = jnp.where(other.out_of_range(size), k + 1, bucket)  # no bucket either
    return Labels(values=jnp.where(other.ignored(), -1, bucket), ignore=-1)


def _rest(log_p: Float[Array, "*batch k"], slack: float) -> Float[Array, "*batch 1"]:
    """1 less the sum; 0 where rounding would have it negative, NaN where it is."""
    top = jnp.arange(log_p.shape[-1]) == jnp.argmax(log_p, -1)[..., None]
    rest = -expm1(jnp.sum(jnp.where(top, log_p, 0.0), -1, keepdims=True))
    rest = rest - jnp.sum(jnp.where(top, 0.0, jnp.exp(log_p)), -1, keepdims=True)
    return jnp.where(rest > 0, rest, jnp.where(rest >= -slack, 0.0, jnp.nan))


def _log_sum_exp(
    z: Float[Array, "*batch v"], less: ArrayLike, axis_name: str | None
) -> Float[Array, "*batch 1"]:
    """Of `z - less`; -inf, with no slope, where nothing is left."""
    top = largest(z, axis_name)
    nothing = top == -jnp.inf
    top = jnp.where(nothing, 0.0, top)
    sums = total(jnp.exp(z - top), axis_name)
    return jnp.where(nothing, -jnp.inf, (top - less) + jnp.log(jnp.where(nothing, 1.0, sums)))


def top_k(
    indices: Any,
    log_probs: Any,
    *,
    tail: Any = None,
    axis: int = -1,
    check: bool = False,
) -> TopK:
    r"""Classes $i_1, \dots, i_k$ with their $\log p$, and the mass of all others as one bucket.

    What is kept of a teacher of many classes. Against a distribution over all $V$ of them both are
    compared on $k + 1$ buckets, the $k$ classes and the rest $\ast$:
    $\mathrm{KL} = \sum_{j \le k} p_{i_j} \log(p_{i_j} / q_{i_j}) + p_\ast \log(p_\ast / q_\ast)$.
    By data processing that is at most the divergence over all classes, and equal to it for
    $k = V$; it is never negative, as it may be without its last term. So for every
    divergence. The other operand's $q_\ast$ is a sum over the complement (of logits, a
    log-sum-exp), never 1 less the rest.

    Args:
        indices: `[..., k, ...]`, integers in `[0, V)`, each once. One that is not below $V$ makes
            the row NaN; one that stands twice is counted twice, and found only by `check` and
            `checked`.
        log_probs: normalised over all $V$ classes, not over the $k$; of the shape of `indices`. A
            temperature is applied before they are taken.
        tail: $p_\ast$, that broadcasts to the batch axes. By default
            $(1 - p_1) - \sum_{j > 1} p_j$, where $p_1$ is the largest and $1 - p_1$ is by `expm1`:
            off by rounding errors of the size of $1 - p_1$. It is 0 where these make it negative,
            or $k = V$, and NaN where the $k$ have more than all mass. Give it where the tail is
            smaller than that.
        axis: the axis of the $k$ classes; it is moved last.
        check: raise at run time on a negative index, one that stands twice, and masses that do not
            sum to 1 with the tail (to more than 1 without it).

    Returns:
        An operand of batch shape `log_probs.shape` without `axis`. It meets `logits`, `probs`,
        `log_probs`, `masses` and `labels`, as either argument; not another `top_k`.

    Example:
        >>> import jax, jax.numpy as jnp, jaxdiv as jd
        >>> teacher = jax.nn.log_softmax(jnp.array([3.0, 0.0, 2.0, 1.0]))
        >>> log_p, indices = jax.lax.top_k(teacher, 2)
        >>> student = jd.logits([1.0, 2.0, 0.0, 0.0])
        >>> few, full = jd.top_k(indices, log_p), jd.log_probs(teacher)
        >>> print(f"{jd.kl(few, student):.4f} {jd.kl(full, student):.4f}")
        0.7182 0.8382
    """
    if not is_prefix_leaf(indices) and not is_prefix_leaf(log_probs):
        indices, log_probs = jnp.asarray(indices), jnp.asarray(log_probs)
        if not jnp.issubdtype(indices.dtype, jnp.integer):
            raise TypeError(f"top_k: indices must be integers, got {indices.dtype}.")
        if not jnp.issubdtype(log_probs.dtype, jnp.floating):
            raise TypeError(f"top_k: log_probs must be real numbers, got {log_probs.dtype}.")
        if indices.ndim == 0 or indices.shape != log_probs.shape or not indices.shape[axis]:
            raise ValueError(
                "top_k: indices and log_probs must have one shape [..., k] with k > 0, got "
                f"{indices.shape} and {log_probs.shape}."
            )
        indices, log_probs = (jnp.moveaxis(x, axis, -1) for x in (indices, log_probs))
        batch = log_probs.shape[:-1]
        if tail is not None:
            if not fits(jnp.shape(tail), batch):
                raise ValueError(
                    f"top_k: tail of shape {jnp.shape(tail)} does not broadcast to the batch shape "
                    f"{batch}."
                )
            tail = jnp.broadcast_to(jnp.asarray(tail), batch)[..., None]
    return validated(TopK(indices, log_probs, tail), check)
