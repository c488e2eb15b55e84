package ir

// opTable lists the rows of all families; the families are in ops_*.go.
var opTable = [][]*OpInfo{}

// opIndex finds rows by name.
var opIndex = func() map[string]*OpInfo {
	m := map[string]*OpInfo{}
	for _, fam := range opTable {
		for _, o := range fam {
			if m[o.Name] != nil {
				panic("ir: op " + o.Name + " has two rows")
			}
			m[o.Name] = o
		}
	}
	return m
}()

// Ops lists all rows in the table's order.
func Ops() []*OpInfo {
	var all []*OpInfo
	for _, fam := range opTable {
		all = append(all, fam...)
	}
	return all
}
