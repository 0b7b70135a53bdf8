"""A kernel with real ranks, spoken to as front ends do."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.mpi, pytest.mark.either_mpi]

RANK = "from mpi4py import MPI; comm = MPI.COMM_WORLD; r = comm.rank"


def test_a_cell_runs_on_all_ranks_and_folds(front):
    assert front.run(RANK).reply["status"] == "ok"
    assert "[0-2] (3)  of 3" in front.run("print('of', comm.size)").text
    assert "[0-2] (3)  3" in front.run("comm.allreduce(r)").text


def test_some_ranks_and_here(front):
    front.run(RANK)
    said = front.run("%%rank 0,2\nprint('rank', r)")
    assert "0" in said.text
    assert "2" in said.text
    assert "[1]" not in said.text
    said = front.run("%%local\nimport os\nos.getpid()")
    assert said.of("execute_result")[0]["data"]["text/plain"] == str(front.pid)


def test_the_ranks_are_there_for_local_cells_too(front):
    said = front.run("%%local\nview.apply_sync(lambda: 7), sorted(rc.ids)")
    assert "([7, 7, 7], [0, 1, 2])" in said.text


def test_magics_of_the_ranks_and_of_the_family(front):
    front.run(RANK)
    assert "[0-2] (3)  hi" in front.run("!echo hi").text
    assert "2" in front.run("%px r").text
    assert "[1]" not in front.run("%%px --targets 0\nprint(r)").text
    assert "on the ranks already" in front.run("%autopx").text
    assert "Wall time" in front.run("%%time\nx = 1").text


def test_settings_of_pxconfig_hold_for_cells(front):
    front.run(RANK)
    front.run("%pxconfig --targets 1")
    try:
        assert front.run("print('only', r)").text.count("only") == 1
    finally:
        front.run("%pxconfig --targets all")
    assert "[0-2] (3)" in front.run("print('all')").text


def test_an_error_reads_as_on_the_ranks(front):
    front.run(RANK)
    said = front.run("if r == 1:\n    1 / 0")
    assert said.error == "ZeroDivisionError: division by zero"
    (error,) = said.of("error")
    assert error["ename"] == "ZeroDivisionError"
    assert error["traceback"] == said.reply["traceback"]
    shown = said.text + "\n".join(error["traceback"])
    assert "1 / 0" in shown
    assert "steer" not in shown  # no frames of ours
    assert "rank 1" in shown or "[1" in shown


@pytest.mark.parametrize(
    ("cell", "sentence"),
    [
        ("%%rank 7\nx", "Rank 7 is not there; there are 0-2."),
        ("%%rank\nx", "%%rank needs ranks behind it"),
        ("%%local x\ny", "%%local takes nothing"),
        ("%%rank west\nx", "There is no group 'west'"),
    ],
)
def test_a_mistake_is_a_sentence(front, cell, sentence):
    said = front.run(cell)
    assert said.error.startswith("UsageError: ")
    assert sentence in said.error
    assert len(said.reply["traceback"]) == 1


def test_syntax_errors_come_from_the_ranks(front):
    said = front.run("x = = 1")
    assert said.error.startswith("SyntaxError")


# -- the protocol


def test_counting_history_and_silence(front):
    count = front.run("a = 1").reply["execution_count"]
    assert front.run("a = 2", silent=True).reply["status"] == "ok"
    assert front.run("a = 3", store_history=False).reply["status"] == "ok"
    last = front.run("print(a)")
    assert last.reply["execution_count"] == count + 1
    assert "[0-2] (3)  3" in last.text
    tail = front.ask("history", hist_access_type="tail", n=2)
    assert [entry[2] for entry in tail["history"]] == ["a = 1", "print(a)"]
    here = front.run("%%local\nIn[-2]")
    assert here.of("execute_result")[0]["data"]["text/plain"] == "'print(a)'"


def test_silent_cells_give_no_result(front):
    said = front.run("5", silent=True)
    assert said.text == ""
    assert said.of("execute_input") == []


def test_user_expressions_are_the_lowest_ranks(front):
    front.run(RANK)
    asked = {"rank": "r", "wrong": "nowhere"}
    found = front.run("x = 1", user_expressions=asked).reply["user_expressions"]
    assert found["rank"]["data"] == {"text/plain": "0"}
    assert found["wrong"]["status"] == "error"
    assert found["wrong"]["ename"] == "NameError"
    here = front.run("%%local\nz = 5", user_expressions={"z": "z"})
    assert here.reply["user_expressions"]["z"]["data"] == {"text/plain": "5"}


def test_status_goes_busy_and_idle(front):
    assert front.run("x = 1").states == ["busy", "idle"]


def test_completion_knows_the_names_of_the_ranks(front):
    front.run("only_on_the_ranks = 1")
    front.run("%%local\nonly_in_the_kernel = 1")
    found = front.ask("complete", "only_o")
    assert found["status"] == "ok"
    assert found["matches"] == ["only_on_the_ranks"]
    assert (found["cursor_start"], found["cursor_end"]) == (0, 6)
    code = "%%rank 1\nx = only_o"
    found = front.ask("complete", code)
    assert found["matches"] == ["only_on_the_ranks"]
    assert found["cursor_start"] == len(code) - 6
    kinds = found["metadata"]["_jupyter_types_experimental"]
    assert kinds[0]["start"] == len(code) - 6
    found = front.ask("complete", "%%local\nonly_i")
    assert found["matches"] == ["only_in_the_kernel"]


def test_completion_of_the_first_line(front):
    for typed, wanted in [
        ("%%loc", "%%local"), ("%%ran", "%%rank"), ("%pxc", "%pxconfig"),
        ("%%p", "%%px"), ("%%tim", "%%timeit"), ("%tim", "%timeit"),
    ]:  # fmt: skip
        found = front.ask("complete", typed)
        assert wanted in found["matches"], (typed, found)
        assert (found["cursor_start"], found["cursor_end"]) == (0, len(typed))


def test_inspection_knows_the_objects_of_the_ranks(front):
    front.run("def documented():\n    'On a rank.'")
    found = front.ask("inspect", "documented")
    assert found["found"]
    assert "On a rank." in found["data"]["text/plain"]
    assert front.ask("inspect", "nothing_at_all")["found"] is False
    paged = front.run("documented?").reply["payload"]
    assert paged[0]["source"] == "page"
    assert "On a rank." in paged[0]["data"]["text/plain"]
    assert "not found" in front.run("nothing_at_all?").text


def test_is_complete(front):
    assert front.ask("is_complete", "x = 1")["status"] == "complete"
    assert front.ask("is_complete", "x = (")["status"] == "incomplete"
    assert front.ask("is_complete", "x = )")["status"] == "invalid"


def test_kernel_info(front):
    info = front.ask("kernel_info")
    assert info["implementation"] == "steer"
    assert info["language_info"]["name"] == "python"
    assert "all ranks" in info["banner"]


def test_comms_of_local_cells_work(front):
    front.run(
        "%%local\nimport comm\nheard = []\n"
        "mine = comm.create_comm(target_name='t')\n"
        "mine.on_msg(lambda m: heard.append(m['content']['data']))"
    )
    (comm_id,) = front.ask("comm_info")["comms"]
    content = {"comm_id": comm_id, "data": {"x": 1}}
    front.client.shell_channel.send(front.client.session.msg("comm_msg", content))
    assert "[{'x': 1}]" in front.run("%%local\nheard").text


def test_input_of_a_rank_is_asked_here(front):
    msg_id = front.send("%%rank 1\nname = input('who? ')\nprint('it is', name)")
    asked = front.client.get_stdin_msg(timeout=20)
    assert "who? " in asked["content"]["prompt"]
    front.client.input("me")
    assert front.reply(msg_id)["status"] == "ok"
    assert "it is me" in front.hear_until(msg_id, "it is me")


def test_cells_behind_a_failed_one_are_aborted(front, tmp_path):
    go = tmp_path / "go"
    waits = f"while not os.path.exists({str(go)!r}): time.sleep(0.005)"
    code = f"import os, time\nprint('waits', flush=True)\n{waits}\n1 / 0"
    first = front.send(code, stop_on_error=True)
    front.hear_until(first, "waits")
    second = front.send("x = 'not to be run'")
    go.touch()
    assert front.reply(first)["status"] == "error"
    assert front.reply(second)["status"] == "aborted"
    assert front.run("x = 'runs'; print(x)").reply["status"] == "ok"


# -- interrupts


def test_an_interrupt_reaches_the_ranks_and_the_kernel_goes_on(front):
    loop = "import time\nprint('sleeps', flush=True)\nwhile True: time.sleep(0.1)"
    msg_id = front.send(loop)
    front.hear_until(msg_id, "sleeps")
    front.manager.interrupt_kernel()
    reply = front.reply(msg_id)
    assert reply["status"] == "error"
    assert reply["ename"] == "KeyboardInterrupt"
    assert reply["evalue"] == "ranks 0-2 were interrupted by SIGINT."
    assert "while True: time.sleep(0.1)" in "\n".join(reply["traceback"])
    assert "[0-2] (3)  5" in front.run("5").text


def test_ranks_that_wait_in_mpi_are_left_after_three_presses(front):
    front.run(RANK)
    code = (
        "import time\nprint('begun', flush=True)\n"
        "time.sleep(60) if r == 0 else comm.Barrier()"
    )
    msg_id = front.send(code)
    front.hear_until(msg_id, "begun")
    front.manager.interrupt_kernel()
    front.hear_until(msg_id, "Press again to send")
    front.manager.interrupt_kernel()
    front.hear_until(msg_id, "Press again to leave")
    front.manager.interrupt_kernel()
    reply = front.reply(msg_id)
    assert reply["ename"] == "KeyboardInterrupt"
    assert "ranks 1-2 still run this cell" in reply["evalue"]
    assert "Restarting the kernel ends the ranks" in reply["evalue"]
    # Who waits in MPI is freed by MPI.
    freed = front.run("%%rank 0\ncomm.Barrier(); r")
    assert freed.of("execute_result")[0]["data"]["text/plain"] == "0"
    # A cell sent before that one has ended on all ranks would be given up with it.
    assert "True" in front.run("%%local\nrc.wait(timeout=10)").text
    assert "[0-2] (3)  3" in front.run("comm.allreduce(1)").text
