package tensor

import "slices"

// Attrs are attributes by name: int64, float64, string, []int64, []float64, []string, DType, or
// constant data of the level that holds them.
type Attrs map[string]any

// Keys lists the names in order.
func (a Attrs) Keys() []string {
	k := make([]string, 0, len(a))
	for n := range a {
		k = append(k, n)
	}
	slices.Sort(k)
	return k
}

// Int gives an integer attribute or its default.
func (a Attrs) Int(name string, def int64) int64 {
	if v, ok := a[name].(int64); ok {
		return v
	}
	return def
}

// Float gives a float attribute or its default. ONNX's are of 32 bits, so that the default is rounded as one that
// is written in the model would be: 1e-5 is the same number either way.
func (a Attrs) Float(name string, def float64) float64 {
	if v, ok := a[name].(float64); ok {
		return v
	}
	return float64(float32(def))
}

// Str gives a string attribute or its default.
func (a Attrs) Str(name string, def string) string {
	if v, ok := a[name].(string); ok {
		return v
	}
	return def
}

// Ints gives a list attribute or its default.
func (a Attrs) Ints(name string, def []int64) []int64 {
	if v, ok := a[name].([]int64); ok {
		return v
	}
	return def
}

// Floats gives a list attribute or its default.
func (a Attrs) Floats(name string, def []float64) []float64 {
	if v, ok := a[name].([]float64); ok {
		return v
	}
	return def
}

// Strs gives a list attribute or its default.
func (a Attrs) Strs(name string, def []string) []string {
	if v, ok := a[name].([]string); ok {
		return v
	}
	return def
}

// DType gives a dtype attribute or its default.
func (a Attrs) DType(name string, def DType) DType {
	if v, ok := a[name].(DType); ok {
		return v
	}
	return def
}
