"""The Jupyter kernel whose cells run on the ranks."""
