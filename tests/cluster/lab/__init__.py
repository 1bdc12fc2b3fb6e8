"""A Kubernetes of our own. What it shares with tests/e2e is imported from there: its lab is part of
this package."""

from pathlib import Path

__path__.append(str(Path(__file__).resolve().parents[2] / "e2e" / "lab"))
