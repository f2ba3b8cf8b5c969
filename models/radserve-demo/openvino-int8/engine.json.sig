{
  "algorithm": "ed25519",
  "key": "d06a54ef05489bd2b8ab95b2a78f2f08a50e1e74041e7092a829ce6b495ef857",
  "signature": "ajlim7qcgMfBUgWsxpYYSCGvdTmom4RvBOnseLnl+P4pTz8vmy+GdrVE7gLBLt8am9dTwo6uawCTnh51ohLOBQ=="
}
