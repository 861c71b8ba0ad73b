"""Distributions of other libraries as operands; none of these libraries is ever imported here."""

import importlib
from typing import Any

import numpy as np

from .._operand.base import AbstractOperand
from .._operand.foreign import AbstractLibrary, Foreign

_TAGS = (
    "probs(...), log_probs(...), logits(...), masses(...), labels(...), samples(...), "
    "PointMass(...) or a distribution, of this package, numpyro, distrax, TFP on JAX, distreqx, "
    "flowjax or SciPy (frozen)"
)

# By the library's base class and the module that it begins with: the file that reads it, which is
# imported when the first such object is met.
_READERS = {
    ("distrax.", "Distribution"): "distrax",
    ("distreqx.", "AbstractDistribution"): "distreqx",
    ("flowjax.", "AbstractDistribution"): "flowjax",
    ("numpyro.", "Distribution"): "numpyro",
    ("scipy.stats.", "rv_frozen"): "scipy",
    ("scipy.stats.", "multi_rv_frozen"): "scipy",
    ("tensorflow_probability.substrates.jax.", "Distribution"): "tfp",
}


def as_distribution(obj: Any) -> AbstractOperand:
    r"""A distribution of another library as an operand of this one.

    Every verb, and `fit`, does this to its arguments by itself. Of numpyro, distrax, TFP on JAX
    (`tensorflow_probability.substrates.jax`), distreqx, flowjax and of SciPy's frozen distributions
    those that are of a family here become members of it, in its own parameters, so that its closed
    forms and its accuracy hold: products (`Independent`, `to_event`), mixtures, images under
    affine maps, $e^x$, the logistic function and $\log(1 + e^x)$ too. Any other (among them the
    truncated normal distributions of other libraries) is used through its
    own `log_prob` and `sample`: by `MonteCarlo` and `FixedDraws`, and by `Quadrature` where the
    other operand says where to lay the panels. A one-hot distribution counts as one over classes.

    Args:
        obj: the distribution, or an operand, which is returned as it is.

    Returns:
        An operand; what it was made of are its fields, so that it may be made inside `jit`, `vmap`
        and `grad`. A frozen distribution of SciPy holds numbers, and cannot depend on what is
        traced.

    Raises:
        TypeError: for what is no distribution, for one of parts that depend on one another,
            conditional or masked, and for one over arrays of SciPy's that is of no family here.

    Example:
        >>> import jaxdiv as jd, scipy.stats
        >>> p = jd.as_distribution(scipy.stats.gamma(3.0, scale=0.5))
        >>> print(type(p).__name__, p.rate)
        Gamma 2.0
        >>> print(f"{jd.kl(p, scipy.stats.norm(1.5, 1.0)):.6f}")
        0.139507
    """
    operand = adopt(obj)
    if not isinstance(operand, AbstractOperand):
        raise TypeError(not_an_operand("as_distribution: obj", operand))
    return operand


def not_an_operand(name: str, got: Any) -> str:
    """What to say of it."""
    is_array = isinstance(got, int | float) or hasattr(got, "__array__")
    what = f"an array of shape {np.shape(got)}" if is_array else repr(got)
    return (
        f"{name} must say what it is, got {what}: tag it with {_TAGS}. Probabilities and logits "
        "look alike, and one taken for the other is a silent error."
    )


def adopt(obj: Any) -> Any:
    """A distribution of another library as an operand; whatever else it is, as it is."""
    if isinstance(obj, AbstractOperand):
        return obj
    library = _library_of(obj)
    if library is None:
        return obj
    family = library.translate(obj)
    return Foreign(obj, library) if family is None else family


def _library_of(obj: Any) -> AbstractLibrary | None:
    for cls in type(obj).__mro__:
        for (module, name), reader in _READERS.items():
            if cls.__name__ == name and cls.__module__.startswith(module):
                return importlib.import_module(f"{__package__}.{reader}").LIBRARY
    return None
