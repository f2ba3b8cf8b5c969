"""`python -m radserve_client`, and the entry point of the `radserve` command."""

import sys

from radserve_client.cli import main

if __name__ == "__main__":
    sys.exit(main())
