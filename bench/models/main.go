// Command models writes networks with random weights as ONNX files, to be timed where the trained ones are not at
// hand: the architectures as PyTorch exports them, batch normalisation folded, and small networks of the few ops
// that every Go runtime has.
//
//	go run ./models -out DIR [NAME...]
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"google.golang.org/protobuf/proto"
)

// architectures by name.
var architectures = []struct {
	name  string
	opset int64
	write func(g *graph)
}{
	{"mlp", 13, mlp},
	{"mlp_gemm", 13, mlpGemm},
	{"cnn", 13, cnn},
	{"mobilenet_v2", 13, mobilenetV2},
	{"resnet50", 13, resnet50},
	{"vit_b_16", 17, vitB16},
}

func main() {
	out := flag.String("out", ".", "`FOLDER` for NAME/model.onnx")
	flag.Parse()
	log.SetFlags(0)
	wanted := map[string]bool{}
	for _, n := range flag.Args() {
		wanted[n] = true
	}
	for _, a := range architectures {
		if flag.NArg() > 0 && !wanted[a.name] {
			continue
		}
		delete(wanted, a.name)
		g := newGraph(a.name)
		a.write(g)
		b, err := proto.Marshal(g.model(a.opset))
		if err != nil {
			log.Fatal(err)
		}
		dir := filepath.Join(*out, a.name)
		if err := os.MkdirAll(dir, 0o777); err != nil {
			log.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "model.onnx"), b, 0o666); err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s: %d nodes, %.1f million weights\n", filepath.Join(dir, "model.onnx"), len(g.Node), float64(g.weights)/1e6)
	}
	for n := range wanted {
		log.Fatalf("no architecture %q", n)
	}
}
