"""What a student learns from a teacher, and from labels beside it."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from ._estimator.exact import exact
from ._functional.base import AbstractDivergence
from ._functional.entropies import CrossEntropy
from ._functional.kl import KL
from ._operand.base import Operand, demand
from ._operand.convert import as_operand
from ._operand.discrete import Logits, LogProbs, Probs
from ._operand.tags import logits
from ._operand.top_k import TopK


def distillation(
    student: Operand,
    teacher: Operand,
    labels: Operand | None = None,
    *,
    divergence: AbstractDivergence = KL(),  # noqa: B008
    temperature: Float[ArrayLike, "*batch"] | None = None,
    scaled: bool = True,
    hard_weight: Float[ArrayLike, "*batch"] | None = None,
) -> Float[Array, "*batch"]:
    r"""$(1 - w)\,T^2 D(P_T, Q_T) + w\,H(Y, Q)$, $P_T = \mathrm{softmax}(a / T)$ the teacher.

    The loss of knowledge distillation (Hinton, Vinyals & Dean 2015, with forward KL), one per
    example, in nats. `divergence` decides what the student does with what it cannot represent:

    - `KL()`, forward: the student covers all that the teacher does (the default);
    - `JensenShannon(1.0, normalized=True)`, reverse KL (MiniLLM, Gu et al. 2024): it keeps to what
      the teacher finds likely;
    - `JensenShannon(beta)`: the generalised JSD of GKD (Agarwal et al. 2024), bounded, whose slope
      vanishes as $\beta \to 0$ or $1$; GKD puts the two KLs there. With `normalized=True` it goes
      over into them: forward at 0, reverse at 1.

    Args:
        student: `logits`; its batch axes broadcast with the teacher's.
        teacher: `logits`, `probs` or `log_probs` at temperature 1; or `top_k`, whose masses are
            those *at* `temperature`, since its tail cannot be tempered afterwards. Its gradient is
            not stopped.
        labels: `labels`, or `probs` for soft ones, for the hard loss: the student's cross-entropy
            at temperature 1. One that is ignored has no hard loss, and keeps the soft one; padding
            is left out by `mean(where=...)`.
        divergence: $D$, of the teacher first.
        temperature: $T > 0$, of both.
        scaled: multiplies $D$ by $T^2$, so that its gradient keeps its size as $T$ grows.
        hard_weight: $w$; given if, and only if, `labels` are.

    Raises:
        TypeError: the student is not tagged `logits`, or the teacher none of the above.
        ValueError: only one of `labels` and `hard_weight` is given, or an operand has a temperature
            and `temperature` is given too.

    Example:
        >>> import jaxdiv as jd
        >>> student, teacher = jd.logits([0.0, 0.0, 0.0]), jd.logits([4.0, 0.0, 0.0])
        >>> print(f"{jd.distillation(student, teacher, temperature=4.0):.4f}")
        1.9726
    """
    student, teacher = as_operand("student", student), as_operand("teacher", teacher)
    if not isinstance(student, Logits):
        raise TypeError(
            f"distillation: the student must be tagged `logits`, got {type(student).__name__}."
        )
    if not isinstance(divergence, AbstractDivergence):
        raise TypeError(
            f"distillation: divergence must be an object such as `KL()`, got {divergence!r}."
        )
    demand("distillation: temperature", temperature, lambda x: x > 0, "positive")
    demand("distillation: hard_weight", hard_weight, lambda x: 0 <= x <= 1, "from 0 to 1")
    if (labels is None) != (hard_weight is None):
        raise ValueError(
            "distillation: labels and hard_weight go together, got "
            f"{'no labels' if labels is None else 'no hard_weight'}."
        )
    soft = exact(
        divergence,
        _tempered("teacher", teacher, temperature),
        _tempered("student", student, temperature),
    )
    if scaled and temperature is not None:
        soft = soft * jnp.asarray(temperature, soft.dtype) ** 2
    if labels is None or hard_weight is None:
        return soft
    hard = exact(CrossEntropy(), as_operand("labels", labels), student)
    weight = jnp.asarray(hard_weight, soft.dtype)
    # A weight of 0 silences an infinity.
    soft, hard = jnp.where(weight == 1, 0.0, soft), jnp.where(weight == 0, 0.0, hard)
    return (1 - weight) * soft + weight * hard


def _tempered(name: str, operand: Any, temperature: Any) -> Any:
    if not isinstance(operand, Logits | LogProbs | Probs | TopK):
        raise TypeError(
            f"distillation: the {name} must be tagged `logits`, `probs`, `log_probs` or `top_k`, "
            f"got {type(operand).__name__}."
        )
    if temperature is None or isinstance(operand, TopK):
        return operand
    if not isinstance(operand, Logits):
        operand = logits(operand.log_mass(None), axis_name=operand.axis_name)
    if operand.temperature is not None:
        raise ValueError(
            f"distillation: the {name} has a temperature already; give it in one place only."
        )
    where, axis_name = operand.where, operand.axis_name
    return logits(operand.values, where=where, temperature=temperature, axis_name=axis_name)
