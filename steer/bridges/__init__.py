"""Faces that other libraries know: each module imports its library, and only there."""
