"""`python -m thumbwheel`."""

from thumbwheel.cli import main

if __name__ == "__main__":
    main()
