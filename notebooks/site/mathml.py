"""A Markdown extension: LaTeX between dollars becomes MathML, which browsers draw by themselves."""

import re

from latex2mathml.converter import convert
from markdown import Extension, Markdown
from markdown.inlinepatterns import InlineProcessor

DISPLAY = r"(?<!\\)\$\$(.+?)\$\$"
INLINE = r"(?<![\\$])\$(?!\s)((?:\\.|[^\\$])+?)(?<!\s)\$(?!\d)"
FUNCTION = re.compile(r"<mi>([a-z]{2,})</mi>")  # log p is not logp
PRIORITY = 185  # below code (190), above backslash escapes (180)


class Math(InlineProcessor):
    def __init__(self, pattern: str, md: Markdown, display: str):
        InlineProcessor.__init__(self, pattern, md)
        self.display = display

    def handleMatch(self, m, data):
        latex = re.sub(r"\\arg\b", r"\\operatorname{arg}", " ".join(m[1].split()))
        mathml = convert(latex, display=self.display)
        if "\\" in mathml:  # the converter passes on what it does not know
            raise ValueError(f"not understood as LaTeX: {m[1]}")
        mathml = FUNCTION.sub(r'<mo lspace=".1em" rspace=".17em">\1</mo>', mathml)
        return self.md.htmlStash.store(mathml), m.start(0), m.end(0)


class MathML(Extension):
    def extendMarkdown(self, md: Markdown) -> None:
        for name, pattern in {"block": DISPLAY, "inline": INLINE}.items():
            md.inlinePatterns.register(Math(pattern, md, name), f"math-{name}", PRIORITY)


def makeExtension(**options) -> MathML:
    return MathML(**options)
