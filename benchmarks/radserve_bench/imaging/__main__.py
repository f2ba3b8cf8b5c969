from radserve_bench.imaging.comparing import main

if __name__ == "__main__":
    main()
