package imagedec

import (
	"bytes"
	"hash/crc32"
	"image"
	"image/color"
	stdpng "image/png"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// examples are the files of ONNX's tests, where they are at hand.
func examples(t testing.TB) (files [][]byte) {
	names, err := filepath.Glob("../../../shared/onnx-tests/node/test_image_decoder_*/test_data_set_0/input_0.pb")
	require.NoError(t, err)
	for _, n := range names {
		b, err := os.ReadFile(n)
		require.NoError(t, err)
		for _, magic := range []string{"\xff\xd8\xff", "\x89PNG", "BM", "II*\x00", "P6", "RIFF", "\x00\x00\x00\x0cjP"} {
			if i := bytes.Index(b, []byte(magic)); i >= 0 && i < 40 {
				files = append(files, b[i:])
			}
		}
	}
	return files
}

// drawing is an image with edges, gradients and transparency.
func drawing(w, h int) *image.NRGBA {
	m := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			m.Set(x, y, color.NRGBA{uint8(x * 7), uint8(y * 5), uint8((x / 4 % 2) * 200), 255})
		}
	}
	return m
}

func TestPNG(t *testing.T) {
	src := drawing(33, 17)
	paletted := image.NewPaletted(src.Rect, color.Palette{color.Black, color.White, color.RGBA{200, 10, 30, 255}})
	grey, deep := image.NewGray(src.Rect), image.NewNRGBA64(src.Rect)
	for y := range 17 {
		for x := range 33 {
			paletted.SetColorIndex(x, y, uint8(x*y%3))
			grey.Set(x, y, src.At(x, y))
			deep.Set(x, y, src.At(x, y))
		}
	}
	for _, m := range []image.Image{src, paletted, grey, deep} {
		var b bytes.Buffer
		require.NoError(t, stdpng.Encode(&b, m))
		got, err := Decode(b.Bytes())
		require.NoError(t, err)
		for y := range 17 {
			for x := range 33 {
				r, g, bl, _ := m.At(x, y).RGBA()
				require.Equal(t, []byte{byte(r >> 8), byte(g >> 8), byte(bl >> 8)}, got.Pix[3*(y*33+x):][:3], "%T at %d, %d", m, x, y)
			}
		}
	}
}

// TestReference holds the pixels against those of libjpeg-turbo and libwebp, as checksums.
func TestReference(t *testing.T) {
	for name, want := range map[string]uint32{
		"h2v2-progressive.jpg": 0xa4929245, "h2v1-restarts.jpg": 0x70d22c05, "h1v2.jpg": 0x9bf75f70, "grey.jpg": 0x30fdcb34,
		"lossy.webp": 0x8e05612b, "lossless.webp": 0x956deaf6, "palette.webp": 0x60072c33,
	} {
		b, err := os.ReadFile("../../testdata/images/" + name)
		require.NoError(t, err)
		m, err := Decode(b)
		require.NoError(t, err, name)
		require.Equal(t, want, crc32.ChecksumIEEE(m.Pix), name)
		for n := range b { // cut off anywhere, it is an error or an image
			if m, err := Decode(b[:n]); err == nil {
				require.Len(t, m.Pix, 3*m.Width*m.Height)
			}
		}
	}
}

// FuzzDecode: whatever the file, the answer is an image or an error.
func FuzzDecode(f *testing.F) {
	for _, b := range examples(f) {
		f.Add(b)
	}
	f.Add([]byte("P3 2 1 7 1 2 3 4 5 6"))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Decode(b)
		if err == nil {
			require.Len(t, m.Pix, 3*m.Width*m.Height)
		}
	})
}
