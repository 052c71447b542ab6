// Package faults kills every part of the distributed tier under load and checks that nothing acknowledged is lost, that
// nothing is there twice, and that all of it heals by itself.
package faults
