package server

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"dittofs/gateway/accounts"
	"dittofs/gateway/daemon"
	"dittofs/gateway/ipc"
	"dittofs/gateway/lock"
)

// Run is the daemon, top to bottom.
func Run(ctx context.Context, env daemon.Env) error {
	daemon.SpareProcessors(4)
	cfg := env.Config
	users, err := accounts.LoadUsers(filepath.Join(cfg.State, accounts.UserFileName), env.Log)
	if err != nil {
		return err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort(cfg.Listen, strconv.Itoa(int(cfg.Ports.SMB))))
	if err != nil {
		return fmt.Errorf("smb: %w", err)
	}
	defer l.Close()
	var counter *ipc.Client
	s := New(Config{Settings: cfg, Users: users, Kerberos: newKerberos(cfg.Kerberos, users, env.Log), Log: env.Log, Metrics: env.Metrics,
		Report: func(ctx context.Context, session ipc.Session, ended bool) error {
			return counter.Session(ctx, session, ended)
		}})
	counter, err = ipc.Dial(ctx, env.Socket("smbd"), ipc.Options{Door: lock.SMB, Name: "smbd", Log: env.Log, Sink: s.Event, Breaks: s.Broken, Eases: true, Ended: env.Fail})
	if err != nil {
		return err
	}
	defer counter.Hangup()
	s.Join(counter.Seat)

	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { s.follow(ctx, env.Socket("trees")) })
	wg.Go(func() { s.reload(ctx, env) })
	served := make(chan error, 1)
	wg.Go(func() { served <- s.Serve(ctx, l) })
	host := cfg.Listen
	if host == "" {
		host = "127.0.0.1"
	}
	port := l.Addr().(*net.TCPAddr).Port
	if err := counter.Serving(ctx, map[string]string{"smb": net.JoinHostPort(host, strconv.Itoa(port))}); err != nil && ctx.Err() == nil {
		env.Log.Warn("serving", "err", err)
	}
	env.Ready()
	return <-served
}

// treesWithin is how long mounted trees may take to come: a mount whose fusefs has died hides its directory from local programs, so that a
// share may outlive it for a moment, and a busy machine takes no share away.
const treesWithin = 3 * time.Second

// lookAgain is how often smbd looks whether the trees are still the mounted ones.
const lookAgain = 500 * time.Millisecond

// follow gives the shares the trees that are mounted, and takes away those that are not, until ctx ends.
func (s *Server) follow(ctx context.Context, socket string) {
	mounts := map[string]uint64{}
	for ctx.Err() == nil {
		tctx, cancel := context.WithTimeout(ctx, treesWithin)
		trees, err := ipc.TakeTrees(tctx, socket)
		cancel()
		there := map[string]bool{}
		for _, t := range trees {
			h, id := s.share(t.Name), mountID(t.Root)
			if h == nil || h.ipc || filepath.Clean(h.terms().Path) != t.Path { // mounted, and no share any more or not yet
				t.Root.Close()
				continue
			}
			there[t.Name] = true
			if have, ok := mounts[t.Name]; ok && have == id && h.vol.Load() != nil {
				t.Root.Close()
				continue
			}
			if err := s.SetTree(t.Name, t.Root); err != nil {
				s.log.Error("share", "name", t.Name, "err", err)
				continue
			}
			mounts[t.Name] = id
			s.log.Info("share served", "name", t.Name, "path", t.Path)
		}
		for name := range mounts {
			if !there[name] {
				delete(mounts, name)
				if s.SetTree(name, nil) != nil {
					continue // its share went first
				}
				s.log.Warn("share not served: its tree is not mounted", "name", name, "err", err)
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(lookAgain):
		}
	}
}

// mountID tells one clone of a tree from another.
func mountID(root *os.File) uint64 {
	var st unix.Statx_t
	if err := unix.Statx(int(root.Fd()), "", unix.AT_EMPTY_PATH, unix.STATX_MNT_ID, &st); err != nil {
		return 0
	}
	return st.Mnt_id
}
