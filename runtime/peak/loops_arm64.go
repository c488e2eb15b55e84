package peak

func neon(n int64)

var loops = map[string]loop{"neon": {neon, 16 * 4 * 2}}
