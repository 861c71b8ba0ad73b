"""What is written in other libraries, and here: one table, a page of it, and both sides evaluated.

`python -m tests.translations` writes the page. Each side is an expression in the names of `NAMES`.
"""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jaxdiv as jd

PAGE = Path(__file__).parents[1] / "notebooks" / "coming_from.md"
RNG = np.random.default_rng(0)
NAMES = {
    "z": RNG.normal(size=(6, 5)),
    "t": RNG.normal(size=(6, 5)),
    "p": RNG.dirichlet(np.ones(5), 6),
    "y": np.array([0, 3, 2, 3, 4, 1]),
    "w": np.array([0.5, 1.0, 2.0, 4.0, 0.1]),
    "s": RNG.normal(size=6),
    "b": np.array([0, 1, 1, 0, 1, 0]),
    "x": RNG.normal(size=6),
    "v": RNG.normal(size=6),
    "scale": RNG.uniform(0.5, 2, 6),
    "k": np.array([0.0, 1.0, 4.0, 2.0, 9.0, 0.0]),
}


class Row(NamedTuple):
    """`theirs` and `ours` have one value."""

    theirs: str
    ours: str


CE, KL = "jd.cross_entropy(jd.labels(y), jd.logits(z))", "jd.kl(jd.logits(t), jd.logits(z))"
BINARY = "jd.cross_entropy(jd.labels(b), jd.Bernoulli(logits=s))"
SOFT = "jd.cross_entropy(jd.probs(p), jd.logits(z))"
WARM = "jd.logits(t, temperature=2.0), jd.logits(z, temperature=2.0)"
SQUARE = "jd.cross_entropy(jd.PointMass(v), jd.Normal(x, 1.0))"
LOG_2PI = "jnp.log(2 * jnp.pi)"

OPTAX = [
    Row("softmax_cross_entropy_with_integer_labels(z, y)", CE),
    Row("softmax_cross_entropy(z, p)", SOFT),
    Row("safe_softmax_cross_entropy(z, p)", SOFT),
    Row(
        "softmax_cross_entropy(z, smooth_labels(jax.nn.one_hot(y, 5), 0.1))",
        "jd.cross_entropy(jd.labels(y, smoothing=0.1), jd.logits(z))",
    ),
    Row("sigmoid_binary_cross_entropy(s, b)", BINARY),
    Row("sigmoid_focal_loss(s, b)", f"jd.focal({BINARY})"),
    Row(
        "sigmoid_focal_loss(s, b, alpha=0.25)",
        f"jnp.where(b == 1, 0.25, 0.75) * jd.focal({BINARY})",
    ),
    Row("kl_divergence(jax.nn.log_softmax(z), p)", "jd.kl(jd.probs(p), jd.logits(z))"),
    Row("kl_divergence_with_log_targets(jax.nn.log_softmax(z), jax.nn.log_softmax(t))", KL),
    Row("generalized_kl_divergence(jnp.log(2 * p), p)", "jd.kl(jd.masses(p), jd.masses(2 * p))"),
    Row("l2_loss(x, v)", f"{SQUARE} - 0.5 * {LOG_2PI}"),
    Row("squared_error(x, v)", f"2 * {SQUARE} - {LOG_2PI}"),
    Row(
        "jnp.mean(softmax_cross_entropy_with_integer_labels(z, y), where=y != 3)",
        f"jd.mean({CE}, where=y != 3)",
    ),
]
TORCH = [
    Row("F.cross_entropy(z, y)", f"jd.mean({CE})"),
    Row('F.cross_entropy(z, y, reduction="none")', CE),
    Row("F.cross_entropy(z, p)", f"jd.mean({SOFT})"),
    Row(
        "F.cross_entropy(z, y, ignore_index=3)",
        "jd.mean(jd.cross_entropy(jd.labels(y, ignore=3), jd.logits(z)), where=y != 3)",
    ),
    Row("F.cross_entropy(z, y, weight=w)", f"jd.mean({CE}, weights=w[y])"),
    Row(
        "F.cross_entropy(z, y, weight=w, label_smoothing=0.1)",
        "jd.mean(jd.cross_entropy(jd.masses(w * (0.9 * jax.nn.one_hot(y, 5) + 0.02)), "
        "jd.logits(z)), count=w[y].sum())",
    ),
    Row(
        "F.cross_entropy(z, y, label_smoothing=0.1)",
        "jd.mean(jd.cross_entropy(jd.labels(y, smoothing=0.1), jd.logits(z)))",
    ),
    Row("F.nll_loss(F.log_softmax(z, -1), y)", f"jd.mean({CE})"),
    Row("F.binary_cross_entropy_with_logits(s, b.double())", f"jd.mean({BINARY})"),
    Row(
        "F.binary_cross_entropy_with_logits(s, b.double(), pos_weight=torch.tensor(3.0))",
        f"jd.mean(jnp.where(b == 1, 3.0, 1.0) * {BINARY})",
    ),
    Row(
        "F.binary_cross_entropy(torch.sigmoid(s), b.double())",
        f"jd.mean({BINARY})",
    ),
    Row(
        'F.kl_div(F.log_softmax(z, -1), p, reduction="batchmean")',
        "jd.mean(jd.kl(jd.probs(p), jd.logits(z)))",
    ),
    Row(
        'F.kl_div(F.log_softmax(z, -1), F.log_softmax(t, -1), reduction="batchmean", '
        "log_target=True)",
        f"jd.mean({KL})",
    ),
    Row(
        '2**2 * F.kl_div(F.log_softmax(z / 2, -1), F.softmax(t / 2, -1), reduction="batchmean")',
        f"2**2 * jd.mean(jd.kl({WARM}))",
    ),
    Row(
        "F.gaussian_nll_loss(x, v, scale**2, full=True)",
        "jd.mean(jd.cross_entropy(jd.PointMass(v), jd.Normal(x, scale)))",
    ),
    Row("F.mse_loss(x, v)", f"jd.mean(2 * {SQUARE} - {LOG_2PI})"),
    Row(
        "F.l1_loss(x, v)",
        "jd.mean(jd.cross_entropy(jd.PointMass(v), jd.Laplace(x, 1.0)) - jnp.log(2.0))",
    ),
    Row(
        "F.poisson_nll_loss(x, k)",
        "jd.mean(jd.cross_entropy(jd.PointMass(k), jd.Poisson(jnp.exp(x))) "
        "- jax.lax.lgamma(k + 1))",
    ),
    Row(
        "D.NegativeBinomial(2.5, logits=x).log_prob(k)",
        "-jd.cross_entropy(jd.PointMass(k), jd.NegativeBinomial(2.5, logits=-x))",
    ),
    Row("D.Categorical(logits=z).log_prob(y)", f"-{CE}"),
    Row("D.Categorical(logits=z).entropy()", "jd.entropy(jd.logits(z))"),
    Row("D.kl_divergence(D.Categorical(logits=t), D.Categorical(logits=z))", KL),
    Row(
        "D.kl_divergence(D.Normal(x, scale), D.Normal(v, 1.0))",
        "jd.kl(jd.Normal(x, scale), jd.Normal(v, 1.0))",
    ),
    Row(
        "D.kl_divergence(D.Independent(D.Normal(x, scale), 1), D.Independent(D.Normal(v, scale), "
        "1))",
        "jd.kl(jd.Independent(jd.Normal(x, scale), 1), jd.Independent(jd.Normal(v, scale), 1))",
    ),
]
TFP = [
    Row("tfd.Categorical(logits=z).log_prob(y)", f"-{CE}"),
    Row("tfd.Categorical(logits=z).entropy()", "jd.entropy(jd.logits(z))"),
    Row(
        "tfd.Categorical(logits=t).cross_entropy(tfd.Categorical(logits=z))",
        "jd.cross_entropy(jd.logits(t), jd.logits(z))",
    ),
    Row("tfd.kl_divergence(tfd.Categorical(logits=t), tfd.Categorical(logits=z))", KL),
    Row("tfd.Bernoulli(logits=s).log_prob(b)", f"-{BINARY}"),
    Row(
        "tfd.NegativeBinomial(2.5, logits=x).log_prob(k)",
        "-jd.cross_entropy(jd.PointMass(k), jd.NegativeBinomial(2.5, logits=-x))",
    ),
    Row(
        "tfd.Poisson(log_rate=x).log_prob(k)",
        "-jd.cross_entropy(jd.PointMass(k), jd.Poisson(jnp.exp(x)))",
    ),
    Row("tfd.Normal(x, scale).log_prob(v)", "-jd.surprisal(jd.Normal(x, scale), v)"),
    Row(
        "tfd.kl_divergence(tfd.Normal(x, scale), tfd.Normal(v, 1.0))",
        "jd.kl(jd.Normal(x, scale), jd.Normal(v, 1.0))",
    ),
    Row(
        "tfd.kl_divergence(tfd.MultivariateNormalDiag(x, scale), tfd.MultivariateNormalDiag(v, "
        "scale))",
        "jd.kl(jd.Independent(jd.Normal(x, scale), 1), jd.Independent(jd.Normal(v, scale), 1))",
    ),
    Row(
        "tfd.kl_divergence(tfd.Normal(x, scale), tfd.Normal(v, 1.0))",
        "jd.kl(tfd.Normal(x, scale), tfd.Normal(v, 1.0))",
    ),
]
DISTRAX = [
    Row("distrax.Categorical(logits=z).log_prob(y)", f"-{CE}"),
    Row("distrax.Categorical(logits=z).entropy()", "jd.entropy(jd.logits(z))"),
    Row("distrax.Categorical(logits=t).kl_divergence(distrax.Categorical(logits=z))", KL),
    Row(
        "distrax.Categorical(logits=t).cross_entropy(distrax.Categorical(logits=z))",
        "jd.cross_entropy(jd.logits(t), jd.logits(z))",
    ),
    Row(
        "distrax.Softmax(t, temperature=2.0).kl_divergence(distrax.Softmax(z, temperature=2.0))",
        f"jd.kl({WARM})",
    ),
    Row("distrax.Bernoulli(logits=s).log_prob(b)", f"-{BINARY}"),
    Row("distrax.Normal(x, scale).log_prob(v)", "-jd.surprisal(jd.Normal(x, scale), v)"),
    Row(
        "distrax.Normal(x, scale).kl_divergence(distrax.Normal(v, 1.0))",
        "jd.kl(jd.Normal(x, scale), jd.Normal(v, 1.0))",
    ),
    Row(
        "distrax.Normal(x, scale).kl_divergence(distrax.Normal(v, 1.0))",
        "jd.kl(distrax.Normal(x, scale), distrax.Normal(v, 1.0))",
    ),
]

INTRODUCTION = """\
# Coming from optax, torch, TFP or distrax

Each line has one value on both sides: a test evaluates both. Here the first argument is what is
averaged over, the target of a loss: $D(P \\| Q)$ is `D(p, q)`. What a number is, is said by its
tag. A loss is one value an example, in nats, and `jd.mean` reduces it, with masks, weights and
counts.

`z` and `t` are logits of 6 examples and 5 classes (of a model and of a teacher), `p`
probabilities, `y` labels, `w` weights of the classes, `s` one logit each and `b` its label, 0 or 1;
`x`, `v` and `scale` are numbers, and `k` counts.
"""
OF_OPTAX = """\
Names of `optax.losses`. `kl_divergence(log_predictions, targets)` has the target last: it is KL
from the targets to the predictions."""
OF_TORCH = """\
`F` is `torch.nn.functional`, `D` is `torch.distributions`. `F.kl_div(input, target)` has the target
last, and its default `reduction` divides by the classes too. The logits of `NegativeBinomial` are
those of what is counted, here of what ends the count."""
OF_TFP = """\
`tfd` is `tensorflow_probability.substrates.jax.distributions`; its distributions are operands as
they are. `NegativeBinomial` is as in torch."""
SECTIONS = {
    "optax": (OF_OPTAX, OPTAX),
    "torch": (OF_TORCH, TORCH),
    "TFP": (OF_TFP, TFP),
    "distrax": ("Its distributions are operands as they are.", DISTRAX),
}


def page() -> str:
    """The whole table in Markdown."""
    parts = [INTRODUCTION]
    for name, (text, rows) in SECTIONS.items():
        lines = [f"| `{row.theirs}` | `{row.ours}` |" for row in rows]
        parts.append(
            "\n".join([f"## {name}\n\n{text}\n\n| {name} | jaxdiv |\n|---|---|", *lines, ""])
        )
    return "\n".join(parts)


def check(rows: list[Row], library: dict[str, Any], values: Any = None) -> None:
    """Evaluates both sides of each; `values` makes arrays that are not JAX's."""
    names = {"jax": jax, "jnp": jnp, "jd": jd, **library}

    def evaluate(side: list[str], arrays: dict[str, Any]) -> list[Any]:
        return [eval(expression, names | arrays) for expression in side]

    theirs, ours = map(list, zip(*rows, strict=True))
    with jax.numpy_dtype_promotion("standard"):
        got = jax.jit(lambda arrays: evaluate(ours, arrays))(NAMES)
        if values is None:
            want = jax.jit(lambda arrays: evaluate(theirs, arrays))(NAMES)
        else:
            want = evaluate(theirs, {name: values(x) for name, x in NAMES.items()})
    for row, one, other in zip(rows, got, map(np.asarray, want), strict=True):
        assert one.shape == other.shape, row
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-9, err_msg=row.theirs)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
