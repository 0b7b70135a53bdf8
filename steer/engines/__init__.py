"""The rank's process: the main thread runs user code and MPI, one I/O thread holds the
wire."""
