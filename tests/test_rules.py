"""The registry of closed forms is unambiguous, and everything public is in the tests' own."""

import inspect
import itertools

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

import jaxdiv as jd
from jaxdiv import _api, _api_information, _api_unitless, _pairwise
from jaxdiv._estimator import rules
from jaxdiv._estimator.gradients import AbstractGradient
from jaxdiv._estimator.rules import find_rule, matches, registered, rule
from jaxdiv._operand import statistics

from .families import FAMILIES, OBSERVATIONS
from .parametric import MULTIVARIATE, PARAMETRIC
from .registry import ESTIMATORS, FORMS, FUNCTIONALS, simplex


def some_operands():
    rng = np.random.default_rng(1)
    rows = jnp.asarray(simplex(rng, (2, 3)))
    yield from (form.of(rows) for form in FORMS)
    yield from (jd.Bernoulli(probs=rows[:, 0]), jd.Bernoulli(logits=rows[:, 0]))
    yield jd.top_k([[0, 2], [1, 0]], jnp.log(rows[:, :2]))
    yield jd.as_distribution(scipy.stats.skewnorm(1.0))
    yield jd.Product({"classes": jd.probs(rows), "number": jd.Normal(0.0, 1.0)})
    yield jd.Posterior(lambda params: -params["x"], {"x": jd.Positive()})
    yield jd.Factorised(jd.MultivariateNormal(jnp.zeros(1), jnp.eye(1)), jnp.square, jnp.eye(1))
    yield jd.Constrained(jd.MultivariateNormal(jnp.zeros(1), jnp.eye(1)), {"x": jd.Positive()})
    yield from (family.make(rng, np.float64) for family in FAMILIES + OBSERVATIONS)
    yield from (family.make(*map(jnp.asarray, family.moderate[0])) for family in PARAMETRIC)
    yield from (family.make(rng) for family in MULTIVARIATE)


def calls():
    """Every functional with every operand, or pair of them, in the registry."""
    operands = list(some_operands())
    kinds = {type(d): d for d in operands}  # a rule sees types only
    for f in FUNCTIONALS:
        for chosen in itertools.product(kinds.values(), repeat=f.arity):
            yield (f.value, *chosen)
    yield from itertools.product(STATISTICS, kinds.values())


STATISTICS = [
    statistics.Log(),
    statistics.Log1m(),
    statistics.Exp(0.1),
    statistics.Power(2.0),
    statistics.Distance(0.3),
    statistics.SquaredLog(0.3),
]


def finals(base):
    """The classes of the package that are meant to be instantiated."""
    for kind in base.__subclasses__():
        if kind.__module__.startswith("jaxdiv."):
            if not kind.__name__.startswith("Abstract"):
                yield kind
            yield from finals(kind)


@pytest.mark.parametrize(
    ("base", "listed"),
    [
        (jd.AbstractFunctional, [f.value for f in FUNCTIONALS]),
        (jd.AbstractOperand, list(some_operands())),
        # Importance sampling needs a proposal for each operand: it has tests of its own.
        (
            jd.AbstractEstimator,
            [*(e.value for e in ESTIMATORS), jd.ImportanceSampling(jd.Normal(0.0, 1.0), 2)],
        ),
        (AbstractGradient, [g for e in ESTIMATORS if (g := getattr(e.value, "gradient", None))]),
    ],
)
def test_everything_is_listed(base, listed):
    assert {type(x) for x in listed} == set(finals(base))


def test_every_class_is_public_or_made_by_a_tag():
    names = {name for name in vars(jd) if not name.startswith("_")}
    tags = {"Probs", "LogProbs", "Masses", "Logits", "Labels", "Samples", "TopK"}
    for base in (jd.AbstractFunctional, jd.AbstractOperand, jd.AbstractEstimator):
        assert {kind.__name__ for kind in finals(base)} <= names | tags | {"Foreign"}
    verbs = {
        name
        for module in (_api, _api_information, _api_unitless, _pairwise)
        for name, x in vars(module).items()
        if inspect.isfunction(x) and x.__module__ == module.__name__ and name[0] != "_"
    }
    assert verbs - {"evaluate", "in_base"} <= names


def test_no_rule_is_ambiguous_and_each_has_a_case():
    chosen, entries = set(), {}
    for args in calls():
        kind = type(args[0])
        if kind not in entries:
            entries[kind] = [entry for entry in registered() if issubclass(kind, entry[0])]
        fits = [entry for entry in entries[kind] if matches(entry, args)]
        narrowest = [one for one in fits if all(narrower(one, other) for other in fits)]
        assert len(narrowest) == (1 if fits else 0), (args, fits)
        for entry in narrowest:
            assert find_rule(*args) is rules._RULES[entry]
            chosen.add(entry)
    assert chosen == set(registered())


def narrower(one, other):
    return all(issubclass(a, b) for a, b in zip(one, other, strict=True))


def test_a_second_rule_for_the_same_types_is_refused():
    with pytest.raises(ValueError, match=r"two rules for .*KL.*Normal.*Normal"):
        rule(jd.KL, jd.Normal, jd.Normal)(lambda functional, p, q: 0.0)


def test_classes_are_abstract_or_final():
    """No class of the package has a final one as its base."""
    for base in (jd.AbstractFunctional, jd.AbstractOperand, jd.AbstractEstimator, AbstractGradient):
        for kind in finals(base):
            assert not kind.__subclasses__(), kind
            assert kind.__doc__ and not inspect.isabstract(kind), kind
