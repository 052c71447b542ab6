package main

import (
	"context"

	"github.com/alecthomas/kong"
)

const description = `auditlog is a multi-tenant audit log: applications record who did what, people search, watch, export and replay it.

Every setting of "serve" is also an environment variable, named beside it. Durations are like 500ms, 30s, 24h.

Exit codes: 0 done; 1 failed; 2 wrong use, or a setting out of its bounds; 3 done in part (an import refused records).`

// commands is the command line.
type commands struct {
	Serve   serveCmd   `cmd:"" help:"Run the service: API, relay and projections in one process."`
	API     apiCmd     `cmd:"" help:"Run the API alone, beside workers, on PostgreSQL and OpenSearch."`
	Worker  workerCmd  `cmd:"" help:"Run relay and projections alone."`
	Migrate migrateCmd `cmd:"" help:"Make or bring up to date the databases on PostgreSQL and the rights of their roles."`
	Token   tokenCmd   `cmd:"" help:"Mint a token for development."`
	Import  importCmd  `cmd:"" help:"Send files of audit records to a server; safe to repeat."`
	Export  exportCmd  `cmd:"" help:"Fetch every matching entry from a server."`
	Replay  replayCmd  `cmd:"" help:"Fetch the exact stored events of a tenant from a server."`
	Rebuild rebuildCmd `cmd:"" help:"Build a projection anew from the event store, beside the live one, and swap."`
	Queues  queuesCmd  `cmd:"" help:"Make, show and redrive the queues of the SQS bus."`
	Ready   readyCmd   `cmd:"" help:"Ask a running process whether it is ready; exit code 0 when it is."`
	Seed    seedCmd    `cmd:"" help:"Send generated entries to a server; the same seed gives the same entries."`
	Bench   benchCmd   `cmd:"" help:"Measure the service against what limits it; JSON lines on standard output, a table on standard error."`
	Version versionCmd `cmd:"" help:"Print the version."`
}

// run parses and carries out one command line.
func run(ctx context.Context, args []string, s streams) error {
	var c commands
	asked := false // for help, which is then printed
	parser, err := kong.New(&c, kong.Name("auditlog"), kong.Description(description), kong.Writers(s.out, s.err),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 110}), kong.Exit(func(int) { asked = true }),
		kong.BindTo(ctx, (*context.Context)(nil)), kong.Bind(s))
	if err != nil {
		return err
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	parsed, err := parser.Parse(args)
	switch {
	case asked:
		return nil
	case err != nil:
		return usage(err)
	}
	return parsed.Run()
}
