"""The page that translates from other libraries, and optax's lines of it."""

import optax

from . import translations


def test_the_page_is_the_table():
    """`python -m tests.translations` writes it."""
    assert translations.PAGE.read_text(encoding="utf-8") == translations.page()


def test_optax():
    translations.check(translations.OPTAX, dict(vars(optax.losses)))
