// Package overload sends a service, over HTTP, several times what it can store, and shows that its memory stays bounded,
// that it goes on storing at about its best rate, that whatever it does not store is answered 429 or 503 with Retry-After,
// that nothing acknowledged is lost, and that a quiet tenant is served while another floods.
package overload
