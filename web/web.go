// Package web holds the pages that the service serves to people: the start page and the API reference.
//
// Everything is embedded and self-contained: no page refers to another host, no script or style is inline, and
// ContentSecurityPolicy makes browsers enforce both.
package web

import (
	"embed"
	"io/fs"
)

//go:embed static
var static embed.FS

// Files are the pages and what they load, by their path below "/".
func Files() fs.FS {
	files, err := fs.Sub(static, "static")
	if err != nil {
		panic(err) // the folder is embedded above
	}
	return files
}

// ContentSecurityPolicy goes with every page. Images may be data: because the API reference draws its icons so.
const ContentSecurityPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
