"""A program's input and output: untouched, but while it is held."""

from __future__ import annotations

import subprocess
import sys
import textwrap

PROGRAM = """
    import os, sys, subprocess
    from steer.engines.passing import Passing
    from steer.engines.output import Capture
    from steer.engines.prompts import Prompts
    from steer.eventloop import Loop
    import threading

    passing = Passing()
    loop = Loop()
    emitted = []
    capture = Capture(loop, lambda *said: emitted.append(said))
    prompts = Prompts()
    prompts.install(lambda body: None)
    thread = threading.Thread(target=loop.run, daemon=True)
    thread.start()

    def cell(code):
        capture.begin("r1")
        exec(code)
        emitted.extend(("r1", *piece) for piece in capture.end())

    def said(request, name="stdout"):
        return "".join(t for r, n, t in emitted if (r, n) == (request, name))
"""


def run(program: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    whole = textwrap.dedent(PROGRAM) + textwrap.dedent(program)
    return subprocess.run(
        [sys.executable, "-c", whole], input=given, capture_output=True, timeout=30
    )


def test_what_the_program_prints_goes_straight_out_and_a_cells_output_does_not():
    done = run("""
        passing.begin(capture)
        print("one")
        os.write(1, b"two\\n")
        subprocess.run(["echo", "three"])
        print("to stderr", file=sys.stderr)
        with passing.held():
            cell("print('mine'); os.write(1, b'bytes\\\\n'); sys.stderr.write('err')")
        print("four")
        sys.stdout.buffer.write(b"\\xff\\n")
        passing.end()
        cell("print('later')")
        assert said("r1").split() == ["mine", "bytes", "later"], emitted
        assert said("r1", "stderr") == "err"
        assert not said("")
    """)
    assert (done.returncode, done.stderr) == (0, b"to stderr\n")
    assert done.stdout == b"one\ntwo\nthree\nfour\n\xff\n"


def test_lines_are_out_when_they_are_printed():
    done = run("""
        passing.begin(capture)
        print("last words")
        os.kill(os.getpid(), 9)
    """)
    assert done.stdout == b"last words\n"


def test_it_reads_what_it_was_given_and_a_cell_does_not():
    done = run(
        """
        passing.begin(capture)
        first = input("first? ")
        with passing.held():
            try:
                cell("input('mine? ')")
            except EOFError:
                print("nobody to ask")
            empty = subprocess.check_output(["cat"])
        second = sys.stdin.readline()
        rest = subprocess.check_output(["cat"])
        assert (first, empty, second) == ("a", b"", "b\\n"), (first, empty, second)
        """,
        b"a\nb\nc\n",
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"first? ")


def test_a_stream_of_the_programs_own_is_there_again_behind_a_hold():
    done = run("""
        passing.begin(capture)
        class Loud:
            def __init__(self, stream): self.stream = stream
            def write(self, text): self.stream.write(text.upper())
            def flush(self): self.stream.flush()
        sys.stdout = Loud(sys.stdout)
        print("a")
        with passing.held():
            cell("print('b')")
        print("c")
        assert said("r1") == "b\\n"
    """)
    assert (done.returncode, done.stderr, done.stdout) == (0, b"", b"A\nC\n")


def test_what_a_thread_of_the_program_prints_at_a_hold_is_not_lost():
    done = run("""
        passing.begin(capture)
        with passing.held():
            assert passing.told("stdout", "from a thread\\n")
            assert passing.told("stderr", "and this\\n")
        passing.end()
        assert not passing.told("stdout", "x")
    """)
    assert (done.returncode, done.stdout) == (0, b"from a thread\n")
    assert done.stderr == b"and this\n"


def test_without_a_keyboard_nothing_breaks():
    done = subprocess.run(
        ["sh", "-c", f'exec "{sys.executable}" "$@" <&-', "sh", "-c",
         textwrap.dedent(PROGRAM) + "passing.begin(capture)\nprint('fine')\n"
         "with passing.held(): pass\npassing.end()\n"],
        capture_output=True, timeout=30, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, b"fine\n"), done.stderr
