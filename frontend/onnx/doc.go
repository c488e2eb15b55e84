// Package onnx reads ONNX models into nnc's ir.
//
// A model is untrusted input: whatever the bytes are, Load gives an error or a valid module, without
// a panic, without reading outside the model's directory and without allocating out of proportion to
// the file. Weights stay in the mapped file: skeleton.go rewrites the message without its raw data
// before the generated bindings (package onnxpb) see it, and a tensor is a slice of the mapping.
//
// Every version of every operator that ONNX ever had is a row of the tables in rows_*.go: its operands,
// results and attributes, the op of ir that it becomes, and the function that imports it. Most rows are
// direct, which means that the version has the form of ir's op; the functions in upgrade_*.go turn the
// other versions into the newest form, so that no later level knows about versions. A version that has
// no row is refused, never taken for another.
package onnx

//go:generate sh -c "cd onnxpb && protoc --go_out=. --go_opt=paths=source_relative onnx.proto && mv onnx.pb.go zonnx.pb.go"
