"""For each library its distributions with the family that each is of here; None where of none."""

import distrax
import distreqx.bijectors as dqb
import distreqx.distributions as dq
import equinox as eqx
import flowjax.bijections as fb
import flowjax.distributions as fd
import jax.numpy as jnp
import numpyro.distributions as nd
import tensorflow_probability.substrates.jax as tfp

import jaxdiv as jd

tfb, tfd = tfp.bijectors, tfp.distributions

PARAMETERS = {
    "a": jnp.array([0.7, 2.5]),  # positive, of a batch of two, and so are b and p
    "b": jnp.array([1.5, 0.6]),
    "c": jnp.array(1.3),
    "p": jnp.array([0.2, 0.65]),
    "z": jnp.array([-1.2, 0.4]),
    "loc": jnp.array([[0.5, -1.0], [2.0, 0.3]]),
    "row": jnp.array([0.2, 0.5, 0.3]),
    "rows": jnp.array([[0.2, 0.5, 0.3], [0.6, 0.1, 0.3]]),
    "factor": jnp.array([[1.0], [0.5]]),
    "tril": jnp.array([[1.2, 0.0], [-0.7, 0.4]]),
    "upper": jnp.array([[1.2, -0.7], [0.0, 0.4]]),
    "covariance": jnp.array([[1.44, -0.84], [-0.84, 0.65]]),
}


def _numpyro(*, a, b, p, z, loc, rows, factor, tril, covariance, **_):
    return [
        (nd.BernoulliLogits(z), jd.Bernoulli),
        (nd.BernoulliProbs(p), jd.Bernoulli),
        (nd.Beta(a, b), jd.Beta),
        (nd.BinomialLogits(z, jnp.array([3, 5])), jd.Binomial),
        (nd.BinomialProbs(p, 4), jd.Binomial),
        (nd.CategoricalLogits(jnp.log(rows) + 1.0), "Logits"),
        (nd.CategoricalProbs(rows), "Probs"),
        (nd.Cauchy(z, a), jd.Cauchy),
        (nd.Chi2(a), jd.Chi2),
        (nd.Delta(loc, event_dim=1), jd.PointMass),
        (nd.Dirichlet(10 * rows), jd.Dirichlet),
        (nd.Exponential(a), jd.Exponential),
        (nd.Gamma(a, b), jd.Gamma),
        (nd.GammaPoisson(a, b), jd.NegativeBinomial),
        (nd.GeometricLogits(z), jd.Geometric),
        (nd.GeometricProbs(p), jd.Geometric),
        (nd.Gumbel(z, a), jd.Gumbel),
        (nd.HalfNormal(a), jd.HalfNormal),
        (nd.InverseGamma(a + 2, b), jd.InverseGamma),
        (nd.InverseWishart(6.5, scale_tril=tril), jd.InverseWishart),
        (nd.InverseWishart(6.5, rate_matrix=covariance), jd.InverseWishart),
        (nd.Kumaraswamy(a, b), jd.Kumaraswamy),
        (nd.Laplace(z, a), jd.Laplace),
        (nd.LogNormal(z, a), jd.LogNormal),
        (nd.Logistic(z, a), jd.Logistic),
        (nd.LowRankMultivariateNormal(loc, factor, a), jd.LowRankMultivariateNormal),
        (nd.MatrixNormal(loc, tril, 2 * tril), jd.MatrixNormal),
        (
            nd.MixtureGeneral(
                nd.Categorical(probs=p / p.sum()), [nd.Normal(0.0, 1.0), nd.Normal(2.0, 0.5)]
            ),
            jd.Mixture,
        ),
        (nd.MixtureSameFamily(nd.Categorical(logits=z), nd.Normal(loc, a)), jd.Mixture),
        (
            nd.MixtureSameFamily(nd.Categorical(logits=z), nd.MultivariateNormal(loc, covariance)),
            jd.Mixture,
        ),
        (nd.MultinomialLogits(jnp.log(rows), 4), jd.Multinomial),
        (nd.MultinomialProbs(rows, 4), jd.Multinomial),
        (nd.MultivariateNormal(loc, scale_tril=tril), jd.MultivariateNormal),
        (nd.MultivariateNormal(loc, covariance), jd.MultivariateNormal),
        (nd.MultivariateNormal(loc, precision_matrix=covariance), jd.MultivariateNormal),
        (nd.MultivariateStudentT(a + 3, loc, tril), jd.MultivariateStudentT),
        (nd.NegativeBinomialLogits(a, z), jd.NegativeBinomial),
        (nd.NegativeBinomialProbs(a, p), jd.NegativeBinomial),
        (nd.Normal(z, a), jd.Normal),
        (nd.OrderedLogistic(z, jnp.array([-0.5, 1.0])), "Probs"),
        (nd.Pareto(a, b + 2), jd.Pareto),
        (nd.Poisson(a), jd.Poisson),
        (nd.StudentT(a + 2, z, b), jd.StudentT),
        (nd.Uniform(z, z + a), jd.Uniform),
        (nd.VonMises(z, a), jd.VonMises),
        (nd.Weibull(a, b), jd.Weibull),
        (nd.Wishart(4.5, scale_matrix=covariance), jd.Wishart),
        (nd.Wishart(4.5, rate_matrix=covariance), jd.Wishart),
        (nd.Normal(z, a).to_event(1), jd.Independent),
        (nd.BernoulliLogits(z).to_event(1), jd.Independent),
        (nd.Normal(loc, a[:, None]).to_event(2), jd.Independent),
        (nd.Normal(0.5, 2.0).expand([3, 2]).to_event(1), jd.Independent),
        (nd.MultivariateNormal(loc[0], covariance).expand([2]), jd.MultivariateNormal),
        (nd.MixtureSameFamily(nd.Categorical(logits=z), nd.Normal(z, a)).expand([3]), jd.Mixture),
        (
            nd.TransformedDistribution(nd.Laplace(z, a), nd.transforms.AffineTransform(1.0, -2.0)),
            jd.Laplace,
        ),
        (
            nd.TransformedDistribution(
                nd.Normal(z, a),
                [nd.transforms.AffineTransform(1.0, 2.0), nd.transforms.ExpTransform()],
            ),
            jd.LogNormal,
        ),
        (
            nd.TransformedDistribution(nd.Normal(z, a), nd.transforms.SigmoidTransform()),
            jd.LogitNormal,
        ),
        (
            nd.TransformedDistribution(nd.Gumbel(z, a), nd.transforms.SoftplusTransform()),
            jd.Transformed,
        ),
        (nd.HalfCauchy(a), None),
        (nd.TruncatedNormal(z, a, low=0.1), None),
        (nd.ZeroInflatedPoisson(p, a), None),
        (nd.LogUniform(a, a + b), None),
        (nd.HalfCauchy(a).to_event(1), None),
        (nd.HalfCauchy(1.5).expand([2]), None),
    ]


def _tfp(*, a, b, c, p, z, loc, rows, factor, tril, upper, covariance, **_):
    return [
        (tfd.BatchBroadcast(tfd.Normal(z, a), [3, 2]), jd.Normal),
        (tfd.Bernoulli(logits=z), jd.Bernoulli),
        (tfd.Bernoulli(probs=p), jd.Bernoulli),
        (tfd.Beta(a, b), jd.Beta),
        (tfd.Binomial(4.0 * jnp.ones(2), probs=p), jd.Binomial),
        (tfd.Categorical(logits=jnp.log(rows) + 1.0), "Logits"),
        (tfd.Categorical(probs=rows), "Probs"),
        (tfd.Cauchy(z, a), jd.Cauchy),
        (tfd.Chi(a), jd.Chi),
        (tfd.Chi2(a), jd.Chi2),
        (tfd.ContinuousBernoulli(logits=z), jd.ContinuousBernoulli),
        (tfd.ContinuousBernoulli(probs=p), jd.ContinuousBernoulli),
        (tfd.Deterministic(z), jd.PointMass),
        (tfd.Dirichlet(10 * rows), jd.Dirichlet),
        (tfd.Exponential(a), jd.Exponential),
        (tfd.Gamma(a, b), jd.Gamma),
        (tfd.Gamma(a, log_rate=z), jd.Gamma),
        (tfd.Geometric(logits=z), jd.Geometric),
        (tfd.Geometric(probs=p), jd.Geometric),
        (tfd.Gumbel(z, a), jd.Gumbel),
        (tfd.HalfNormal(a), jd.HalfNormal),
        (tfd.Independent(tfd.Normal(loc, a[:, None]), 1), jd.Independent),
        (tfd.Independent(tfd.Normal(loc, a[:, None]), 2), jd.Independent),
        (tfd.Independent(tfd.Bernoulli(logits=z), 1), jd.Independent),
        (tfd.InverseGamma(a + 2, b), jd.InverseGamma),
        (tfd.InverseGaussian(a, b), jd.InverseGaussian),
        (tfd.Kumaraswamy(a, b), jd.Kumaraswamy),
        (tfd.Laplace(z, a), jd.Laplace),
        (tfd.LogNormal(z, a), jd.LogNormal),
        (tfd.Logistic(z, a), jd.Logistic),
        (tfd.LogitNormal(z, a), jd.LogitNormal),
        (
            tfd.MatrixNormalLinearOperator(
                loc, *[tfp.tf2jax.linalg.LinearOperatorLowerTriangular(s * tril) for s in (1, 2)]
            ),
            jd.MatrixNormal,
        ),
        (
            tfd.Mixture(
                tfd.Categorical(logits=z), [tfd.Normal(z[0], a[0]), tfd.Normal(z[1], a[1])]
            ),
            jd.Mixture,
        ),
        (tfd.MixtureSameFamily(tfd.Categorical(logits=z), tfd.Normal(loc, a)), jd.Mixture),
        (tfd.Multinomial(4.0 * jnp.ones(2), logits=jnp.log(rows)), jd.Multinomial),
        (tfd.MultivariateNormalDiag(loc, a), jd.Independent),
        (tfd.MultivariateNormalDiag(scale_diag=a), jd.Independent),
        (tfd.MultivariateNormalDiagPlusLowRank(loc, a, factor), jd.MultivariateNormal),
        (
            tfd.MultivariateNormalDiagPlusLowRankCovariance(loc, a, factor),
            jd.LowRankMultivariateNormal,
        ),
        (tfd.MultivariateNormalFullCovariance(loc, covariance), jd.MultivariateNormal),
        (
            tfd.MultivariateNormalLinearOperator(
                loc, tfp.tf2jax.linalg.LinearOperatorFullMatrix(upper)
            ),
            jd.MultivariateNormal,
        ),
        (tfd.MultivariateNormalTriL(loc, tril), jd.MultivariateNormal),
        (
            tfd.MultivariateStudentTLinearOperator(
                a + 3, loc, tfp.tf2jax.linalg.LinearOperatorLowerTriangular(tril)
            ),
            jd.MultivariateStudentT,
        ),
        (tfd.NegativeBinomial(a, logits=z), jd.NegativeBinomial),
        (tfd.NegativeBinomial(a, probs=p), jd.NegativeBinomial),
        (tfd.Normal(z, a, validate_args=True), jd.Normal),
        (tfd.OneHotCategorical(logits=jnp.log(rows)), "Logits"),
        (tfd.Pareto(a, b), jd.Pareto),
        (tfd.Poisson(a), jd.Poisson),
        (tfd.Poisson(log_rate=z), jd.Poisson),
        (tfd.Sample(tfd.Laplace(c, c), [3, 2]), jd.Independent),
        (tfd.StudentT(a + 2, z, b), jd.StudentT),
        (
            tfb.Chain([tfb.Exp(), tfb.Shift(c), tfb.Scale(-c)])(tfd.Normal(z, a)),
            jd.LogNormal,
        ),
        (tfb.Sigmoid()(tfd.Normal(z, a)), jd.LogitNormal),
        (tfb.Softplus()(tfd.Logistic(z, a)), jd.Transformed),
        (tfb.Scale(-c)(tfd.Uniform(z, z + a)), jd.Uniform),
        (tfd.Uniform(z, z + a), jd.Uniform),
        (tfd.VonMises(z, a), jd.VonMises),
        (tfd.Weibull(a, b), jd.Weibull),
        (tfd.WishartTriL(jnp.array(4.5), tril), jd.Wishart),
        (tfd.ExpGamma(a, b), jd.Transformed),
        (tfd.ExpInverseGamma(a, b), jd.Transformed),
        (tfd.Moyal(z, a), jd.Moyal),
        (tfd.OrderedLogistic(cutpoints=jnp.array([-1.0, 0.5]), loc=z), "LogProbs"),
        (tfd.StoppingRatioLogistic(cutpoints=jnp.array([-1.0, 0.5]), loc=z), "LogProbs"),
        (tfd.ProbitBernoulli(probits=z), jd.Bernoulli),
        (
            tfd.VonMisesFisher(rows / jnp.linalg.norm(rows, axis=-1, keepdims=True), a),
            jd.VonMisesFisher,
        ),
        (
            tfd.PowerSpherical(rows / jnp.linalg.norm(rows, axis=-1, keepdims=True), a),
            jd.PowerSpherical,
        ),
        (tfd.SphericalUniform(3), jd.VonMisesFisher),
        (tfd.HalfCauchy(z, a), None),
        (tfd.BetaBinomial(4.0 * a, a, b), None),
        (tfd.Sample(tfd.Laplace(z, a), 3), None),
        (tfd.SinhArcsinh(z, a), None),
        (tfb.Tanh()(tfd.Normal(z, a)), None),
        (tfd.WishartTriL(jnp.array(4.5), tril, input_output_cholesky=True), None),
    ]


def _distrax(*, a, b, c, p, z, loc, rows, factor, tril, upper, covariance, **_):
    return [
        (distrax.Bernoulli(logits=z), jd.Bernoulli),
        (distrax.Bernoulli(probs=p), jd.Bernoulli),
        (distrax.Beta(a, b), jd.Beta),
        (distrax.Categorical(logits=jnp.log(rows) + 1.0), "Logits"),
        (distrax.Categorical(probs=rows), "Probs"),
        (distrax.Deterministic(z), jd.PointMass),
        (distrax.Dirichlet(10 * rows), jd.Dirichlet),
        (distrax.EpsilonGreedy(rows, 0.25), "Probs"),
        (distrax.Gamma(a, b), jd.Gamma),
        (distrax.Greedy(rows), "Probs"),
        (distrax.Gumbel(z, a), jd.Gumbel),
        (distrax.Independent(distrax.Normal(loc, a), 1), jd.Independent),
        (distrax.Independent(distrax.Bernoulli(logits=z)), jd.Bernoulli),
        (distrax.Independent(distrax.Bernoulli(logits=z), 1), jd.Independent),
        (distrax.Laplace(z, a), jd.Laplace),
        (distrax.LogStddevNormal(z, z), jd.Normal),
        (distrax.Logistic(z, a), jd.Logistic),
        (distrax.MixtureOfTwo(0.3, distrax.Normal(z, a), distrax.Normal(z, b)), jd.Mixture),
        (
            distrax.MixtureSameFamily(distrax.Categorical(logits=loc), distrax.Normal(loc, a)),
            jd.Mixture,
        ),
        (distrax.Multinomial(4, logits=jnp.log(rows)), jd.Multinomial),
        (distrax.Multinomial(4, probs=rows), jd.Multinomial),
        (distrax.MultivariateNormalDiag(loc, a), jd.Independent),
        (distrax.MultivariateNormalDiagPlusLowRank(loc, a, factor), jd.MultivariateNormal),
        (distrax.MultivariateNormalFromBijector(loc, distrax.DiagLinear(a)), jd.MultivariateNormal),
        (distrax.MultivariateNormalFullCovariance(loc, covariance), jd.MultivariateNormal),
        (distrax.MultivariateNormalTri(loc, tril), jd.MultivariateNormal),
        (distrax.MultivariateNormalTri(loc, upper, is_lower=False), jd.MultivariateNormal),
        (distrax.Normal(z, a), jd.Normal),
        (distrax.OneHotCategorical(logits=jnp.log(rows)), "Logits"),
        (distrax.Softmax(jnp.log(rows), temperature=2.0), "Logits"),
        (
            distrax.Transformed(
                distrax.Normal(z, a), distrax.Chain([tfb.Exp(), distrax.ScalarAffine(1.0, -2.0)])
            ),
            jd.LogNormal,
        ),
        (
            distrax.Transformed(
                distrax.Normal(z, a), distrax.Chain([distrax.Sigmoid(), distrax.Shift(c)])
            ),
            jd.LogitNormal,
        ),
        (distrax.Uniform(z, z + a), jd.Uniform),
        (distrax.VonMises(z, a), jd.VonMises),
        (distrax.as_distribution(tfd.Weibull(a, b)), jd.Weibull),
        (distrax.Transformed(distrax.Normal(z, a), distrax.Tanh()), None),
        (
            distrax.Transformed(
                distrax.MultivariateNormalDiag(loc, a), distrax.Block(distrax.Tanh(), 1)
            ),
            None,
        ),
        (distrax.as_distribution(tfd.HalfCauchy(z, a)), None),
        (distrax.Quantized(distrax.Normal(z, a)), None),
    ]


def _distreqx(*, a, b, p, z, loc, row, tril, upper, covariance, **_):
    return [
        (dq.Bernoulli(logits=z), jd.Bernoulli),
        (dq.Bernoulli(probs=p), jd.Bernoulli),
        (dq.Beta(a, b), jd.Beta),
        (dq.Categorical(logits=jnp.log(row)), "Logits"),
        (dq.Categorical(probs=row), "Probs"),
        (dq.Gamma(a, b), jd.Gamma),
        (dq.Independent(dq.Normal(z, a)), jd.Independent),
        (dq.Independent(dq.Bernoulli(logits=z)), jd.Independent),
        (dq.Logistic(z, a), jd.Logistic),
        (
            dq.MixtureSameFamily(dq.Categorical(logits=z), eqx.filter_vmap(dq.Normal)(z, a)),
            jd.Mixture,
        ),
        (dq.MultivariateNormalDiag(loc[0], a), jd.Independent),
        (dq.MultivariateNormalFromBijector(loc[0], dqb.DiagLinear(a)), jd.MultivariateNormal),
        (dq.MultivariateNormalFullCovariance(loc[0], covariance), jd.MultivariateNormal),
        (dq.MultivariateNormalTri(loc[0], tril), jd.MultivariateNormal),
        (dq.MultivariateNormalTri(loc[0], upper, is_lower=False), jd.MultivariateNormal),
        (dq.Normal(z, a), jd.Normal),
        (dq.OneHotCategorical(logits=jnp.log(row)), "Logits"),
        (dq.Transformed(dq.Normal(z, a), dqb.ScalarAffine(a, -b)), jd.Normal),
        (dq.Transformed(dq.Normal(z, a), dqb.Chain([dqb.Sigmoid(), dqb.Shift(a)])), jd.LogitNormal),
        (dq.Uniform(z, z + a), jd.Uniform),
        (dq.Transformed(dq.Normal(z, a), dqb.Tanh()), None),
    ]


def _flowjax(*, a, b, p, z, loc, tril, covariance, **_):
    return [
        (fd.Beta(a, b), jd.Independent),
        (fd.Cauchy(z, a), jd.Independent),
        (fd.Cauchy(0.5, 2.0), jd.Cauchy),
        (fd.Exponential(a), jd.Independent),
        (fd.Gamma(a, b), jd.Independent),
        (fd.Gumbel(z, a), jd.Independent),
        (fd.Laplace(z, a), jd.Independent),
        (fd.LogNormal(z, a), jd.Independent),
        (fd.Logistic(z, a), jd.Independent),
        (fd.MultivariateNormal(loc[0], covariance), jd.MultivariateNormal),
        (fd.Normal(z, a), jd.Independent),
        (fd.Normal(0.5, 2.0), jd.Normal),
        (fd.StandardNormal((2,)), jd.Independent),
        (fd.StudentT(a + 2, z, b), jd.Independent),
        (fd.Uniform(z, z + a), jd.Independent),
        (fd.Transformed(fd.StandardNormal((2,)), fb.Affine(z, a)), jd.Independent),
        (
            fd.Transformed(fd.Normal(0.5, 2.0), fb.Chain([fb.Affine(1.0, 0.5), fb.Sigmoid()])),
            jd.LogitNormal,
        ),
        (fd.VmapMixture(eqx.filter_vmap(fd.Normal)(loc, a), p), jd.Mixture),
        (fd.VmapMixture(eqx.filter_vmap(fd.Normal)(z, a), p), jd.Mixture),
        (fd.Transformed(fd.Normal(0.5, 2.0), fb.Tanh()), None),
        (fd.Transformed(fd.StandardNormal((2,)), fb.TriangularAffine(z, tril)), None),
    ]


LIBRARIES = {
    "numpyro": _numpyro,
    "tfp": _tfp,
    "distrax": _distrax,
    "distreqx": _distreqx,
    "flowjax": _flowjax,
}
