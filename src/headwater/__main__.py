"""``python -m headwater``; under a launcher: ``torchrun --nproc-per-node 2 -m headwater fit ... --out RUN``."""

from headwater.cli import main

if __name__ == "__main__":
    main()
