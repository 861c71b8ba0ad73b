"""The program: its numbers against an independent oracle, its words, and its manners on bad input.

The oracle shares no code with the package: maximum likelihood by expectation-maximisation, and
every KL by the trapezoidal rule on one dense grid (spectrally accurate for these densities),
minimised by SciPy.
"""

import json
import math
import os
import re
import subprocess
import sys

import jax
import numpy as np
import pytest
import scipy.optimize
import scipy.stats

import jaxdiv as jd
from jaxdiv.__main__ import main
from jaxdiv._cli.record import KEYS
from jaxdiv._cli.target import kernel_bandwidth
from jaxdiv._data import old_faithful

SMALL_CSV = "size,weight,name\n1.0,2.5,a\n2.0,3.5,b\n4.5,1.5,c\n"


class Oracle:
    """A density on a grid, and one Gaussian fitted to it."""

    def __init__(self, log_density, low, high):
        self.x, self.step = np.linspace(low, high, 40_001, retstep=True)
        self.log_p = log_density(self.x)
        self.p = np.exp(self.log_p)
        assert abs(self.integral(self.p) - 1) < 1e-12
        self.mean = self.integral(self.p * self.x)
        self.deviation = math.sqrt(self.integral(self.p * (self.x - self.mean) ** 2))
        self.entropy = -self.integral(self.p * self.log_p)

    def integral(self, values):
        return float(np.sum(values)) * self.step

    def forward(self, loc, scale):
        return self.integral(self.p * (self.log_p - scipy.stats.norm.logpdf(self.x, loc, scale)))

    def reverse(self, loc, scale):
        log_q = scipy.stats.norm.logpdf(self.x, loc, scale)
        return self.integral(np.exp(log_q) * (log_q - self.log_p))

    def optimum(self, divergence, loc, scale):
        """The local minimum next to a point: its location, its scale and its value."""
        found = scipy.optimize.minimize(
            lambda u: divergence(self.mean + self.deviation * u[0], math.exp(u[1])),
            [(loc - self.mean) / self.deviation, math.log(scale)],
            method="BFGS",
            options={"gtol": 1e-9},
        )
        return self.mean + self.deviation * found.x[0], math.exp(found.x[1]), found.fun


def gaussian_mixture(weights, locs, scales):
    def log_density(x):
        parts = scipy.stats.norm.logpdf(x[:, None], locs, scales) + np.log(weights)
        return np.logaddexp.reduce(parts, axis=1)

    reach = 40 * np.max(scales)
    return Oracle(log_density, np.min(locs) - reach, np.max(locs) + reach)


def expectation_maximisation(values):
    """A two-component mixture: weights, means, scales, and the log-likelihood."""
    low, high = np.quantile(values, [0.25, 0.75])
    w, m, s = np.array([0.5, 0.5]), np.array([low, high]), np.full(2, values.std() / 2)
    for _ in range(2000):
        joint = scipy.stats.norm.logpdf(values[:, None], m, s) + np.log(w)
        share = np.exp(joint - np.logaddexp.reduce(joint, axis=1)[:, None])
        total = share.sum(0)
        w, m = total / values.size, values @ share / total
        s = np.sqrt((share * (values[:, None] - m) ** 2).sum(0) / total)
    return w, m, s, np.logaddexp.reduce(joint, axis=1).sum()


class Run:
    """One run of the program in this process, with its output files."""

    def __init__(self, folder, *args):
        self.figure, facts = folder / "figure.png", folder / "facts.json"
        self.text = ""
        self.code = main(["fit", *args, "--plot", str(self.figure), "--json", str(facts)])
        self.facts = json.loads(facts.read_text()) if facts.exists() else {}
        self.raw = facts.read_text() if facts.exists() else ""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Runs the program, once for the same arguments."""
    done = {}

    def once(*args):
        if args not in done:
            done[args] = Run(tmp_path_factory.mktemp("run"), *args)
        assert done[args].code == 0
        return done[args]

    return once


def shown(x, like):
    """`x` with as many decimals as the printed number `like`."""
    return f"{x:.{len(like.partition('.')[2])}f}"


def assert_shown(facts, printed):
    for key, like in printed.items():
        assert shown(facts[key], like) == like, key


def test_eruptions_to_every_published_digit(run):
    facts = run().facts
    assert shown(facts["density"]["log_likelihood"], "-276.3600") == "-276.3600"
    low, high = facts["density"]["components"]
    assert_shown(low, {"weight": "0.3484", "loc": "2.0186", "scale": "0.2356"})
    assert_shown(high, {"weight": "0.6516", "loc": "4.2733", "scale": "0.4371"})
    assert_shown(
        facts["forward"], {"loc": "3.487783", "scale": "1.139271", "kl_target_fit": "0.528135"}
    )
    best, other = facts["reverse"]["optima"]
    assert_shown(best, {"loc": "4.27116", "scale": "0.44085", "kl": "0.427047"})
    assert_shown(other, {"loc": "2.01976", "scale": "0.23743", "kl": "1.052965"})
    assert best["is_global"] and not other["is_global"]


def test_waiting_to_every_published_digit(run):
    facts = run("--column", "waiting").facts
    assert_shown(facts["forward"], {"loc": "70.897059", "scale": "13.569960"})
    (only,) = facts["reverse"]["optima"]
    # 70.3862257 and 12.3181879 (the oracle's, too) were published cut off, not rounded.
    assert f"{only['loc']:.6f}".startswith("70.38622")
    assert f"{only['scale']:.6f}".startswith("12.31818")
    assert_shown(only, {"kl": "0.308938"})
    assert only["is_global"]


@pytest.mark.parametrize("column", ["eruptions", "waiting"])
def test_old_faithful_against_the_oracle(run, column):
    facts = run(*(() if column == "eruptions" else ("--column", column))).facts
    values = getattr(old_faithful(), column)
    weights, locs, scales, log_likelihood = expectation_maximisation(values)
    found = facts["density"]["components"]
    for name, expected in (("weight", weights), ("loc", locs), ("scale", scales)):
        np.testing.assert_allclose([c[name] for c in found], expected, rtol=1e-7)
    np.testing.assert_allclose(facts["density"]["log_likelihood"], log_likelihood, rtol=1e-12)
    check_against(gaussian_mixture(weights, locs, scales), facts)


@pytest.mark.exhaustive
def test_kernel_density_against_the_oracle(run):
    facts = run("--density", "kde", "--bandwidth", "scott").facts
    values = old_faithful().eruptions
    peer = scipy.stats.gaussian_kde(values, "scott")
    width = np.sqrt(peer.covariance.item())
    np.testing.assert_allclose(facts["density"]["bandwidth"], width, rtol=1e-14)
    log_density = gaussian_mixture(np.full(272, 1 / 272), values, np.full(272, width))
    check_against(log_density, facts)


def check_against(oracle, facts):
    np.testing.assert_allclose(facts["density"]["entropy"], oracle.entropy, rtol=1e-9)
    np.testing.assert_allclose(facts["density"]["mean"], oracle.mean, rtol=1e-8)
    np.testing.assert_allclose(facts["density"]["standard_deviation"], oracle.deviation, rtol=1e-8)
    for direction, divergence in (("forward", oracle.forward), ("reverse", oracle.reverse)):
        fit = facts[direction]
        at = fit["loc"], fit["scale"]
        entropy = 0.5 * math.log(2 * math.pi * math.e) + math.log(fit["scale"])
        np.testing.assert_allclose(fit["entropy_fit"], entropy, rtol=1e-12)
        np.testing.assert_allclose(fit["kl_target_fit"], oracle.forward(*at), rtol=1e-8)
        np.testing.assert_allclose(fit["kl_fit_target"], oracle.reverse(*at), rtol=1e-8)
        for p, q, entropy in (
            ("target", "fit", facts["density"]["entropy"]),
            ("fit", "target", fit["entropy_fit"]),
        ):
            identity = entropy + fit[f"kl_{p}_{q}"]
            np.testing.assert_allclose(fit[f"cross_entropy_{p}_{q}"], identity, rtol=1e-9)
        for optimum in fit["optima"]:
            loc, scale, kl = oracle.optimum(divergence, optimum["loc"], optimum["scale"])
            np.testing.assert_allclose(optimum["loc"], loc, rtol=1e-6)
            np.testing.assert_allclose(optimum["scale"], scale, rtol=1e-6)
            np.testing.assert_allclose(optimum["kl"], kl, rtol=1e-8)
        values = [optimum["kl"] for optimum in fit["optima"]]
        assert values == sorted(values)
        ended = sum(optimum["starts"] for optimum in fit["optima"])
        assert ended == fit["work"]["converged"] <= fit["work"]["starts"]


def test_sym1d_against_the_exact_table(run):
    facts = run("--target", "sym1d").facts
    forward, reverse = facts["forward"], facts["reverse"]
    np.testing.assert_allclose(forward["kl_target_fit"], 0.7235530265457926, atol=1e-9)
    np.testing.assert_allclose([forward["loc"], forward["scale"] ** 2], [0, 4.25], atol=1e-7)
    best = [optimum for optimum in reverse["optima"] if optimum["is_global"]]
    assert len(best) == 2
    for optimum in best:
        np.testing.assert_allclose(optimum["kl"], 0.6930529416643734, atol=1e-9)
        np.testing.assert_allclose(abs(optimum["loc"]), 1.9998008869735984, atol=1e-7)
        np.testing.assert_allclose(optimum["scale"], 0.5003981437204079, atol=1e-7)
    for optimum in reverse["optima"][2:]:  # the third true one, where a start finds it
        np.testing.assert_allclose(optimum["kl"], 1.8711965121683893, atol=1e-9)


def test_asym1d_against_the_exact_table(run):
    facts = run("--target", "asym1d").facts
    forward, reverse = facts["forward"], facts["reverse"]
    np.testing.assert_allclose(forward["kl_target_fit"], 0.724222106654103, atol=1e-9)
    np.testing.assert_allclose([forward["loc"], forward["scale"] ** 2], [-0.8, 3.61], atol=1e-7)
    best = reverse["optima"][0]
    np.testing.assert_allclose(best["kl"], 0.35661496851815055, atol=1e-9)
    np.testing.assert_allclose(best["loc"], -1.9998708218101182, atol=1e-7)
    np.testing.assert_allclose(best["scale"], 0.5002642223575238, atol=1e-7)
    minor = [optimum for optimum in reverse["optima"] if abs(optimum["loc"] - 2) < 0.1]
    np.testing.assert_allclose([o["kl"] for o in minor], [1.203825982159497], atol=1e-9)


def test_one_direction_in_bits(run, capsys):
    nats = run().facts
    capsys.readouterr()
    bits = run("--direction", "forward", "--base", "2").facts
    assert bits["unit"] == "bits" and "reverse" not in bits
    for key in ("kl_target_fit", "kl_fit_target", "entropy_fit", "cross_entropy_target_fit"):
        expected = nats["forward"][key] / math.log(2)
        np.testing.assert_allclose(bits["forward"][key], expected, rtol=1e-9)
    assert bits["density"]["log_likelihood"] == nats["density"]["log_likelihood"]
    out = capsys.readouterr().out
    assert "in bits" in out and "Reverse" not in out


@pytest.mark.exhaustive
def test_a_mixture_of_one_is_the_gaussian_itself(run):
    facts = run("--density", "mixture:1").facts
    values = old_faithful().eruptions
    for direction in ("forward", "reverse"):
        np.testing.assert_allclose(facts[direction]["loc"], values.mean(), rtol=1e-7)
        np.testing.assert_allclose(facts[direction]["scale"], values.std(), rtol=1e-7)
        assert 0 <= facts[direction]["kl_target_fit"] < 1e-12
        assert len(facts[direction]["optima"]) == 1


@pytest.mark.exhaustive
def test_three_components(run):
    facts = run("--density", "mixture:3", "--direction", "forward").facts
    two = run().facts
    assert len(facts["density"]["components"]) == 3
    assert facts["density"]["log_likelihood"] > two["density"]["log_likelihood"]
    assert min(c["scale"] for c in facts["density"]["components"]) > 1e-3


@pytest.mark.parametrize("unit", [1e-9, 1e9])
def test_units_of_the_data_do_not_matter(run, tmp_path_factory, unit):
    path = tmp_path_factory.mktemp("units") / "scaled.csv"
    rows = (f"{x * unit!r}\n" for x in old_faithful().eruptions.tolist())
    path.write_text("x\n" + "".join(rows))
    plain, scaled = run().facts, run(str(path)).facts
    for direction in ("forward", "reverse"):
        for ours, theirs in zip(
            scaled[direction]["optima"], plain[direction]["optima"], strict=True
        ):
            np.testing.assert_allclose(ours["loc"], unit * theirs["loc"], rtol=1e-6)
            np.testing.assert_allclose(ours["scale"], unit * theirs["scale"], rtol=1e-6)
            np.testing.assert_allclose(ours["kl"], theirs["kl"], rtol=1e-8)


def test_every_key_of_the_json_is_documented_and_sorted(run):
    done = run()

    def walk(value, prefix=""):
        if isinstance(value, dict):
            for key, inner in value.items():
                yield from walk(inner, f"{prefix}.{key}" if prefix else key)
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            yield from walk(value[0], prefix)
        else:
            yield prefix

    found = {
        re.sub(r"^(forward|reverse)\b", "DIRECTION", key)
        for key in walk({k: v for k, v in done.facts.items() if k != "keys"})
    }
    found = {re.sub(r"^(density\.components)\..*", r"\1", key) for key in found} | {"keys"}
    assert done.facts["keys"] == KEYS
    assert found == set(KEYS) - {"DIRECTION.optima"}
    assert done.raw == json.dumps(done.facts, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def test_the_same_seed_gives_the_same_bits(run, tmp_path):
    again = Run(tmp_path)
    for direction in ("forward", "reverse"):
        assert again.facts[direction]["optima"] == run().facts[direction]["optima"]


def test_figures_are_written(run):
    assert run().figure.read_bytes().startswith(b"\x89PNG")
    assert run("--target", "sym1d").figure.stat().st_size > 10_000


def test_report_as_a_process(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "jaxdiv", "fit"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONIOENCODING": "ascii"},
    )
    assert done.returncode == 0 and done.stderr == ""
    for number in ("3.487783", "1.139271", "0.528135", "0.427047", "1.052965", "-276.3600"):
        assert number in done.stdout
    words = " ".join(done.stdout.split())
    assert "the fit covers both modes" in words and "the fit seeks one mode" in words
    assert "Figure: jaxdiv-fit.png" in done.stdout
    assert (tmp_path / "jaxdiv-fit.png").exists()
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_a_single_reverse_optimum_is_said_in_words(capsys, tmp_path):
    Run(tmp_path, "--column", "waiting")
    words = " ".join(capsys.readouterr().out.split())
    assert "it has a single optimum here" in words
    assert "The target has 2 modes, but they are too close" in words


def test_the_program_leaves_jax_as_it_was(tmp_path):
    jax.config.update("jax_enable_x64", False)
    try:
        Run(tmp_path)
        assert not jax.config.read("jax_enable_x64")
    finally:
        jax.config.update("jax_enable_x64", True)


def test_two_columns_have_the_moments_of_their_mixture(run, tmp_path, capsys):
    args = ("--data", "faithful", "--objective", "forward", "--starts", "2")
    saved = str(tmp_path / "saved")
    first = run(*args, "--resume", saved)
    assert "Fitted: multivariate normal" in capsys.readouterr().out
    parts = first.facts["density"]["components"]
    weights = [part["weight"] for part in parts]
    locs, scales = (np.array([part[key] for part in parts]) for key in ("loc", "scale_matrix"))
    values = np.stack(list(old_faithful()), 1)
    log_parts = [
        scipy.stats.multivariate_normal.logpdf(values, *at) for at in zip(locs, scales, strict=True)
    ]
    likelihood = np.logaddexp.reduce(np.log(weights) + np.stack(log_parts, 1), axis=1).sum()
    np.testing.assert_allclose(first.facts["density"]["log_likelihood"], likelihood, rtol=1e-10)
    # A mixture of maximal likelihood has the sample's moments, and so has its forward Gaussian.
    (fitted,) = first.facts["fits"]["forward"]["optima"][0]["components"]
    np.testing.assert_allclose(fitted["loc"], values.mean(0), rtol=1e-6)
    np.testing.assert_allclose(fitted["scale_matrix"], np.cov(values.T, ddof=0), rtol=1e-5)
    assert first.figure.read_bytes().startswith(b"\x89PNG")
    again = Run(tmp_path, *args, "--resume", saved)
    assert again.facts["fits"]["forward"]["optima"] == first.facts["fits"]["forward"]["optima"]
    assert "differs from this one" in fails(
        capsys, ["fit", *args[:-1], "3", "--resume", saved, "--plot", str(tmp_path / "a.png")]
    )


def fails(capsys, args, code=2):
    """The one line on stderr of a run that must fail."""
    capsys.readouterr()
    assert main(args) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1 and err.endswith("\n") and err.startswith("jaxdiv: ")
    return err


@pytest.mark.parametrize(
    ("text", "args", "words"),
    [
        (None, [], "cannot read"),
        ("", [], "is empty"),
        ("\n \n", [], "is empty"),
        ("x\n", [], "a header and no rows"),
        (SMALL_CSV, [], "2 columns of numbers: choose one of 'size', 'weight' with --column"),
        (SMALL_CSV, ["--column", "height"], "no column 'height': it has 'size', 'weight', 'name'"),
        (SMALL_CSV, ["--column", "name"], "line 2, column 'name' is not a number: 'a'"),
        ("a,b\nx,y\n", [], "no column of numbers: it has 'a', 'b'"),
        ("x,x\n1,2\n2,3\n", ["--column", "x"], "2 columns called 'x'"),
        ("x\n1\ntwo\n3\n", [], "line 3, column 'x' is not a number: 'two'"),
        ("x\n1\n1_000\n3\n", [], "line 3, column 'x' is not a number: '1_000'"),
        ("x\n1;2\n3;4\n", [], "cells are separated by commas"),
        ("x\n1\nnan\n3\n", [], "line 3, column 'x' is not finite: 'nan'"),
        ("x\n1\n-inf\n3\n", [], "line 3, column 'x' is not finite: '-inf'"),
        ("x\n1\n1e999\n3\n", [], "line 3, column 'x' is not finite: '1e999'"),
        ("x,y\n1,2\n,3\n4,5\n", ["--column", "x"], "line 3, column 'x' is empty"),
        ("x,y\n1,2\n3\n4,5\n", ["--column", "x"], "line 3 has 1 cells where the first row has 2"),
        ("x\n1\n\n2\n", [], "line 3 has 0 cells where the first row has 1"),
        ('x\n1\n"2\n', [], "line 3"),
        ("x\n1\n", [], "at least 2 distinct values are needed, got 1 value, 1 distinct"),
        ("x\n3\n3\n3\n", [], "at least 2 distinct values are needed, got 3 values, 1 distinct"),
        ("x\n1e308\n-1e308\n5e307\n", [], "does not fit into float64"),
        ("x\n0\n5e-324\n1e-323\n", [], "does not fit into float64"),
        ("x\n1\n2\n", [], "a mixture of 2 Gaussians needs more than 2"),
        ("x\n1\n2\n3\n", ["--density", "mixture:9"], "a mixture of 9 Gaussians needs more than 9"),
    ],
)
def test_bad_data_is_one_line(tmp_path, capsys, monkeypatch, text, args, words):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "data.csv"
    if text is not None:
        path.write_text(text)
    assert words in fails(capsys, ["fit", str(path), *args])
    assert sorted(tmp_path.iterdir()) == ([] if text is None else [path])


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--column", "height"], "Old Faithful has columns eruptions, waiting, not 'height'"),
        (["--target", "bi2d"], "--target must be sym1d or asym1d, got 'bi2d'"),
        (["data.csv", "--target", "sym1d"], "FILE has no meaning with --target"),
        (["--target", "sym1d", "--column", "x"], "--column has no meaning with --target"),
        (["--target", "sym1d", "--density", "kde"], "--density has no meaning with --target"),
        (["--target", "sym1d", "--bandwidth", "1"], "--bandwidth has no meaning with --target"),
        (["--bandwidth", "scott"], "--bandwidth belongs to --density kde, not to 'mixture:2'"),
        (["--density", "mixture:0"], "--density must be kde, or mixture:K with K from 1"),
        (["--density", "mixture:-1"], "got 'mixture:-1'"),
        (["--density", "mixture:x"], "got 'mixture:x'"),
        (["--density", "histogram"], "got 'histogram'"),
        (["--density", "kde", "--bandwidth", "0"], "a positive number, got '0'"),
        (["--density", "kde", "--bandwidth", "nan"], "a positive number, got 'nan'"),
        (["--density", "kde", "--bandwidth", "wide"], "silverman or scott or a positive number"),
        (["--data", "iris"], "--data must be faithful"),
        (["a.csv", "--data", "faithful"], "FILE and --data are two sources"),
        (["--column", "waiting", "--column", "waiting"], "'waiting' is given twice"),
        (["--data", "faithful", "--density", "kde"], "--density kde is of one column, got 2"),
        (["--family", "cauchy"], "--family must be normal, mvn, student_t, or mixture:K"),
        (["--family", "mixture:0"], "got 'mixture:0'"),
        (["--objective", "renyi:1"], "renyi:A with A between 0 and 1"),
        (["--objective", "forward", "--direction", "reverse"], "contradict each other"),
        (["--objective", "js", "--direction", "reverse"], "which is symmetric"),
        (["--resume", "no/such/folder/fit"], "cannot write no/such/folder/fit"),
        (["--direction", "sideways"], "--direction must be forward, reverse or both"),
        (["--base", "1"], "--base must be a number above 1"),
        (["--base", "e"], "--base must be a number above 1"),
        (["--starts", "0"], "--starts must be at least 1, got 0"),
        (["--starts", "many"], "--starts"),
        (["--seed", "-1"], "--seed must be between 0 and"),
        (["--plot", "figure"], "the name must end in one of"),
        (["--plot", "figure.txt"], "the name must end in one of"),
        (["--plot", "no/such/folder/figure.png"], "cannot write no/such/folder/figure.png"),
        (["--json", "no/such/folder/facts.json"], "cannot write no/such/folder/facts.json"),
        (["--json", "."], "cannot write ."),
        (["--plot", "a.svg", "--json", "./a.svg"], "--plot and --json are the same file"),
        (["a.png", "--plot", "a.png"], "FILE and --plot are the same file"),
        (["--no-such-option"], "--no-such-option"),
        (["one.csv", "two.csv"], "two.csv"),
    ],
)
def test_bad_options_are_one_line_before_anything_is_computed(
    tmp_path, capsys, monkeypatch, args, words
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(jd, "fit", None)
    assert words in fails(capsys, ["fit", *args])
    assert list(tmp_path.iterdir()) == []


def test_a_folder_and_a_binary_file_are_no_data(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "cannot read" in fails(capsys, ["fit", str(tmp_path)])
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00\x01")
    assert "not text in UTF-8" in fails(capsys, ["fit", "binary.csv"])


def test_an_output_that_fails_at_the_end_is_one_line(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if not os.path.exists("/dev/full"):
        return
    args = ["fit", "--target", "sym1d", "--direction", "forward", "--json", "/dev/full"]
    assert "cannot write /dev/full" in fails(capsys, args)


def test_an_existing_output_survives_a_failure(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "facts.json").write_text("kept")
    fails(capsys, ["fit", "--json", "facts.json", "--plot", "no/such/folder/a.png"])
    assert (tmp_path / "facts.json").read_text() == "kept"


def test_a_file_without_header_and_with_a_byte_order_mark(tmp_path):
    from jaxdiv._cli.table import read_column

    path = tmp_path / "data.csv"
    path.write_bytes(b"\xef\xbb\xbf1.5\r\n2.5\r\n4\r\n")
    column = read_column(path, None)
    assert column.name == "1" and column.values.tolist() == [1.5, 2.5, 4.0]
    path.write_text('"a, b",other\n 1.5 ,u\n2.5,v\n')
    column = read_column(path, None)
    assert column.name == "a, b" and column.values.tolist() == [1.5, 2.5]


def test_help_and_version(capsys):
    assert main([]) == 0
    assert "fit" in capsys.readouterr().out
    assert main(["fit", "--help"]) == 0
    assert "--bandwidth" in capsys.readouterr().out
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("jaxdiv ")
    assert "no-such-command" in fails(capsys, ["no-such-command"])


def test_bandwidth_rules_are_those_of_scipy():
    values = old_faithful().waiting
    for rule in ("silverman", "scott"):
        expected = np.sqrt(scipy.stats.gaussian_kde(values, rule).covariance.item())
        np.testing.assert_allclose(kernel_bandwidth(values, rule), expected, rtol=1e-14)
    assert kernel_bandwidth(values, 0.25) == 0.25
