"""Task files are read strictly: what is wrong is said with file and line, nothing is guessed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from spa_bench import yaml_file
from spa_bench.errors import InputError
from spa_bench.yaml_file import flatten

Writer = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Writer:
    """Writes a file below the test's folder."""

    def written(text: str | bytes, name: str = "a.yaml") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return written


def problem(path: Path) -> str:
    """Returns what reading the file complains about, with file names alone."""
    with pytest.raises(InputError) as caught:
        yaml_file.read(path)
    return str(caught.value).replace(f"{path.parent}/", "")


# -- includes -------------------------------------------------------------------------------------


def test_a_file_wins_over_what_it_includes(write: Writer) -> None:
    write("x: 1\ny: 1", "base.yaml")
    assert yaml_file.read(write("include: base.yaml\nx: 2")).data == {"x": 2, "y": 1}


def test_the_place_of_the_include_in_the_file_does_not_matter(write: Writer) -> None:
    write("x: 1", "base.yaml")
    assert yaml_file.read(write("x: 2\ninclude: base.yaml")).data == {"x": 2}


def test_mappings_are_merged_key_by_key(write: Writer) -> None:
    write("m: {x: 1, n: {y: 1, z: 1}}", "base.yaml")
    document = yaml_file.read(write("include: base.yaml\nm: {n: {z: 2}}"))
    assert document.data == {"m": {"x": 1, "n": {"y": 1, "z": 2}}}


def test_lists_are_replaced_whole(write: Writer) -> None:
    write("l: [1, 2, 3]", "base.yaml")
    assert yaml_file.read(write("include: base.yaml\nl: [4]")).data == {"l": [4]}


@pytest.mark.parametrize(("mine", "expected"), [("5", 5), ("{z: 1}", {"z": 1}), ("null", None)])
def test_a_value_of_another_kind_replaces_what_was_there(
    write: Writer, mine: str, expected: object
) -> None:
    write("m: 7" if mine.startswith("{") else "m: {x: 1}", "base.yaml")
    assert yaml_file.read(write(f"include: base.yaml\nm: {mine}")).data == {"m": expected}


def test_of_several_includes_the_later_wins(write: Writer) -> None:
    write("x: 1\ny: 1", "one.yaml")
    write("x: 2", "two.yaml")
    document = yaml_file.read(write("include: [one.yaml, two.yaml]"))
    assert document.data == {"x": 2, "y": 1}


def test_an_include_is_relative_to_the_file_that_names_it(write: Writer) -> None:
    write("x: 1", "top.yaml")
    write("include: ../top.yaml", "deep/middle.yaml")
    assert yaml_file.read(write("include: deep/middle.yaml")).data == {"x": 1}


def test_diamonds_are_allowed(write: Writer) -> None:
    write("x: 1\ny: 1", "base.yaml")
    write("include: base.yaml\nx: 2", "left.yaml")
    write("include: base.yaml\nz: 3", "right.yaml")
    document = yaml_file.read(write("include: [right.yaml, left.yaml]"))
    assert document.data == {"x": 2, "y": 1, "z": 3}


def test_a_diamond_below_does_not_change_what_stands_beside_it(write: Writer) -> None:
    write("m: {x: 1}", "base.yaml")
    write("include: base.yaml\nm: {x: 2}", "left.yaml")
    document = yaml_file.read(write("include: [left.yaml, base.yaml]"))
    assert document.data == {"m": {"x": 1}}


def test_an_include_inside_a_mapping_is_an_ordinary_key(write: Writer) -> None:
    assert yaml_file.read(write("m: {include: b.yaml}")).data == {"m": {"include": "b.yaml"}}


def test_an_include_cycle_is_an_error_with_its_path(write: Writer) -> None:
    write("include: b.yaml", "a.yaml")
    write("include: c.yaml", "b.yaml")
    path = write("include: a.yaml", "c.yaml")
    assert problem(path) == "b.yaml:1: include cycle: c.yaml -> a.yaml -> b.yaml -> c.yaml"


def test_a_cycle_is_told_without_the_way_to_it(write: Writer) -> None:
    write("include: b.yaml", "b.yaml")
    assert problem(write("include: b.yaml")) == "b.yaml:1: include cycle: b.yaml -> b.yaml"


def test_a_cycle_through_a_link_is_seen(write: Writer, tmp_path: Path) -> None:
    (tmp_path / "link.yaml").symlink_to("a.yaml")
    assert problem(write("include: link.yaml")).startswith(
        "a.yaml:1: include cycle: a.yaml -> a.yaml"
    )


def test_what_has_a_name_is_included_by_it(write: Writer) -> None:
    named = {"base": write("include: deeper.yaml\nx: 1\ny: 1", "far/base.yaml")}
    write("z: 1", "far/deeper.yaml")
    document = yaml_file.read(write("x: 2\ninclude: base"), named)
    assert document.data == {"x": 2, "y": 1, "z": 1}
    assert document.file_of(("x",)).name == "a.yaml"
    assert document.file_of(("y",)) == named["base"]


def test_a_file_beside_wins_over_a_name(write: Writer) -> None:
    named = {"base": write("x: 1", "far/base.yaml")}
    write("x: 2", "base")
    assert yaml_file.read(write("include: base"), named).data == {"x": 2}


def test_a_misspelt_name_is_an_error_with_the_nearest(write: Writer) -> None:
    with pytest.raises(InputError, match=r"include: no file 'bse' \(did you mean base\?\)"):
        yaml_file.read(write("include: bse"), {"base": write("x: 1", "far/base.yaml")})


@pytest.mark.parametrize("name", ["b.yaml", "''", ".", '"a\\0b"'])
def test_a_missing_include_is_an_error_with_its_line(write: Writer, name: str) -> None:
    assert problem(write(f"x: 1\ninclude: {name}")).startswith("a.yaml:2: include: no file ")


@pytest.mark.parametrize("value", ["5", "[5]", "{a: b}", "true"])
def test_an_include_that_names_no_file_is_an_error(write: Writer, value: str) -> None:
    assert problem(write(f"x: 1\n\ninclude: {value}")) == "a.yaml:3: include must name files"


def test_an_error_in_an_included_file_names_that_file(write: Writer) -> None:
    write("x: 1\nx: 2", "base.yaml")
    assert problem(write("include: base.yaml")) == "base.yaml:2: key 'x' is given twice"


def test_includes_that_double_at_every_step_are_an_error_not_a_long_wait(write: Writer) -> None:
    for i in range(40):
        write(f"include: [f{i + 1}.yaml, f{i + 1}.yaml]", f"f{i}.yaml")
    write("x: 1", "f40.yaml")
    assert problem(write("include: f0.yaml")).endswith("includes more files than any task can need")


def test_a_very_long_chain_of_includes_is_an_error(write: Writer) -> None:
    for i in range(400):
        write(f"include: f{i + 1}.yaml", f"f{i}.yaml")
    write("x: 1", "f400.yaml")
    assert problem(write("include: f0.yaml")).endswith("includes more files than any task can need")


MUCH = {
    "values": ("".join(f"k{i}: {i}\n" for i in range(10_000)), "more than 50000 keys and values"),
    "bytes": ("x: 1\n" + "# a comment\n" * 30_000, "larger than 1000000 bytes"),
}


@pytest.mark.parametrize("kind", MUCH)
def test_a_file_and_all_that_it_includes_share_one_limit(write: Writer, kind: str) -> None:
    text, message = MUCH[kind]
    write(text, "base.yaml")
    assert yaml_file.read(write("include: [base.yaml, base.yaml]")).data
    said = problem(write(f"include: [{', '.join(['base.yaml'] * 3)}]"))
    assert said.startswith("base.yaml:")
    assert f"{message}, includes counted" in said


# -- places ---------------------------------------------------------------------------------------


@pytest.fixture
def merged(write: Writer) -> Callable[[tuple[str | int, ...]], str]:
    """Locates keys of a file that includes another."""
    write("x: 1\nm:\n  p: 1\n  q: [7,\n    8]\nreplaced: {inner: 1}\nl: [{i: 1}]", "base.yaml")
    path = write("include: base.yaml\nm:\n  p: 2\nreplaced: 3\nl: [5]")
    document = yaml_file.read(path)
    return lambda key: document.locate(key).replace(f"{path.parent}/", "")


@pytest.mark.parametrize(
    ("key", "place"),
    [
        (("x",), "base.yaml:1"),
        (("m", "p"), "a.yaml:3"),
        (("m", "q"), "base.yaml:4"),
        (("m", "q", 1), "base.yaml:5"),
        (("m",), "a.yaml:2"),
        (("m", "missing"), "a.yaml:2"),
        (("replaced",), "a.yaml:4"),
        (("replaced", "inner"), "a.yaml:4"),
        (("l", 0, "i"), "a.yaml:5"),
        (("missing",), "a.yaml:1"),
        ((), "a.yaml:1"),
    ],
)
def test_a_key_is_located_in_the_file_that_wrote_it(
    merged: Callable[[tuple[str | int, ...]], str], key: tuple[str | int, ...], place: str
) -> None:
    assert merged(key) == place


# -- what is refused ------------------------------------------------------------------------------

BAD: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", "a.yaml:1: a task file is a mapping of keys to values"),
    "a list": ("- x", "a.yaml:1: a task file is a mapping of keys to values"),
    "a text": ("hello", "a.yaml:1: a task file is a mapping of keys to values"),
    "a key twice": ("x: 1\ny: 2\nx: 3", "a.yaml:3: key 'x' is given twice"),
    "a key twice within": ("m:\n  x: 1\n  x: 1", "a.yaml:3: key 'x' is given twice"),
    "one key as text and number": ("1: x\n'1': y", "a.yaml:2: key '1' is given twice"),
    "an anchor": ("x: 1\ny: &a [1]", "a.yaml:2: YAML anchors are not allowed; use include"),
    "an alias": ("x: *a", "a.yaml:1: YAML anchors are not allowed; use include"),
    "a merge key": ("x: &a {b: 1}\n<<: *a", "a.yaml:1: YAML anchors are not allowed; use include"),
    "nested too deep": ("x:\n  " + "[" * 60, "a.yaml:2: nested too deep"),
    "nested much too deep": ("[" * 500_000, "a.yaml:1: nested too deep"),
    "mappings nested too deep": ("{a: " * 60, "a.yaml:1: nested too deep"),
    "a list as key": ("x: 1\n? [a]\n: b", "a.yaml:2: keys must be plain names"),
    "bad YAML": ("x: 1\ny: [1\nz: 2", "a.yaml:3: not YAML: "),
    "a tab": ("x:\n\ty: 1", "a.yaml:2: not YAML: "),
    "two documents": ("x: 1\n---\ny: 1", "a.yaml:2: not YAML: "),
    "not UTF-8": (b"x: 1\ny: \xff", "a.yaml:2: not UTF-8: invalid start byte"),
    "a control character": ("ä: 1\nö: \a", "a.yaml:2: not YAML: control characters"),
    "nul": ("x: 1\n\ny: \0", "a.yaml:3: not YAML: control characters"),
    "half a character": ('x: "\\ud800"', "a.yaml:1: not YAML: "),
    "code": ("x: !!python/object:os.system ls", "a.yaml:1: could not determine a constructor"),
    "an unknown tag": ("x: 1\ny: !mine 2", "a.yaml:2: could not determine a constructor"),
    "a bad number": ("x: !!int many", "a.yaml:1: 'many' cannot be read as int"),
    "no number": ("x: !!int ''", "a.yaml:1: '' cannot be read as int"),
    "a bad truth": ("x: !!bool maybe", "a.yaml:1: 'maybe' cannot be read as bool"),
    "a bad time": ("x: !!timestamp noon", "a.yaml:1: 'noon' cannot be read as timestamp"),
    "a day there is not": ("x: 2020-13-45", "a.yaml:1: '2020-13-45' cannot be read as timestamp"),
    "too many digits": ("x: " + "9" * 5000, "a.yaml:1: '9999"),
    "too many digits in hex": ("x: 0x" + "f" * 900_000, "a.yaml:1: '0xffff"),
    "too many digits for a float": ("x: " + "1" * 5000 + ".5", "a.yaml:1: '1111"),
    "too many values": ("x: [" + "a," * 60_000, "a.yaml:1: more than 50000 keys and values"),
    "too large": ("x: " + "a" * 1_000_000, "a.yaml: larger than 1000000 bytes"),
}


@pytest.mark.parametrize("end", ["", ".5"])
def test_sixties_without_end_are_text_and_nobody_multiplies_them(write: Writer, end: str) -> None:
    # PyYAML would take minutes for the number, or overflow
    text = ":".join(["59"] * 300_000) + end
    assert yaml_file.read(write(f"x: {text}")).data == {"x": text}


@pytest.mark.parametrize("kind", BAD)
def test_what_is_wrong_is_said_with_its_line(write: Writer, kind: str) -> None:
    text, message = BAD[kind]
    assert problem(write(text)).startswith(message)


@pytest.mark.parametrize("kind", BAD)
def test_what_is_wrong_is_said_in_one_short_line(write: Writer, kind: str) -> None:
    message = problem(write(BAD[kind][0]))
    assert "\n" not in message
    assert len(message) < 200


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    assert problem(tmp_path / "none.yaml") == f"no file {'none.yaml'}"


def test_a_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").mkdir()
    assert problem(tmp_path / "a.yaml") == "a.yaml: cannot be read: Is a directory"


@given(st.text() | st.text(alphabet="ab:-[]{}&*!?|>'\"%@#,\n \t01.", max_size=60))
def test_no_text_raises_anything_but_an_input_error(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(text.encode())
    with contextlib.suppress(InputError):
        assert isinstance(yaml_file.read(path).data, dict)


def test_a_file_of_very_many_keys_is_read_in_one_pass(write: Writer) -> None:
    write("".join(f"k{i}: {i}\n" for i in range(20_000)), "base.yaml")
    document = yaml_file.read(write("include: base.yaml\nk7: x"))
    assert (len(document.data), document.data["k7"]) == (20_000, "x")


# -- values ---------------------------------------------------------------------------------------

VALUES: dict[str, object] = {
    "5": 5,
    "-5": -5,
    "1_000": 1000,
    "0": 0,
    "0.5": 0.5,
    "1e-3": 0.001,  # YAML 1.1 wants a point in a float
    "-2E+3": -2000.0,
    ".5e2": 50.0,
    "'1e-3'": "1e-3",
    "1e-3x": "1e-3x",
    "e-3": "e-3",
    "1.0e-3": 0.001,
    "true": True,
    "null": None,
    "~": None,
    "''": "",
    "'5'": "5",
    "123-250": "123-250",
    "2026-01-31": "2026-01-31",
    "12:30:00": "12:30:00",
    "1:30": "1:30",
    "010": "010",
    "grid+coordinates": "grid+coordinates",
    "ü √": "ü √",
}


@pytest.mark.parametrize("text", VALUES)
def test_a_value_is_what_its_author_meant(write: Writer, text: str) -> None:
    value = yaml_file.read(write(f"x: {text}")).data["x"]
    assert (type(value), value) == (type(VALUES[text]), VALUES[text])


plain = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
names = st.text(min_size=1).filter(lambda name: name != "include")


@given(
    st.dictionaries(
        names,
        st.recursive(
            plain,
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
            max_leaves=10,
        ),
        max_size=4,
    )
)
def test_what_is_dumped_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, data: dict[str, Any]
) -> None:
    class WithoutAliases(yaml.SafeDumper):
        yaml_implicit_resolvers = yaml_file._Loader.yaml_implicit_resolvers  # 1e-3 wants quotes

        def ignore_aliases(self, data: object) -> bool:
            return True

    path = tmp_path_factory.getbasetemp() / "dumped.yaml"
    path.write_text(yaml.dump(data, Dumper=WithoutAliases, allow_unicode=False))
    assert yaml_file.read(path).data == data


def test_many_lists_side_by_side_are_not_deep(write: Writer) -> None:
    text = f"x: [{', '.join(['[1, {a: [2]}]'] * 100)}]"
    assert len(yaml_file.read(write(text)).data["x"]) == 100


def test_a_byte_order_mark_is_no_part_of_the_first_key(write: Writer) -> None:
    assert yaml_file.read(write(b"\xef\xbb\xbfx: 1")).data == {"x": 1}


def test_lines_may_end_as_on_windows(write: Writer) -> None:
    assert yaml_file.read(write("x: 1\r\ny: |\r\n  two\r\n")).data == {"x": 1, "y": "two\n"}


def test_flatten_names_every_leaf_by_its_path() -> None:
    assert flatten({"a": 1, "b": {"c": [2], "d": {}}}) == {("a",): 1, ("b", "c"): [2]}


def test_a_tab_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("limits:\n\tturns: 5\n")
    with pytest.raises(InputError, match=r"a.yaml:2: not YAML: a tab; indent with spaces"):
        yaml_file.read(tmp_path / "a.yaml")
