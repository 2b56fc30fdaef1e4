"""What several tests name: where the project's files are, and the methods that serve everything."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parent.parent

GENERAL = ("direct", "fft", "reference")
"""The methods that serve every problem."""
