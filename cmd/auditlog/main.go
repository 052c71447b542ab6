// Command auditlog is the whole service and its client in one binary: configuration and wiring only.
//
// Exit codes: 0 done, 1 failed, 2 wrong use or a setting out of its bounds, 3 done in part (an import refused records).
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

func main() {
	signal.Ignore(syscall.SIGXFSZ) // a file that may not grow fails its write, as on a full disk, and ends nothing
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	err := run(ctx, os.Args[1:], streams{in: os.Stdin, out: os.Stdout, err: os.Stderr})
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "auditlog:", oneLine(err))
		os.Exit(exitCode(err))
	}
}

// streams are what a command reads and writes; what is asked for goes to out, everything about it to err.
type streams struct {
	in  io.Reader
	out io.Writer
	err *os.File
}

// Exit codes beside 0.
const (
	exitFailed = 1
	exitUsage  = 2
	exitPartly = 3
)

// coded is an error with an exit code of its own.
type coded struct {
	error
	code int
}

func (c coded) Unwrap() error { return c.error }

func usage(err error) error {
	if err == nil {
		return nil
	}
	return coded{err, exitUsage}
}

func usagef(format string, args ...any) error { return usage(fmt.Errorf(format, args...)) }

func exitCode(err error) int {
	var c coded
	if errors.As(err, &c) {
		return c.code
	}
	return exitFailed
}

// oneLine keeps an error to one line: it may join several.
func oneLine(err error) string {
	return strings.Join(strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\n' }), "; ")
}
