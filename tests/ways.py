"""The methods that serve every problem; what holds for all problems is tested with them."""

from conv3d_cli.engine import METHODS, isa

EVERYWHERE = tuple(m for m in METHODS if m in ("direct", "fft", "reference"))
USABLE = tuple(m for m in EVERYWHERE if m != "direct" or isa.native() is not None)
