{
  "algorithm": "ed25519",
  "key": "49b0aa33f952dd1e6b618626d1899ce699c8dd214c03ed61f27c5cd6e7d42a2e",
  "signature": "Ww6Mzip3Q+8SIrW3aNiM+5n/+7PO5KSvtW+0/hH/ZeplSfkdihzJPllqt4YGEG2Rg61Wy9A/7v7irGnFLl/oDQ=="
}
