"""For those who test a consumer of their own: a pytest plugin. Nothing that runs in production imports it."""
