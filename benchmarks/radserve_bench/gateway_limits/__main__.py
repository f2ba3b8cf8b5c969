"""`python -m radserve_bench.gateway_limits`."""

from radserve_bench.gateway_limits.measuring import main

if __name__ == "__main__":
    main()
