"""`python -m radserve_server`: the gateway in front of Triton; settings from RADSERVE_* or the command line."""

import sys

from radserve_server.serve import serve

if __name__ == "__main__":
    sys.exit(serve(sys.argv[1:]))
