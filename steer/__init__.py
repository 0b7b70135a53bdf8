"""Steer: hold the wheel of a running MPI program."""
