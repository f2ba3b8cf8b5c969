{
  "algorithm": "ed25519",
  "key": "d06a54ef05489bd2b8ab95b2a78f2f08a50e1e74041e7092a829ce6b495ef857",
  "signature": "YDx/3qCkFWhUVdPjTWLmz+k5ZxVzaQRtfAg8kP2XVrqFOKWlTS0Pu+BS1rKE+4K+r1jwhsdffnZWE+RpLLywCw=="
}
