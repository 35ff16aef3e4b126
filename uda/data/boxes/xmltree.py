"""Read XML of unknown origin: no document types, no entities, no deep nesting.

Entities are how a small file expands to gigabytes or reads other files; the
annotation formats need none, so a file that declares any is refused.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any
from xml.parsers import expat

from uda.errors import DataError

MAX_BYTES = 16 * 2**20
_MAX_DEPTH = 32


def read_xml(path: Path) -> ET.Element:
    """Parse a file into a tree.

    Raises:
        DataError: not XML, larger than 16 MiB, deeper than 32 levels, or with a
            DOCTYPE; the message names file and line.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise DataError(f"{path}: {size:,} bytes are too many for one image")
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    try:
        return _Reader(path).parse(raw)
    except expat.ExpatError as error:
        raise DataError(f"{path}:{error.lineno}: is not XML ({error})") from error
    except (ValueError, LookupError) as error:  # an encoding nobody knows
        raise DataError(f"{path}: cannot be read as XML ({error})") from error


class _Reader:
    """Expat's events to a tree, with everything dangerous switched off."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.depth = 0
        self.tree: ET.TreeBuilder = ET.TreeBuilder()
        self.parser = expat.ParserCreate()
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self.start
        self.parser.EndElementHandler = self.end
        self.parser.CharacterDataHandler = self.tree.data
        self.parser.StartDoctypeDeclHandler = self.refuse
        self.parser.EntityDeclHandler = self.refuse
        self.parser.ExternalEntityRefHandler = self.refuse

    def parse(self, raw: bytes) -> ET.Element:
        self.parser.Parse(raw, True)
        return self.tree.close()

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise DataError(f"{self._here()}: nested deeper than {_MAX_DEPTH} levels")
        self.tree.start(name, attributes)

    def end(self, name: str) -> None:
        self.depth -= 1
        self.tree.end(name)

    def refuse(self, *_: Any) -> int:
        raise DataError(
            f"{self._here()}: declares a document type or entities, which annotation "
            "files do not need; delete the DOCTYPE if you trust the file"
        )

    def _here(self) -> str:
        return f"{self.path}:{self.parser.CurrentLineNumber}"
