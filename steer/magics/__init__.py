"""`%px` and its family, for IPython: they only use what `steer` offers to everybody."""
