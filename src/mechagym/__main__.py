"""`python -m mechagym` is the command `mechagym`."""

from mechagym.cli import main

if __name__ == "__main__":
    main()
