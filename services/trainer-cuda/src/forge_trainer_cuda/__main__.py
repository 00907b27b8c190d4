"""`python -m forge_trainer_cuda` starts the worker."""

from forge_trainer_cuda.worker import main

if __name__ == "__main__":
    main()
