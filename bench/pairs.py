"""Which pairs of families have a closed form of the KL divergence, here and in other libraries."""

import importlib
import itertools
from typing import Any

import jax.numpy as jnp
import numpy as np

import jaxdiv as jd
from jaxdiv._estimator.exact import has_closed_form
from jaxdiv._operand.base import AbstractDistribution
from jaxdiv._operand.support import is_covered, same_outcomes
from tests.parametric import MULTIVARIATE, PARAMETRIC, tril

# Where the registries of others are, and the name that each of their families has here.
REGISTRIES = {
    "torch": ("torch.distributions.kl", "_KL_REGISTRY"),
    "TFP": (
        "tensorflow_probability.substrates.jax.distributions.kullback_leibler",
        "_DIVERGENCES",
    ),
}
NAMES = {
    "OneHotCategorical": "Categorical",
    "MultivariateNormalLinearOperator": "MultivariateNormal",
    "GaussianProcess": "MultivariateNormal",  # at its index points
    "MatrixNormalLinearOperator": "MatrixNormal",
    "Independent": "Product of normals",
    "_Independent": "Product of normals",
    "_Sample": "Product of normals",
    "TransformedDistribution": "Transformed",
    "_TransformedDistribution": "Transformed",
    "SphericalUniform": "VonMisesFisher",  # of concentration zero
    "_BaseDeterministic": "PointMass",
    "_JointDistributionSequential": "Product of parts",
    "_Blockwise": "Product of parts",
    "OrderedLogistic": "Categorical",
    "StoppingRatioLogistic": "Categorical",
    "ProbitBernoulli": "Bernoulli",
    "Distribution": "Poisson",  # beside a point mass: whatever has masses
}
# Classes of theirs that stand for how something is done, not for a distribution.
MACHINERY = {"Distribution", "JitPublicMethods", "_NonCompositeTensorCast", "ExponentialFamily"}


def members() -> dict[str, Any]:
    """One of each family."""
    rng = np.random.default_rng(0)
    found = {f.name: f.make(*map(jnp.asarray, f.moderate[0])) for f in PARAMETRIC}
    found |= {f.name: f.make(rng) for f in MULTIVARIATE}
    found |= {
        "Bernoulli": jd.Bernoulli(probs=0.3),
        "Categorical": jd.logits([0.3, -0.2]),
        "PointMass": jd.PointMass(2.0),
        "Normal": jd.Normal(0.3, 1.2),
        "MultivariateNormal": jd.MultivariateNormal(jnp.zeros(3), tril(rng, 3)),
        "Product of normals": jd.Independent(jd.Normal(jnp.zeros(3), 1.0), 1),
        "Product of parts": jd.Product({"a": jd.Normal(0.3, 1.2), "b": jd.Gamma(2.0, 1.0)}),
        "ExpGamma": jd.Transformed(jd.Gamma(2.0, 1.0), jd.Log()),
        "ExpInverseGamma": jd.Transformed(jd.InverseGamma(2.0, 1.0), jd.Log()),
    }
    return found


def has_pair(p: Any, q: Any) -> bool:
    """Whether the KL divergence has a closed form."""
    try:
        return has_closed_form(jd.KL(), p, q)
    except (TypeError, ValueError):  # their outcomes have not one shape
        return False


def is_finite(p: Any, q: Any) -> bool:
    """Whether it is not infinite for all members, by their supports."""
    if not (isinstance(p, AbstractDistribution) and isinstance(q, AbstractDistribution)):
        return True
    return not same_outcomes(p, q) or is_covered(p, q) is not False


def print_pairs() -> None:
    """Prints a line a library, and what it has that is not here."""
    ours = members()
    closed = [(p, q) for p, q in itertools.product(ours, repeat=2) if has_pair(ours[p], ours[q])]
    finite = sum(is_finite(ours[p], ours[q]) for p, q in closed)
    print(f"here: {finite} finite, {len(closed) - finite} infinite, of {len(ours)} families")
    for library, (module, name) in REGISTRIES.items():
        try:
            registry = getattr(importlib.import_module(module), name)
        except ImportError as error:
            print(f"{library}: not installed ({error})")
            continue
        theirs = [tuple(kind.__name__ for kind in pair) for pair in registry]
        theirs = [
            pair for pair in theirs if not MACHINERY & set(pair) or pair[0] == "_BaseDeterministic"
        ]
        named = {pair: [ours.get(NAMES.get(n) or n) for n in pair] for pair in theirs}
        missing = [pair for pair, both in named.items() if None in both or not has_pair(*both)]
        print(f"{library}: {len(theirs)} pairs, of which {len(missing)} are not here")
        for pair in missing:
            print("   ", " -> ".join(pair))
