"""The tags: what the numbers in an array are."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp

from .base import demand, fits, is_prefix_leaf
from .discrete import Labels, Logits, LogProbs, Masses, Probs
from .validation import raise_if_bad


def probs(
    p: Any, *, axis: int = -1, where: Any = None, axis_name: str | None = None, check: bool = False
) -> Probs:
    r"""Tags `p` as probability vectors: non-negative, summing to 1 over `axis`.

    Args:
        p: probabilities, `[..., V, ...]`. Never renormalised.
        axis: the class axis; it is moved last.
        where: mask that broadcasts to `p`; masked outcomes have mass 0 (and may hold NaN).
        axis_name: the mesh axis that the class axis is split over, inside `shard_map`.
        check: raise a `RuntimeError` that names the row, at run time, on negative or NaN entries
            and rows that do not sum to 1 within rounding. Costs a pass over `p` and, when not
            jitted, a device sync.

    Returns:
        An operand of batch shape `p.shape` without `axis`. `probs(0)` and the like serve as prefix
        trees in `in_axes` and `in_specs`.

    Example:
        >>> import jaxdiv as jd
        >>> print(f"{jd.kl(jd.probs([0.5, 0.5]), jd.probs([0.25, 0.75])):.6f}")
        0.143841
    """
    p, where = _arrange("probs", p, axis, where)
    return validated(Probs(values=p, where=where, axis_name=axis_name), check)


def log_probs(
    lp: Any, *, axis: int = -1, where: Any = None, axis_name: str | None = None, check: bool = False
) -> LogProbs:
    r"""Tags `lp` as normalised log-probabilities. Arguments as for `probs`.

    Example:
        >>> import jax, jaxdiv as jd
        >>> p = jd.log_probs(jax.nn.log_softmax(jax.numpy.array([1.0, 0.0])))
        >>> print(f"{jd.entropy(p):.6f}")
        0.582203
    """
    lp, where = _arrange("log_probs", lp, axis, where)
    return validated(LogProbs(values=lp, where=where, axis_name=axis_name), check)


def masses(
    m: Any, *, axis: int = -1, where: Any = None, axis_name: str | None = None, check: bool = False
) -> Masses:
    r"""Tags `m` as a positive measure, whose total need not be 1. Arguments as for `probs`.

    `kl` of two measures is the generalised form $\sum p \log(p/q) - p + q$.

    Example:
        >>> import jaxdiv as jd
        >>> print(f"{jd.kl(jd.masses([2.0, 0.0]), jd.masses([1.0, 1.0])):.6f}")
        1.386294
    """
    m, where = _arrange("masses", m, axis, where)
    return validated(Masses(values=m, where=where, axis_name=axis_name), check)


def logits(
    z: Any,
    *,
    axis: int = -1,
    where: Any = None,
    temperature: Any = None,
    axis_name: str | None = None,
    check: bool = False,
) -> Logits:
    r"""Tags `z` as logits: $p = \mathrm{softmax}(z / T)$, taken inside, never by the caller.

    Args:
        z: logits, `[..., V, ...]`; `-inf` is probability 0.
        axis: the class axis; it is moved last.
        where: mask that broadcasts to `z`; masked outcomes have logit `-inf`: the conditional
            distribution on the rest. Masked entries may hold NaN.
        temperature: $T > 0$, broadcasting to the batch axes.
        axis_name: the mesh axis that the class axis is split over, inside `shard_map`.
        check: raise at run time on NaN outside the mask, `+inf`, a temperature not above 0, and
            where every row is a probability vector: softmax was taken before.

    Returns:
        An operand of batch shape `z.shape` without `axis`. `logits(0)` and the like serve as prefix
        trees in `in_axes` and `in_specs`.

    Example:
        >>> import jaxdiv as jd
        >>> print(f"{jd.entropy(jd.logits([0.0, 0.0]), base=2):.1f}")
        1.0
    """
    z, where = _arrange("logits", z, axis, where)
    demand("logits: temperature", temperature, lambda x: x > 0, "positive")
    if not is_prefix_leaf(z) and temperature is not None:
        shape = z.shape[:-1]
        if not fits(jnp.shape(temperature), shape):
            raise ValueError(
                f"logits: temperature of shape {jnp.shape(temperature)} does not broadcast to the "
                f"batch shape {shape}."
            )
        temperature = jnp.broadcast_to(jnp.asarray(temperature), shape)[..., None]
    return validated(
        Logits(values=z, where=where, temperature=temperature, axis_name=axis_name), check
    )


def labels(
    y: Any,
    *,
    num_classes: int | None = None,
    smoothing: Any = None,
    ignore: int | None = None,
    check: bool = False,
) -> Labels:
    r"""Tags `y` as observed classes: one-hot distributions, `labels(y[B])` against `[B, V]`.

    Args:
        y: integers in `[0, V)`. Any other value gives NaN.
        num_classes: $V$, where the other operand does not tell it.
        smoothing: $s$ gives the distribution $(1 - s)$ one-hot $+ s / V$.
        ignore: a label that marks padding: value 0, and gradient 0 unless the other operand is NaN
            there. `mean(loss, where=~y.ignored())` leaves it out of the count too.
        check: raise at run time on labels out of range (needs `num_classes`).

    Example:
        >>> import jaxdiv as jd
        >>> print(f"{jd.cross_entropy(jd.labels(0), jd.probs([0.25, 0.75]), base=2):.1f}")
        2.0
    """
    if not is_prefix_leaf(y):
        y = jnp.asarray(y)
        if not jnp.issubdtype(y.dtype, jnp.integer):
            raise TypeError(
                f"labels: expected integers, got {y.dtype}. Tag soft labels with `probs(...)`."
            )
    if not is_prefix_leaf(smoothing) and jnp.ndim(smoothing) != 0:
        raise ValueError(f"labels: smoothing must be one number, got shape {jnp.shape(smoothing)}.")
    demand("labels: smoothing", smoothing, lambda x: 0 <= x <= 1, "from 0 to 1")
    if check and num_classes is None:
        raise ValueError("labels: check=True needs `num_classes=`.")
    return validated(
        Labels(values=y, smoothing=smoothing, num_classes=num_classes, ignore=ignore), check
    )


def _arrange(name: str, x: Any, axis: int, where: Any) -> tuple[Any, Any]:
    """The class axis last, the mask broadcast; leaves of prefix trees pass untouched."""
    if is_prefix_leaf(x):
        return x, where
    x = jnp.asarray(x)
    if not jnp.issubdtype(x.dtype, jnp.floating) and not jnp.issubdtype(x.dtype, jnp.integer):
        raise TypeError(f"{name}: expected real numbers, got {x.dtype}.")
    if x.ndim == 0:
        raise ValueError(f"{name}: expected at least one axis (the classes), got a scalar.")
    if where is not None:
        where = jnp.asarray(where)
        if where.dtype != bool:
            raise TypeError(f"{name}: where must be a boolean mask, got {where.dtype}.")
        if not fits(where.shape, x.shape):
            raise ValueError(
                f"{name}: where of shape {where.shape} does not broadcast to {x.shape}."
            )
        where = jnp.moveaxis(jnp.broadcast_to(where, x.shape), axis, -1)
    x = jnp.moveaxis(x, axis, -1)
    if x.shape[-1] == 0:
        raise ValueError(f"{name}: the class axis of the array is empty: it needs a class.")
    return x, where


def validated(operand: Any, check: bool) -> Any:
    """The operand, with run-time errors tied to its values where `check` asks for them."""
    checks = operand.value_checks() if check else []
    if checks:
        values = raise_if_bad(operand.values, checks)
        operand = eqx.tree_at(lambda o: o.values, operand, values)
    return operand
