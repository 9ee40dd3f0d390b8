"""Trains an image classifier: `python train.py --help`."""

import sys

from zoo.training.huge_pages import restart_with_huge_pages

if __name__ == "__main__":
    restart_with_huge_pages()
    from zoo.training.main import main

    sys.exit(main())
