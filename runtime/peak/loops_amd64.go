package peak

func sse(n int64)
func avx2(n int64)
func avx512(n int64)
func avx512bf16(n int64)

var loops = map[string]loop{
	"sse":    {sse, 12 * 4}, // 6 multiplications and 6 additions
	"avx2":   {avx2, 12 * 8 * 2},
	"avx512": {avx512, 16 * 16 * 2},
	// Of bf16; the peak of f32 is half of it.
	"avx512bf16": {avx512bf16, 16 * 16 * 4},
}
