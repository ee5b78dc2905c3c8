"""compose.yaml and the Dockerfile, checked without a container engine."""
