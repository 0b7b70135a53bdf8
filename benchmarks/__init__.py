"""How fast Steer is, beside a bare pyzmq star and whichever peers are installed.

`python -m benchmarks` measures and prints; README.md says what is measured and how to
add a system. The library knows nothing of this package.
"""
