"""Cells, run in a process of their own: a Shell changes builtins and descriptor 0.

`rank` is shared by the tests of this file, so each uses names of its own; `fresh` is a
process that has not imported IPython yet.
"""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

SERVER = """
import sys, threading
from multiprocessing.connection import Connection
from steer.eventloop import Loop
from steer.engines.namespace import Namespace
from steer.engines.output import Capture
from steer.engines.prompts import Prompts
from steer.engines.shell import Shell

ask, answer = Connection(int(sys.argv[1])), Connection(int(sys.argv[2]))
loop, printed, displays = Loop(), [], []
capture = Capture(loop, lambda request, *piece: printed.append(piece))
threading.Thread(target=loop.run, daemon=True).start()
Prompts().install(lambda body: None)
shell = Shell(Namespace(), lambda *display: displays.append(display))
while True:
    code, options = ask.recv()
    displays.clear()
    printed.clear()
    capture.begin("a")
    outcome = shell.run(code, **options)
    rest = capture.end()
    settled = threading.Event()
    loop.call_soon(settled.set)
    settled.wait()
    error = outcome.error
    answer.send(dict(
        ok=outcome.ok, count=outcome.execution_count, result=outcome.result_data,
        displays=list(displays), ipython="IPython" in sys.modules,
        out="".join(t for n, t in printed + rest if n == "stdout"),
        err="".join(t for n, t in printed + rest if n == "stderr"),
        ename=error and error.ename, evalue=error and error.evalue,
        traceback=error and error.traceback,
    ))
"""


class Rank:
    """The other side of SERVER."""

    def __init__(self, home: Path) -> None:
        ask, self._ask = os.pipe()
        self._answer, answer = os.pipe()
        env = {k: v for k, v in os.environ.items() if k != "MPLBACKEND"}
        self.home = home
        self._process = subprocess.Popen(
            [sys.executable, "-c", SERVER, str(ask), str(answer)],
            pass_fds=(ask, answer),
            env=env | {"HOME": str(home), "MPLCONFIGDIR": str(home / "mpl")},
        )
        os.close(ask)
        os.close(answer)
        self._to = Connection(self._ask, readable=False)
        self._from = Connection(self._answer, writable=False)

    def __call__(self, code: str, **options: Any) -> dict[str, Any]:
        self._to.send((code, options))
        assert self._from.poll(40), "the cell does not end"
        return self._from.recv()

    def loud(self, code: str, **options: Any) -> dict[str, Any]:
        return self(code, silent=False, **options)

    def value(self, code: str) -> str:
        answer = self.loud(code)
        assert answer["ok"], answer["traceback"]
        return answer["result"]["data"]["text/plain"]

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._to.close()
        self._from.close()


@pytest.fixture(scope="module")
def rank(tmp_path_factory):
    rank = Rank(tmp_path_factory.mktemp("home"))
    yield rank
    rank.close()


@pytest.fixture
def fresh(tmp_path):
    rank = Rank(tmp_path)
    yield rank
    rank.close()


# -- without IPython


def test_plain_cells_do_not_import_ipython(fresh):
    assert fresh("a = 1\nb = a + 1\nprint(b)")["out"] == "2\n"
    assert not fresh("a = b")["ipython"]
    assert fresh.value("a") == "2"


def test_display_and_get_ipython_are_there_from_the_start(fresh):
    answer = fresh("display(41)")
    assert [d[1]["text/plain"] for d in answer["displays"]] == ["41"]
    assert (
        fresh("ip = get_ipython(); print(type(ip).__name__)")["out"] == "SteerShell\n"
    )


def test_exit_says_that_it_does_not(fresh):
    for code in ("exit()", "quit()", "exit", "x = 1\nexit()"):
        answer = fresh(code)
        assert answer["ok"]
        assert answer["out"].startswith("This rank goes on")
    assert "goes on" in fresh.loud("quit()")["out"]


def test_nothing_is_written_to_the_home(fresh):
    assert fresh.loud("%who")["ok"]
    assert list(fresh.home.iterdir()) == []


# -- plain Python


def test_the_last_line_of_a_silent_cell_is_not_shown(rank):
    answer = rank("5 + 5")
    assert (answer["result"], answer["displays"], answer["out"]) == (None, [], "")


def test_cells_run_in_main(rank):
    rank("class Here: pass\nhere = __name__, Here.__module__")
    assert rank.value("here") == "('__main__', '__main__')"


def test_an_error_has_its_lines_and_only_those(rank):
    answer = rank("def fails(x):\n    return 1 / x\n\nfails(0)")
    assert (answer["ename"], answer["evalue"]) == (
        "ZeroDivisionError",
        "division by zero",
    )
    text = "\n".join(answer["traceback"])
    assert "line 4, in <module>\n    fails(0)" in text
    assert "line 2, in fails\n    return 1 / x" in text
    assert "steer" not in text
    assert "\x1b" not in text


def test_both_ways_give_the_same_traceback(rank):
    code = "def g(x):\n    return 1 / x\n\ng(0)"
    assert rank(code)["traceback"] == rank.loud(code)["traceback"]


@pytest.mark.parametrize(
    ("code", "ename"),
    [
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("import sys; sys.exit(3)", "SystemExit"),
        ("raise GeneratorExit", "GeneratorExit"),
        ("def r(): r()\nr()", "RecursionError"),
        ("raise MemoryError", "MemoryError"),
        ("nobody", "NameError"),
        ("nobody - here", "NameError"),
        ("a b", "SyntaxError"),
        ("def f(:\n  pass", "SyntaxError"),
        ("if 1:\nx = 1", "IndentationError"),
        ("return 5", "SyntaxError"),
        ("x = '\0'", "SyntaxError"),
        ("%nosuchmagic 3", "UsageError"),
        ("%%nosuchmagic\n3", "UsageError"),
        ("input('who? ')", "EOFError"),
        ("import sys; sys.stdin.readline()", "UnsupportedOperation"),
    ],
)
@pytest.mark.parametrize("silent", [True, False])
def test_whatever_is_raised_is_an_outcome(rank, code, ename, silent):
    answer = rank(code, silent=silent)
    assert not answer["ok"]
    assert answer["ename"] == ename
    assert rank("print('alive')")["out"] == "alive\n"


def test_nobody_waits_for_a_keyboard(rank):
    assert "none runs now" in rank("input('who? ')")["evalue"]
    answer = rank("import sys; [line for line in sys.stdin]")
    assert "input(text) asks the person at the client" in answer["evalue"]
    assert rank("import os; print(os.read(0, 1))")["out"] == "b''\n"


def test_future_imports_last_and_are_shared(rank):
    rank("from __future__ import annotations")
    rank("def noted(x: nowhere): pass")
    assert rank.value("noted.__annotations__") == "{'x': 'nowhere'}"
    answer = rank.loud("def noted_too(x: nowhere): pass\nnoted_too.__annotations__")
    assert answer["result"]["data"]["text/plain"] == "{'x': 'nowhere'}"


def test_inspect_finds_the_source(rank):
    rank("def mine():\n    return 'these lines'")
    rank("import inspect")
    assert rank("print(inspect.getsource(mine))")["out"].endswith("'these lines'\n\n")


def test_many_cells_do_not_fill_the_memory(rank):
    rank("import gc, types")
    rank.loud("%who")
    for number in range(1200):
        rank(f"n = {number}")
    cells = "sum(o.co_filename.startswith('<cell') for o in gc.get_objects() " + (
        "if isinstance(o, types.CodeType))"
    )
    assert int(rank.value(cells)) < 1200
    assert rank.value("n") == "1199"


# -- IPython


def test_results_and_history(rank):
    first = rank.loud("6 * 7", store_history=True)
    assert first["result"] == {"data": {"text/plain": "42"}, "metadata": {}}
    second = rank.loud("_ + 1", store_history=True)
    assert second["count"] == first["count"] + 1
    assert second["result"]["data"]["text/plain"] == "43"
    assert rank.value(f"In[{first['count']}], Out[{first['count']}]") == "('6 * 7', 42)"
    assert rank.loud("6 * 8")["count"] == second["count"] + 1
    assert rank.loud("6 * 8")["count"] == second["count"] + 1
    assert rank.loud("6 * 8;")["result"] is None


def test_await_at_top_level(rank):
    code = "import asyncio\nawait asyncio.sleep(0.001)\nawaited = 5"
    assert rank(code)["ok"]
    assert rank.value("await asyncio.sleep(0, 'back')") == "'back'"
    assert rank.value("awaited") == "5"


def test_an_error_under_await_is_an_outcome(rank):
    answer = rank("import asyncio\nawait asyncio.sleep(0)\n1/0")
    assert answer["ename"] == "ZeroDivisionError"
    assert "interactiveshell" not in "\n".join(answer["traceback"])


def test_magics(rank):
    assert "loop" in rank("%timeit -n1 -r1 pass")["out"]
    assert rank("%%time\ntimed = 3")["ok"]
    assert rank.value("timed") == "3"
    assert rank("%cd -q /")["ok"]
    assert rank.value("%pwd") == "'/'"
    assert rank("%%capture kept\nprint('inside')")["out"] == ""
    assert rank.value("kept.stdout") == "'inside\\n'"


def test_a_magic_without_its_sign(rank):
    assert rank("pwd")["ok"]
    assert rank("ls -d /")["out"].strip().startswith("/")
    rank("pwd = 3")
    assert rank.value("pwd + 1") == "4"
    assert rank("del pwd")["ok"]


def test_shell_commands(rank):
    assert rank("!echo from the shell; echo oops >&2")["out"] == "from the shell\n"
    assert rank("print(1)\n!echo 2\nprint(3)")["out"] == "1\n2\n3\n"
    rank("listed = !echo captured")
    assert rank.value("list(listed)") == "['captured']"
    failed = rank("%%bash\nexit 3")
    assert failed["ename"] == "CalledProcessError"


def test_an_error_that_a_magic_shows_fails_the_cell(rank, tmp_path):
    script = tmp_path / "fails.py"
    script.write_text("1/0\n")
    answer = rank(f"%run {script}")
    assert not answer["ok"]
    assert answer["ename"] == "ZeroDivisionError"
    assert str(script) in "\n".join(answer["traceback"])


def test_tb_tells_the_last_error_again(rank):
    rank("raise ValueError('remembered')")
    answer = rank("%tb")
    assert answer["ok"]
    assert answer["out"].endswith("ValueError: remembered\n")


def test_rich_results_and_displays(rank):
    rank("class Rich:\n    def _repr_html_(self): return '<b>rich</b>'")
    assert rank.loud("Rich()")["result"]["data"]["text/html"] == "<b>rich</b>"
    answer = rank(
        "from IPython.display import display, clear_output\n"
        "handle = display(Rich(), display_id='one')\n"
        "handle.update(Rich())\n"
        "clear_output(wait=True)"
    )
    kinds = [(kind, update) for kind, _, _, _, update in answer["displays"]]
    assert kinds == [
        ("display_data", False),
        ("display_data", True),
        ("clear_output", False),
    ]
    assert answer["displays"][0][3]["display_id"] == "one"
    assert answer["displays"][2][3]["wait"] is True


def test_help_is_displayed(rank):
    (shown,) = rank("len?")["displays"]
    assert "Return the number of items" in shown[1]["text/plain"]


def test_bytes_travel_as_base64(rank):
    rank("class Png:\n    def _repr_png_(self): return b'bytes of a picture'")
    data = rank.loud("Png()")["result"]["data"]
    assert base64.b64decode(data["image/png"]) == b"bytes of a picture"


def test_hooks_run_around_plain_cells_too(rank):
    rank(
        "ran = []\nget_ipython().events.register('post_execute', lambda: ran.append(1))"
    )
    rank.loud("ran.clear()")
    rank("a = 1")
    assert rank.value("len(ran)") == "2"
    rank("get_ipython().events.callbacks['post_execute'].pop()")


def test_an_ast_transformer_is_heard(rank):
    rank(
        "import ast\n"
        "class Double(ast.NodeTransformer):\n"
        "    def visit_Constant(self, node):\n"
        "        return ast.copy_location(ast.Constant(node.value * 2), node)\n"
        "get_ipython().ast_transformers.append(Double())"
    )
    rank("doubled = 21")
    rank("get_ipython().ast_transformers.clear()")
    assert rank.value("doubled") == "42"


# -- figures


@pytest.mark.parametrize("silent", [True, False])
def test_figures_come_at_the_end_of_the_first_cell(fresh, silent):
    pytest.importorskip("matplotlib")
    code = "import matplotlib.pyplot as plt\nplt.plot([1, 3]);\nprint('plotted')"
    answer = fresh(code, silent=silent)
    assert answer["ok"], answer["traceback"]
    assert answer["out"] == "plotted\n"
    (figure,) = answer["displays"]
    assert base64.b64decode(figure[1]["image/png"]).startswith(b"\x89PNG")
    assert fresh("a = 1")["displays"] == []
    assert len(fresh("plt.figure(); plt.plot([1, 2])")["displays"]) == 1


def test_matplotlib_inline_is_accepted(rank):
    pytest.importorskip("matplotlib")
    code = "%matplotlib inline\nimport matplotlib.pyplot as plt\nplt.plot([1]);"
    answer = rank.loud(code)
    assert [list(d[1]) for d in answer["displays"]] == [["text/plain", "image/png"]]


def test_matplotlib_is_not_imported_by_us(fresh):
    fresh.loud("%who")
    assert fresh.value("'matplotlib' in __import__('sys').modules") == "False"


# -- reset


def test_reset_forgets_variables_and_keeps_the_shell(rank):
    assert rank("forgotten = 5")["ok"]
    assert rank("%reset -f")["ok"]
    assert rank("forgotten")["ename"] == "NameError"
    assert rank.value("__name__") == "'__main__'"
    assert rank("exit")["out"].startswith("This rank goes on")
    assert rank.loud("1", store_history=True)["ok"]


INTERRUPTED = """
import os, signal, sys, threading
from steer.engines.namespace import Namespace
from steer.engines.shell import Shell

class CtrlC:
    def find_spec(self, name, path, target=None):
        if name == "IPython.core.displayhook":
            os.kill(os.getpid(), signal.SIGINT)

# Whatever main may do with its mask, this one gets the signal.
threading.Thread(target=threading.Event().wait, daemon=True).start()
shell = Shell(Namespace(), lambda *_: None)
sys.meta_path.insert(0, CtrlC())
try:
    shell.warm()
except KeyboardInterrupt:
    print("interrupted")
print(shell.run("%lsmagic", silent=False).error, shell.run("1 + 1", silent=False).error)
"""


def test_an_interrupt_of_the_first_cell_leaves_ipython_whole():
    """It may come while IPython is imported, which takes a quarter of a second."""
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.stdout.startswith("interrupted\n"), done.stderr
    assert done.stdout.endswith("None None\n"), done.stderr
