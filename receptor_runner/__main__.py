"""``python -m receptor_runner``."""

from .cli.main import main

if __name__ == "__main__":
    main()
