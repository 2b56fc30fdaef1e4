"""The faults of ``mutants.py`` can still be put in: a line that was rewritten would leave nothing to alter."""

from __future__ import annotations

import pytest
from mutants import MUTANTS, ROOT


@pytest.mark.parametrize(("what", "name", "right", "wrong"), MUTANTS)
def test_the_line_to_change_is_there(what, name, right, wrong):
    assert right in (ROOT / "conv3d_cli" / "engine" / name).read_text()
    assert right != wrong
