package onnx

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/nnc-go/nnc/frontend/onnx/onnxpb"
)

// rawField is the field that stands for a TensorProto's raw_data in the skeleton: two varints, offset
// in the model's bytes and length. It is the largest field number there is and dropped where the model
// itself has it. The bindings keep it as an unknown field.
const rawField = 1<<29 - 1

// message is a kind of message of onnx.proto on a path from ModelProto to a TensorProto.
type message uint8

const (
	msgNone message = iota
	msgModel
	msgGraph
	msgNode
	msgAttr
	msgTensor
	msgSparse
	msgFunction
	msgTraining
)

// children gives, for the fields that can hold a TensorProto at any depth, what they hold.
var children = map[message]map[protowire.Number]message{
	msgModel:    {7: msgGraph, 20: msgTraining, 25: msgFunction},
	msgTraining: {1: msgGraph, 2: msgGraph},
	msgFunction: {7: msgNode, 11: msgAttr},
	msgGraph:    {1: msgNode, 5: msgTensor, 15: msgSparse},
	msgNode:     {5: msgAttr},
	msgAttr:     {5: msgTensor, 6: msgGraph, 10: msgTensor, 11: msgGraph, 22: msgSparse, 23: msgSparse},
	msgSparse:   {1: msgTensor, 2: msgTensor},
}

// skeletonizer copies a model without raw data.
type skeletonizer struct {
	src   []byte
	out   []byte
	nodes int
	opts  Options
}

// skeleton gives the model in src with every raw_data replaced by a rawField.
func skeleton(src []byte, opts Options) ([]byte, error) {
	s := &skeletonizer{src: src, opts: opts}
	if err := s.message(msgModel, 0, len(src), 0); err != nil {
		return nil, err
	}
	return s.out, nil
}

func truncated(off int, err error) error {
	return fmt.Errorf("not an ONNX model: malformed or truncated at byte %d: %w", off, err)
}

// message copies the fields of the message of kind m in src[off:end].
func (s *skeletonizer) message(m message, off, end, nesting int) error {
	switch m {
	case msgGraph:
		if nesting++; nesting > s.opts.MaxNesting {
			return fmt.Errorf("graphs are nested more than %d deep", s.opts.MaxNesting)
		}
	case msgNode:
		if s.nodes++; s.nodes > s.opts.MaxNodes {
			return fmt.Errorf("more than %d nodes", s.opts.MaxNodes)
		}
	}
	for off < end {
		num, typ, n := protowire.ConsumeTag(s.src[off:end])
		if n < 0 {
			return truncated(off, protowire.ParseError(n))
		}
		val := off + n
		vn := protowire.ConsumeFieldValue(num, typ, s.src[val:end])
		if vn < 0 {
			return truncated(val, protowire.ParseError(vn))
		}
		next := val + vn
		child := children[m][num]
		switch {
		case num == rawField:
		case m == msgTensor && num == 9 && typ == protowire.BytesType:
			body, _ := protowire.ConsumeBytes(s.src[val:next])
			s.raw(next-len(body), len(body))
		case child != msgNone && typ == protowire.BytesType:
			body, _ := protowire.ConsumeBytes(s.src[val:next])
			if err := s.child(child, num, next-len(body), next, nesting); err != nil {
				return err
			}
		default:
			s.out = append(s.out, s.src[off:next]...)
		}
		off = next
	}
	return nil
}

func (s *skeletonizer) raw(off, n int) {
	b := protowire.AppendVarint(protowire.AppendVarint(nil, uint64(off)), uint64(n))
	s.out = protowire.AppendTag(s.out, rawField, protowire.BytesType)
	s.out = protowire.AppendBytes(s.out, b)
}

// child copies a message whose length is known only afterwards: it reserves a varint of lenBytes bytes,
// longer than need be, which decoders accept.
func (s *skeletonizer) child(m message, num protowire.Number, off, end, nesting int) error {
	const lenBytes = 5
	s.out = protowire.AppendTag(s.out, num, protowire.BytesType)
	at := len(s.out)
	s.out = append(s.out, make([]byte, lenBytes)...)
	if err := s.message(m, off, end, nesting); err != nil {
		return err
	}
	n := len(s.out) - at - lenBytes
	if n >= 1<<31 {
		return fmt.Errorf("a message of %d bytes without its raw data, want less than 2 GiB", n)
	}
	for i := range lenBytes {
		s.out[at+i] = byte(n>>(7*i))&0x7f | 0x80
	}
	s.out[at+lenBytes-1] &= 0x7f
	return nil
}

// rawData gives the raw data of a tensor of the skeleton; ok is false where it has none.
func (s *source) rawData(t *onnxpb.TensorProto) (b []byte, ok bool, err error) {
	for u := t.ProtoReflect().GetUnknown(); len(u) > 0; {
		num, typ, n := protowire.ConsumeTag(u)
		if n < 0 {
			return nil, false, protowire.ParseError(n)
		}
		vn := protowire.ConsumeFieldValue(num, typ, u[n:])
		if vn < 0 {
			return nil, false, protowire.ParseError(vn)
		}
		if num == rawField {
			if ok {
				return nil, false, fmt.Errorf("raw data is given twice")
			}
			mark, _ := protowire.ConsumeBytes(u[n : n+vn])
			off, k := protowire.ConsumeVarint(mark)
			size, _ := protowire.ConsumeVarint(mark[k:])
			b, ok = s.bytes[off:off+size:off+size], true
		}
		u = u[n+vn:]
	}
	return b, ok, nil
}
