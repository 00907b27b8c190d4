"""`python -m forge_gateway`."""

from forge_gateway.app import main

if __name__ == "__main__":
    main()
