"""What every folder may import: errors and their messages, results, and small helpers. Imports nothing else of tritonize."""
