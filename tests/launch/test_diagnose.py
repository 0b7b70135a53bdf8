"""What launchers have really said, and the advice it leads to."""

from __future__ import annotations

import pytest

from steer.launch.diagnose import clean, next_step


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        ("prterun has detected an attempt to run as root.", "OMPI_ALLOW_RUN_AS_ROOT"),
        ("There are not enough slots available in the system", "fewer engines"),
        (
            "Fatal error in internal_Init_thread: unsupported PMI version PMIx",
            "belongs to another MPI",
        ),
        ("ModuleNotFoundError: No module named 'steer'", "Install Steer"),
        ("python: No module named steer.engines", "Install Steer"),
        ("ModuleNotFoundError: No module named 'mpi4py'", "Install mpi4py"),
        ("RuntimeError: cannot load MPI library\nlibmpi.so: cannot", "no MPI library"),
        (
            "[proxy:0@vm] HYDU_create_process (lib/utils/launch.c:73): execvp error "
            "on file /no/python (No such file or directory)",
            "exist on every host",
        ),
        (
            "prterun was unable to launch the specified application as it could not\n"
            "access an executable:",
            "exist on every host",
        ),
        ("OSError: [Errno 28] No space left on device", "df -h /dev/shm"),
        ("=   PID 10741 RUNNING AT vm\n=   EXIT CODE: 7\n", "df -h /dev/shm"),
        ("It appears as if there is not enough space for /dev/shm/sm_seg", "/dev/shm"),
        ("OSError: [Errno 12] Cannot allocate memory", "out of memory"),
    ],
)
def test_known_texts(said: str, advice: str) -> None:
    assert advice in (next_step(f"before\n{said}\nafter") or "")


def test_the_cause_speaks_before_what_follows_from_it() -> None:
    both = "No space left on device\nlibmpi.so.12: No such file or directory"
    assert "df -h" in (next_step(both) or "")


def test_an_unknown_text_gets_no_invented_advice() -> None:
    assert next_step("the moon is full") is None


def test_a_log_becomes_plain_text() -> None:
    log = "\x1b[31mred\x1b[0m\n\n=====\n- - -\n10%\r20%\n\x1b]0;title\x07end\0\n"
    assert clean(log) == ["red", "20%", "end"]
