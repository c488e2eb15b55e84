package abi

// features: every arm64 processor that Go runs on has NEON; levels beyond it are not built yet.
func features() map[string]bool { return map[string]bool{"neon": true} }
