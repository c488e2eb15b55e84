package filetest

import "testing"

// TestOps runs the text tests of single ops, and of fused and blocked forms; internal/filetest says what -update does.
func TestOps(t *testing.T) { Run(t, opsFiles) }

const opsFiles = "../../testdata/ops/*.nir"

// TestSemantics runs the tests of the rules where ONNX is silent: a file per row of docs/semantics.md.
func TestSemantics(t *testing.T) { Run(t, "../../testdata/semantics/*.nir") }
