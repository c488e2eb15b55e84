package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/nnc-go/nnc/runtime/tensor"
	"github.com/nnc-go/nnc/runtime/tensorio"
)

// peer is another runtime in a process of its own, which may crash. It reads a line with the path of a
// model and the names of its input and outputs, separated by tabs, runs it, writes output_K.pb beside it, and answers "ok" or "error MESSAGE" on a line.
type peer struct {
	command []string
	dir     string
	cmd     *exec.Cmd
	in      *os.File
	out     *bufio.Reader
}

// peerError is what the peer says of a model that it does not run.
type peerError string

func (e peerError) Error() string { return string(e) }

func newPeer(command, dir string) *peer { return &peer{command: strings.Fields(command), dir: dir} }

func (p *peer) start() error {
	p.cmd = exec.Command(p.command[0], p.command[1:]...)
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	p.cmd.Stdin, p.in = r, w
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	p.out = bufio.NewReader(out)
	return p.cmd.Start()
}

// close ends the process.
func (p *peer) close() {
	if p.cmd != nil {
		p.in.Close()
		p.cmd.Wait()
		p.cmd = nil
	}
}

// run gives the peer's outputs for a graph. Errors of kind peerError are about the model.
func (p *peer) run(g *graph, ref *reference) ([]*tensor.Tensor, error) {
	var types []tensor.DType
	for _, t := range ref.out {
		types = append(types, t.DType)
	}
	closed := g.closedModel(types)
	b, err := proto.Marshal(closed)
	if err != nil {
		return nil, err
	}
	model := filepath.Join(p.dir, "model.onnx")
	if err := os.WriteFile(model, b, 0o600); err != nil {
		return nil, err
	}
	if p.cmd == nil {
		if err := p.start(); err != nil {
			return nil, err
		}
	}
	request := []string{model, closed.Graph.Input[0].GetName()}
	for _, o := range closed.Graph.Output {
		request = append(request, o.GetName())
	}
	fmt.Fprintln(p.in, strings.Join(request, "\t"))
	line, err := p.out.ReadString('\n')
	if err != nil {
		p.in.Close()
		err := p.cmd.Wait()
		p.cmd = nil
		return nil, peerError(fmt.Sprintf("crashed: %v", err))
	}
	if msg, failed := strings.CutPrefix(strings.TrimSpace(line), "error "); failed {
		return nil, peerError(msg)
	}
	var out []*tensor.Tensor
	for i := range types {
		t, err := p.read(i, types[i])
		if err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	return out, nil
}

// read reads output i of a closed model (see closedModel).
func (p *peer) read(i int, d tensor.DType) (*tensor.Tensor, error) {
	var parts [2]*tensor.Tensor
	for k := range parts {
		v, err := tensorio.ReadFile(filepath.Join(p.dir, fmt.Sprintf("output_%d.pb", 2*i+k)), tensorio.Want{})
		if err != nil {
			return nil, err
		}
		parts[k] = v.(*tensor.Tensor)
	}
	shape := tensor.View[int64](parts[1])
	t := &tensor.Tensor{DType: d, Shape: slices.Clone(shape[:len(shape)-1])}
	n := readable(d).Bytes(tensor.NumElements(t.Shape))
	if parts[0].DType != readable(d) || n > int64(len(parts[0].Data)) {
		return nil, errors.New("the peer's output " + parts[0].TypeString() + " is not " + d.String() + tensor.ShapeString(t.Shape))
	}
	if readable(d) == d {
		t.Data = parts[0].Data[:n]
		return t, nil
	}
	t = tensor.New(d, t.Shape...)
	for i := range t.Len() {
		setFloat(t, i, parts[0].At(i))
	}
	return t, nil
}
