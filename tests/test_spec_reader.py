"""The strict YAML reader: places, limits, and the words that YAML reads in its own way."""

from __future__ import annotations

import datetime
from contextlib import suppress

import pytest
import yaml
from badspecs import BAD_SPECS
from hypothesis import given, settings
from hypothesis import strategies as st

from conv3d_cli.errors import SpecError
from conv3d_cli.spec.problems import Problems
from conv3d_cli.spec.reader import MOST_BYTES, MOST_DEPTH, parse, read_bytes
from conv3d_cli.spec.scalars import EXPLAINED, NEVER, Trap, number


def read(text):
    problems = Problems("a.yaml")
    node = parse(text if isinstance(text, bytes) else text.encode(), problems)
    problems.raise_any()
    return node


def places(data):
    try:
        return [str(node.place) for node in parse(data, Problems("a.yaml")).walk()]
    except SpecError as error:
        return [line.split(": ")[0] for line in error.problems]


@pytest.mark.parametrize("case", BAD_SPECS, ids=lambda case: case.name)
def test_both_parsers_of_pyyaml_give_the_same_places(case, monkeypatch):
    quick = places(case.data)
    monkeypatch.delattr(yaml, "CSafeLoader", raising=False)
    assert places(case.data) == quick


def test_every_value_and_key_has_its_place():
    node = read('a: 1\n"é 😀": {b: [x,\n  "y"]}\n')
    assert [str(n.place) for n in node.walk()] == ["1:1", "1:4", "2:8", "2:12", "2:13", "3:3"]
    assert {k: str(p) for k, p in node.keys.items()} == {"a": "1:1", "é 😀": "2:1"}
    assert node.plain() == {"a": 1, "é 😀": {"b": ["x", "y"]}}


@settings(deadline=None)
@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**62), 2**62)
        | st.floats(allow_nan=False)
        | st.text("ab1.:'# e-é", max_size=6),
        lambda inside: (
            st.lists(inside, max_size=3) | st.dictionaries(st.text("abc", min_size=1, max_size=3), inside, max_size=3)
        ),
        max_leaves=8,
    ),
    st.booleans(),
)
def test_what_pyyaml_writes_is_read_back(value, flow):
    text = yaml.safe_dump({"a": value}, allow_unicode=True, default_flow_style=flow)
    assert read(text).plain() == {"a": value}


@settings(deadline=None)
@given(st.binary(max_size=200) | st.text("a:-[]{}&*!|>'\"%@`#,? \n\t~0", max_size=60).map(str.encode))
def test_no_bytes_raise_anything_but_a_spec_error(data):
    with suppress(SpecError):
        read(data)
    assert all(place.removeprefix("a.yaml:").replace(":", "").isdigit() for place in places(data))


def test_limits_are_reached_but_not_passed(tmp_path):
    assert read("[" * MOST_DEPTH + "]" * MOST_DEPTH).plain() == eval("[" * MOST_DEPTH + "]" * MOST_DEPTH)
    path = tmp_path / "a.yaml"
    path.write_bytes(b"#" * MOST_BYTES)
    assert len(read_bytes(str(path))) == MOST_BYTES


def test_aliases_are_refused_before_they_are_expanded():
    laughs = "a: &a [x, x]\n" + "".join(
        f"{c}: &{c} [{','.join([f'*{p}'] * 9)}]\n" for p, c in zip("abcdefgh", "bcdefghi", strict=True)
    )
    with pytest.raises(SpecError, match="anchor"):
        read(laughs)


READ = {
    "8": 8, "-3": -3, "+5": 5, "0": 0, "0x1F": 31,
    "1.5": 1.5, ".5": 0.5, "5.": 5.0, "1.0e+3": 1000.0, "-1.5e-3": -0.0015, ".inf": float("inf"),
    "true": True, "False": False, "null": None, "~": None,
    "same": "same", "'8'": "8", '"no"': "no", "y": "y", "'1e3'": "1e3",
}  # fmt: skip
REFUSED = {
    "010": "the number 8: write 8, or 10,",
    "-010": "the number -8: write -8, or 10,",
    "0_7": "the number 7",
    "3:00": "the number 180: write 180,",
    "1:30.5": "the number 90.5: write 90.5,",
    "1_000": "the number 1000: write 1000,",
    "1_0.5": "the number 10.5: write 10.5,",
    "0b101": "the number 5: write 5,",
    "2001-01-01": "a date: write '2001-01-01' in quotes",
    "2001-01-01 10:00:00": "a datetime: write",
    "2001-99-99": "not a value that YAML can read: got '2001-99-99'",
    "=": "the text '=': write '=' in quotes",
    "9" * 20: "too large a number",
    "9" * 5000: "",
}
HINTS = {
    "no": "false: write 'no' in quotes",
    "Yes": "true: write 'Yes' in quotes",
    "1e3": "the text '1e3': write 1000",
    "1e-3": "the text '1e-3': write 0.001",
    "1.0e3": "the text '1.0e3': write 1000",
    "-2e-9": "write -2.0e-09",
    "1e999": "write .inf",
    "08": "the text '08': write 8",
    "0o17": "the text '0o17': write 15",
    "None": "the text 'None': write null",
    "nan": "write .nan",
    "-inf": "write -.inf",
    "(3, 3, 1)": "write [3, 3, 1]",
    "3x3x3": "write [3, 3, 3]",
    "1,5": "write [1, 5]",
    "": "nothing as null",
}


@pytest.mark.parametrize(("word", "value"), READ.items())
def test_plain_words_have_the_value_of_yaml(word, value):
    [node] = read(f"a: {word}").value.values()
    assert node.value == value
    assert type(node.value) is type(value)
    assert node.hint is None
    assert yaml.safe_load(f"a: {word}") == {"a": value}


@pytest.mark.parametrize(("word", "message"), REFUSED.items())
def test_words_with_two_meanings_are_refused(word, message):
    with pytest.raises(SpecError) as caught:
        read(f"a: {word}")
    [line] = caught.value.problems
    assert line.startswith("a.yaml:1:4: a: ")
    assert message in line
    assert len(line) < 200


@pytest.mark.parametrize(("word", "message"), HINTS.items())
def test_words_that_yaml_reads_otherwise_carry_a_hint(word, message):
    [node] = read(f"a: {word}").value.values()
    assert message in node.hint
    assert yaml.safe_load(f"a: {word}") == {"a": node.value}


def test_what_a_hint_says_to_write_has_no_hint():
    for word, message in HINTS.items():
        if word and "quotes" not in message:
            [node] = read(f"a: {word}").value.values()
            instead = node.hint.split("write ")[1]
            [again] = read(f"a: {instead}").value.values()
            assert again.hint is None
            assert not isinstance(again.value, str)


def test_every_trap_is_stepped_into():
    words = [*REFUSED, *HINTS]
    for trap in (*NEVER, *EXPLAINED):
        if trap.tag != "merge":
            assert any(stepped_into(trap, word) for word in words), trap


def stepped_into(trap: Trap, word: str) -> bool:
    node = yaml.compose(f"a: {word}").value[0][1]
    return trap.explain(node.tag, node.value, datetime.date(2001, 1, 1) if trap.tag == "timestamp" else 1) is not None


@settings(deadline=None)
@given(st.floats(allow_nan=False))
def test_numbers_are_written_as_yaml_reads_them(value):
    assert yaml.safe_load(number(value)) == value
