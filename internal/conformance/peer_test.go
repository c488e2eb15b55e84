package conformance

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nnc-go/nnc/internal/testcase"
)

// TestPeer holds operators of com.microsoft, which no test of ONNX has, against ONNX Runtime 1.30, whose
// outputs are in testdata/peer. All run without host functions.
func TestPeer(t *testing.T) {
	cases, err := testcase.Find("testdata/peer")
	require.NoError(t, err)
	for name, way := range ways(t) {
		for _, c := range cases {
			t.Run(c.Name+"/"+name, func(t *testing.T) {
				host, err := way(context.Background(), c, testcase.Tolerance{Rel: 1e-5, Abs: 1e-5})
				require.NoError(t, err)
				require.Empty(t, host)
			})
		}
	}
}
