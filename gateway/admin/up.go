package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"dittofs/gateway/config"
	"dittofs/gateway/ipc"
)

// daemons in the order in which they start; they stop in the opposite order.
var daemons = []string{"gateway", "fusefs", "lockd", "statd", "smbd"}

func upCommand() *cli.Command {
	d := config.Default()
	port := func(name string, v uint16) cli.Flag {
		return &cli.UintFlag{Name: name + "-port", Usage: "`PORT` of the " + name + " door; 0: any free one", Value: uint(v)}
	}
	return &cli.Command{
		Name:      "up",
		Usage:     "serve an existing directory over NFS and SMB, in the foreground",
		ArgsUsage: "DIR | --config FILE",
		Description: "Mounts DIR through FUSE over its own path and serves it until Ctrl-C, which unmounts it and leaves it as any directory.\n" +
			"Prints one line 'ready nfs=… mount=… nlm=… nsm=… smb=… metrics=… tree=…' when every door answers.\n" +
			"With --config it serves what a configuration file says, as systemd's units would: several directories, each with settings of its own.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "config", Usage: "serve what `FILE` says, instead of DIR and the other options but --user"},
			&cli.StringFlag{Name: "state", Usage: "`DIR` of the lock database and sockets (default: /var/lib/dittofs-up/NAME)"},
			&cli.StringFlag{Name: "listen", Usage: "`ADDRESS` that the doors listen on; empty: all"},
			&cli.StringFlag{Name: "user", Usage: "add the SMB user `NAME`, password from DITTOFS_PASSWORD or standard input"},
			&cli.BoolFlag{Name: "apple", Usage: "serve Macs with Apple's extensions"},
			&cli.StringFlag{Name: "snapshots", Usage: "`PATTERN` of the directories with previous versions, as .snapshots/@GMT-%Y.%m.%d-%H.%M.%S"},
			&cli.StringFlag{Name: "squash", Usage: "root, all or none", Value: "root"},
			&cli.StringFlag{Name: "keytab", Usage: "`FILE` with the keys of nfs/HOST and cifs/HOST", Value: d.Kerberos.Keytab},
			&cli.StringSliceFlag{Name: "sec", Usage: "NFS security flavors: sys, krb5, krb5i, krb5p (default: sys)"},
			&cli.BoolFlag{Name: "no-ntlm", Usage: "SMB users come in by Kerberos only"},
			&cli.BoolFlag{Name: "hide-unreadable", Usage: "SMB directories list only what the user may read"},
			&cli.StringFlag{Name: "log-level", Value: d.LogLevel},
			port("nfs", d.Ports.NFS), port("mount", d.Ports.Mount), port("nlm", d.Ports.NLM), port("nsm", d.Ports.NSM),
			port("smb", d.Ports.SMB), port("metrics", d.Ports.Metrics),
			&cli.BoolFlag{Name: "no-passthrough", Usage: "data of the mount goes through the daemon, as before Linux 6.9", Hidden: true},
			&cli.BoolFlag{Name: "no-rpcbind", Usage: "do not register with rpcbind, nor serve port 111"},
			&cli.DurationFlag{Name: "grace", Value: d.Lock.Grace.D(), Usage: "how long NLM clients may reclaim after a crash"},
		},
		Action: func(c *cli.Context) error {
			if c.NArg() != 1 && c.String("config") == "" {
				return errors.New("up: name one existing directory")
			}
			ctx, stop := signal.NotifyContext(c.Context, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
			defer stop()
			return up(ctx, c)
		},
	}
}

func up(ctx context.Context, c *cli.Context) error {
	read := upConfig
	if c.String("config") != "" {
		read = upFile
	}
	cfg, err := read(c)
	if err != nil {
		return err
	}
	if err := preflight(cfg); err != nil {
		return err
	}
	created := !exists(cfg.State)
	if err := os.MkdirAll(cfg.State, 0o711); err != nil {
		return err
	}
	unlock, err := lockState(cfg.State)
	if err != nil {
		return err
	}
	defer unlock()
	for _, e := range cfg.Exports {
		unmount(e.Path) // what a gateway left that was killed
	}
	if name := c.String("user"); name != "" {
		if err := addUser(cfg, name, cfg.Exports[0].Path); err != nil {
			return err
		}
	}
	b, err := cfg.Marshal()
	if err != nil {
		return err
	}
	file := filepath.Join(cfg.State, "gateway.toml")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		return err
	}

	s := newSupervisor(file)
	err = s.run(ctx, func(ctx context.Context) error {
		st, err := whenReady(ctx, cfg)
		if err != nil {
			return err
		}
		announce(cfg, st)
		return nil
	})
	for _, e := range cfg.Exports {
		unmount(e.Path)
	}
	if err != nil && created {
		os.RemoveAll(cfg.State)
	}
	return err
}

// upFile reads the configuration file that --config names.
func upFile(c *cli.Context) (*config.Config, error) {
	if c.NArg() != 0 {
		return nil, errors.New("up: --config says which directories are served; name none beside it")
	}
	cfg, err := config.Load(c.String("config"))
	if err != nil {
		return nil, err
	}
	if len(cfg.Exports) == 0 {
		return nil, fmt.Errorf("up: %s names no [[export]]", c.String("config"))
	}
	return cfg, nil
}

// upConfig turns the flags into a configuration with one export.
func upConfig(c *cli.Context) (*config.Config, error) {
	abs, err := filepath.Abs(c.Args().First())
	if err != nil {
		return nil, err
	}
	dir, err := filepath.EvalSymlinks(abs)
	if errors.Is(err, unix.ENOTCONN) { // a mount left by a killed fusefs
		if dir, err = filepath.EvalSymlinks(filepath.Dir(abs)); err == nil {
			dir = filepath.Join(dir, filepath.Base(abs))
		}
	}
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("up: there is no directory %s", c.Args().First())
	}
	if err != nil {
		return nil, fmt.Errorf("up: %w", err)
	}
	if fi, err := os.Stat(dir); err == nil && !fi.IsDir() {
		return nil, fmt.Errorf("up: %s is not a directory", dir)
	}
	cfg := config.Default()
	cfg.State = stated(c, "state")
	if cfg.State == "" {
		cfg.State = filepath.Join("/var/lib/dittofs-up", filepath.Base(dir))
	}
	if cfg.State, err = filepath.Abs(cfg.State); err != nil {
		return nil, err
	}
	if rel, err := filepath.Rel(dir, cfg.State); err == nil && !strings.HasPrefix(rel, "..") {
		return nil, fmt.Errorf("up: the state directory %s lies inside the directory that is served", cfg.State)
	}
	cfg.Run = filepath.Join(cfg.State, "run")
	if len(cfg.Run) > 80 { // sun_path holds 107 bytes, and a socket's own name comes after it
		return nil, fmt.Errorf("up: the path of the state directory is too long for Unix sockets: %s", cfg.State)
	}
	if l := c.String("listen"); l != "" {
		if _, err := netip.ParseAddr(l); err != nil {
			return nil, fmt.Errorf("up: --listen %s: not an IP address", l)
		}
		cfg.Listen = l
	}
	for name, p := range map[string]*uint16{"nfs": &cfg.Ports.NFS, "mount": &cfg.Ports.Mount, "nlm": &cfg.Ports.NLM,
		"nsm": &cfg.Ports.NSM, "smb": &cfg.Ports.SMB, "metrics": &cfg.Ports.Metrics} {
		v := c.Uint(name + "-port")
		if v > 65535 {
			return nil, fmt.Errorf("up: --%s-port %d: not a port", name, v)
		}
		*p = uint16(v)
	}
	cfg.NFS.Rpcbind = !c.Bool("no-rpcbind")
	cfg.Fuse.Passthrough = !c.Bool("no-passthrough")
	cfg.LogLevel = c.String("log-level")
	cfg.Lock.Grace = config.Duration(c.Duration("grace"))
	cfg.Exports = []config.Export{{Path: dir, Name: filepath.Base(dir), Squash: c.String("squash"), AnonUID: 65534, AnonGID: 65534,
		Insecure: true, Apple: c.Bool("apple"), Snapshots: config.Snapshots(c.String("snapshots")), Sec: c.StringSlice("sec"), HideUnreadable: c.Bool("hide-unreadable")}}
	cfg.Kerberos.Keytab = c.String("keytab")
	cfg.SMB.NTLM = !c.Bool("no-ntlm")
	return cfg, cfg.Check("up")
}

// preflight finds what would stop a daemon, so that it is said once and before anything was started.
func preflight(cfg *config.Config) error {
	if os.Geteuid() != 0 {
		return errors.New("up: must run as root: it mounts, and acts as the calling users")
	}
	f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("up: FUSE is not available: %w", err)
	}
	f.Close()
	for _, p := range []struct {
		name string
		port uint16
	}{{"nfs", cfg.Ports.NFS}, {"mount", cfg.Ports.Mount}, {"nlm", cfg.Ports.NLM}, {"nsm", cfg.Ports.NSM}, {"smb", cfg.Ports.SMB}, {"metrics", cfg.Ports.Metrics}} {
		host := cfg.Listen
		if p.name == "metrics" && host == "" {
			host = "127.0.0.1"
		}
		l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(int(p.port))))
		if errors.Is(err, syscall.EADDRINUSE) {
			return fmt.Errorf("up: port %d for %s is taken by another program; --%s-port names another", p.port, p.name, p.name)
		}
		if err != nil {
			return fmt.Errorf("up: %s: %w", p.name, err)
		}
		l.Close()
	}
	return nil
}

// lockState keeps two gateways from sharing one state directory.
func lockState(dir string) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(dir, "up.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("up: another 'dittofs up' runs with the state directory %s", dir)
	}
	return func() { f.Close() }, nil
}

// addUser adds the SMB user; one without an account on this machine acts as the owner of the directory.
func addUser(cfg *config.Config, name, dir string) error {
	password, given := os.LookupEnv("DITTOFS_PASSWORD")
	if !given {
		line, err := bufio.NewReader(os.Stdin).ReadString('\n')
		if err != nil && line == "" {
			return errors.New("up: --user needs a password in DITTOFS_PASSWORD or on standard input")
		}
		password = strings.TrimRight(line, "\r\n")
	}
	uid, gid, err := account(name)
	if err != nil {
		fi, err := os.Stat(dir)
		if err != nil {
			return err
		}
		st := fi.Sys().(*syscall.Stat_t)
		uid, gid = st.Uid, st.Gid
	}
	return storeUser(cfg, name, password, uid, gid)
}

// doors are the names of the ready line, in its order.
var doors = []string{"nfs", "mount", "nlm", "nsm", "smb", "metrics"}

// whenReady waits until every door answers and the tree is mounted.
func whenReady(ctx context.Context, cfg *config.Config) (ipc.Status, error) {
	for {
		st, err := func() (ipc.Status, error) {
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			a, err := ipc.DialAdmin(ctx, filepath.Join(cfg.Run, "admin.sock"))
			if err != nil {
				return ipc.Status{}, err
			}
			defer a.Close()
			return a.Status(ctx)
		}()
		if err == nil && allAnswer(st) {
			return st, nil
		}
		select {
		case <-ctx.Done():
			return st, ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func allAnswer(st ipc.Status) bool {
	at := st.Serving()
	for _, d := range doors {
		if at[d] == "" {
			return false
		}
	}
	for _, t := range st.Trees {
		if !t.Mounted && t.Refused == "" {
			return false
		}
	}
	return len(st.Trees) > 0
}

// announce prints how to mount, and the ready line.
func announce(cfg *config.Config, st ipc.Status) {
	e, at := cfg.Exports[0], st.Serving()
	host, _ := os.Hostname()
	if cfg.Listen != "" {
		host = cfg.Listen
	}
	port := func(door string, usual string) (p string, differs bool) {
		_, p, _ = net.SplitHostPort(at[door])
		return p, p != usual
	}
	nfs, smb, mac := "vers=3", "vers=3.1.1", ""
	if p, differs := port("nfs", "2049"); differs {
		m, _ := port("mount", "")
		nfs += ",port=" + p + ",mountport=" + m
	}
	if p, differs := port("smb", "445"); differs {
		smb += ",port=" + p
		mac = ":" + p
	}
	fmt.Printf("\nServing %s", e.Path)
	if n := len(cfg.Exports) - 1; n > 0 {
		fmt.Printf(" and %d more", n)
	}
	fmt.Println()
	fmt.Printf("  Linux    mount -t nfs -o %s %s:%s /mnt\n", nfs, host, e.Path)
	fmt.Printf("  Linux    mount -t cifs -o %s,username=USER //%s/%s /mnt\n", smb, host, e.Name)
	fmt.Printf("  Windows  net use Z: \\\\%s\\%s /user:USER\n", host, e.Name)
	fmt.Printf("  macOS    open smb://USER@%s%s/%s\n", host, mac, e.Name)
	fmt.Printf("  here     use %s as before\n", e.Path)
	fmt.Printf("  who      dittofs --state %s lock list\n\n", cfg.State)
	line := "ready"
	for _, d := range doors {
		line += " " + d + "=" + reachable(at[d])
	}
	fmt.Printf("%s tree=%s\n", line, e.Path)
}

// reachable turns an unspecified address into one that a client on this machine can use.
func reachable(addr string) string {
	ap, err := netip.ParseAddrPort(addr)
	if err != nil || !ap.Addr().IsUnspecified() {
		return addr
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), ap.Port()).String()
}

// unmount takes away a mount that a killed fusefs left on dir.
func unmount(dir string) {
	var st unix.Statfs_t
	for range 8 {
		if err := unix.Statfs(dir, &st); err != unix.ENOTCONN {
			return
		}
		if unix.Unmount(dir, unix.MNT_DETACH) != nil {
			return
		}
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
