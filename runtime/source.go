// Package runtime is the source code of what ships in products: the packages below this one, which
// `nnc build` copies into the module that it generates. They import the standard library and each
// other only.
package runtime

import "embed"

// Source holds the packages' files, tests included; copies leave those out.
//
//go:embed abi arena cli exec hostop imagedec peak plan tensor tensorio weights
var Source embed.FS
