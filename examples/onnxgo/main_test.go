package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRun(t *testing.T) {
	require.NoError(t, run("../digits_cnn/model.onnx", "../digits_cnn/input.npy"))
	require.Error(t, run("../digits_cnn/model.onnx", "../digits_cnn/model.onnx"))
}
