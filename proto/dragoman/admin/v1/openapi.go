// Package adminv1 is the admin API, generated from admin.proto by `make generate`.
package adminv1

import _ "embed" // OpenAPI

// OpenAPI is the document of the API as HTTP/JSON (OpenAPI 3.1).
//
//go:embed openapi.json
var OpenAPI []byte
