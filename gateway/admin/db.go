package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/urfave/cli/v2"

	"dittofs/gateway/internal/lockdb"
	"dittofs/gateway/internal/lockdb/badger"
)

func dbCommand() *cli.Command {
	command := func(name, usage, args string, do func(c *cli.Context, d lockDB) error) *cli.Command {
		return &cli.Command{Name: name, Usage: usage, ArgsUsage: args, Flags: where(), Action: func(c *cli.Context) error {
			cfg, err := load(c)
			if err != nil {
				return err
			}
			return do(c, lockDB{cfg.State})
		}}
	}
	return &cli.Command{
		Name:  "db",
		Usage: "the lock database, while the gateway is stopped",
		Flags: where(),
		Subcommands: []*cli.Command{
			command("check", "say whether the database is whole, and what it holds", "", dbCheck),
			command("export", "write the database as lines of JSON, to FILE or standard output", "[FILE]", dbExport),
			command("import", "read an export, from FILE or standard input, where there is no database", "[FILE]", dbImport),
			command("recover", "keep what can be read of a damaged database, and say what is lost; the damaged one is moved aside", "", dbRecover),
		},
	}
}

// lockDB is the lock database in a state directory.
type lockDB struct{ state string }

func (d lockDB) dir() string { return filepath.Join(d.state, "locks") }

// config opens the store of a database that must be there.
func (d lockDB) config() (lockdb.Config, error) {
	if _, err := os.Stat(d.dir()); err != nil {
		return lockdb.Config{}, fmt.Errorf("no lock database: %w", err)
	}
	return d.create(d.dir())
}

func (d lockDB) create(dir string) (lockdb.Config, error) {
	s, err := badger.Open(dir, slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})))
	if errors.Is(err, badger.ErrInUse) {
		return lockdb.Config{}, fmt.Errorf("%w; stop it first: systemctl stop dittofs-gateway", err)
	}
	if err != nil {
		return lockdb.Config{}, err
	}
	return lockdb.Config{Dir: d.state, Store: s, Boot: lockdb.HostBoot()}, nil
}

func (d lockDB) read() (lockdb.Contents, error) {
	cfg, err := d.config()
	if err != nil {
		return lockdb.Contents{}, err
	}
	return lockdb.Read(cfg)
}

func dbCheck(c *cli.Context, d lockDB) error {
	all, err := d.read()
	if err != nil {
		return err
	}
	fmt.Fprintf(c.App.Writer, "%s: good, %s\n", d.dir(), summary(all))
	return nil
}

func summary(c lockdb.Contents) string {
	end := "the last run was not stopped cleanly"
	if c.Clean {
		end = "cleanly stopped"
	}
	return fmt.Sprintf("%d ranges, %d durable opens, %d hosts, commit %d, epoch %d, NSM state %d, %s", len(c.Ranges), len(c.Opens), len(c.Hosts), c.Seq, c.Epoch, c.NSM, end)
}

func dbExport(c *cli.Context, d lockDB) (err error) {
	all, err := d.read()
	if err != nil {
		return err
	}
	path := c.Args().First()
	if path == "" || path == "-" {
		return all.Export(c.App.Writer)
	}
	// File handles and users' names are nobody else's business. What is there is not overwritten.
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(all.Export(f), f.Sync(), f.Close())
}

func dbImport(c *cli.Context, d lockDB) error {
	if _, err := os.Stat(d.dir()); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is there already; move it away first", d.dir())
	}
	var in io.Reader = os.Stdin
	if path := c.Args().First(); path != "" && path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		in = f
	}
	all, err := lockdb.ReadExport(in)
	if err != nil {
		return err
	}
	// Locks have changed hands since it was written: the next start has a grace period.
	all.Clean = false
	if err := d.build(all); err != nil {
		return err
	}
	fmt.Fprintf(c.App.Writer, "%s: imported, %s\n", d.dir(), summary(all))
	return nil
}

// build writes a database beside its place and moves it there when it is whole.
func (d lockDB) build(all lockdb.Contents) error {
	if err := os.MkdirAll(d.state, 0o711); err != nil {
		return err
	}
	tmp := d.dir() + ".new"
	if err := os.RemoveAll(tmp); err != nil {
		return err
	}
	cfg, err := d.create(tmp)
	if err != nil {
		return err
	}
	if err := lockdb.Write(cfg, all); err != nil {
		return err
	}
	if err := os.Rename(tmp, d.dir()); err != nil {
		return err
	}
	s, err := os.Open(d.state)
	if err != nil {
		return err
	}
	return errors.Join(s.Sync(), s.Close())
}

func dbRecover(c *cli.Context, d lockDB) error {
	if _, err := os.Stat(d.state); err != nil {
		return err
	}
	cfg, err := d.config()
	var lost []error
	switch {
	case errors.Is(err, badger.ErrInUse):
		return err
	case err != nil:
		// The engine cannot open it: of the database nothing but its high-water file is left.
		cfg, lost = lockdb.Config{Dir: d.state, Boot: lockdb.HostBoot()}, []error{err}
	}
	all, damage, err := lockdb.Salvage(cfg)
	if err != nil {
		return err
	}
	if lost = append(lost, damage...); len(lost) == 0 {
		fmt.Fprintf(c.App.Writer, "%s: good, %s; nothing to recover\n", d.dir(), summary(all))
		return nil
	}
	for _, err := range lost {
		fmt.Fprintf(c.App.ErrWriter, "damage: %v\n", err)
	}
	aside := fmt.Sprintf("%s.damaged-%s", d.dir(), time.Now().UTC().Format("20060102T150405.000"))
	switch err := os.Rename(d.dir(), aside); {
	case err == nil:
		fmt.Fprintf(c.App.ErrWriter, "the damaged database is kept at %s\n", aside)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	all.Clean = false
	if err := d.build(all); err != nil {
		return err
	}
	fmt.Fprintf(c.App.Writer, "%s: recovered, %s; locks that are not listed are lost\n", d.dir(), summary(all))
	return nil
}
