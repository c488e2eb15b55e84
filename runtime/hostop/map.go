package hostop

import (
	"slices"

	"github.com/nnc-go/nnc/runtime/tensor"
)

// Map is a map: Keys is a vector of i64 or strings, no key twice, and Values[i] belongs to key i. The
// order of keys means nothing.
type Map struct {
	Keys   *tensor.Tensor
	Values Seq
}

// NewMap makes a map of keys (i64[n] or string[n]) to the n slices of values along its first dimension.
// It fails where their numbers differ. Values shares the memory of values.
func NewMap(keys, values *tensor.Tensor) (*Map, error) {
	n := keys.Len()
	if keys.DType != tensor.I64 && keys.DType != tensor.String || len(keys.Shape) != 1 {
		return nil, Errorf("the keys of a map are %s, want a vector of i64 or string", keys.TypeString())
	}
	if len(values.Shape) == 0 || values.Shape[0] != n || values.DType.Bits()%8 != 0 {
		return nil, Errorf("%s as values of %d keys", values.TypeString(), n)
	}
	m := &Map{Keys: keys, Values: make(Seq, n)}
	slots := make([]tensor.Tensor, n)
	shape := values.Shape[1:]
	each := product(shape)
	for i := range slots {
		slots[i] = tensor.Tensor{DType: values.DType, Shape: append([]int64{}, shape...)}
		lo, hi := int64(i)*each, int64(i+1)*each
		if values.DType == tensor.String {
			slots[i].Strings = values.Strings[lo:hi:hi]
		} else {
			lo, hi := lo*int64(values.DType.Size()), hi*int64(values.DType.Size())
			slots[i].Data = values.Data[lo:hi:hi]
		}
		m.Values[i] = &slots[i]
	}
	return m, nil
}

// Find gives the value of the key that is element i of keys, false where m has no such key.
func (m *Map) Find(keys *tensor.Tensor, i int64) (Value, bool) {
	if keys.DType != m.Keys.DType {
		return nil, false
	}
	at := -1
	if keys.DType == tensor.String {
		at = slices.Index(m.Keys.Strings, keys.Strings[i])
	} else {
		want, _ := keys.IntAt(i)
		for j := range m.Keys.Len() {
			if k, _ := m.Keys.IntAt(j); k == want {
				at = int(j)
				break
			}
		}
	}
	if at < 0 {
		return nil, false
	}
	return m.Values[at], true
}

// Stacked is the values as one tensor with a first dimension of the number of keys, false where they are
// not tensors of one type and shape.
func (m *Map) Stacked() (*tensor.Tensor, bool) {
	if len(m.Values) == 0 {
		return nil, false
	}
	first, ok := m.Values[0].(*tensor.Tensor)
	if !ok {
		return nil, false
	}
	out := &tensor.Tensor{DType: first.DType, Shape: append([]int64{int64(len(m.Values))}, first.Shape...)}
	for _, v := range m.Values {
		t, ok := v.(*tensor.Tensor)
		if !ok || t.DType != first.DType || !slices.Equal(t.Shape, first.Shape) || t.DType.Bits()%8 != 0 {
			return nil, false
		}
		out.Data, out.Strings = append(out.Data, t.Data...), append(out.Strings, t.Strings...)
	}
	return out, true
}

// mapIn is the map operand i.
func (c *Call) mapIn(i int) *Map {
	check(i < len(c.In), "input %d is missing", i)
	m, ok := c.In[i].(*Map)
	check(ok && m != nil, "input %d must be a map, got %T", i, c.In[i])
	return m
}
