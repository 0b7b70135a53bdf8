"""Starting engines: read a recipe, render it, start the job, say how it ended."""
