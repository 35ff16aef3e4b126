"""Lets ``python -m uda`` do what the ``uda`` command does."""

from __future__ import annotations

from uda.cli import main

if __name__ == "__main__":
    main()
