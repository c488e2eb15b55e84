package purego

import (
	_ "embed"
	"go/ast"
	"go/parser"
	"go/token"
	"sync"
)

// helpersFile holds the functions that generated code calls; a kernel's file gets a copy of those it needs.
//
//go:embed helpers.go
var helpersFile string

// helperSources are the functions of helpers.go by name, with their comments.
var helperSources = sync.OnceValue(func() map[string]string {
	set := token.NewFileSet()
	f, err := parser.ParseFile(set, "helpers.go", helpersFile, parser.ParseComments)
	if err != nil {
		panic(err) // the compiler has read the same file
	}
	m := map[string]string{}
	for _, d := range f.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok {
			m[fn.Name.Name] = helpersFile[set.Position(fn.Doc.Pos()).Offset:set.Position(fn.End()).Offset] + "\n"
		}
	}
	return m
})

func helperSource(name string) string { return helperSources()[name] }

// helper notes that the file needs a function of helpers.go, and gives its name.
func (r *renderer) helper(name string) string {
	r.helpers[name] = true
	return name
}
