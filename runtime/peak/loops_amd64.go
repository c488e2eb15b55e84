package peak

func sse(n int64)
func avx2(n int64)
func avx512(n int64)

var loops = map[string]loop{
	"sse":    {sse, 12 * 4}, // 6 multiplications and 6 additions
	"avx2":   {avx2, 12 * 8 * 2},
	"avx512": {avx512, 16 * 16 * 2},
}
