"""The lines of the translation page of torch, TFP and distrax: both sides have one value."""

import distrax
import tensorflow_probability.substrates.jax as tfp
import torch

from .. import translations


def test_torch():
    names = {"torch": torch, "F": torch.nn.functional, "D": torch.distributions}
    translations.check(translations.TORCH, names, torch.asarray)


def test_tfp():
    translations.check(translations.TFP, {"tfd": tfp.distributions})


def test_distrax():
    translations.check(translations.DISTRAX, {"distrax": distrax})
