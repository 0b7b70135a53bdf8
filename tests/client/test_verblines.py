"""Lines of text as the arguments of verbs, and their help."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steer.client.verblines import help_of, read, spoken, usage
from steer.client.verbs import VERBS
from steer.errors import UsageError

READ = [
    ("stop", "", {}),
    ("stop", "500 --advance=3", {"point": 500, "advance": 3}),
    ("step", "", {}),
    ("step", "10", {"n": 10}),
    ("step", "10 --timeout 2.5", {"n": 10, "timeout": 2.5}),
    ("until", "step=5000", {"condition": "step=5000"}),
    ("until", "residual<1e-6", {"condition": "residual<1e-6"}),
    ("until", "--every 10 -x > '--every'",
     {"every": 10, "condition": "-x > '--every'"}),
    ("set", "dt=0.01", {"values": {"dt": 0.01}}),
    ("set", "dt=1e-3 scheme=euler out=False --ranks 0-3",
     {"values": {"dt": 1e-3, "scheme": "euler", "out": False}, "ranks": "0-3"}),
    ("set", "name='run 2' other=\"5\"", {"values": {"name": "run 2", "other": "5"}}),
    ("set", "dt=0.01 at=+100", {"values": {"dt": 0.01}, "at": "+100"}),
    ("at", "+50 checkpoint()", {"point": "+50", "code": "checkpoint()"}),
    ("at", "1000 print('a  b'); x = {1: 2}",
     {"point": 1000, "code": "print('a  b'); x = {1: 2}"}),
    ("every", "100 render()", {"n": 100, "code": "render()"}),
    ("watch", "", {}),
    ("watch", "--on align --every 5 abs(u).max() > 3",
     {"on": "align", "every": 5, "expression": "abs(u).max() > 3"}),
    ("snapshot", "u v", {"names": ("u", "v")}),
    ("snapshot", "u, v", {"names": ("u", "v")}),
]  # fmt: skip


@pytest.mark.parametrize(("verb", "line", "arguments"), READ)
def test_a_line_says_arguments(verb: str, line: str, arguments: dict):
    assert read(VERBS[verb], line) == arguments


def test_a_cell_is_the_code():
    code = "for x in range(3):\n    print(x)\n"

    assert read(VERBS["at"], "+5", code) == {"point": "+5", "code": code}
    with pytest.raises(UsageError, match="too much"):
        read(VERBS["at"], "+5 more()", code)
    with pytest.raises(UsageError, match="takes no cell"):
        read(VERBS["step"], "5", code)


@pytest.mark.parametrize(
    ("verb", "line", "said"),
    [
        ("step", "0", "N is a number of at least 1, not '0'"),
        ("step", "1 2", "'2' is too much"),
        ("go", "now", "'now' is too much"),
        ("stop", "--advance", "--advance needs a value"),
        ("set", "--at soon x=1", "a point like 500, or +50"),
        ("stop", "--here", "there is no option --here"),
        ("at", "+50", "CODE is missing"),
        ("at", "checkpoint()", "POINT is a point like 500"),
        ("set", "", "NAME=VALUE is missing"),
        ("set", "dt", "'dt' is not NAME=VALUE"),
        ("set", "dt= 3", "'dt=' is not NAME=VALUE"),
        ("set", "dt=1 dt=2", "dt is set twice"),
        ("set", "dt=1 at=2 --at 3", "given twice"),
        ("set", "name='run", "a quotation has no end"),
        ("watch", "--on fire x", "one of freeze, align, collective"),
    ],
)
def test_a_wrong_line_is_a_sentence(verb: str, line: str, said: str):
    with pytest.raises(UsageError) as caught:
        read(VERBS[verb], line)

    text = str(caught.value)
    assert said in text
    assert text.startswith(f"{verb}: ")
    assert text.endswith(usage(VERBS[verb]))
    assert "\n" not in text


@given(st.sampled_from(sorted(VERBS)), st.text(max_size=30), st.none() | st.text())
def test_any_line_is_read_or_refused(verb: str, line: str, body: str | None):
    try:
        found = read(VERBS[verb], line, body)
    except UsageError:
        return
    known = {argument.name for argument in VERBS[verb].arguments}
    assert set(found) <= known


@pytest.mark.parametrize("verb", VERBS)
def test_help_names_everything_and_fits_on_a_screen(verb: str):
    text = help_of(VERBS[verb], "%px")

    assert text.startswith(f"usage: %px{verb}")
    assert VERBS[verb].help.rstrip(".") in text.replace("\n", " ")
    for argument in VERBS[verb].arguments:
        assert argument.shown in text
    assert max(map(len, text.splitlines()[2:])) <= 80


@pytest.mark.parametrize("verb", VERBS)
def test_the_examples_are_right(verb: str):
    for example in VERBS[verb].examples:
        read(VERBS[verb], example)


@pytest.mark.parametrize(
    ("line", "verb", "rest"),
    [
        ("stop", "stop", ""),
        ("  step 10 ", "step", "10"),
        ("at +50 checkpoint()", "at", "+50 checkpoint()"),
        ("watch -x", "watch", "-x"),
        ("watch (a + b)", "watch", "(a + b)"),
        ("until residual<1e-6", "until", "residual<1e-6"),
        ("set dt=0.01", "set", "dt=0.01"),
        ("stop --help", "stop", "--help"),
    ],
)
def test_a_line_of_a_console_may_be_a_verb(line: str, verb: str, rest: str):
    assert spoken(line) == (VERBS[verb], rest)


@pytest.mark.parametrize(
    "line",
    [
        "", "x", "step = 3", "step=3", "step += 1", "step + 1", "step == 1",
        "step.real", "at(3)", "set([1])", "step in x", "step is None", "step and x",
        "step, n = 1, 2",
        "step if x else y", "step not in x", "step < 3", "step ** 2", "step // 2",
        "step: int = 3", "stopped", "# stop", "u.max()", "step ; x", "step <= 3",
    ],
)  # fmt: skip
def test_other_lines_are_python(line: str):
    assert spoken(line) is None
