// Package httpapi serves the HTTP contract with Echo. echo.Context does not leave it.
//
// One table (routes.go) says what exists: method, path, who may, parameters, bodies, answers. From it come the Echo
// routes, the checks before a handler runs, Allow headers, and the OpenAPI document, so that none can differ from
// another. A handler therefore starts with a verified principal, an existing tenant, and parameters of the right type;
// it builds one command or query, calls it, and encodes the answer.
//
// Every refusal is a problem document (RFC 9457) made in problems.go, and nothing of a refused request is stored. The
// tenant comes from the credential alone. Request bodies, headers and answers are bounded in size and time.
//
// One answer is not ours: a request head beyond 80 KiB is refused by net/http itself with 431 in plain text, before any
// handler runs. Heads above 16 KiB and below that get a problem document.
package httpapi
