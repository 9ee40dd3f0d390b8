"""Trains an image classifier: `python train.py --help`; the same as `zoo train`."""

import sys

from zoo.training.huge_pages import restart_with_huge_pages
from zoo.training.main import main

if __name__ == "__main__":
    restart_with_huge_pages()
    sys.exit(main())
