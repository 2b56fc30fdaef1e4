"""The run file that ``conv3d run --init`` begins with: it runs as it stands, and names every key there is."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

from conv3d_cli.runfile.keys import BATCH, Key, Keys

WIDTH = 110
GIVEN = ("input", "output", "overwrite")

HEAD = """\
# A run of conv3d: everything that a command line can say, in one file.
#
#   conv3d run {name} --dry-run     checks everything and shows the plan
#   conv3d run {name}
#   conv3d run {name} --set output=other.nii.gz --set layers.1.filters=8
#
# Paths are relative to the folder of this file. An unknown key, a value of the wrong kind or two keys that contradict
# are errors, told all at once with line and column.

input: {source}
output: {target}
overwrite: true             # false: an output that exists is an error

# What to compute. In place of `layers:` a file can be named, as in `spec: edges.yaml`, or filters, as in
# `filters: [gaussian:fwhm=6mm, sobel]`; `conv3d filters` lists those.
layers:
  - name: smooth
    filters: 1
    kernel_size: 13
    padding: same
    use_bias: false
    kernel_initializer: {{class_name: gaussian, config: {{fwhm: 4mm}}}}
  - name: slopes
    filters: 3              # the slopes along x, y and z
    kernel_size: 3
    padding: same
    use_bias: false
    kernel_initializer: {{class_name: gradient, config: {{axis: all, per: mm}}}}
"""
MORE = """
# Further keys, each with its default or an example. Take the # away to use one.
"""
MANY = """
# Many volumes: in place of `input:` and `output:`, and without `overwrite:` and `report:`.
#inputs: [scans, 'more/*.nii.gz']
#batch:
"""
EXAMPLES = {
    "participant_labels": "['01', '02']", "session_labels": "[pre]", "datatypes": "[anat]", "suffixes": "[T1w]",
    "entities": "[task-rest]", "mask_desc": "brain", "desc": "smooth",
    "spec": "edges.yaml", "filters": "[gaussian:fwhm=6mm]", "boundary": "reflect", "weights": "edges.npz",
    "mask": "mask.nii.gz", "labels": "labels.nii.gz", "outside": "zero", "min_coverage": "0.001",
    "like": "reference.nii.gz", "axes": "xyzc", "compute_dtype": "float64", "max_memory": "4G", "threads": "2",
    "report": "report.json", "log_file": "run.log", "out_dir": "out", "pattern": "'**/*_T1w.nii.gz'",
    "manifest": "scans.csv", "jobs": "2", "shard": "1/8", "slurm_options": "[partition=short, 'time=2:00:00']",
}  # fmt: skip
"""Values to show for keys whose default is to say nothing."""


def starter(keys: Keys, name: str, source: str, target: str) -> str:
    """Return a run file called ``name`` that reads ``source`` and writes ``target``, with a comment for each key."""
    shown = {*GIVEN, "inputs"}
    defaults = {**keys.defaults("apply"), **keys.defaults(BATCH)}
    one = [key for key in keys.of("").values() if key.name not in shown]
    many = _comments(keys.of(BATCH).values(), defaults, "  ")
    head = HEAD.format(name=name, source=_word(source), target=_word(target))
    return head + MORE + _comments(one, defaults, "") + MANY + many


def _comments(keys: Iterable[Key], defaults: Mapping[str, Any], indent: str) -> str:
    lines = []
    for key in keys:
        value = EXAMPLES.get(key.name)
        lines += ["", *textwrap.wrap(key.meaning, WIDTH, initial_indent="# ", subsequent_indent="# ")]
        lines.append(f"#{indent}{key.name}: {_word(defaults[key.word]) if value is None else value}")
    return "\n".join(lines) + "\n"


def _word(value: Any) -> str:
    """Return a value as YAML has it, in double quotes where it needs some."""
    plain = isinstance(value, str) and value.replace("/", "").replace("_", "").replace(".", "").isalnum()
    return value if plain else json.dumps(value, ensure_ascii=False)
