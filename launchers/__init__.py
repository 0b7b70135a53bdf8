"""One TOML file for each way to start engines; this package holds data, no code.

A recipe says how ``n`` engines are started; `steer.launch` reads, fills in and runs it.
Any package can add recipes: name it in the entry point group ``steer.launchers``.

Keys of every recipe:

``description``
    One line for ``steer launchers``.
``kind``
    ``"direct"``: the command is our child and lives as long as its engines.
    ``"batch"``: the command submits a script and returns at once.
``launch``
    The command, one string for each argument. An argument that is exactly
    ``"{engine}"`` (the engine's own command), ``"{mpi}"`` (the arguments of the MPI in
    use) or ``"{options}"`` (the options that were given) becomes none, one or several
    arguments. Inside an argument ``{n}``, ``{python}``, ``{job}`` and ``{runtime}`` (a
    private directory) are filled in, and here ``{mpiexec}`` too.
``each``
    ``true``: the command starts one engine, so it is run ``n`` times (default: false).

Tables:

``[options]``
    What a user can ask for: a list of arguments, in which ``{name}`` is the value of
    the option of that name. An option that was not given leaves nothing behind.
``[environment]``
    Variables to set. ``[as_root]``: to set when root starts the engines.
    ``[without_fabric]``: to set unless the user did, where no fast network is seen.
    ``forget``, above the tables: patterns of variables that engines must not inherit.
``[mpi.mpich]``, ``[mpi.openmpi]``
    For a recipe that needs MPI: what holds for one MPI only, as ``arguments`` and the
    tables above once more. ``[mpi.openmpi-5]`` adds to them for one major version.

A batch recipe has besides: ``directive`` (what begins a line that carries an option),
``submit``, ``query`` and ``cancel`` (commands), ``job`` (the pattern that finds the
job's id in the output of ``submit``) and ``[states]`` (the scheduler's words for
waiting, running, done and failed).
"""
