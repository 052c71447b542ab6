//go:build race

package storm

const keys = 200
