package onnx

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nnc-go/nnc/frontend/onnx/onnxpb"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// TestEveryVersionHasARow: all that ONNX defines is imported, in every version, with as many operands.
func TestEveryVersionHasARow(t *testing.T) {
	require.Greater(t, len(signatures()), 600)
	rows := map[typeKey]*row{}
	for key, versions := range allRows() {
		for _, r := range versions {
			rows[typeKey{key, r.since}] = r
		}
	}
	for key, ts := range signatures() {
		r := rows[key]
		if r == nil {
			t.Errorf("%s %s %d has no row", key.domain, key.op, key.since)
			continue
		}
		if len(ts) > 0 && r.fn != nil {
			require.Len(t, r.ins.names, len(ts), "operands of %s %d", key.op, key.since)
		}
	}
}

func TestOperandTypes(t *testing.T) {
	one := func(op string, version int64, types ...tensor.DType) error {
		var in []*onnxpb.ValueInfoProto
		var ns []string
		for i, d := range types {
			ns = append(ns, string(rune('a'+i)))
			in = append(in, value(ns[i], int32(d), 2))
		}
		n := node(op, ns, names("y"))
		if op == "Concat" {
			n.Attribute = append(n.Attribute, attrOf("axis", 0))
		}
		_, _, err := importModel(t, model(version, in, nil, n), Options{})
		return err
	}
	require.NoError(t, one("Relu", 14, tensor.I8))
	require.ErrorContains(t, one("Relu", 13, tensor.I8), `Relu "y" (ai.onnx 13): input 0 (X), "a", is i8[2], want one of the element types f32, f16, f64, bf16`)
	require.ErrorContains(t, one("Relu", 14, tensor.U32), "is u32[2]")
	require.ErrorContains(t, one("Add", 14, tensor.F32, tensor.I64), `inputs 0 ("a") and 1 ("b") are f32[2] and i64[2], want the same element type`)
	require.NoError(t, one("Pow", 15, tensor.F32, tensor.I64))
	require.NoError(t, one("Concat", 13, tensor.F64, tensor.F64, tensor.F64))
	require.ErrorContains(t, one("Concat", 13, tensor.F64, tensor.F64, tensor.F32), `inputs 0 ("a") and 2 ("c")`)
	require.ErrorContains(t, one("SequenceLength", 11, tensor.F32), "want one of the element types seq<...>")
}

func TestTypeSets(t *testing.T) {
	for _, bad := range [][]string{{"Op"}, {"Op", "x"}, {"Op", "1", "X:nothing"}, {"Op", "1", "X:T", "T=f33"}} {
		_, _, err := parseTypes(bad)
		require.Error(t, err, bad)
	}
	key, ts, err := parseTypes([]string{"ai.onnx.ml.Op", "3", "X:T", "Y:i64", "T=f32|half|seq"})
	require.NoError(t, err)
	require.Equal(t, typeKey{opKey{"ai.onnx.ml", "Op"}, 3}, key)
	require.Equal(t, "f32, f16, bf16, seq<...>", ts[0].set.String())
	require.Equal(t, "i64", ts[1].set.String())
}
