"""The machines that search for what nobody thought of: they run for minutes or hours, and write docs/proof.md."""
