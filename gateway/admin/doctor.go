package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"dittofs/gateway/config"
	"dittofs/gateway/ipc"
)

func doctorCommand() *cli.Command {
	return &cli.Command{
		Name:  "doctor",
		Usage: "find what keeps the gateway from serving, on this host and in its configuration",
		Description: "Prints a plain sentence for each thing that it looked at: ok, warning or FAULT. It changes nothing.\n" +
			"Exit status: 0 where there is no fault, 1 where there is one.",
		Flags: where(),
		Action: func(c *cli.Context) error {
			d := &doctor{out: c.App.Writer}
			d.examine(c)
			if d.faults > 0 {
				return cli.Exit(fmt.Sprintf("dittofs: %d faults, %d warnings", d.faults, d.warnings), 1)
			}
			return nil
		},
	}
}

// doctor looks at one thing after the other. What it cannot look at is a fault of its own.
type doctor struct {
	out              io.Writer
	cfg              *config.Config
	status           *ipc.Status // of the running gateway; nil: none runs
	faults, warnings int
}

func (d *doctor) ok(format string, a ...any) { fmt.Fprintf(d.out, "ok       "+format+"\n", a...) }

func (d *doctor) warn(format string, a ...any) {
	d.warnings++
	fmt.Fprintf(d.out, "warning  "+format+"\n", a...)
}

func (d *doctor) fault(format string, a ...any) {
	d.faults++
	fmt.Fprintf(d.out, "FAULT    "+format+"\n", a...)
}

func (d *doctor) examine(c *cli.Context) {
	if os.Geteuid() != 0 {
		d.fault("run by user %d: only root can look everywhere", os.Geteuid())
	}
	cfg, err := load(c)
	if err != nil {
		d.fault("configuration: %v", err)
		return
	}
	d.cfg = cfg
	d.ok("configuration %s is good: %d exports", configFile(c), len(cfg.Exports))
	if len(cfg.Exports) == 0 {
		d.fault("no export is configured")
	}
	d.gateway(c.Context)
	d.kernel()
	d.clock()
	d.fuse()
	d.ports()
	ctx, cancel := context.WithTimeout(c.Context, 5*time.Second)
	defer cancel()
	d.rpcbind(ctx)
	d.kernelLockd(ctx)
	d.state()
	for i := range cfg.Exports {
		d.export(&cfg.Exports[i])
	}
}

// gateway asks the running gateway, if there is one.
func (d *doctor) gateway(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	a, err := ipc.DialAdmin(ctx, filepath.Join(d.cfg.Run, "admin.sock"))
	if err != nil {
		d.warn("no gateway runs here (%s)", filepath.Join(d.cfg.Run, "admin.sock"))
		return
	}
	defer a.Close()
	st, err := a.Status(ctx)
	if err != nil {
		d.fault("the gateway is there and does not answer: %v", err)
		return
	}
	d.status = &st
	there := map[string]bool{}
	for _, x := range st.Daemons {
		there[x.Name] = !x.Since.IsZero()
	}
	away := 0
	for _, name := range daemons {
		if !there[name] {
			away++
			d.fault("dittofs-%s is away: systemctl status dittofs-%s", name, name)
		}
	}
	if away == 0 {
		d.ok("the gateway runs, version %s, with all its daemons", st.Version)
	}
	if st.Grace > 0 {
		d.warn("grace runs for another %v: clients reclaim locks, and nobody gets a new one", st.Grace.Round(time.Second))
	}
}

// state looks at the lock database, which only a stopped gateway lets others read, and at the room around it.
func (d *doctor) state() {
	var st unix.Statfs_t
	if err := unix.Statfs(d.cfg.State, &st); err != nil {
		if errors.Is(err, unix.ENOENT) && d.status == nil {
			d.ok("state directory %s: none yet", d.cfg.State)
			return
		}
		d.fault("state directory %s: %v", d.cfg.State, err)
		return
	}
	if free := st.Bavail * uint64(st.Bsize); free < 64<<20 {
		d.fault("%s has %d MiB left: the lock database needs 64, and without it nothing is granted", d.cfg.State, free>>20)
	} else {
		d.ok("%s has %d MiB left", d.cfg.State, free>>20)
	}
	if fi, err := os.Stat(filepath.Join(d.cfg.State, "handle.key")); err == nil && fi.Mode().Perm()&0o077 != 0 {
		d.fault("%s can be read by others (mode %o): whoever has it can make file handles", filepath.Join(d.cfg.State, "handle.key"), fi.Mode().Perm())
	}
	db := lockDB{d.cfg.State}
	if _, err := os.Stat(db.dir()); err != nil {
		d.ok("lock database: none yet")
		return
	}
	if d.status != nil {
		d.ok("lock database: open, epoch %d; 'dittofs db check' reads it while the gateway is stopped", d.status.Epoch)
		return
	}
	all, err := db.read()
	if err != nil {
		d.fault("lock database: %v; see 'dittofs db recover'", err)
		return
	}
	d.ok("lock database: good, %s", summary(all))
}

// export looks at a directory and what its file system can do.
func (d *doctor) export(e *config.Export) {
	fi, err := os.Stat(e.Path)
	if err != nil {
		d.fault("export %s: %v", e.Path, err)
		return
	}
	if !fi.IsDir() {
		d.fault("export %s: not a directory", e.Path)
		return
	}
	mounted := false
	if d.status != nil {
		why := "journalctl -u dittofs-fusefs"
		for _, t := range d.status.Trees {
			if t.Path == e.Path {
				mounted, why = t.Mounted, cmp.Or(t.Refused, why)
			}
		}
		if !mounted {
			d.fault("export %s: not mounted, so not served: %s", e.Path, why)
			return
		}
		d.ok("export %s: mounted and served", e.Path)
	}
	for _, text := range e.Clients {
		if c, err := config.ParseClient(text); err == nil && c.Name != "" {
			if _, err := netip.ParseAddr(c.Name); err != nil && !resolves(c.Name) {
				d.warn("export %s: the client %s has no address", e.Path, c.Name)
			}
		}
	}
	d.features(e.Path, mounted)
}
