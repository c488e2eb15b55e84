package imagedec

import "encoding/binary"

// decodeWebP decodes the image of a RIFF container; transparency is dropped.
func decodeWebP(b []byte) *Image {
	for p := b[12:]; ; {
		check(len(p) >= 8, "there is no image")
		n := int(binary.LittleEndian.Uint32(p[4:]))
		check(n <= len(p)-8, "a chunk of %d bytes is cut off", n)
		switch body := p[8 : 8+n]; string(p[:4]) {
		case "VP8 ":
			return decodeVP8(body)
		case "VP8L":
			return decodeVP8L(body)
		}
		p = p[min(len(p), 8+(n+1)&^1):]
	}
}
