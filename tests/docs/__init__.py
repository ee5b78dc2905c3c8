"""What the README and the pages below `docs/` say is true."""
