"""Recipes for starting engines: read them, render them, start the job, say how it ended."""
