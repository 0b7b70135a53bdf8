"""What a person's program holds: client, views, results, clusters."""
