// Package imagedec decodes still images to 8-bit RGB: JPEG, PNG, BMP, TIFF, WebP, PNM and JPEG 2000. It
// gives the pixels that the usual libraries give (libjpeg-turbo, libpng, libwebp, OpenJPEG, each with
// its defaults), bit for bit, since models are trained on those.
//
// It is written for input from anywhere: sizes are bounded before memory is taken, and what is malformed
// is an error. Formats are described by: ITU-T T.81 (JPEG), RFC 2083 (PNG), RFC 6386 (WebP, lossy), ITU-T
// T.800 (JPEG 2000), and TIFF 6.0.
package imagedec

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
)

// Image is a decoded image: Pix holds red, green and blue of each pixel, rows from the top down.
type Image struct {
	Width, Height int
	Pix           []byte
}

const (
	maxPixels = 1 << 28
	// freePixels may be asked for by a file of any size; beyond, a byte of the file is good for so many at most.
	freePixels, pixelsPerByte = 1 << 20, 1 << 13
)

// format is a decoder and how its files begin.
type format struct {
	name   string
	match  func(b []byte) bool
	decode func(b []byte) *Image
}

func begins(magic string) func(b []byte) bool {
	return func(b []byte) bool { return bytes.HasPrefix(b, []byte(magic)) }
}

func formats() []format {
	return []format{
		{"JPEG", begins("\xff\xd8"), decodeJPEG},
		{"PNG", begins("\x89PNG\r\n\x1a\n"), decodePNG},
		{"BMP", begins("BM"), decodeBMP},
		{"TIFF", func(b []byte) bool { return begins("II*\x00")(b) || begins("MM\x00*")(b) }, decodeTIFF},
		{"WebP", func(b []byte) bool { return len(b) > 12 && begins("RIFF")(b) && string(b[8:12]) == "WEBP" }, decodeWebP},
		{"JPEG 2000", func(b []byte) bool { return begins("\x00\x00\x00\x0cjP  ")(b) || begins("\xff\x4f\xff\x51")(b) }, decodeJ2K},
		{"PNM", func(b []byte) bool { return len(b) > 2 && b[0] == 'P' && b[1] >= '1' && b[1] <= '6' }, decodePNM},
	}
}

// malformed is what fail throws and Decode catches.
type malformed struct{ err error }

func fail(format string, args ...any) { panic(malformed{fmt.Errorf(format, args...)}) }

func check(ok bool, format string, args ...any) {
	if !ok {
		fail(format, args...)
	}
}

// Decode decodes an image, whose format it finds by how it begins.
func Decode(b []byte) (m *Image, err error) {
	name := ""
	defer func() {
		switch r := recover().(type) {
		case nil:
		case malformed:
			m, err = nil, fmt.Errorf("%s: %w", name, r.err)
		case runtime.Error: // an index that a malformed file led astray
			m, err = nil, fmt.Errorf("%s: malformed data: %w", name, r)
		default:
			panic(r)
		}
	}()
	for _, f := range formats() {
		if f.match(b) {
			name = f.name
			return f.decode(b), nil
		}
	}
	return nil, errors.New("not a JPEG, PNG, BMP, TIFF, WebP, PNM or JPEG 2000 image")
}

// checkSize fails for sizes that no image has, or none that fits a file of n bytes.
func checkSize(w, h, n int) {
	check(w > 0 && h > 0 && w < 1<<24 && h < 1<<24 && w*h <= maxPixels && (w*h <= freePixels || w*h <= n*pixelsPerByte),
		"a size of %d x %d is too large for a file of %d bytes", w, h, n)
}

// newImage makes an image for a file of n bytes.
func newImage(w, h, n int) *Image {
	checkSize(w, h, n)
	return &Image{Width: w, Height: h, Pix: make([]byte, 3*w*h)}
}

// set sets pixel i.
func (m *Image) set(i int, r, g, b byte) {
	p := m.Pix[3*i : 3*i+3]
	p[0], p[1], p[2] = r, g, b
}

// Gray gives the luma of each pixel, weighted 0.299, 0.587 and 0.114 in fixed point.
func (m *Image) Gray() []byte {
	out := make([]byte, m.Width*m.Height)
	for i := range out {
		p := m.Pix[3*i : 3*i+3]
		out[i] = byte((int(p[0])*19595 + int(p[1])*38470 + int(p[2])*7471 + 0x8000) >> 16)
	}
	return out
}
