"""The clients in Python, TypeScript and Go, each held to clients/vectors.json against a Herald that runs."""
