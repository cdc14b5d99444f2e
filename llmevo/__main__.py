"""`python -m llmevo`: the command line."""

from llmevo.cli import main

if __name__ == "__main__":
    main()
