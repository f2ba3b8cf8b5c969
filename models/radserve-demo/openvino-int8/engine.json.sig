{
  "algorithm": "ed25519",
  "key": "d06a54ef05489bd2b8ab95b2a78f2f08a50e1e74041e7092a829ce6b495ef857",
  "signature": "nJrVhwZIkexjASV8rxKGOlyVO/toX0LRBHEqf4mAziRCEJsMUHAUyDQme0Nbu46iURUoILkGizrtjE3STMKQCQ=="
}
