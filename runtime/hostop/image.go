package hostop

import (
	"github.com/nnc-go/nnc/runtime/imagedec"
	"github.com/nnc-go/nnc/runtime/tensor"
)

// ImageDecoder decodes the bytes of an image file to u8 [height, width, channels].
func ImageDecoder(c *Call) (err error) {
	defer guard(&err)
	x, pixels := c.in(0), c.Attrs.Str("pixel_format", "RGB")
	oneOf("pixel_format", pixels, "RGB", "BGR", "Grayscale")
	check(x.DType == tensor.U8 && len(x.Shape) == 1, "encoded_stream is %s, want bytes", x.TypeString())
	m, err := imagedec.Decode(x.Data[:x.Len()])
	if err != nil {
		return err
	}
	h, w := int64(m.Height), int64(m.Width)
	if pixels == "Grayscale" {
		out := alloc(tensor.U8, h, w, 1)
		copy(out.Data, m.Gray())
		c.give(out)
		return nil
	}
	out := alloc(tensor.U8, h, w, 3)
	copy(out.Data, m.Pix)
	if pixels == "BGR" {
		for i := 0; i < len(m.Pix); i += 3 {
			out.Data[i], out.Data[i+2] = m.Pix[i+2], m.Pix[i]
		}
	}
	c.give(out)
	return nil
}
