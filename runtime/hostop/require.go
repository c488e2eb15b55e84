package hostop

// Require gives its first operand, if its second, a single boolean, is true.
func Require(c *Call) error {
	t := c.Tensor(1)
	if t == nil || t.Len() != 1 {
		return Errorf("the condition must be one boolean")
	}
	if v, _ := t.IntAt(0); v == 0 {
		return Errorf("the model was compiled for the case that this condition holds, and it does not for these input shapes")
	}
	return c.Return(c.In[0])
}
