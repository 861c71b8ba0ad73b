"""The documentation site is built without a warning, is whole, and works in a browser."""

import ast
import os
import re
import subprocess
import sys
import threading
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

import pytest
from playwright.sync_api import expect, sync_playwright

TOP = Path(__file__).parents[2]
expect.set_options(timeout=30_000)  # ms: of a busy machine


class Page(HTMLParser):
    """The anchors of a page, the links to others, and what it loads."""

    def __init__(self, path):
        HTMLParser.__init__(self)
        self.anchors, self.links, self.loaded = set(), [], []
        self.feed(path.read_text())

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.anchors |= {attributes.get("id"), attributes.get("name")} - {None}
        if tag == "a" and "href" in attributes:
            self.links.append(attributes["href"])
        elif tag == "link" and attributes.get("rel") != "canonical":
            self.loaded.append(attributes["href"])
        elif tag in ("img", "script") and "src" in attributes:
            self.loaded.append(attributes["src"])


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, str(TOP / "notebooks/site/build.py"), str(folder)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr, done.stderr
    return folder


@pytest.fixture(scope="session")
def pages(site):
    found = {path: Page(path) for path in site.rglob("*.html")}
    assert len(found) > 15
    return found


@pytest.fixture(scope="session")
def address(site):
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=site)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="session")
def browser():
    with sync_playwright() as playwright:
        # CI runs as root, for whom Chromium's sandbox does not start.
        yield playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])


@pytest.fixture
def page(browser, address):
    """A page on which every complaint is collected, and must not have been made."""
    complaints = []
    context = browser.new_context(base_url=address)
    page = context.new_page()
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "requestfailed",
        lambda request: (
            request.failure == "net::ERR_ABORTED"  # the next page was opened
            or complaints.append(f"{request.failure} {request.url}")
        ),
    )
    page.on(
        "response",
        lambda reply: reply.status < 400 or complaints.append(f"{reply.status} {reply.url}"),
    )
    page.on(
        "request",
        lambda request: (
            request.url.startswith((address, "data:", "blob:"))
            or complaints.append(f"elsewhere: {request.url}")
        ),
    )
    yield page
    context.close()
    assert not complaints


def test_links(site, pages):
    broken = []
    for path, page in pages.items():
        for link in page.links + page.loaded:
            if urlsplit(link).scheme in ("http", "https") and link in page.links:
                continue  # another site's
            relative, anchor = urldefrag(link)
            # The page of a missing page is served from any folder: its links begin at the top.
            start = site if relative.startswith("/") else path.parent
            target = (start / unquote(relative).lstrip("/")).resolve() if relative else path
            if target.is_dir():
                target /= "index.html"
            if not target.is_file():
                broken.append(f"{path.relative_to(site)}: {link}")
            elif anchor and unquote(anchor) not in pages[target].anchors:
                broken.append(f"{path.relative_to(site)}: {link} (no such anchor)")
    assert not broken


def test_every_public_name_is_in_the_reference(site, pages):
    imports = ast.parse((TOP / "jaxdiv/__init__.py").read_text()).body
    names = {
        alias.name for node in imports if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert len(names) > 100
    reference = [page for path, page in pages.items() if path.parent == site / "reference"]
    for name in names:
        places = sum(f"jaxdiv.{name}" in page.anchors for page in reference)
        assert places == 1, f"{name} is on {places} pages of the reference"


def test_search(page):
    page.goto("/index.html")
    page.get_by_role("textbox", name="Search").press_sequentially("squared_hellinger")
    results = page.locator(".md-search-result__link", has_text="squared_hellinger")
    results.first.click()
    expect(page).to_have_url(re.compile(r"reference/verbs.html.*#jaxdiv.squared_hellinger$"))


def test_reference_of_kl(page):
    page.goto("/index.html")
    page.get_by_role("link", name="Verbs").first.click()
    page.locator(".md-nav--secondary").get_by_role("link", name="kl", exact=True).click()
    expect(page).to_have_url(re.compile(r"reference/verbs.html#jaxdiv.kl$"))
    heading = page.locator("[id='jaxdiv.kl']")
    expect(heading).to_be_in_viewport()
    block = page.locator(".doc-object", has=heading)
    expect(block).to_contain_text("estimator: AbstractEstimator")
    expect(block).to_contain_text("0.721348")
    expect(block.locator("math").first).to_be_visible()
    block.get_by_role("link", name="KL", exact=True).click()
    expect(page).to_have_url(re.compile(r"reference/functionals.html#jaxdiv.KL$"))


def test_every_page_opens(page, site, pages):
    for path in pages:
        page.goto(str(path.relative_to(site)))
        if path.name != "404.html":
            expect(page.locator("article h1").first).to_be_visible()


def test_notebook_has_its_figures(page):
    page.goto("/index.html")
    page.get_by_role("link", name="Mean-seeking and mode-seeking").first.click()
    expect(page.locator("article h1")).to_contain_text("Mean-seeking and mode-seeking")
    page.wait_for_load_state("load")  # the heading is there before the last figures are
    figures = page.locator("article img")
    assert figures.count() >= 5
    for figure in figures.all():
        assert figure.evaluate("image => image.complete && image.naturalWidth > 100")
    expect(page.locator("article table").last).to_contain_text("0.528135")
