"""The hub process: sockets to core.hub and back, the journal, the jobs it started."""
