# SPDX-License-Identifier: Apache-2.0
"""The package speaks of events, never of what the bus is built on; and it is laid out as the house wants it."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Iterator

import autobus

ROOT = Path(autobus.__file__).parent
FILES = sorted(p for p in ROOT.rglob("*.py"))
FORBIDDEN = re.compile("kafka|partition|offset|broker|topic|consumer group", re.IGNORECASE)
# Names of the wire and of specs, which no user meets.
WIRE = {"partitionkey", "kafka"}


def said(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """All text and all names that a module gives to things; not the methods of text that it calls."""
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield line, node.value
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield line, node.name
        elif isinstance(node, ast.arg):
            yield line, node.arg
        elif isinstance(node, ast.Name):
            yield line, node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield line, node.attr


def test_no_word_of_what_is_below() -> None:
    for path in FILES:
        for line, text in said(ast.parse(path.read_text(encoding="utf-8"))):
            assert text in WIRE or not FORBIDDEN.search(text), f"{path.relative_to(ROOT)}:{line}: {text}"
    assert list(said(ast.parse("def offsets(): 'of kafka'"))) == [(1, "offsets"), (1, "of kafka")]


def test_each_file_says_what_it_is_for_and_is_short() -> None:
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        assert text.startswith("# SPDX-License-Identifier: Apache-2.0\n"), path
        lines = text.splitlines()
        assert len(lines) <= 260 and max(map(len, lines)) <= 120, path
        if path.name != "_version.py":
            assert len(ast.get_docstring(ast.parse(text)) or "") > 25, path


def test_what_is_public_is_documented() -> None:
    for name in autobus.__all__:
        thing = getattr(autobus, name)
        if isinstance(thing, type):
            assert (thing.__doc__ or "").strip(), name
            for method, f in vars(thing).items():
                if not method.startswith("_") and callable(f) and thing.__module__.startswith("autobus"):
                    assert (f.__doc__ or "").strip(), f"{name}.{method}"
