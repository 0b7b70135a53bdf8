"""A program is run as Python runs it: its status, its last words, its traceback."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

ENGINE = """
import sys
from steer.engines.namespace import Namespace
from steer.engines.script import execute, failed_in
from steer.launch.script import from_arguments

namespace = Namespace()
script = from_arguments(sys.argv[1:])
ending = execute(script, namespace, lambda: "quit" in script.argv)
sys.stdout.write(f"[{ending.status} {ending.told()}]")
if ending.error is not None:
    frame = failed_in(ending.error)
    sys.stdout.write(f"{sorted(set(frame.f_locals) & {'a', 'b'})}")
"""


@pytest.fixture
def run(tmp_path):
    def run(program, *arguments, options=(), name="sim.py"):
        (tmp_path / name).write_text(textwrap.dedent(program))
        line = [sys.executable, "-P", "-c", ENGINE, "--run=sim", *options, "--"]
        return subprocess.run(
            [*line, *(arguments or [name])], cwd=tmp_path, capture_output=True,
            text=True, timeout=30, check=False,
        )  # fmt: skip

    return run


@pytest.mark.parametrize(
    ("program", "status", "told", "says"),
    [
        ("x = 1", 0, "", ""),
        ("raise SystemExit", 0, "", ""),
        ("raise SystemExit(3)", 3, "ended with status 3", ""),
        ("raise SystemExit(256 + 3)", 3, "ended with status 3", ""),
        ("raise SystemExit('sorry')", 1, "ended with status 1", "sorry\n"),
        ("1 / 0", 1, "failed with ZeroDivisionError: division by zero", "1 / 0"),
        ("def f(:", 1, "failed with SyntaxError", "def f(:"),
        ("raise KeyboardInterrupt", 130, "failed with KeyboardInterrupt", ""),
    ],
)
def test_the_status_is_that_which_python_would_give(run, program, status, told, says):
    done = run(program)
    assert done.stdout.startswith(f"[{status} {told}"), done
    assert says in done.stderr
    assert "steer" not in done.stderr


def test_what_is_no_place_for_a_point_is_one_sentence(run):
    done = run("x = 1", options=["--point=Solver step"])
    assert done.stdout == "[2 ended with status 2]"
    assert done.stderr.startswith("steer: --point Solver step is no place")
    assert done.stderr.count("\n") == 1


def test_a_traceback_begins_with_the_program_and_its_excepthook_is_asked(run, tmp_path):
    done = run("def f():\n    a = 1\n    g()\ndef g():\n    b = 2\n    1 / 0\nf()\n")
    lines = done.stderr.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[1] == f'  File "{tmp_path}/sim.py", line 7, in <module>'
    assert done.stdout.endswith("['b']")
    done = run("import sys; sys.excepthook = lambda *e: print('hook', e[0]); 1 / 0")
    assert (done.stderr, done.stdout[:4]) == ("", "hook")


def test_what_failed_in_a_library_failed_where_the_program_called_it(run):
    done = run("import json\ndef f():\n    a = 1\n    json.loads('{')\nf()\n")
    assert done.stdout.endswith("['a']")


def test_threads_end_and_last_words_are_said_unless_the_rank_stays(run):
    program = """
        import atexit, threading, time
        threading.Thread(target=lambda: (time.sleep(0.1), print("thread"))).start()
        atexit.register(print, "last")
    """
    assert run(program).stdout == "thread\nlast\n[0 ]"
    assert run(program, options=["--keep"]).stdout.startswith("[0 ]")


def test_a_program_that_is_not_there(run):
    done = run("", "other.py")
    assert done.stdout == "[2 ended with status 2]"
    assert "can't open file" in done.stderr
    done = run("", "nosuch.module", options=["--module"])
    assert done.stdout == "[2 ended with status 2]"
    assert "module nosuch.module cannot be run" in done.stderr


def test_a_program_whose_run_was_ended_before_does_not_begin(run):
    done = run("print('begins')", "sim.py", "quit")
    assert done.stdout == "[143 ended with status 143]"


def test_its_arguments_are_its_own(run):
    done = run("import sys; print(sys.argv)", "sim.py", "--", "--keep", "--run=x")
    assert done.stdout.startswith("['sim.py', '--', '--keep', '--run=x']")
