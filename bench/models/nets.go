package main

import "math"

// gain keeps the spread of activations through Relu.
const gain = math.Sqrt2

// mlp is three layers on 784 values.
func mlp(g *graph) {
	x := g.input(1, 784)
	x = g.relu(g.dense(x, 784, 512))
	x = g.relu(g.dense(x, 512, 256))
	g.result(g.dense(x, 256, 10), 1, 10)
}

// mlpGemm is mlp as PyTorch exports it.
func mlpGemm(g *graph) {
	x := g.input(1, 784)
	x = g.relu(g.gemm(x, 784, 512))
	x = g.relu(g.gemm(x, 512, 256))
	g.result(g.gemm(x, 256, 10), 1, 10)
}

// cnn is three convolutions and a layer, on a picture of 28 by 28.
func cnn(g *graph) {
	x := g.input(1, 1, 28, 28)
	x = g.relu(g.convAdd(x, 1, 16, 1))
	x = g.relu(g.convAdd(x, 16, 32, 2))
	x = g.relu(g.convAdd(x, 32, 64, 2))
	x = g.node("Reshape", []string{x, g.ints(1, 64*7*7)}, nil)
	g.result(g.dense(x, 64*7*7, 10), 1, 10)
}

// dense is a fully connected layer in the form that all of the Go runtimes compute rightly, which Gemm is not.
func (g *graph) dense(x string, in, out int64) string {
	return g.add(g.node("MatMul", []string{x, g.weight(gain/math.Sqrt(float64(in)), in, out)}, nil), g.weight(0.1, 1, out))
}

// convAdd is a convolution of 3 by 3 in such a form: its bias stands apart.
func (g *graph) convAdd(x string, in, out, stride int64) string {
	y := g.node("Conv", []string{x, g.weight(gain/3/math.Sqrt(float64(in)), out, in, 3, 3)}, attrs{
		"kernel_shape": []int64{3, 3}, "strides": []int64{stride, stride}, "pads": []int64{1, 1, 1, 1}, "dilations": []int64{1, 1}, "group": 1,
	})
	return g.add(y, g.weight(0.1, out, 1, 1))
}

// head is what classifiers of pictures end with.
func (g *graph) head(x string, channels int64) {
	x = g.node("GlobalAveragePool", []string{x}, nil)
	x = g.node("Flatten", []string{x}, attrs{"axis": 1})
	g.result(g.gemm(x, channels, 1000), 1, 1000)
}

func mobilenetV2(g *graph) {
	low, high := g.fill(0), g.fill(6)
	relu6 := func(x string) string { return g.node("Clip", []string{x, low, high}, nil) }
	x := relu6(g.conv(g.input(1, 3, 224, 224), 3, 32, 3, 2, 1, gain))
	in := int64(32)
	for _, b := range []struct{ expand, out, n, stride int64 }{
		{1, 16, 1, 1}, {6, 24, 2, 2}, {6, 32, 3, 2}, {6, 64, 4, 2}, {6, 96, 3, 1}, {6, 160, 3, 2}, {6, 320, 1, 1},
	} {
		for i := range b.n {
			stride := int64(1)
			if i == 0 {
				stride = b.stride
			}
			y, mid := x, in*b.expand
			if b.expand > 1 {
				y = relu6(g.conv(y, in, mid, 1, 1, 1, gain))
			}
			y = relu6(g.conv(y, mid, mid, 3, stride, mid, gain))
			y = g.conv(y, mid, b.out, 1, 1, 1, 0.5)
			if stride == 1 && in == b.out {
				y = g.add(x, y)
			}
			x, in = y, b.out
		}
	}
	g.head(relu6(g.conv(x, in, 1280, 1, 1, 1, gain)), 1280)
}

func resnet50(g *graph) {
	x := g.relu(g.conv(g.input(1, 3, 224, 224), 3, 64, 7, 2, 1, gain))
	x = g.node("MaxPool", []string{x}, attrs{"kernel_shape": []int64{3, 3}, "strides": []int64{2, 2}, "pads": []int64{1, 1, 1, 1}})
	in := int64(64)
	for stage, n := range []int{3, 4, 6, 3} {
		mid := int64(64) << stage
		for i := range n {
			stride := int64(1)
			if i == 0 && stage > 0 {
				stride = 2
			}
			y := g.relu(g.conv(x, in, mid, 1, 1, 1, gain))
			y = g.relu(g.conv(y, mid, mid, 3, stride, 1, gain))
			y = g.conv(y, mid, 4*mid, 1, 1, 1, 0.3)
			if i == 0 {
				x = g.conv(x, in, 4*mid, 1, stride, 1, 1)
			}
			x, in = g.relu(g.add(y, x)), 4*mid
		}
	}
	g.head(x, in)
}

// vitB16 is a vision transformer: 12 layers of width 768 with 12 heads, on 196 patches and a class token.
func vitB16(g *graph) {
	const width, heads, tokens = 768, 12, 197
	x := g.node("Conv", []string{g.input(1, 3, 224, 224), g.weight(0.036, width, 3, 16, 16), g.weight(0.1, width)}, attrs{
		"kernel_shape": []int64{16, 16}, "strides": []int64{16, 16}, "pads": []int64{0, 0, 0, 0}, "dilations": []int64{1, 1}, "group": 1,
	})
	x = g.node("Reshape", []string{x, g.ints(1, width, tokens-1)}, nil)
	x = g.node("Transpose", []string{x}, attrs{"perm": []int64{0, 2, 1}})
	x = g.node("Concat", []string{g.weight(0.02, 1, 1, width), x}, attrs{"axis": 1})
	x = g.add(x, g.weight(0.02, 1, tokens, width))
	for range 12 {
		x = g.add(x, g.attention(g.norm(x, width), tokens, width, heads))
		y := g.linear(g.norm(x, width), width, 4*width)
		x = g.add(x, g.linear(g.gelu(y), 4*width, width))
	}
	x = g.node("Gather", []string{g.norm(x, width), g.index(0)}, attrs{"axis": 1})
	g.result(g.gemm(x, width, 1000), 1, 1000)
}

func (g *graph) norm(x string, width int64) string {
	return g.node("LayerNormalization", []string{x, g.fill(1, width), g.fill(0, width)}, attrs{"axis": -1, "epsilon": float32(1e-6)})
}

// linear is a fully connected layer on the last axis.
func (g *graph) linear(x string, in, out int64) string {
	return g.add(g.node("MatMul", []string{x, g.weight(1/math.Sqrt(float64(in)), in, out)}, nil), g.weight(0.02, out))
}

func (g *graph) gelu(x string) string {
	y := g.node("Div", []string{x, g.fill(math.Sqrt2)}, nil)
	y = g.add(g.node("Erf", []string{y}, nil), g.fill(1))
	y = g.node("Mul", []string{x, y}, nil)
	return g.node("Mul", []string{y, g.fill(0.5)}, nil)
}

// attention is multi-head self-attention.
func (g *graph) attention(x string, tokens, width, heads int64) string {
	each := width / heads
	split := g.ints(1, tokens, heads, each)
	part := func(perm ...int64) string {
		y := g.node("Reshape", []string{g.linear(x, width, width), split}, nil)
		return g.node("Transpose", []string{y}, attrs{"perm": perm})
	}
	q, k, v := part(0, 2, 1, 3), part(0, 2, 3, 1), part(0, 2, 1, 3)
	q = g.node("Mul", []string{q, g.fill(float32(1 / math.Sqrt(float64(each))))}, nil)
	s := g.node("Softmax", []string{g.node("MatMul", []string{q, k}, nil)}, attrs{"axis": -1})
	y := g.node("Transpose", []string{g.node("MatMul", []string{s, v}, nil)}, attrs{"perm": []int64{0, 2, 1, 3}})
	y = g.node("Reshape", []string{y, g.ints(1, tokens, width)}, nil)
	return g.linear(y, width, width)
}
