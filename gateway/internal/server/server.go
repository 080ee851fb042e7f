// Package server is the wiring of the gateway: vault, counter, hatches, exports, NFS, MOUNT, rpcbind, metrics, from the bottom to the top.
//
// No locks.
package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"dittofs/gateway/daemon"
	"dittofs/gateway/export"
	"dittofs/gateway/internal/hatch"
	"dittofs/gateway/internal/lockdb"
	"dittofs/gateway/internal/lockdb/badger"
	"dittofs/gateway/internal/lockmgr"
	"dittofs/gateway/internal/mount3"
	"dittofs/gateway/internal/nfs3"
	"dittofs/gateway/ipc"
	"dittofs/gateway/lock"
	"dittofs/gateway/lock/seat"
	"dittofs/gateway/oncrpc"
	"dittofs/gateway/oncrpc/rpcbind"
)

// Run is the gateway's life.
func Run(ctx context.Context, env daemon.Env) (err error) {
	daemon.SpareProcessors(4)
	cfg, log := env.Config, env.Log
	if err := os.MkdirAll(cfg.State, 0o711); err != nil {
		return err
	}

	// What the last run left, and the counter over it.
	store, err := badger.Open(filepath.Join(cfg.State, "locks"), log)
	if err != nil {
		return err
	}
	vault, start, err := lockdb.Begin(lockdb.Config{Dir: cfg.State, Store: store, Log: log, Metrics: env.Metrics, Lag: cfg.Lock.Lag(), Boot: lockdb.HostBoot()})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, vault.Close()) }()
	key, err := export.LoadKey(cfg.State)
	if err != nil {
		return err
	}
	exports, err := export.New(cfg.Exports, key)
	if err != nil {
		return err
	}
	defer exports.Close()
	if cfg.NFS.ManageGIDs {
		exports.Groups = export.NewGroups(cfg.NFS.GroupsTTL.D())
	}
	locks := seat.New(nil) // NFS and MOUNT sit at the counter like every other door
	counter := lockmgr.New(lockmgr.Config{
		RangesPerFile: cfg.Lock.RangesPerFile, RangesPerClient: cfg.Lock.RangesPerClient, Ranges: cfg.Lock.Ranges,
		WaitersPerFile: cfg.Lock.WaitersPerFile, Grace: cfg.Lock.Grace.D(), BreakTimeout: cfg.SMB.BreakTimeout.D(),
		UnlinkOpen: cfg.Lock.UnlinkOpen, BrlRead: cfg.Lock.BrlRead, Resolve: resolve(exports), Expect: []string{"fusefs", "smbd"},
		Unlink: func(k lock.Key, path string) { unlink(ctx, env, exports, locks, k, path) },
	}, start, vault, log, env.Metrics)
	nfsSeat := counter.Attach(lock.NFS, "nfs", func(e lock.Event) {
		if e.Answer != nil {
			locks.Deliver(*e.Answer)
		}
	})
	defer nfsSeat.Detach()
	locks.Manager = nfsSeat
	log.Info("lock database open", "epoch", start.Epoch, "clean", start.Clean, "torn", start.Torn, "ranges", len(start.Ranges), "opens", len(start.Opens),
		"hosts", len(start.Hosts), "grace", counter.GraceLeft())

	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return counter.Run(ctx) })

	// The hatches, and the trees that fusefs brings through them.
	news := make(chan struct{}, 1)
	poke := func() {
		select {
		case news <- struct{}{}:
		default:
		}
	}
	trees := ipc.NewTrees(poke)
	house := hatch.New(hatch.Config{Dir: cfg.Run, Counter: seats{counter, start.NSM}, Trees: trees, Log: log, Version: daemon.Version, Find: find(exports)})
	g.Go(func() error { return house.Serve(ctx) })
	g.Go(func() error { return follow(ctx, env, trees, exports, news) })
	g.Go(func() error { return reload(ctx, env, exports, poke) })

	nfs := nfs3.New(nfs3.Config{Exports: exports, Locks: locks, Going: counter.Going, Hold: cfg.NFS.Hold.D(), Log: log, Metrics: env.Metrics})
	mount := mount3.New(mount3.Config{Exports: exports, Log: log})

	security := kerberos(env)
	doors, ms := map[string]string{}, []rpcbind.Mapping(nil)
	for _, d := range []struct {
		name     string
		port     uint16
		programs []*oncrpc.Program
		number   uint32
		versions []uint32
	}{
		{"nfs", cfg.Ports.NFS, []*oncrpc.Program{nfs3.Program(nfs)}, 100003, []uint32{3}},
		{"mount", cfg.Ports.Mount, mount3.Programs(mount), 100005, []uint32{1, 3}},
	} {
		tcp, udp, err := oncrpc.Listen(ctx, cfg.Listen, d.port)
		if err != nil {
			return fmt.Errorf("%s: %w", d.name, err)
		}
		rpc := oncrpc.NewServer(oncrpc.Config{Log: log, Metrics: env.Metrics, Security: security, MaxConns: cfg.NFS.Connections}, d.programs...)
		for _, l := range tcp {
			g.Go(func() error { return rpc.ServeTCP(ctx, l) })
		}
		for _, c := range udp {
			g.Go(func() error { return rpc.ServeUDP(ctx, c) })
		}
		at := tcp[0].Addr().(*net.TCPAddr)
		doors[d.name] = at.String()
		ms = append(ms, rpcbind.Mappings(d.number, d.versions, uint16(at.Port), true, cfg.Listen == "")...)
	}

	metrics, err := serveMetrics(ctx, g, env)
	if err != nil {
		return err
	}
	doors["metrics"] = metrics
	if cfg.NFS.Rpcbind {
		// Who waits for us to be ready wants to mount, and asks rpcbind first.
		registered := make(chan struct{})
		defer register(ctx, g, env, ms, func() { close(registered) })()
		select {
		case <-registered:
		case <-time.After(3 * time.Second):
		case <-ctx.Done():
		}
	}
	house.Set(doors)
	env.Ready()
	return g.Wait()
}

// seats shows the counter to the hatches.
type seats struct {
	*lockmgr.Manager
	nsm int32
}

func (s seats) Attach(door lock.Door, name string, sink func(lock.Event)) hatch.Seat {
	return s.Manager.Attach(door, name, sink)
}

func (s seats) NSMState() int32 { return s.nsm }

// find names a file by its path on this machine, beneath an export.
func find(exports *export.Set) func(string) (lock.Key, error) {
	return func(p string) (lock.Key, error) {
		e, rest := exports.ByPath(p)
		if e == nil {
			return lock.Key{}, fmt.Errorf("%s lies in no export", p)
		}
		f, err := e.Root()
		if err != nil {
			return lock.Key{}, fmt.Errorf("%s: %w", p, err)
		}
		defer f.Release()
		if rest == "" {
			return f.Key, nil
		}
		g, err := f.Walk(export.Root, rest)
		if err != nil {
			return lock.Key{}, fmt.Errorf("%s: %w", p, err)
		}
		defer g.Release()
		return g.Key, nil
	}
}

// follow gives the exports the trees that are mounted and takes away those that are not: local programs would go around the law.
func follow(ctx context.Context, env daemon.Env, trees *ipc.Trees, exports *export.Set, news <-chan struct{}) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-news:
		}
		if !trees.Mounted() {
			for _, e := range exports.Exports() {
				exports.Remove(e.Name())
			}
			env.Log.Warn("trees not mounted: clients are told to try again")
			continue
		}
		list, err := trees.Take(ctx)
		if err != nil {
			if ctx.Err() == nil {
				env.Log.Error("trees", "err", err)
			}
			continue
		}
		for _, t := range list {
			e, rest := exports.ByPath(t.Path)
			if e == nil || rest != "" { // mounted, and taken out of the configuration
				t.Root.Close()
				continue
			}
			if err := exports.Set(e.Name(), t.Root); err != nil {
				env.Log.Error("export", "name", t.Name, "path", t.Path, "err", err)
				continue
			}
			env.Log.Info("tree exported", "name", t.Name, "path", t.Path)
		}
	}
}

// register makes the programs known to the system's rpcbind; where none answers, this process keeps port 111 itself.
func register(ctx context.Context, g *errgroup.Group, env daemon.Env, ms []rpcbind.Mapping, ready func()) (wait func()) {
	host := env.Config.Listen
	if host == "" {
		host = "127.0.0.1"
	}
	keeper, own := net.JoinHostPort(host, "111"), env.Socket("rpcbind")
	if !rpcbind.Answers(ctx, keeper) {
		g.Go(func() error {
			if err := rpcbind.Serve(ctx, net.JoinHostPort(env.Config.Listen, "111"), own, env.Log); err != nil && ctx.Err() == nil {
				env.Log.Error("no rpcbind answers and port 111 cannot be served; clients must name the ports", "err", err)
			}
			return nil
		})
		for try := 0; try < 100 && ctx.Err() == nil && !rpcbind.Answers(ctx, keeper); try++ {
			time.Sleep(5 * time.Millisecond)
		}
	}
	return rpcbind.Keep(ctx, env.Log, rpcbind.Where{Sockets: []string{rpcbind.Socket, own}, Ask: keeper}, ms, ready)
}

func hostPort(addr string, port uint16) string {
	return net.JoinHostPort(addr, strconv.Itoa(int(port)))
}
