package tensorio

import (
	"archive/zip"
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nnc-go/nnc/runtime/hostop"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// random makes a tensor of any type with valid contents.
func random(r *rand.Rand, d tensor.DType, shape ...int64) *tensor.Tensor {
	t := tensor.New(d, shape...)
	for i := range t.Strings {
		t.Strings[i] = []string{"", "a", "été", "日本 x", "tab\t\"quote\\"}[r.IntN(5)]
	}
	for i := range scalars(t) {
		if d == tensor.String {
			break
		}
		switch d.Class() {
		case tensor.ClassFloat, tensor.ClassComplex:
			v := []float64{0, 1, -1.5, 0.1, 448, -3e4, math.Inf(1), math.NaN(), 1e-7}[r.IntN(9)]
			putFloat(t, int(i), v)
		case tensor.ClassBool:
			t.Data[i] = uint8(r.IntN(2))
		default:
			putBits(t.Data, int(i), d.Bits(), r.Uint64())
		}
	}
	return t
}

func allTypes() []tensor.DType {
	var ds []tensor.DType
	for d := tensor.F32; d <= tensor.I2; d++ {
		ds = append(ds, d)
	}
	return ds
}

var shapes = [][]int64{{}, {0}, {1}, {5}, {2, 3}, {3, 0, 2}, {2, 3, 4}, {17}}

func TestRoundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	dir := t.TempDir()
	for _, ext := range []string{".npy", ".pb", ".json", ".raw"} {
		for _, d := range allTypes() {
			for _, shape := range shapes {
				if ext == ".raw" && d == tensor.String {
					continue
				}
				t.Run(fmt.Sprint(ext, d, shape), func(t *testing.T) {
					x := random(r, d, shape...)
					path := filepath.Join(dir, "x"+ext)
					require.NoError(t, WriteFile(path, x))
					y, err := ReadFile(path, Want{DType: d, Shape: shape})
					require.NoError(t, err)
					if ext == ".npy" && d == tensor.String && len(x.Strings) == 0 {
						return
					}
					require.Equal(t, x, y)
				})
			}
		}
	}
	left, err := filepath.Glob(filepath.Join(dir, ".tmp*"))
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestSequences(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	dir := t.TempDir()
	for i, v := range []hostop.Value{
		hostop.Seq{random(r, tensor.F32, 2, 3), random(r, tensor.F32, 1)}, hostop.Seq{}, hostop.Seq{random(r, tensor.String, 2)},
	} {
		for _, ext := range []string{".pb", ".json"} {
			path := filepath.Join(dir, fmt.Sprint(i, ext))
			require.NoError(t, WriteFile(path, v))
			w, err := ReadFile(path, Want{Kind: KindSeq})
			require.NoError(t, err)
			require.Equal(t, v, w)
		}
		require.Error(t, WriteFile(filepath.Join(dir, "x.npy"), v))
	}
	nested := hostop.Seq{hostop.Seq{random(r, tensor.I64, 3)}, hostop.Seq{}}
	v, err := DecodePB(EncodePB(nested, "name"), KindSeq)
	require.NoError(t, err)
	require.Equal(t, hostop.Value(nested), v)
	for _, v := range []hostop.Value{nil, random(r, tensor.BF16, 2), nested} {
		w, err := DecodePB(EncodeOptionalPB(v, "o"), KindOptional)
		require.NoError(t, err)
		require.Equal(t, v, w)
	}
}

func TestMaps(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	ints, err := hostop.NewMap(tensor.Of([]int64{7, -1, 1 << 40}, 3), random(r, tensor.F32, 3))
	require.NoError(t, err)
	strs, err := hostop.NewMap(tensor.OfStrings([]string{"b", "", "a"}, 3), random(r, tensor.String, 3, 2))
	require.NoError(t, err)
	mixed := &hostop.Map{Keys: tensor.Of([]int64{3, 4}, 2), Values: hostop.Seq{random(r, tensor.F32, 2), random(r, tensor.F32, 1)}}
	empty := &hostop.Map{Keys: tensor.New(tensor.I64, 0), Values: hostop.Seq{}}
	dir := t.TempDir()
	for i, m := range []*hostop.Map{ints, strs, mixed, empty} {
		for _, ext := range []string{".pb", ".json"} {
			for kind, v := range map[Kind]hostop.Value{KindMap: m, KindSeq: hostop.Seq{m, m}} {
				path := filepath.Join(dir, fmt.Sprint(i, kind, ext))
				require.NoError(t, WriteFile(path, v))
				w, err := ReadFile(path, Want{Kind: kind})
				require.NoError(t, err)
				require.Equal(t, v, w)
			}
		}
	}
	v, err := DecodeJSON([]byte(`{"keys": ["x", "y"], "values": [1, 2]}`), Want{Kind: KindMap, DType: tensor.F64})
	require.NoError(t, err)
	at, ok := v.(*hostop.Map).Find(tensor.OfStrings([]string{"y"}, 1), 0)
	require.True(t, ok)
	require.Equal(t, tensor.Of([]float64{2}), at)
	for _, bad := range []string{`{"keys": [1, 1], "values": [1, 2]}`, `{"keys": [1], "values": [1, 2]}`, `{"keys": [1.5], "values": [1]}`,
		`{"keys": [1]}`, `{"keys": [1], "values": [1], "more": 1}`, `{"keys": [[1]], "values": [1]}`} {
		_, err := DecodeJSON([]byte(bad), Want{})
		require.ErrorIs(t, err, ErrFormat, bad)
	}
}

func TestJSONForms(t *testing.T) {
	for _, c := range []struct {
		in   string
		d    tensor.DType
		want hostop.Value
	}{
		{`[[1, 2.5], [3, -4e1]]`, 0, tensor.Of([]float32{1, 2.5, 3, -40}, 2, 2)},
		{`[1, 2, 3]`, 0, tensor.Of([]int64{1, 2, 3}, 3)},
		{`[1, 2, 3]`, tensor.U8, tensor.Of([]uint8{1, 2, 3}, 3)},
		{`7`, tensor.I32, tensor.Of([]int32{7})},
		{`[true, false]`, 0, tensor.Of([]bool{true, false}, 2)},
		{`["a", "\u00e9\ud83d\ude00\n"]`, 0, tensor.OfStrings([]string{"a", "é😀\n"}, 2)},
		{`[]`, 0, &tensor.Tensor{DType: tensor.F32, Shape: []int64{0}, Data: []byte{}}},
		{`{"dtype": "f64", "shape": [1, 2], "data": [[0.1, -Infinity]]}`, 0, tensor.Of([]float64{0.1, math.Inf(-1)}, 1, 2)},
		{`{"data": [1, 2]}`, tensor.F32, tensor.Of([]float32{1, 2}, 2)},
		{`{"dtype": "c64", "data": [[1, 2], [3, 4]]}`, 0, tensor.Of([]complex64{1 + 2i, 3 + 4i}, 2)},
		{`null`, 0, nil},
	} {
		v, err := DecodeJSON([]byte(c.in), Want{DType: c.d})
		require.NoError(t, err, c.in)
		require.Equal(t, c.want, v, c.in)
	}
	for _, bad := range []string{``, `[`, `[1,]`, `[[1,2],[3]]`, `[1,[2]]`, `[[1],2]`, `{"data":[1],"shape":[2]}`, `{"x":1}`, `["a",1]`, `[1 2]`, `nan`, `0x1`, `[1]]`, `{"dtype":"f99","data":1}`, `"\q"`, `{"dtype":"u8","data":[256]}`, `{"dtype":"i4","data":[8]}`, `{"dtype":"bool","data":[2]}`, `{"shape":[9000000000000000000,9],"data":[]}`} {
		_, err := DecodeJSON([]byte(bad), Want{})
		require.ErrorIs(t, err, ErrFormat, bad)
	}
}

func TestNPYForms(t *testing.T) {
	file := func(head string, data ...byte) []byte {
		return append([]byte(npyMagic+"\x02\x00"+string([]byte{byte(len(head)), 0, 0, 0})+head), data...)
	}
	x, err := DecodeNPY(file(`{'descr': '>i2', 'fortran_order': True, 'shape': (2, 3), }`, 0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6), 0)
	require.NoError(t, err)
	require.Equal(t, tensor.Of([]int16{1, 3, 5, 2, 4, 6}, 2, 3), x)
	x, err = DecodeNPY(file(`{"shape": (2L,), "descr": "|S3", "fortran_order": False}`, 'a', 'b', 0, 'x', 'y', 'z'), 0)
	require.NoError(t, err)
	require.Equal(t, tensor.OfStrings([]string{"ab", "xyz"}, 2), x)
	x, err = DecodeNPY(file(`{'descr': '|i1', 'fortran_order': False, 'shape': (3,), }`, 0xff, 7, 0xf8), tensor.I4)
	require.NoError(t, err)
	require.Equal(t, []byte{0x7f, 0x08}, x.Data)
	require.Equal(t, tensor.I4, x.DType)
	for _, bad := range [][]byte{
		nil, []byte(npyMagic), file(`{'descr': '<f4', 'shape': (-1,)}`), file(`{'descr': '<f4', 'shape': (4,)}`, 1, 2),
		file(`{'descr': '|O', 'shape': ()}`, 1), file(`{'descr': '<f4'}`), file(`{'descr': '<f4', 'shape': (9223372036854775807,9223372036854775807)}`),
		file(`{'descr': '<U999999999999', 'shape': (1,)}`), file(`{'descr': '<U0', 'shape': (9999999999,)}`), file(`{'descr': [('a','<f4')], 'shape': (1,)}`, 0, 0, 0, 0), file(`{`), file(`{'shape': (`),
	} {
		_, err := DecodeNPY(bad, 0)
		require.ErrorIs(t, err, ErrFormat, "%q", bad)
	}
}

func TestNPZ(t *testing.T) {
	var buf bytes.Buffer
	z := zip.NewWriter(&buf)
	for _, n := range []string{"a", "b"} {
		w, err := z.Create(n + ".npy")
		require.NoError(t, err)
		require.NoError(t, EncodeNPY(w, tensor.OfStrings([]string{n}, 1)))
	}
	require.NoError(t, z.Close())
	path := filepath.Join(t.TempDir(), "x.npz")
	require.NoError(t, os.WriteFile(path, buf.Bytes(), 0o600))
	v, err := ReadFile(path, Want{Name: "b"})
	require.NoError(t, err)
	require.Equal(t, tensor.OfStrings([]string{"b"}, 1), v)
	_, err = ReadFile(path, Want{Name: "c"})
	require.ErrorContains(t, err, "a, b")
}

func TestRaw(t *testing.T) {
	b := make([]byte, 25)
	x, err := DecodeRaw(b[1:], tensor.F32, []int64{2, -1})
	require.NoError(t, err)
	require.Equal(t, []int64{2, 3}, x.Shape)
	require.True(t, tensor.IsAligned(x.Data, tensor.F32))
	for _, shape := range [][]int64{{7}, {-1, -1}, {-2}, {math.MaxInt64, 16}, {5, -1}} {
		_, err = DecodeRaw(b[:24], tensor.F32, shape)
		require.Error(t, err, "%v", shape)
	}
	_, err = DecodeRaw(b, tensor.String, nil)
	require.Error(t, err)
}

func TestTensorProtoFields(t *testing.T) {
	// int32_data, unpacked and packed, of an f16; int64_data; uint64_data; string_data.
	b := appendInt(appendInt(appendInt(appendInt(nil, 1, 2), 2, 10), 5, 0x3c00), 5, 0x4000)
	x, err := DecodeTensorPB(b)
	require.NoError(t, err)
	require.Equal(t, []float64{1, 2}, []float64{x.At(0), x.At(1)})
	b = appendBytes(appendInt(appendBytes(nil, 1, []byte{2}), 2, 3), 5, []byte{1, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	x, err = DecodeTensorPB(b)
	require.NoError(t, err)
	require.Equal(t, tensor.Of([]int8{1, -2}, 2), x)
	b = appendBytes(appendInt(appendInt(nil, 1, 3), 2, int64(tensor.U4)), 5, []byte{0x21, 0x03})
	x, err = DecodeTensorPB(b)
	require.NoError(t, err)
	require.Equal(t, []byte{0x21, 0x03}, x.Data)
	b = appendBytes(appendInt(nil, 2, 1), 4, []byte{0, 0, 0x80, 0x3f})
	x, err = DecodeTensorPB(b)
	require.NoError(t, err)
	require.Equal(t, tensor.Of([]float32{1}), x)
	for _, bad := range [][]byte{
		{0xff}, {0x0a, 5, 1}, {0x08}, appendInt(nil, 1, 1), appendInt(appendInt(nil, 1, 1), 2, 1), appendInt(appendInt(nil, 1, -1), 2, 1),
		appendInt(appendInt(nil, 1, 1), 2, 27), appendInt(nil, 2, 0), appendInt(appendInt(nil, 2, 1), 14, 1), appendInt(appendInt(nil, 2, 8), 1, 1<<60),
		appendInt(appendInt(appendInt(nil, 1, 1<<40), 1, 1<<40), 2, 1), appendBytes(appendInt(nil, 2, 1), 4, []byte{1}), {7 << 3, 0},
	} {
		_, err := DecodeTensorPB(bad)
		require.ErrorIs(t, err, ErrFormat, "%x", bad)
	}
}

// TestONNXData reads the test data of ONNX's own backend tests, where they are present, and writes it back.
func TestONNXData(t *testing.T) {
	files, err := filepath.Glob("../../../shared/onnx-tests/node/test_*/test_data_set_0/*.pb")
	require.NoError(t, err)
	if len(files) == 0 {
		files, _ = filepath.Glob(filepath.Join(os.Getenv("NNC_ONNX_TESTS"), "node/test_*/test_data_set_0/*.pb"))
	}
	if len(files) == 0 {
		t.Skip("no ONNX test data (NNC_ONNX_TESTS)")
	}
	kinds := map[Kind]int{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		require.NoError(t, err)
		ok := false
		for _, k := range []Kind{KindTensor, KindSeq, KindOptional} {
			v, err := DecodePB(b, k)
			if err != nil {
				continue
			}
			ok = true
			kinds[k]++
			if x, isTensor := v.(*tensor.Tensor); isTensor {
				y, err := DecodeTensorPB(EncodePB(x, "n"))
				require.NoError(t, err)
				require.Equal(t, x.DType, y.DType)
				require.Equal(t, x.Shape, y.Shape)
				require.True(t, bytes.Equal(x.Data, y.Data))
			}
			break
		}
		require.True(t, ok, f)
	}
	t.Logf("%d files: %v", len(files), kinds)
}

func FuzzDecode(f *testing.F) {
	r := rand.New(rand.NewPCG(7, 8))
	for _, d := range allTypes() {
		x := random(r, d, 2, 3)
		f.Add(EncodePB(x, "x"), uint8(0), uint8(d))
		var npy, js bytes.Buffer
		require.NoError(f, EncodeNPY(&npy, x))
		require.NoError(f, EncodeJSON(&js, x))
		f.Add(npy.Bytes(), uint8(3), uint8(d))
		f.Add(js.Bytes(), uint8(4), uint8(d))
	}
	f.Add(EncodePB(hostop.Seq{random(r, tensor.F32, 1), nil}, "s"), uint8(1), uint8(0))
	f.Add(EncodeOptionalPB(random(r, tensor.F32, 1), "o"), uint8(2), uint8(0))
	m, err := hostop.NewMap(tensor.Of([]int64{7, 8}, 2), random(r, tensor.F32, 2))
	require.NoError(f, err)
	f.Add(EncodePB(m, "m"), uint8(6), uint8(0))
	f.Fuzz(func(t *testing.T, b []byte, form, d uint8) {
		exts := []string{".pb", ".pb", ".pb", ".npy", ".json", ".npz", ".pb"}
		i := int(form) % len(exts)
		v, err := decode(exts[i], b, Want{Kind: []Kind{KindTensor, KindSeq, KindOptional, KindTensor, KindSeq, KindOptional, KindMap}[i], DType: tensor.DType(d % 27)})
		if x, ok := v.(*tensor.Tensor); ok && err == nil {
			if x.DType == tensor.String {
				require.Len(t, x.Strings, int(x.Len()))
				return
			}
			require.Equal(t, x.DType.Bytes(x.Len()), int64(len(x.Data)))
			require.True(t, tensor.IsAligned(x.Data, x.DType))
			again, err := decode(".pb", EncodePB(x, ""), Want{})
			require.NoError(t, err)
			require.Equal(t, x, again)
		}
	})
}
