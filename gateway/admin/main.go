// The dittofs command: looks after DittoFS Gateway.
//
// NAME
//
//	dittofs - administer DittoFS Gateway
//
// SYNOPSIS
//
//	dittofs [--config FILE | --state DIR] COMMAND
//
// DESCRIPTION
//
//	dittofs up DIR       serve an existing directory, in the foreground
//	dittofs status       daemons, doors, exports and grace
//	dittofs lock         who holds what across all doors (list), who waits (waiters), why (why); take it away (break)
//	dittofs client       who holds anything: list, forget
//	dittofs session list who is connected over SMB
//	dittofs user         SMB users: add, remove, list
//	dittofs config       check or print the configuration
//	dittofs db           check, export, import or recover the lock database
//	dittofs grace        show or end the grace period
//	dittofs doctor       find what keeps the gateway from serving; exit status 1 where something does
//
// FILES
//
//	/etc/dittofs/gateway.toml, /run/dittofs/admin.sock; under --state DIR: DIR/gateway.toml, DIR/run/admin.sock
//
// SECURITY
//
//	The gateway answers root only, by the peer credentials of its Unix socket.
//
// No locks.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"dittofs/gateway/config"
	"dittofs/gateway/daemon"
	"dittofs/gateway/ipc"
)

func main() {
	if err := App().Run(flagsFirst(os.Args)); err != nil {
		fmt.Fprintf(os.Stderr, "dittofs: %v\n", err)
		os.Exit(1)
	}
}

// flagsFirst lets flags follow the directory of `up DIR --flag …`: the library stops at the first word that is no flag.
func flagsFirst(args []string) []string {
	if len(args) < 4 || args[1] != "up" || strings.HasPrefix(args[2], "-") {
		return args
	}
	out := append([]string{args[0], "up"}, args[3:]...)
	return append(out, args[2])
}

// App is the command line.
func App() *cli.App {
	return &cli.App{
		Name:                 "dittofs",
		Usage:                "administer DittoFS Gateway",
		Version:              daemon.Version,
		EnableBashCompletion: true,
		Flags:                where(),
		Commands: []*cli.Command{
			upCommand(), statusCommand(), lockCommand(), clientCommand(), sessionCommand(), userCommand(), configCommand(), graceCommand(), dbCommand(), doctorCommand(),
		},
	}
}

// where are the flags that say which gateway is meant; each command takes them too.
func where() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "config", Usage: "configuration `FILE`", Value: config.Path},
		&cli.StringFlag{Name: "state", Usage: "the gateway that 'dittofs up --state DIR' runs; `DIR`"},
	}
}

// stated finds a string flag of where on the command or on any of its parents.
func stated(c *cli.Context, name string) string {
	for _, p := range c.Lineage() {
		if p.IsSet(name) {
			return p.String(name)
		}
	}
	return ""
}

// configFile is the file that the flags name.
func configFile(c *cli.Context) string {
	if s := stated(c, "state"); s != "" {
		return filepath.Join(s, "gateway.toml")
	}
	if f := stated(c, "config"); f != "" {
		return f
	}
	return config.Path
}

func load(c *cli.Context) (*config.Config, error) {
	path := configFile(c)
	cfg, err := config.Load(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("no configuration at %s; --state DIR names a gateway that 'dittofs up' runs", path)
	}
	return cfg, err
}

// ask connects to the running gateway and hands it to f.
func ask(c *cli.Context, f func(ctx context.Context, a *ipc.Admin) error) error {
	cfg, err := load(c)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.Context, 10*time.Second)
	defer cancel()
	path := filepath.Join(cfg.Run, "admin.sock")
	a, err := ipc.DialAdmin(ctx, path)
	if err != nil {
		return fmt.Errorf("no gateway answers at %s: %w", path, err)
	}
	defer a.Close()
	return f(ctx, a)
}
