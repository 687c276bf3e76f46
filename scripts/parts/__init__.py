"""What `install-parts` knows: Debian's packages, the engine, the stand-in images."""
