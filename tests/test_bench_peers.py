"""Each peer that is installed, on small cases, against the definition; and that none is imported before."""

from __future__ import annotations

import subprocess
import sys

import pytest

from conv3d_cli.bench import PEERS, installed, parse_case
from conv3d_cli.bench.truth import truth_of

pytestmark = pytest.mark.filterwarnings("ignore")  # other libraries' own

CASES = (
    "1->1 20^3 k3",
    "1->1 9x13x10 k5",
    "1->1 12^3 k2",
    "1->3 12^3 k3x5x1 s2",
    "4->6 11^3 k3 g2",
    "4->6 12^3 k2 s2 last",
    "3->3 12^3 k3 g3 d2",
    "8->4 10^3 k3 last",
    "1->1 32^3 gaussian2",
    "1->1 20^3 box5",
    "1->1 20^3 sobel",
    "1->1 20^3 laplacian",
)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", PEERS)
def test_a_peer_agrees_with_the_definition(name, threads):
    peer = PEERS[name]
    if peer.library not in installed():
        pytest.skip(f"{peer.library} is not installed")
    if peer.library == "TensorFlow" and threads > 1:
        pytest.skip("its threads are set once for a process")
    served = 0
    for text in CASES:
        case = parse_case(text)
        if peer.direct and case.kernel == (17, 17, 17):
            continue  # takes some of them seconds
        x, kernel = case.arrays()
        call = peer.prepare(case, x, kernel, threads)
        if call is not None:
            served += 1
            truth = truth_of(case, x, kernel)
            for _ in range(2):
                assert truth.error(call(), peer.edges) <= peer.error, (name, text)
            assert truth.error(1.2 * call(), peer.edges) > peer.error, "an error must be seen"
    assert served


def test_a_peer_is_imported_only_when_it_is_measured():
    modules = [*sorted({peer.module for peer in PEERS.values()} - {"scipy"}), "scipy.signal", "scipy.ndimage"]
    code = (
        "import sys, conv3d_cli.bench, conv3d_cli.cli.bench; conv3d_cli.bench.installed();"
        f"print([name for name in {[*modules, 'onnx', 'matplotlib']} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_installed_peers_have_a_version():
    found = installed()
    assert "scipy" in found
    assert "unknown" not in found.values()
    assert list(found) == [name for name in dict.fromkeys(p.library for p in PEERS.values()) if name in found]
