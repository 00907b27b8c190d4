"""`python -m forge_trainer_mlx` starts the worker."""

from forge_trainer_mlx.worker import main

if __name__ == "__main__":
    main()
