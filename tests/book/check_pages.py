"""Draw every page of a built site in a browser, and say what a reader would stumble over.

    python tests/book/check_pages.py build/recorded-quick/html [--pages NAME ...] [--pictures FOLDER]

Each page is drawn at the width of a desk and of a phone, light and dark. Found are: errors on the
console, anything fetched from the network, empty figures, pictures with text below 8 points, text out of its
box, broken links, and what axe-core reports (contrast, texts of pictures, names of controls).
Chromium or Chrome must be installed (or named by CHROMIUM).
"""

import argparse
import os
import shutil
import sys
from collections import defaultdict
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote, urldefrag

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--enable-unsafe-swiftshader",
    "--disable-background-networking",
]
DESK, PHONE = 1280, 400  # pixels
SCHEMES = ("light", "dark")
LOCAL = ("data:", "blob:", "about:")
RULES = ["color-contrast", "image-alt", "role-img-alt", "svg-img-alt", "label", "link-name", "button-name"]
RULES += ["document-title", "html-has-lang", "list", "empty-heading"]

# Text may not leave the page, its table cell, its card or its box; what scrolls may.
OVERFLOW = """() => {
  const found = [], boxes = 'td, th, pre, .admonition, .sd-card, figcaption, article', wide = innerWidth + 1;
  const others = 'script, style, mjx-container, .headerlink, .js-plotly-plot';
  const cut = e => /auto|scroll|hidden/.test(getComputedStyle(e).overflowX);
  const hides = e => cut(e) && e.scrollWidth > e.clientWidth + 1;
  const scrolls = e => { for (; e; e = e.parentElement) if (hides(e)) return true; return false; };
  const root = document.querySelector('article') || document.body;
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  for (let node; (node = walker.nextNode());) {
    const parent = node.parentElement, text = node.textContent.trim();
    if (!text || !parent.offsetParent || parent.closest(others)) continue;
    const range = document.createRange(); range.selectNodeContents(node);
    const rect = range.getBoundingClientRect(), box = parent.closest(boxes)?.getBoundingClientRect();
    if (rect.width && (rect.right > wide || (box && rect.right > box.right + 1)) && !scrolls(parent))
      found.push(text.slice(0, 60));
  }
  for (const table of document.querySelectorAll('article table'))
    if (table.getBoundingClientRect().right > wide && !scrolls(table))
      found.push('a table, ' + table.innerText.slice(0, 40));
  if (document.documentElement.scrollWidth > innerWidth + 1) found.push('the page scrolls sideways');
  return found;
}"""
EMPTY = """() => [
  ...[...document.querySelectorAll('article img')].filter(e => e.complete && !e.naturalWidth).map(e => e.src),
  ...[...document.querySelectorAll('.js-plotly-plot, .plotly-graph-div')].filter(e => e.offsetParent)
    .filter(e => !e.querySelector('.main-svg') || e.clientHeight < 100 || !(e._fullData || []).length)
    .map(e => 'an interactive figure')]"""
# Pictures have 100 pixels an inch and text of 8 points or more; at this share of their size it is 8 points
# still (a pixel of a page is 1/96 inch), but for rounding.
SMALLEST = 0.955
SMALL = """smallest => [...document.querySelectorAll('div.cell_output img')]
  .filter(e => e.offsetParent && e.clientWidth < smallest * e.naturalWidth)
  .map(e => `${e.alt.slice(0, 40)}: ${e.clientWidth} of ${e.naturalWidth} pixels`)"""
LINKS = "() => [...document.querySelectorAll('a[href]')].map(a => a.getAttribute('href'))"
IDS = "() => [...document.querySelectorAll('[id], a[name]')].map(e => e.id || e.name)"
AXE = """rules => axe.run('article, nav, header, footer', {runOnly: {type: 'rule', values: rules}})
  .then(r => r.violations.flatMap(v => v.nodes.map(n => v.id + ': ' + n.target.join(' '))))"""


def browser_path():
    """The installed Chromium or Chrome, or None."""
    named = os.environ.get("CHROMIUM")
    return named or next(filter(None, map(shutil.which, BROWSERS)), None)


class Quiet(SimpleHTTPRequestHandler):
    """Serves the pages, and does not tell what it serves."""

    def log_message(self, *_):
        pass


@contextmanager
def served(folder):
    """The address of a folder that is served on this machine, to this machine alone."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()


def is_error(message):
    """Whether a message of the console is an error; browsers ask for an icon that no page names."""
    return message.type == "error" and not message.location["url"].endswith("/favicon.ico")


def load(page, address):
    """Load a page; returns a list that what is wrong with it is added to, now and later."""
    wrong, home = [], address.rsplit("/", 1)[0]
    page.on("console", lambda m: wrong.append(f"console: {m.text}") if is_error(m) else None)
    page.on("pageerror", lambda error: wrong.append(f"script error: {error}"))
    page.on(
        "request", lambda r: None if r.url.startswith((home, *LOCAL)) else wrong.append(f"network: {r.url}")
    )
    page.goto(address, wait_until="load")
    page.evaluate("document.querySelectorAll('details').forEach(e => e.open = true)")
    page.wait_for_timeout(300)
    if page.locator(".plotly-graph-div").count():
        page.wait_for_timeout(1500)
    return wrong


def look(page, scheme, axe):
    """What is wrong with a loaded page in light or dark colours; ``axe`` is the code of axe-core, or None."""
    page.emulate_media(color_scheme=scheme)
    page.wait_for_function("scheme => document.documentElement.dataset.theme === scheme", arg=scheme)
    wrong = [f"empty: {what}" for what in page.evaluate(EMPTY)]
    wrong += [f"small text: {what}" for what in page.evaluate(SMALL, SMALLEST)]
    wrong += [f"overflows: {what}" for what in page.evaluate(OVERFLOW)]
    if axe:
        page.add_script_tag(content=axe)
        wrong += [f"axe: {what}" for what in page.evaluate(AXE, RULES)]
    return wrong


def broken(links, anchors, site):
    """Links of pages to files or anchors that are not there: {(page, what is wrong)}."""
    found = set()
    for page, targets in links.items():
        for target in targets:
            path, anchor = urldefrag(target)
            if ":" in path or path.startswith("//"):
                continue  # another site, which nothing here may ask for
            place = (site / page).parent / unquote(path) if path else site / page
            name = place.resolve().relative_to(site.resolve()).as_posix() if place.exists() else None
            if name is None or (anchor and name in anchors and unquote(anchor) not in anchors[name]):
                found.add((page, f"broken link: {target}"))
    return found


def check(site, names=(), pictures=None):
    """What is wrong with the pages of a site: dict, page -> sorted list of text."""
    from axe_playwright_python.base import AXE_FILE_PATH  # its copy of axe-core
    from playwright.sync_api import sync_playwright

    axe = Path(AXE_FILE_PATH).read_text()
    found, links, anchors = defaultdict(set), {}, {}
    pages = [path for path in sorted(site.glob("*.html")) if not names or path.stem in names]
    with sync_playwright() as play, served(site) as home:
        browser = play.chromium.launch(executable_path=browser_path(), args=ARGUMENTS)
        for path in pages:
            for width in (DESK, PHONE):
                page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=SCHEMES[0])
                wrong = load(page, f"{home}{path.name}")
                for scheme in SCHEMES:
                    seen = look(page, scheme, axe if width == DESK else None)
                    found[path.name] |= {f"{width} px, {scheme}: {what}" for what in seen}
                    if pictures:
                        pictures.mkdir(parents=True, exist_ok=True)
                        page.screenshot(path=pictures / f"{path.stem}-{width}-{scheme}.png", full_page=True)
                links[path.name], anchors[path.name] = page.evaluate(LINKS), {"", "top", *page.evaluate(IDS)}
                found[path.name] |= {f"{width} px: {what}" for what in wrong}
                page.close()
        browser.close()
    for name, what in broken(links, anchors, site):
        found[name].add(what)
    return {name: sorted(wrong) for name, wrong in found.items() if wrong}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("site", type=Path, help="folder of the built pages")
    parser.add_argument("--pages", nargs="+", default=[], help="names of pages; all if not given")
    parser.add_argument("--pictures", type=Path, help="keep a picture of every page in this folder")
    given = parser.parse_args()
    if not (given.site / "index.html").is_file():
        sys.exit(f"{given.site} holds no index.html; build the pages first, with `make read` or `make book`")
    if browser_path() is None:
        sys.exit(f"no browser found; install one of {', '.join(BROWSERS)}, or name it by CHROMIUM=...")
    found = check(given.site, given.pages, given.pictures)
    for name, wrong in found.items():
        print(name, *wrong, sep="\n  ")
    sys.exit(f"{sum(map(len, found.values()))} things to fix" if found else 0)


if __name__ == "__main__":
    main()
