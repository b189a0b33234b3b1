"""An extension of Sphinx: the project's docstrings in the layout that napoleon reads.

In the project a parameter, attribute, returned value or error is "name : what it is", with further lines
indented; napoleon would take what follows the colon for a type.
"""

import re

SECTIONS = ("Parameters", "Attributes", "Returns", "Raises")


def setup(app):
    app.connect("autodoc-process-docstring", _process, priority=400)  # before napoleon
    return {"parallel_read_safe": True}


def _process(app, what, name, obj, options, lines):
    lines[:] = numpydoc(lines)
    if what in ("property", "attribute") and lines:
        lines[0] = lines[0].replace(": ", " – ", 1)  # which napoleon takes for the end of a type


def sections(lines: list[str]) -> list[tuple[str, list[str]]]:
    """The parts of a docstring: (title, lines without title and underline); what has no title is ""."""
    found: list[tuple[str, list[str]]] = [("", [])]
    for i, line in enumerate(lines):
        if line in SECTIONS and lines[i + 1 : i + 2] and re.fullmatch("-{3,}", lines[i + 1]):
            found.append((line, []))
        elif not (re.fullmatch("-{3,}", line) and lines[i - 1] in SECTIONS):
            found[-1][1].append(line)
    return found


def entries(body: list[str]) -> list[tuple[str, list[str]]]:
    """The entries of a section: (name, lines of its text); a text that has no name is one entry, named ""."""
    body = "\n".join(body).strip("\n").split("\n")
    if " : " not in body[0]:
        return [("", body)]
    found: list[tuple[str, list[str]]] = []
    for line in body:
        if line.startswith(" ") or not line:
            found[-1][1].append(line.strip())
        else:
            name, _, text = line.partition(" : ")
            found.append((name, [text]))
    return found


def numpydoc(lines: list[str]) -> list[str]:
    """A docstring with every entry's text below its name, and returned values and errors as fields."""
    out = []
    for title, body in sections(lines):
        if not title:
            out += body
            continue
        parts = entries(body)
        if title == "Raises":
            for name, text in parts:
                out += _field(f"raises {name}", text)
        elif not parts[0][0]:
            out += _field(title.lower(), parts[0][1])
        else:
            out += ["", title, "-" * len(title)]
            for name, text in parts:
                out += [name, *(f"    {line}" for line in text)]
        out.append("")
    return out


def _field(name, text):
    return ["", f":{name}: {text[0]}", *(f"    {line}" for line in text[1:])]
